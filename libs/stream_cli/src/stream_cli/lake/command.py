"""``streamctl lake``: what the lake holds, its events, and replaying them."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from stream_cli.lake.ledger import Ledger
from stream_cli.lake.targets import BusTarget, FunctionTarget, StreamTarget, Target
from stream_cli.local.state import StateFolder
from stream_cli.stored.connection import ClientOf, clients_of, output_of
from stream_cli.stored.history import History, Selection, to_ms
from stream_cli.stored.options import (
    Day,
    Since,
    Source,
    Stage,
    State,
    TypePrefix,
    TypeRegex,
    Types,
    Until,
    selection_of,
)
from stream_cli.stored.output import console, failures_said, say_unreadable

app = typer.Typer(name="lake", help="Every event ever published: list, read, replay.", no_args_is_help=True)

PREFIX = "events/"
Bucket = Annotated[str | None, typer.Option("--bucket", help="The lake's bucket; the stack's output unless given.")]
Faults = Annotated[bool, typer.Option("--include-faults", help="Fault events, too; they are left out otherwise.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_STATE = Path(".streamctl")


@app.command("ls")
def list_events(
    *,
    types: Types = None,
    type_prefix: TypePrefix = None,
    type_regex: TypeRegex = None,
    source: Source = None,
    since: Since = None,
    until: Until = None,
    day: Day = None,
    include_faults: Faults = False,
    bucket: Bucket = None,
    stage: Stage = "local",
    as_json: AsJson = False,
    state: State = _STATE,
) -> None:
    """Count the events by day, type and source; one that was published more than once has one id."""
    selection = selection_of(
        types=types, type_prefix=type_prefix, type_regex=type_regex, source=source, since=since, until=until, day=day,
        with_faults=include_faults,
    )  # fmt: skip
    with failures_said():
        history = _history(clients_of(stage, StateFolder(state)), stage, bucket)
        counts: Counter[tuple[str, str, str]] = Counter()
        ids: dict[tuple[str, str, str], set[str]] = {}
        for stored in history.select(selection):
            row = (_day(stored.timestamp_ms), stored.type, stored.source)
            counts[row] += 1
            ids.setdefault(row, set()).add(str(stored.event.get("id")))
    rows = [
        {"date": row[0], "type": row[1], "source": row[2], "events": number, "ids": len(ids[row])}
        for row, number in sorted(counts.items())
    ]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    _print_table(["date", "type", "source", "events", "ids"], rows)


@app.command("cat")
def print_events(
    *,
    types: Types = None,
    type_prefix: TypePrefix = None,
    type_regex: TypeRegex = None,
    source: Source = None,
    since: Since = None,
    until: Until = None,
    day: Day = None,
    include_faults: Faults = False,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many.")] = None,
    envelope: Annotated[bool, typer.Option("--envelope", help="With what EventBridge put around them.")] = False,
    bucket: Bucket = None,
    stage: Stage = "local",
    state: State = _STATE,
) -> None:
    """Print the events, one JSON object a line."""
    selection = selection_of(
        types=types, type_prefix=type_prefix, type_regex=type_regex, source=source, since=since, until=until, day=day,
        with_faults=include_faults,
    )  # fmt: skip
    with failures_said():
        history = _history(clients_of(stage, StateFolder(state)), stage, bucket)
        for number, stored in enumerate(history.select(selection), start=1):
            typer.echo(json.dumps(stored.envelope if envelope else stored.event, ensure_ascii=False))
            if limit is not None and number >= limit:
                break


@app.command("replay")
def replay_events(
    *,
    to_function: Annotated[str | None, typer.Option("--to-function", help="Name of a function of a stream.")] = None,
    to_stream: Annotated[str | None, typer.Option("--to-stream", help="Name of a Kinesis stream.")] = None,
    to_bus: Annotated[str | None, typer.Option("--to-bus", help="Name of an event bus.")] = None,
    types: Types = None,
    type_prefix: TypePrefix = None,
    type_regex: TypeRegex = None,
    source: Source = None,
    since: Since = None,
    until: Until = None,
    day: Day = None,
    include_faults: Faults = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be replayed, and replay nothing.")] = False,
    rate: Annotated[float | None, typer.Option("--rate", min=0.1, help="Events a second, at most.")] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, max=1000, help="Events an invocation.")] = 100,
    restart: Annotated[bool, typer.Option("--restart", help="From the beginning, whatever was replayed.")] = False,
    bucket: Bucket = None,
    stage: Stage = "local",
    state: State = _STATE,
) -> None:
    """Hand events to a function, a stream or a bus again, in order. The same command goes on where it was stopped."""
    selection = selection_of(
        types=types, type_prefix=type_prefix, type_regex=type_regex, source=source, since=since, until=until, day=day,
        with_faults=include_faults,
    )  # fmt: skip
    if sum(target is not None for target in (to_function, to_stream, to_bus)) != 1:
        raise typer.BadParameter("give one of --to-function, --to-stream and --to-bus")
    with failures_said():
        client_of = clients_of(stage, StateFolder(state))
        history = _history(client_of, stage, bucket)
        target: Target
        if to_function is not None:
            target = FunctionTarget(client_of("lambda"), to_function, batch_size)
        elif to_stream is not None:
            target = StreamTarget(client_of("kinesis"), to_stream)
        else:
            target = BusTarget(client_of("events"), str(to_bus))
        target.check()
        if dry_run:
            _say_what_would_go(history, selection, target)
            return
        options = {
            "bucket": history.bucket, "stage": stage, "target": target.name, "types": sorted(types or ()),
            "type_prefix": type_prefix, "type_regex": type_regex, "source": source, "since": since, "until": until,
            "date": day, "faults": include_faults,
        }  # fmt: skip
        ledger = Ledger(state / "replays", options)
        if restart:
            ledger.restart()
        ledger.open(_range_ms(selection))
        if ledger.is_complete:
            typer.echo(f"All {ledger.sent} events were replayed to {target.name} before; --restart does it again.")
            return
        _replay_with_progress(history, selection, target, ledger, rate)


def _replay_with_progress(
    history: History, selection: Selection, target: Target, ledger: Ledger, rate: float | None
) -> None:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from stream_cli.lake.replay import replay
    from stream_cli.stored.pace import Pace

    if ledger.is_begun:
        typer.echo(f"Going on after {ledger.sent} events that an earlier run has replayed.", err=True)
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("objects"),
        TextColumn("{task.fields[events]} events"), TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console(err=True)) as progress:
        bar = progress.add_task(f"to {target.name}", total=None, events=ledger.sent)
        sent = replay(
            history,
            selection,
            target,
            ledger,
            Pace(rate),
            on_object=lambda _, number, total: progress.update(bar, completed=number - 1, total=total),
            on_sent=lambda number: progress.update(bar, events=number),
            wait_s=_wait_s,
        )
        task = progress.tasks[0]
        progress.update(bar, completed=task.total or 0, total=task.total or 0)
    typer.echo(f"Replayed {sent} events to {target.name}.")


def _range_ms(selection: Selection) -> tuple[int | None, int]:
    """The range of a selection that has an end: what is published while it is replayed is not replayed."""
    now = datetime.now(UTC)
    return (to_ms(selection.since) if selection.since else None, to_ms(min(selection.until or now, now)))


def _wait_s(seconds: float) -> None:
    threading.Event().wait(seconds)


def _say_what_would_go(history: History, selection: Selection, target: Target) -> None:
    counts: Counter[str] = Counter(stored.type for stored in history.select(selection))
    rows = [{"type": type_, "events": number} for type_, number in sorted(counts.items())]
    _print_table(["type", "events"], rows)
    typer.echo(f"Would replay {counts.total()} events to {target.name}; nothing was replayed.")


def _history(client_of: ClientOf, stage: str, bucket: str | None) -> History:
    name = bucket or output_of(client_of, f"event-lake-s3-{stage}", "bucketName")
    return History(client_of("s3"), name, PREFIX, say_unreadable)


def _day(timestamp_ms: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(timestamp_ms / 1000)) if timestamp_ms else "unknown"


def _print_table(columns: list[str], rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table()
    for name in columns:
        table.add_column(name, justify="right" if name in ("events", "ids") else "left")
    for row in rows:
        table.add_row(*(str(row[name]) for name in columns))
    console().print(table)
    typer.echo(f"{sum(row['events'] for row in rows)} events")
