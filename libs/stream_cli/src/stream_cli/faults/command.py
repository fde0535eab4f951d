"""``streamctl faults``: lists faults, shows their errors, and resubmits their records."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from stream_cli.deployment.production import ask_before
from stream_cli.deployment.services import services_below
from stream_cli.errors import CommandError
from stream_cli.faults.groups import Group, GroupSummary, error_of, group_of, summarized
from stream_cli.faults.ledger import Resubmission, ResubmissionLedger
from stream_cli.faults.redaction import readable
from stream_cli.faults.resubmit import Plan, Result, plan, resubmit
from stream_cli.local.state import StateFolder
from stream_cli.stored.connection import Connection
from stream_cli.stored.history import History, Selection, timestamp_ms
from stream_cli.stored.options import Bucket, Day, Since, Until, selection_of, taking
from stream_cli.stored.output import say_unreadable, stopped_saying, utc
from stream_cli.stored.rate_limit import RateLimit
from stream_cli.terminal.commands import new_app
from stream_cli.terminal.options import LOCAL, SERVICES, STATE, AsJson, Stage, State, Yes
from stream_cli.terminal.output import VisibleConsole, indented, json_lines, line, say, say_json

app = new_app("Faults of all services: list, show, resubmit.")

PREFIX = "faults/"

Service = Annotated[str | None, typer.Option("--service", help="Only faults of this service.")]
Function = Annotated[str | None, typer.Option("--function", help="Only faults of this function.")]
Pipeline = Annotated[str | None, typer.Option("--pipeline", help="Only faults of this pipeline.")]
Error = Annotated[str | None, typer.Option("--error", help="Only faults with this error class.")]


@dataclass(frozen=True)
class Faults:
    """The faults that the options of a command select; `group` is service, function, pipeline and error."""

    connection: Connection
    history: History
    selection: Selection
    group: tuple[str | None, ...]

    @property
    def is_restricted(self) -> bool:
        """Whether a group or a time was given."""
        return any(self.group) or self.selection != selection_of(with_faults=True)

    @property
    def ledger(self) -> ResubmissionLedger:
        """The record of what was resubmitted."""
        return ResubmissionLedger(self.history.s3, self.history.bucket)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for stored in self.history.select(self.selection):
            group = group_of(stored.event)
            if all(want is None or want == have for want, have in zip(self.group, group, strict=True)):
                yield stored.event


def chosen(
    *,
    service: Service = None,
    function: Function = None,
    pipeline: Pipeline = None,
    error: Error = None,
    since: Since = None,
    until: Until = None,
    day: Day = None,
    bucket: Bucket = None,
    stage: Stage = LOCAL,
    state: State = STATE,
) -> Faults:
    """The faults selected by the options that all commands share."""
    selection = selection_of(since=since, until=until, day=day, with_faults=True)
    connection = Connection(stage, StateFolder(state))
    name = connection.bucket("event-fault-monitor", bucket)
    history = History(connection.client("s3"), name, PREFIX, say_unreadable)
    return Faults(connection, history, selection, (service, function, pipeline, error))


@app.command("ls")
@taking(chosen)
def list_faults(faults: Faults, *, as_json: AsJson = False) -> None:
    """List the faults by service, function, pipeline and error."""
    groups = sorted(summarized(faults).items())
    resubmitted = faults.ledger.entries([each for _, summary in groups for each in summary.ids])
    if as_json:
        say_json([_row(group, summary, resubmitted) for group, summary in groups])
        return
    _print_groups(groups, resubmitted)
    number = sum(len(summary.ids) for _, summary in groups)
    say(f"{number} faults" + (" (--json lists all ids)" if number > len(groups) else ""))


@app.command("show")
@taking(chosen)
def show_fault(
    faults: Faults, fault_id: Annotated[str, typer.Argument(metavar="ID", help="Id of a fault.")], *,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Show a fault: its error with the stack, and its unit of work. Values that may be secret are hidden."""
    times = [fault for fault in faults if fault.get("id") == fault_id]
    if not times:
        raise CommandError(f"There is no fault {fault_id}; `streamctl faults ls --json` lists the ids.")
    last = max(times, key=timestamp_ms)
    number = len({timestamp_ms(fault) for fault in times})  # A fault that was delivered twice happened once.
    shown = readable(last)
    if as_json:
        say_json(shown)
        return
    group = group_of(last)
    say(f"service   {group.service}", f"function  {group.function}", f"pipeline  {group.pipeline}")
    say(f"time      {utc(timestamp_ms(last))}" + (f", the last of {number} times" if number > 1 else ""))
    entry = faults.ledger.entries([fault_id]).get(fault_id)
    if entry is not None:
        say(f"resubmitted at {utc(entry.at_ms)}: {entry.outcome}")
    err = error_of(shown)
    first, *rest = indented(str(err.get("message")), by="")
    say("", f"{err.get('name')}: {first}", *indented("\n".join(rest)) if rest else (), "")
    say(*indented(str(err.get("stack"))), "")
    VisibleConsole().print(json_lines(shown.get("uow")))


