"""``streamctl trace``: what became of an event or of a key, and what it waits for."""

from __future__ import annotations

import difflib
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream_cli.journal.questions import Questions
from stream_cli.journal.unknown import noting
from stream_cli.local.state import StateFolder
from stream_cli.stored.connection import Connection
from stream_cli.stored.options import time_of
from stream_cli.terminal.commands import run_command
from stream_cli.terminal.options import LOCAL, STATE, AsJson, Stage, State, stage_option
from stream_cli.terminal.output import console_for, say, say_json

if TYPE_CHECKING:
    from stream_cli.trace.deployed import Deployed
    from stream_cli.trace.model import Timeline

    Connected = AbstractContextManager[tuple[Questions, Deployed], bool | None]
    """Who answers questions, and what is deployed."""

Since = Annotated[
    str | None,
    typer.Option("--since", help="Of a stage on AWS, read lake and logs since: ISO 8601, or an age. Default: 3h."),
]
_SINCE = "3h"
_RECENT = 300
_MOST_NEAREST = 5


def timeline_of(
    questions: Questions, deployed: Deployed, asked: str, *, options: str = "", now: int | None = None
) -> Timeline:
    """The timeline of an id or a key. Without steps, nobody has seen it, and it has those that are like it."""
    from stream_cli.trace.gathered import gather
    from stream_cli.trace.model import Timeline
    from stream_cli.trace.reasons import waits_of
    from stream_cli.trace.timeline import steps_of

    timeline = Timeline(asked)
    found = gather(questions, asked)
    if found.is_empty:
        timeline.nearest = nearest(questions, asked)
        return timeline
    streams = {stream for stream, _ in found.records}
    deployed.read_all(each.function for stream in streams for each in deployed.readers(stream))
    timeline.steps = steps_of(found, deployed)
    current = time.time_ns() // 1_000_000 if now is None else now
    timeline.waits = waits_of(found, deployed, questions, current, options)
    coverage = questions.coverage()
    timeline.unknown = [*found.cut, *deployed.problems]
    for number, what in (
        (coverage.lost, "lines could not be written"),
        (coverage.deleted, "older lines were deleted, to keep within bounds"),
        (coverage.torn, "lines cannot be read"),
    ):
        if number:
            timeline.unknown.append(f"{number} {what}: what they said is not in this timeline.")
    if coverage.full:
        timeline.unknown.append("The disk of the journal is full: what happens now is not in this timeline.")
    return timeline


def nearest(questions: Questions, asked: str) -> list[str]:
    """Ids and keys of recent events that are like one, and of those that contain it."""
    from stream_cli.trace.gathered import id_of, keys_of

    events = [*questions.events(limit=_RECENT).lines, *questions.events(text=asked, limit=_MOST_NEAREST).lines]
    names = dict.fromkeys(name for event in events for name in (id_of(event), *sorted(keys_of(event))))
    containing = [name for name in names if asked.lower() in name.lower()]
    return list(dict.fromkeys([*containing, *difflib.get_close_matches(asked, names, _MOST_NEAREST)]))[:_MOST_NEAREST]


def trace(
    asked: Annotated[
        str, typer.Argument(metavar="ID|KEY", help="Id of an event, message, record or request; or a key.")
    ],
    *,
    as_json: AsJson = False,
    stage: Stage = LOCAL,
    since: Since = None,
    state: State = STATE,
) -> None:
    """Show what became of an event, or of all events of a key, and what it waits for and why.

    Keys are partition keys, ids of entities, and values of the keys of items. Values that may be secret are hidden.
    Exit code 1: nobody has seen it.
    """
    run_command(lambda: trace_id(asked, stage, since, state, as_json=as_json))


def trace_id(asked: str, stage: str, since: str | None, state: Path, *, as_json: bool) -> int:
    """Show a timeline; returns the exit code: 1 if nobody has seen the id or the key.

    Raises:
        CommandError: no cloud runs, or the stage cannot be read.
    """
    with noting() as notes, _connected(stage, since, StateFolder(state)) as (questions, deployed):
        timeline = timeline_of(questions, deployed, asked, options=stage_option(stage))
        timeline.unknown += notes.texts()
    if as_json:
        say_json(timeline.as_json(), indent=2)
    elif timeline.steps:
        from stream_cli.trace.view import show

        show(timeline, console_for(as_json=False))
    if not timeline.steps:
        where = "the local cloud" if stage == LOCAL else stage
        nearest = (f"Nearest: {each}" for each in timeline.nearest)
        say(f"Nobody has seen {asked} in {where}.", *nearest, *timeline.unknown, err=True)
        return 1
    return 0


def _connected(stage: str, since: str | None, state: StateFolder) -> Connected:
    if stage == LOCAL:
        from stream_cli.trace.local_stage import connect

        return connect(state)
    from stream_cli.trace.stage.connecting import connect_to

    return connect_to(Connection(stage, state), time_of(since or _SINCE, "--since"))
