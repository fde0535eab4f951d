"""Errors of well-formed requests."""


class StoryNotFound(Exception):
    """The story does not exist, or was deleted."""

    def __init__(self, story_id: str) -> None:
        super().__init__(f"there is no story {story_id}")


class StoryExists(Exception):
    """A story with this id was created before, even if it is deleted now."""

    def __init__(self, story_id: str) -> None:
        super().__init__(f"there is a story {story_id} already")


class NotOwner(Exception):
    """The story is not the caller's to change."""

    def __init__(self, story_id: str) -> None:
        super().__init__(f"story {story_id} belongs to somebody else")


class UnknownCaller(Exception):
    """The token does not say whose it is."""

    def __init__(self) -> None:
        super().__init__("the token has no sub, so it names nobody")


class StaleVersion(Exception):
    """The story has changed since the client read it."""

    def __init__(self, story_id: str, expected: int) -> None:
        super().__init__(f"story {story_id} is not at version {expected} any more; read it again")


class StoryBusy(Exception):
    """Others kept writing the story; nothing was written."""

    def __init__(self, story_id: str) -> None:
        super().__init__(f"others are writing story {story_id}; try again")


class InvalidCursor(Exception):
    """A cursor that this API did not return."""


class IdempotencyKeyReused(Exception):
    """The idempotency key was used for another request before."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the idempotency key {key} came with another request before; take a new one")


class InvalidQuery(Exception):
    """A query for which the dashboard has no index."""
