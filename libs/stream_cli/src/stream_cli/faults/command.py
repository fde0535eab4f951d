"""``streamctl faults``: what failed, why, and once more."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from stream_cli.faults.groups import group_of, readable, redacted, summarized
from stream_cli.faults.ledger import Ledger
from stream_cli.local.state import CloudError, StateFolder
from stream_cli.stored.connection import clients_of, output_of
from stream_cli.stored.history import History, Selection
from stream_cli.stored.options import Since, Stage, State, Until, selection_of
from stream_cli.stored.output import console, failures_said, say_unreadable

app = typer.Typer(name="faults", help="What failed: list, show, resubmit.", no_args_is_help=True)

PREFIX = "faults/"
_STATE = Path(".streamctl")

Service = Annotated[str | None, typer.Option("--service", help="Faults of this service.")]
Function = Annotated[str | None, typer.Option("--function", help="Faults of this function.")]
Pipeline = Annotated[str | None, typer.Option("--pipeline", help="Faults of this pipeline.")]
Error = Annotated[str | None, typer.Option("--error", help="Faults with this error (its class).")]
Bucket = Annotated[str | None, typer.Option("--bucket", help="The faults' bucket; the stack's output unless given.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("ls")
def list_faults(
    *,
    service: Service = None,
    function: Function = None,
    pipeline: Pipeline = None,
    error: Error = None,
    since: Since = None,
    until: Until = None,
    bucket: Bucket = None,
    stage: Stage = "local",
    as_json: AsJson = False,
    state: State = _STATE,
) -> None:
    """Faults grouped by what failed."""
    selection = selection_of(since=since, until=until, with_faults=True)
    wanted = (service, function, pipeline, error)
    with failures_said():
        faults = _faults(state, stage, bucket, selection, wanted)
        groups = summarized(faults)
    rows = [
        {
            **group._asdict(),
            "faults": len(summary.ids),
            "first": _time(summary.first_ms),
            "last": _time(summary.last_ms),
            "message": summary.message,
            "ids": list(summary.ids),
        }
        for group, summary in sorted(groups.items())
    ]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    _print_groups(rows)


@app.command("show")
def show_fault(
    fault_id: Annotated[str, typer.Argument(help="Id of a fault.")],
    *,
    since: Since = None,
    until: Until = None,
    bucket: Bucket = None,
    stage: Stage = "local",
    as_json: AsJson = False,
    state: State = _STATE,
) -> None:
    """The error of a fault with its stack, and the unit of work, without what sounds secret."""
    selection = selection_of(since=since, until=until, ids=[fault_id], with_faults=True)
    with failures_said():
        found = next(_faults(state, stage, bucket, selection), None)
        if found is None:
            raise CloudError(f"There is no fault {fault_id}; `streamctl faults ls --json` lists the ids.")
    shown = {
        **redacted({name: found[name] for name in found if name != "uow"}),
        "uow": readable(found.get("uow") or {}),
    }
    if as_json:
        typer.echo(json.dumps(shown, ensure_ascii=False))
        return
    from rich.json import JSON

    err = found.get("err") or {}
    typer.echo(f"{_time(int(found.get('timestamp') or 0))}  {' / '.join(group_of(found))}")
    typer.echo(f"{err.get('name')}: {err.get('message')}\n\n{err.get('stack')}")
    console().print(JSON.from_data(shown["uow"]))


@app.command("resubmit")
def resubmit_faults(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Ids; or choose by group or time.")] = None,
    *,
    execute: Annotated[
        bool, typer.Option("--execute", help="Do it; without this it is only said what would be done.")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Also what was resubmitted or interrupted before.")] = False,
    rate: Annotated[float, typer.Option("--rate", min=0.1, help="Faults a second, at most.")] = 10.0,
    service: Service = None,
    function: Function = None,
    pipeline: Pipeline = None,
    error: Error = None,
    since: Since = None,
    until: Until = None,
    bucket: Bucket = None,
    stage: Stage = "local",
    state: State = _STATE,
) -> None:
    """Hand the original records to the functions that failed on them; first without --execute, to see which."""
    wanted = (service, function, pipeline, error)
    if not ids and not any(wanted) and not since:
        raise typer.BadParameter("say which: ids, --service, --function, --pipeline, --error or --since")
    selection = selection_of(since=since, until=until, ids=ids, with_faults=True)
    with failures_said():
        from stream_cli.faults.resubmit import plan

        faults = list(_faults(state, stage, bucket, selection, wanted))
        missing = set(ids or ()) - {str(fault.get("id")) for fault in faults}
        if missing:
            raise CloudError(f"There is no fault {', '.join(sorted(missing))}.")
        ledger = Ledger(state / "faults" / f"{stage}.jsonl")
        planned = plan(faults, ledger, again=again)
        _print_groups(_rows_of(planned.due.values()))
        for fault_id, why in planned.impossible.items():
            typer.echo(f"{fault_id} cannot be resubmitted: {why}", err=True)
        if planned.done:
            typer.echo(f"{len(planned.done)} were resubmitted before; --again resubmits them once more.", err=True)
        if planned.uncertain:
            typer.echo(
                f"{len(planned.uncertain)} were interrupted in the middle ({', '.join(planned.uncertain[:3])}); "
                "see whether they took effect, then --again.",
                err=True,
            )
        if not execute:
            typer.echo(f"To be resubmitted: {len(planned.due)}; nothing was done. Add --execute.")
            return
        failed = _resubmit_with_progress(stage, state, ledger, planned.due, rate)
    raise typer.Exit(1 if failed else 0)


def _resubmit_with_progress(stage: str, state: Path, ledger: Ledger, due: dict[str, Any], rate: float) -> bool:
    from rich.progress import Progress

    from stream_cli.faults.resubmit import resubmit
    from stream_cli.stored.pace import Pace

    client = clients_of(stage, StateFolder(state))("lambda")
    with Progress(console=console(err=True)) as progress:
        bar = progress.add_task("resubmitting", total=len(due))
        result = resubmit(due, client, ledger, Pace(rate), lambda number: progress.update(bar, completed=number))
    for fault_id, why in result.failed.items():
        typer.echo(f"{fault_id}: {why}", err=True)
    typer.echo(f"Resubmitted {len(result.done)} of {len(due)} faults.")
    return bool(result.failed)


def _faults(
    state: Path,
    stage: str,
    bucket: str | None,
    selection: Selection,
    wanted: tuple[str | None, ...] = (None, None, None, None),
) -> Iterator[dict[str, Any]]:
    client_of = clients_of(stage, StateFolder(state))
    name = bucket or output_of(client_of, f"event-fault-monitor-{stage}", "bucketName")
    history = History(client_of("s3"), name, PREFIX, say_unreadable)
    for stored in history.select(selection):
        group = group_of(stored.event)
        if all(want is None or want == have for want, have in zip(wanted, group, strict=True)):
            yield stored.event


def _rows_of(faults: Any) -> list[dict[str, Any]]:
    return [
        {**group._asdict(), "faults": len(summary.ids), "last": _time(summary.last_ms), "message": summary.message}
        for group, summary in sorted(summarized(faults).items())
    ]


def _print_groups(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table(show_lines=True)
    table.add_column("faults", justify="right")
    table.add_column("what failed", overflow="fold")
    table.add_column("last", overflow="fold", max_width=10)
    table.add_column("message", overflow="fold")
    for row in rows:
        what = f"{row['function']}\npipeline {row['pipeline']}\n{row['error']}"
        table.add_row(str(row["faults"]), what, row["last"], row["message"])
    console().print(table)


def _time(ms: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ms / 1000))
