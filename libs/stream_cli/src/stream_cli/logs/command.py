"""``streamctl logs``: the log lines of functions, of several in the order of time."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated

import typer

from stream_cli.errors import CommandError
from stream_cli.local.state import StateFolder
from stream_cli.logs.entries import LEVELS, LogEntry, is_at_least
from stream_cli.logs.reading import LogGroups, log_group_of
from stream_cli.stored.connection import Connection
from stream_cli.stored.options import time_of
from stream_cli.terminal.commands import errors_in_one_line
from stream_cli.terminal.options import LOCAL, STATE, AsJson, Stage, State
from stream_cli.terminal.output import VisibleConsole, line, lines, say, say_json

_STYLES = {
    "ERROR": "red",
    "CRITICAL": "bold red",
    "WARNING": "yellow",
    "DEBUG": "dim",
    "TRACE": "dim",
    "PLATFORM": "dim",
}


def _checked_level(level: str | None) -> str | None:
    if level is not None and level.upper() not in LEVELS:
        raise typer.BadParameter(f"{level!r} is none of {', '.join(LEVELS).lower()}")
    return level.upper() if level else None


def logs(
    functions: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FUNCTION]...",
            help="Functions, by name or by a part of it such as `trigger` or `control-service`. Default: all.",
        ),
    ] = None,
    *,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on with lines as they come, until Ctrl-C.")
    ] = False,
    since: Annotated[
        str, typer.Option("--since", help="Lines since: ISO 8601 (UTC by default), or an age such as 90s or 2h.")
    ] = "10m",
    level: Annotated[
        str | None,
        typer.Option("--level", callback=_checked_level, help="Only this level and higher ones, such as warning."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also what Lambda itself writes: START, END, REPORT.")
    ] = False,
    as_json: AsJson = False,
    stage: Stage = LOCAL,
    state: State = STATE,
) -> None:
    """Show the log lines of functions, of several in the order of time. Values that may be secret are hidden."""
    with errors_in_one_line():
        start = time_of(since, "--since")
        connection = Connection(stage, StateFolder(state))
        groups = LogGroups(connection.client("logs"), groups_of(connection, functions or []))
        first = int(start.timestamp() * 1000)
        entries = groups.follow(first) if follow else groups.entries(first)
        if not show(entries, level, everything=everything, as_json=as_json):
            of_level = f" of level {level} or above" if level else ""
            say(f"No line{of_level} since {start:%Y-%m-%dT%H:%M:%SZ}; --since 1d looks further back.", err=True)


def groups_of(connection: Connection, wanted: Iterable[str]) -> dict[str, str]:
    """The log groups of the stage's functions whose names are wanted, or have a wanted part; of all if none is.

    Raises:
        CommandError: no function has such a name.
    """
    of_stage = connection.functions()
    pages = connection.client("lambda").get_paginator("list_functions").paginate()
    groups = {
        each["FunctionName"]: log_group_of(each)
        for page in pages
        for each in page["Functions"]
        if each["FunctionName"] in of_stage
    }
    chosen: dict[str, str] = {}
    for name in wanted:
        found = [name] if name in groups else [each for each in groups if f"-{name}-" in f"-{each}-"]
        if not found:
            raise CommandError(no_function(name, groups, connection.stage))
        chosen |= {each: groups[each] for each in found}
    return chosen or groups


def no_function(name: str, there: Collection[str], stage: str) -> str:
    """That no function has a name, and the nearest that there are, or else all."""
    near = difflib.get_close_matches(name, there, 3, 0.3) or sorted(there)
    named = f"there is {', '.join(near)}" if near else "none is deployed"
    return f"There is no function {name} in stage {stage}; {named}."


def show(entries: Iterable[LogEntry], level: str | None, *, everything: bool, as_json: bool) -> bool:
    """Print entries as they come; returns whether there were any."""
    console = VisibleConsole()
    shown = False
    for entry in entries:
        if not everything and not is_at_least(entry, level or LEVELS[0]):
            continue
        shown = True
        if as_json:
            say_json(entry.as_json())
            continue
        at = f"{datetime.fromtimestamp(entry.at / 1000, UTC):%H:%M:%S.%f}"[:-3]
        about = _about(entry.about, entry.more)
        parts = (f"{at} ", "dim"), (entry.function, "cyan"), (f" {entry.level} ", _STYLES.get(entry.level, "green"))
        console.print(
            line(*parts, entry.message.replace("\t", "  "), (f"  {about}" if about else "", "dim")), soft_wrap=True
        )
        if entry.stack:
            console.print(lines((f"    {each}" for each in entry.stack), "dim"), soft_wrap=True)
    return shown


def _about(about: Mapping[str, str], more: Mapping[str, object]) -> str:
    named = {name: value for name, value in about.items() if name != "request" or len(about) == 1}
    return " ".join(f"{name}={value}" for name, value in {**named, **more}.items())
