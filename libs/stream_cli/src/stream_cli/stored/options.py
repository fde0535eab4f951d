"""Options that select stored events, and how several commands share them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import wraps
from typing import Annotated, Any, TypeVar, overload

import typer

from stream_cli.stored.history import Selection
from stream_cli.terminal.commands import errors_in_one_line

Since = Annotated[
    str | None, typer.Option("--since", help="Published since: ISO 8601 (UTC by default), or an age such as 2h or 3d.")
]
Until = Annotated[str | None, typer.Option("--until", help="Published before; in the form of --since.")]
Day = Annotated[str | None, typer.Option("--date", metavar="YYYY-MM-DD", help="A day (UTC), instead of a range.")]
Bucket = Annotated[str | None, typer.Option("--bucket", help="Bucket of the events. Default: the bucket of the stack.")]

Chosen = TypeVar("Chosen")

_FIRST = datetime.fromtimestamp(0, UTC)
_AGO = re.compile(r"(\d+)([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def taking(choose: Callable[..., Chosen]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A decorator that calls ``choose`` and passes the result to a command as the first argument.

    The keyword parameters of ``choose`` become options of the command, behind its own. Errors that the user can act on
    are printed in one line, whichever of the two functions raises them.
    """
    shared = inspect.signature(choose, eval_str=True).parameters

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        _, *own = inspect.signature(command, eval_str=True).parameters.values()

        @wraps(command)
        def run(**given: Any) -> None:
            with errors_in_one_line():
                chosen = choose(**{name: given.pop(name) for name in shared})
                command(chosen, **given)

        parameters = [*own, *shared.values()]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        return run

    return decorated


def selection_of(
    *,
    ids: list[str] | None = None,
    types: list[str] | None = None,
    type_prefix: str | None = None,
    type_regex: str | None = None,
    source: str | None = None,
    since: str | None = None,
    until: str | None = None,
    day: str | None = None,
    with_faults: bool = False,
) -> Selection:
    """The selection that options describe.

    Raises:
        typer.BadParameter: naming the option that cannot be read.
    """
    start, end = time_of(since, "--since"), time_of(until, "--until")
    if day is not None:
        if since or until:
            raise typer.BadParameter("give a day or a range, not both", param_hint="--date")
        try:
            start = datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC)
        except ValueError:
            raise typer.BadParameter(f"{day!r} is no date like 2026-01-31", param_hint="--date") from None
        end = start + timedelta(days=1)
    if start and end and end <= start:
        raise typer.BadParameter("the range ends before it begins", param_hint="--until")
    try:
        pattern = re.compile(type_regex) if type_regex is not None else None
    except re.error as error:
        raise typer.BadParameter(f"{type_regex!r}: {error}", param_hint="--type-regex") from None
    return Selection(
        ids=frozenset(ids or ()),
        types=frozenset(types or ()),
        type_prefix=type_prefix,
        type_pattern=pattern,
        source=source,
        since=start,
        until=end,
        with_faults=with_faults,
    )


@overload
def time_of(text: str, option: str) -> datetime: ...
@overload
def time_of(text: str | None, option: str) -> datetime | None: ...
def time_of(text: str | None, option: str) -> datetime | None:
    """The time that an option gives, 1970 at the earliest, as AWS knows none before; `option` is its name in errors.

    Raises:
        typer.BadParameter: it is no time.
    """
    if text is None:
        return None
    try:
        ago = _AGO.fullmatch(text)
        if ago:
            return max(_FIRST, datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])}))
        time = datetime.fromisoformat(text)
    except (OverflowError, ValueError):
        raise typer.BadParameter(
            f"{text!r} is neither a time like 2026-01-31T12:00 nor 2h", param_hint=option
        ) from None
    return max(_FIRST, time if time.tzinfo else time.replace(tzinfo=UTC))
