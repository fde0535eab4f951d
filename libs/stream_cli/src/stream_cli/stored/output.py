"""Output that the commands on stored events share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

from stream_cli.stored.history import ObjectLine
from stream_cli.terminal.output import say


def utc(ms: int) -> str:
    """A time in ms, as ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ms / 1000))


def say_unreadable(place: ObjectLine, why: str) -> None:
    """Report a line that holds no event and is skipped."""
    say(f"{place.key}, line {place.line}: {why}; skipped", err=True)


@contextmanager
def stopped_saying(sentence: Callable[[], str]) -> Iterator[None]:
    """On Ctrl-C, print a sentence and exit with 130."""
    try:
        yield
    except KeyboardInterrupt:
        say(sentence(), err=True)
        raise typer.Exit(130) from None
