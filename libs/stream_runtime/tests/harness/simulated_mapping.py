"""Event source mappings that deliver a batch again and again as AWS does, until all of it is done.

Sources: Lambda developer guide, "Reporting batch item failures" for Kinesis, DynamoDB Streams and SQS, and
``shared/STREAM-MAPPINGS.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from failures import ProcessDied

Kind = Literal["kinesis", "dynamodb", "sqs", "fifo", "unidentified", "firehose"]
Record = dict[str, Any]
Invoke = Callable[[list[Record]], Any]
Observe = Callable[[list[Record], list[Record], BaseException | None], None]


class NeverDone(AssertionError):
    """Records are still delivered after more attempts than there are failures."""


def identifier_of(record: Record) -> str | None:
    """What a partial response names a record by."""
    if "kinesis" in record:
        return str(record["kinesis"]["sequenceNumber"])
    if "dynamodb" in record:
        return str(record["dynamodb"]["SequenceNumber"])
    return record.get("messageId")


def deliver(
    kind: Kind,
    batches: Iterable[Sequence[Record]],
    invoke: Invoke,
    observe: Observe,
    *,
    bisect: bool = False,
    most: int = 500,
) -> None:
    """Deliver batches, one after the other, each until all of its records are acknowledged.

    Args:
        kind: how failures are reported: one checkpoint for streams, single messages for queues, only by raising.
        batches: the batches, in order.
        invoke: the function.
        observe: told after each invocation what was delivered, what is delivered again, and what was raised.
        bisect: ``bisectBatchOnFunctionError``.
        most: invocations after which it is no use any more.

    Raises:
        NeverDone: records are left after ``most`` invocations.
    """
    waiting = [list(batch) for batch in batches]
    for _ in range(most):
        if not waiting:
            return
        batch = waiting.pop(0)
        raised: BaseException | None = None
        response: Any = None
        try:
            response = invoke(batch)
        except (Exception, ProcessDied) as error:
            raised = error
        left = batch if raised else _left(kind, batch, response)
        observe(batch, left, raised)
        if not left:
            continue
        is_split = bisect and raised is not None and len(left) > 1 and kind in ("kinesis", "dynamodb")
        waiting[:0] = [left[: len(left) // 2], left[len(left) // 2 :]] if is_split else [left]
    if waiting:
        raise NeverDone(f"{sum(map(len, waiting))} records are still delivered after {most} invocations")


def _left(kind: Kind, batch: list[Record], response: Any) -> list[Record]:
    failures = (response or {}).get("batchItemFailures") or []
    identifiers = [failure.get("itemIdentifier") for failure in failures]
    known = {identifier_of(record) for record in batch}
    if any(not identifier or identifier not in known for identifier in identifiers):
        return batch
    if kind in ("unidentified", "firehose"):
        return []
    if kind in ("kinesis", "dynamodb"):
        first = min((index for index, record in enumerate(batch) if identifier_of(record) in identifiers), default=None)
        return [] if first is None else batch[first:]
    return [record for record in batch if identifier_of(record) in identifiers]