@app.command("resubmit")
@taking(chosen)
def resubmit_faults(
    faults: Faults,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Ids of faults. Default: all that the options select.")
    ] = None,
    *,
    execute: Annotated[
        bool, typer.Option("--execute", help="Resubmit. Without it, only list what would be resubmitted.")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Include what was resubmitted or interrupted before.")] = False,
    failed_again: Annotated[
        bool, typer.Option("--failed-again", help="Include what has failed again after it was resubmitted.")
    ] = False,
    rate: Annotated[float, typer.Option("--rate", min=0.1, help="Most invocations per second.")] = 10.0,
    yes: Yes = False,
) -> None:
    """Invoke the functions that failed with the original records. Run it without --execute first, to see which.

    Only functions of the stage's stacks are invoked, whatever a fault says. With --execute, it asks before it changes a
    production stage, as `deploy` does; exit code 1: a function failed, or a fault was refused.
    """
    if not ids and not faults.is_restricted:
        raise typer.BadParameter(
            "say which: ids, --service, --function, --pipeline, --error, --date, --since or --until"
        )
    found = [fault for fault in faults if not ids or fault.get("id") in ids]
    missing = set(ids or ()) - {str(fault.get("id")) for fault in found}
    if missing:
        raise CommandError(f"There is no fault {', '.join(sorted(missing))}.")
    connection = faults.connection
    functions = connection.functions() if found else ()
    planned = plan(found, faults.ledger, functions, connection.stage, again=again, failed_again=failed_again)
    _say_plan(planned)
    failed = False
    if not planned.due:
        say("To be resubmitted: 0.")
    elif not execute:
        say(f"To be resubmitted: {len(planned.due)}; nothing was done. Add --execute.")
    else:
        ask_before("resubmit faults", connection.stage, connection.place, services_below(SERVICES), yes=yes)
        failed = bool(_resubmit_with_progress(faults, planned, rate).failed)
    if failed or (execute and planned.refused):
        raise typer.Exit(1)


def _say_plan(planned: Plan) -> None:
    _print_groups(sorted(summarized(planned.due.values()).items()), planned.entries)
    for fault_id, why in planned.impossible.items():
        say(f"{fault_id} cannot be resubmitted: {why}", err=True)
    for fault_id, why in planned.refused.items():
        say(f"{fault_id} is refused: {why}", err=True)
    if planned.refused:
        say(f"Refused: {len(planned.refused)}. They stay unresolved. Find out who published them.", err=True)
    for ids, what in (
        (planned.done, "resubmitted before (--again resubmits once more)"),
        (planned.failed_again, "resubmitted before, and failed again (--failed-again resubmits once more)"),
        (planned.uncertain, "interrupted in the middle (see whether it took effect, then --again)"),
    ):
        if ids:
            more = [f"  and {len(ids) - 5} more"] if len(ids) > 5 else []
            say(f"Left out, {what}:", *(f"  {each}" for each in ids[:5]), *more, err=True)


def _resubmit_with_progress(faults: Faults, planned: Plan, rate: float) -> Result:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    result = Result()
    columns = (BarColumn(16), MofNCompleteColumn(), TextColumn("faults"), TimeRemainingColumn(), TextColumn("left"))
    began = utc(time.time_ns() // 1_000_000)

    def stopped() -> str:
        return f"Stopped after {result.number} of {len(planned.due)} faults; the same command goes on with the others."

    with stopped_saying(stopped), Progress(*columns, console=VisibleConsole(err=True)) as progress:
        bar = progress.add_task("", total=len(planned.due))
        resubmit(
            planned, faults.connection.invoking(), faults.ledger, RateLimit(rate), result,
            lambda number: progress.update(bar, completed=number),
        )  # fmt: skip
    for fault_id, why in result.failed.items():
        say(f"{fault_id}: {why}", err=True)
    if result.taken:
        say(f"Another process has resubmitted {len(result.taken)} meanwhile: {', '.join(result.taken)}", err=True)
    say(f"Resubmitted {len(result.done)} of {len(planned.due)} faults.")
    if result.done:
        say("List what failed again:", f"  streamctl faults ls --since {began}")
    return result


def _row(group: Group, summary: GroupSummary, resubmitted: dict[str, Resubmission]) -> dict[str, Any]:
    return {
        **group._asdict(),
        "faults": len(summary.ids),
        "resubmitted": len(resubmitted.keys() & summary.ids.keys()),
        "first": utc(summary.first_ms),
        "last": utc(timestamp_ms(summary.last)),
        "message": _message(summary.last),
        "ids": list(summary.ids),
    }


def _print_groups(groups: list[tuple[Group, GroupSummary]], resubmitted: dict[str, Resubmission]) -> None:
    """One paragraph for each group: names and ids are too long for the columns of a table, and users copy them."""
    console = VisibleConsole()
    for group, summary in groups:
        row = _row(group, summary, resubmitted)
        before = f", {row['resubmitted']} resubmitted" if row["resubmitted"] else ""
        console.print(line(f"{row['faults']} x {group.error} in {group.service}{before}", style="bold"), soft_wrap=True)
        say(f"  function  {group.function}", f"  pipeline  {group.pipeline}", f"  last      {row['last']}")
        say(f"  message   {row['message']}", f"  id        {summary.last.get('id')}", "")


def _message(fault: Mapping[str, Any]) -> str:
    first, *more = str(error_of(readable(fault)).get("message") or "").split("\n")
    return f"{first} ..." if more else first
