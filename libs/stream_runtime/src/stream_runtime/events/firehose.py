"""Firehose: the records of a data transformation, and its response."""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from stream_runtime.engine.records import Uow, uows_of
from stream_runtime.engine.run import Run
from stream_runtime.errors import UnsupportedEvent
from stream_runtime.payload import codec

from .envelope import Uows, invalid
from .wrapped import uows_of_text

__all__ = ["from_firehose", "to_firehose_records"]

Results = Mapping[str, Sequence[Uow]]


def from_firehose(event: Mapping[str, Any]) -> Sequence[Uow]:
    """The units of work ``{"record", "event"}`` of a Firehose transformation.

    A record's data holds an event or an EventBridge event as JSON. An event without an ``id`` gets the recordId.

    Raises:
        UnsupportedEvent: this is not a Firehose transformation, or a record has no recordId, so that no response could
            name it.
    """
    if not is_transformation(event):
        seen = sorted(event) if isinstance(event, Mapping) else type(event).__name__
        raise UnsupportedEvent(f"not an event of Firehose: expected 'deliveryStreamArn' and 'records', saw {seen}")
    for record in event["records"]:
        if not isinstance(record, Mapping) or not isinstance(record.get("recordId"), str) or not record["recordId"]:
            raise UnsupportedEvent(f"not an event of Firehose: a record has no 'recordId': {record!r:.200}")
    return Uows(event["records"], _uows)


def is_transformation(event: object) -> bool:
    """Whether this is the invocation of a Firehose transformation, which expects a result for each record."""
    return isinstance(event, Mapping) and "deliveryStreamArn" in event and isinstance(event.get("records"), list)


def _uows(records: Iterable[Any]) -> Iterator[Uow]:
    for record in records:
        try:
            text = a2b_base64(record["data"], strict_mode=True)
        except (KeyError, TypeError, ValueError) as error:
            yield invalid(record, None, f"not a Firehose record: {type(error).__name__}: {error}")
            continue
        yield from uows_of_text(record, record.get("recordId"), text)


def for_response(uow: Any) -> list[Uow]:
    """What the response takes of a unit of work: not its event, which may be large. Nothing of one not transformed."""
    if "transformed" not in uow:
        return []
    records = [{"record": single["record"]} for single in uows_of(uow)]
    return [{"batch": records, **{name: uow[name] for name in ("transformed", "partition_keys") if name in uow}}]


def transformation_response(run: Run, results: Results) -> dict[str, Any]:
    """The response to Firehose: recordId, result and data of each record.

    - ``Ok`` with the data that rules of flavor `transform` made of it, joined if there are several.
    - ``Dropped`` if they made None.
    - ``ProcessingFailed`` if the record became a fault; Firehose stores it under its error prefix.
    - ``Ok`` with the original data if no such rule wanted it, so nothing is lost for lack of a rule.

    Args:
        run: the run of the batch.
        results: for each pipeline, in the order of the rules, what `for_response` took of what passed through it.

    Raises:
        UnfinishedBatch: something failed transiently; Firehose repeats the whole invocation.

    Source: Data Firehose developer guide, "Required parameters for data transformation".
    """
    run.response()
    made: dict[int, list[Uow]] = {}
    for uows in results.values():
        for uow in uows:
            for position in run.positions.of(uow):
                made.setdefault(position, []).append(uow)
    failed = {position for fault in run.faults for position in fault.positions}
    return {
        "records": [
            _answer(record, made.get(position), position in failed)
            for position, record in enumerate(run.positions.records)
        ]
    }


def _answer(record: Mapping[str, Any], uows: Sequence[Uow] | None, has_failed: bool) -> dict[str, Any]:
    data = record.get("data") if isinstance(record.get("data"), str) else ""
    answer: dict[str, Any] = {"recordId": record["recordId"], "result": "Ok", "data": data}
    if has_failed:
        return {**answer, "result": "ProcessingFailed"}
    if uows is None:
        return answer
    parts = [uow["transformed"] for uow in uows if uow["transformed"] is not None]
    if not parts:
        return {**answer, "result": "Dropped"}
    answer["data"] = b2a_base64(b"".join(parts), newline=False).decode("ascii")
    keys = {name: value for uow in uows for name, value in (uow.get("partition_keys") or {}).items()}
    return {**answer, "metadata": {"partitionKeys": keys}} if keys else answer


def to_firehose_records(events: Iterable[Any]) -> dict[str, Any]:
    """An invocation event with a Firehose record for each event, for tests; bytes are taken as they are."""
    return {
        "invocationId": "00000000-0000-0000-0000-000000000000",
        "deliveryStreamArn": "arn:aws:firehose:us-west-2:123456789012:deliverystream/events",
        "region": "us-west-2",
        "records": [
            {
                "recordId": f"{number:056}",
                "approximateArrivalTimestamp": 1767225600000,
                "data": b2a_base64(
                    event if isinstance(event, bytes) else codec.encode(event).encode(), newline=False
                ).decode("ascii"),
            }
            for number, event in enumerate(events)
        ],
    }
