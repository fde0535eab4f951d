"""The error that every command reports as one line."""


class CommandError(Exception):
    """A command cannot go on. The text is for the user: what is wrong and what to do, or the tail of a log under it."""
