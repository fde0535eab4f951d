"""The options with which commands choose stored events."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from stream_cli.stored.history import Selection

Types = Annotated[list[str] | None, typer.Option("--type", help="Exact type; may be given several times.")]
TypePrefix = Annotated[str | None, typer.Option("--type-prefix", help="What the type begins with.")]
TypeRegex = Annotated[str | None, typer.Option("--type-regex", help="Regular expression that is found in the type.")]
Source = Annotated[str | None, typer.Option("--source", help="Service that published the event (tags.source).")]
Since = Annotated[str | None, typer.Option("--since", help="Earliest time: ISO 8601 (UTC unless it says), or 2h, 3d.")]
Until = Annotated[str | None, typer.Option("--until", help="Time before which it happened; as --since.")]
Day = Annotated[str | None, typer.Option("--date", metavar="YYYY-MM-DD", help="A day (UTC), instead of a range.")]
Stage = Annotated[str, typer.Option("--stage", help="Stage; local is the cloud on this machine, others are on AWS.")]
State = Annotated[Path, typer.Option("--state", metavar="DIR", help="State folder of the local cloud.")]

_AGO = re.compile(r"(\d+)([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def selection_of(
    *,
    types: list[str] | None = None,
    type_prefix: str | None = None,
    type_regex: str | None = None,
    source: str | None = None,
    since: str | None = None,
    until: str | None = None,
    day: str | None = None,
    ids: list[str] | None = None,
    with_faults: bool = False,
) -> Selection:
    """The selection that options describe.

    Raises:
        typer.BadParameter: naming the option that cannot be read.
    """
    start, end = _time(since, "--since"), _time(until, "--until")
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
        types=frozenset(types or ()),
        type_prefix=type_prefix,
        type_pattern=pattern,
        source=source,
        since=start,
        until=end,
        ids=frozenset(ids or ()),
        with_faults=with_faults,
    )


def _time(text: str | None, option: str) -> datetime | None:
    if text is None:
        return None
    ago = _AGO.fullmatch(text)
    if ago:
        return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is neither a time like 2026-01-31T12:00 nor 2h", param_hint=option
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
