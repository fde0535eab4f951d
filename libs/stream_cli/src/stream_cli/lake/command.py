"""``streamctl lake``: counts, prints and replays the events of the lake."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from typing import Annotated, Any

import typer

from stream_cli.amounts import amount
from stream_cli.deployment.production import ask_before
from stream_cli.deployment.services import services_below
from stream_cli.errors import CommandError
from stream_cli.lake.claims import claim_of, whole
from stream_cli.lake.ledger import ReplayLedger, Scope
from stream_cli.lake.rates import rate_lines
from stream_cli.lake.replay import ReplayProgress, replay, scope_of
from stream_cli.lake.selected import Lake, lake_of, target_of
from stream_cli.lake.targets import Target
from stream_cli.local.state import StateFolder
from stream_cli.stored.connection import Connection
from stream_cli.stored.history import Selection, StoredEvent
from stream_cli.stored.options import Bucket, Day, Since, Until, taking
from stream_cli.stored.output import say_unreadable, stopped_saying, utc
from stream_cli.stored.rate_limit import RateLimit
from stream_cli.terminal.commands import new_app
from stream_cli.terminal.options import LOCAL, SERVICES, STATE, AsJson, Stage, State, Yes, stage_option
from stream_cli.terminal.output import VisibleConsole, say, say_json

app = new_app("Every event ever published: count, print, replay.")

Ids = Annotated[list[str] | None, typer.Option("--id", help="Id of an event. Repeatable.")]
Types = Annotated[list[str] | None, typer.Option("--type", help="Exact type. Repeatable.")]
TypePrefix = Annotated[str | None, typer.Option("--type-prefix", help="Beginning of the type.")]
TypeRegex = Annotated[str | None, typer.Option("--type-regex", help="Regular expression to search for in the type.")]
Source = Annotated[str | None, typer.Option("--source", help="Service that published the event (tags.source).")]
Faults = Annotated[bool, typer.Option("--include-faults", help="Include fault events.")]


def chosen(
    *,
    ids: Ids = None,
    types: Types = None,
    type_prefix: TypePrefix = None,
    type_regex: TypeRegex = None,
    source: Source = None,
    since: Since = None,
    until: Until = None,
    day: Day = None,
    include_faults: Faults = False,
    bucket: Bucket = None,
    stage: Stage = LOCAL,
    state: State = STATE,
) -> Lake:
    """The events selected by the options that all commands share."""
    wanted: dict[str, Any] = {
        **({"ids": sorted(ids)} if ids else {}), "types": sorted(types or ()),
        "type_prefix": type_prefix, "type_regex": type_regex, "source": source,
        "since": since, "until": until, "day": day, "with_faults": include_faults,
    }  # fmt: skip
    folder = StateFolder(state)
    return lake_of(lambda: Connection(stage, folder), folder, say_unreadable, bucket, **wanted)


@app.command("ls")
@taking(chosen)
def list_events(lake: Lake, *, as_json: AsJson = False) -> None:
    """Count the events by day, type and source. An event that was published several times has one id."""
    counts: Counter[tuple[str, str, str]] = Counter()
    ids: dict[tuple[str, str, str], set[str]] = {}
    for stored in lake.history.select(lake.selection):
        row = (_day(stored.published_ms), stored.type, stored.source)
        counts[row] += 1
        ids.setdefault(row, set()).add(str(stored.event.get("id")))
    rows = [
        {"date": row[0], "type": row[1], "source": row[2], "events": number, "ids": len(ids[row])}
        for row, number in sorted(counts.items())
    ]
    if as_json:
        say_json(rows)
        return
    _print_table(["date", "type", "source", "events", "ids"], rows)


@app.command("cat")
@taking(chosen)
def print_events(
    lake: Lake,
    *,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Print at most this many.")] = None,
    envelope: Annotated[bool, typer.Option("--envelope", help="Print the EventBridge event around each.")] = False,
) -> None:
    """Print the events, one JSON object per line. Exit code 1: there is no event of an id that --id names.

    A large event is printed with its body, or as the pointer to it where the lake has no copy.
    """
    missing = set(lake.selection.ids)
    for number, stored in enumerate(lake.history.select(lake.selection), start=1):
        event = whole(lake.history.s3, lake.history.bucket, stored.event)
        if claim_of(event) is not None:
            _say_lost(stored)
        say_json({**stored.envelope, "detail": event} if envelope and "detail" in stored.envelope else event)
        missing.discard(str(stored.event.get("id")))
        if limit is not None and number >= limit:
            return
    if missing:
        raise CommandError(_not_there(sorted(missing), lake))


def _say_lost(stored: StoredEvent) -> None:
    bucket, key = claim_of(stored.event) or ("", "")
    say(
        f"{stored.place.key}, line {stored.place.line}: the lake has no copy of the body of {stored.event.get('id')}, "
        f"s3://{bucket}/{key}; it is the pointer",
        err=True,
    )


def _not_there(ids: list[str], lake: Lake) -> str:
    """Which events there are not, where they were looked for, and what to do."""
    asked, of_stage = lake.selection, stage_option(lake.connection.stage)
    where = f"s3://{lake.history.bucket}/{lake.history.prefix}"
    if asked != Selection(ids=asked.ids, with_faults=asked.with_faults):
        where = f"what the other options select of {where}"
    faults = "" if asked.with_faults else " Fault events are looked for with --include-faults."
    return (
        f"There is no event {', '.join(ids)} in {where}. It may come minutes after it was published; "
        f"`streamctl trace {ids[0]}{of_stage}` says whether the bus has got it.{faults}"
    )


@app.command("rates")
@taking(chosen)
def print_rates(lake: Lake) -> None:
    """Print how many events of each type there were in each second, as CSV for `streamctl plan`.

    Beside them are the partition keys of all events of the type: how many, and the share of the most frequent.
    """
    for line in rate_lines(lake.history.select(lake.selection)):
        say(line)


@app.command("replay")
@taking(chosen)
def replay_events(
    lake: Lake,
    *,
    to_function: Annotated[
        str | None, typer.Option("--to-function", help="Name of a function that reads a stream.")
    ] = None,
    to_stream: Annotated[str | None, typer.Option("--to-stream", help="Name of a Kinesis stream.")] = None,
    to_bus: Annotated[str | None, typer.Option("--to-bus", help="Name of an event bus.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be replayed.")] = False,
    rate: Annotated[float | None, typer.Option("--rate", min=0.1, help="Most events per second.")] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, max=1000, help="Events per invocation.")] = 100,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin again, although events were replayed before.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Send events to a function, a stream or a bus again, in order. The same command continues a stopped replay.

    External events go to a bus only, because the hub's stream does not have them. The body of a large event is put back
    to where functions read it, before the pointer to it is sent. It asks before it changes a
    production stage, as `deploy` does.
    """
    if sum(target is not None for target in (to_function, to_stream, to_bus)) != 1:
        raise typer.BadParameter("give one of --to-function, --to-stream and --to-bus")
    lake = replace(lake, selection=replace(lake.selection, with_external=to_bus is not None))
    named = {"function": to_function, "stream": to_stream, "bus": to_bus}
    kind, name = next((kind, name) for kind, name in named.items() if name is not None)
    target = target_of(lake.connection, kind, name, batch_size)
    target.check()
    if dry_run:
        _say_what_would_go(lake, target)
        return
    connection = lake.connection
    ask_before(f"replay to {target.name}", connection.stage, connection.place, services_below(SERVICES), yes=yes)
    lake.state.secure()
    ledger = lake.ledger_to(target)
    with ledger.held():
        if restart:
            ledger.restart()
        scope = ledger.open(lambda: scope_of(lake.history, lake.selection))
        if ledger.is_complete:
            say(
                f"All that the lake held at {utc(scope.began_ms)}, {amount(ledger.sent, 'event')}, was replayed "
                f"to {target.name} before; --restart replays what it holds now."
            )
            return
        if ledger.sent:
            say(f"Going on after {amount(ledger.sent, 'event')} that an earlier run has replayed.", err=True)
        sent = _replay_with_progress(lake, scope, target, ledger, RateLimit(rate))
    say(f"Replayed {amount(sent, 'event')} to {target.name}.")


