"""Lines of the journal: what became of the records of a shard (see `stream_cli.journal.lines`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stream_cli.mappings.failing import blame_of
from stream_cli.mappings.outcomes import Failed, Outcome, Processed
from stream_cli.mappings.records import Record
from stream_cli.mappings.shard import Attempt, GivenUp

from .context import WorkerContext


def attempted(
    context: WorkerContext, shard_id: str, attempt: Attempt, outcome: Outcome, began: float, again: float | None
) -> dict[str, Any]:
    """An attempt at a batch that `began` then (Unix seconds); what is left of it is tried `again`."""
    line = _of_batch("attempt", context, shard_id, attempt.records)
    line |= {"attempt": attempt.number, "start": _ms(began)}
    if isinstance(outcome, Processed):
        line |= {"outcome": "ok", "done": len(attempt.records)}
        request = outcome.request_id
    elif isinstance(outcome, Failed):
        line |= {"outcome": "failed", "done": outcome.done, "problem": outcome.problem}
        line |= blame_of(context.settings.source.kind, attempt.records, outcome)
        request = outcome.invocation.request_id if outcome.invocation is not None else ""
    else:
        line |= {"outcome": "undelivered", "done": 0, "problem": outcome.problem}
        request = ""
    if request:
        line["request"] = request
    if again is not None:
        line["next"] = _ms(again)
    if attempt.records:
        line["oldest"] = _ms(attempt.records[0].arrival)
    return line


def given_up(context: WorkerContext, shard_id: str, action: GivenUp) -> dict[str, Any]:
    """Records that are given up."""
    line = _of_batch("given_up", context, shard_id, action.records)
    line |= {"condition": action.condition, "attempts": action.invocations}
    if context.settings.destination_arn is not None:
        line["destination"] = context.settings.destination_arn
    return line


def filtered(context: WorkerContext, shard_id: str, records: Iterable[Record]) -> dict[str, Any]:
    """Records that the filters do not let through."""
    return _of_batch("filtered", context, shard_id, records)


def _of_batch(kind: str, context: WorkerContext, shard_id: str, records: Iterable[Record]) -> dict[str, Any]:
    settings = context.settings
    return {
        "kind": kind,
        "at": _ms(context.clock()),
        "mapping": settings.uuid,
        "function": context.label,
        "stream": settings.source.stream_arn,
        "shard": shard_id,
        "numbers": [record.sequence_number for record in records],
    }


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
