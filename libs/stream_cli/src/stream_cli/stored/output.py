"""What the commands on stored events say."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer

from stream_cli.errors import CommandError
from stream_cli.stored.history import Place


def console(*, err: bool = False) -> Any:
    """A rich console on stdout or stderr."""
    from rich.console import Console

    return Console(stderr=err)


def utc(ms: int) -> str:
    """A time in ms, as ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ms / 1000))


def say_unreadable(place: Place, why: str) -> None:
    """Tell the user of a line that holds no event; it is left where it is."""
    typer.echo(f"{place.key}, line {place.line}: {why}; left out", err=True)


@contextmanager
def failures_said() -> Iterator[None]:
    """Failures that the user can do something about, as one line and exit code 1; Ctrl-C as 130."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except BrokenPipeError:
        raise  # whoever read the output, such as `head`, has had enough: typer ends the command without a word
    except (CommandError, BotoCoreError, ClientError, OSError) as error:
        typer.echo(f"{error}", err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        typer.echo("Stopped.", err=True)
        raise typer.Exit(130) from None


@contextmanager
def stopped_saying(sentence: Callable[[], str]) -> Iterator[None]:
    """What Ctrl-C means for what is under way, in place of a bare ``Stopped``."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(sentence(), err=True)
        raise typer.Exit(130) from None