def _replay_with_progress(lake: Lake, scope: Scope, target: Target, ledger: ReplayLedger, rate_limit: RateLimit) -> int:
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(16), TaskProgressColumn(), TextColumn("{task.fields[events]:,} events"),
        TextColumn("{task.fields[finished]:,} of {task.fields[objects]:,} objects"), TimeRemainingColumn(),
        TextColumn("left"),
    )  # fmt: skip
    with (
        stopped_saying(lambda: f"Stopped after {amount(ledger.sent, 'event')}; the same command goes on from there."),
        Progress(*columns, console=VisibleConsole(err=True)) as bar,
    ):

        def show(progress: ReplayProgress) -> None:
            if not bar.tasks:
                bar.add_task("", total=progress.size, **vars(progress))
            bar.update(bar.tasks[0].id, completed=progress.read, **vars(progress))

        return replay(
            lake.history, lake.selection, scope, target, ledger, rate_limit,
            on_progress=show, on_lost=_say_lost, wait_s=time.sleep,
        )  # fmt: skip


def _say_what_would_go(lake: Lake, target: Target) -> None:
    counts: Counter[str] = Counter(stored.type for stored in lake.history.select(lake.selection))
    rows = [{"type": type_, "events": number} for type_, number in sorted(counts.items())]
    _print_table(["type", "events"], rows)
    say(f"Would replay {amount(counts.total(), 'event')} to {target.name}; nothing was replayed.")


def _day(ms: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(ms / 1000)) if ms else "unknown"


def _print_table(columns: list[str], rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table()
    for name in columns:
        table.add_column(name, justify="right" if name in ("events", "ids") else "left", overflow="fold")
    for row in rows:
        table.add_row(*(str(row[name]) for name in columns))
    VisibleConsole().print(table)
    say(amount(sum(row["events"] for row in rows), "event"))
