"""Kinesis data streams: each record holds an event as JSON."""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from stream_runtime.engine.records import Uow
from stream_runtime.payload import codec
from stream_runtime.payload.binary import decoder_for
from stream_runtime.payload.compression import MARK

from .envelope import Uows, invalid, records_of, typed

__all__ = ["from_kinesis", "to_kinesis_records"]

_MARK = MARK.encode()
_LIST = b"["
_RARE = ord("M")  # in the mark, and rare elsewhere: searching one byte costs a tenth of searching the mark


def from_kinesis(event: Mapping[str, Any]) -> Sequence[Uow]:
    """The units of work ``{"record", "event"}`` of a Kinesis invocation, in the order of the stream.

    An event without an ``id`` gets the record's eventID. A record that is not base64 of a JSON object with a type
    becomes a fault event when the batch is processed.

    Raises:
        UnsupportedEvent: this is not a Kinesis invocation.
    """
    return Uows(records_of(event, "Kinesis"), _decoded)


def _decoded(records: Sequence[Any]) -> Iterator[Uow]:
    decode, decode_shallow, shallow, opening = codec.decode, codec.decode_shallow, codec.SHALLOW, _LIST[0]
    mark, rare, list_ = _MARK, _RARE, _LIST
    to_bytes = decoder_for(len(records))
    for record in records:
        try:
            data = to_bytes(record["kinesis"]["data"], None, True)
            if len(data) > shallow or opening in data.partition(list_)[2]:
                decoded = decode(data)
            else:
                decoded = decode_shallow(data)
            kind, id_, irregular = decoded["type"], decoded["id"], "s3" in decoded or (rare in data and mark in data)
        except (KeyError, TypeError, ValueError):
            yield _irregular(record)
            continue
        if kind.__class__ is str and kind and id_.__class__ is str and id_ and not irregular:
            yield {"record": record, "event": decoded}
        else:
            yield _irregular(record)


def _irregular(record: Any) -> Uow:
    """The unit of work of a record that is not valid, may have to be opened, or has no text as its id."""
    try:
        data = record["kinesis"]["data"]
    except (KeyError, TypeError):
        return invalid(record, _event_id(record), "not a Kinesis record: it has no 'kinesis.data'")
    try:
        decoded = codec.decode(a2b_base64(data, strict_mode=True))
    except (TypeError, ValueError) as error:
        return invalid(record, _event_id(record), f"the data is not base64 of JSON: {error}")
    return typed(record, _event_id(record), decoded)


def _event_id(record: Any) -> Any:
    return record.get("eventID") if isinstance(record, Mapping) else None


def to_kinesis_records(events: Iterable[Any], *, shard_id: str = "shardId-000000000000") -> dict[str, Any]:
    """An invocation event with a Kinesis record for each event, for tests.

    Events are encoded as JSON, bytes are taken as they are. Sequence numbers count from 0.
    """
    return {
        "Records": [
            {
                "eventSource": "aws:kinesis",
                "eventID": f"{shard_id}:{number}",
                "eventName": "aws:kinesis:record",
                "eventVersion": "1.0",
                "eventSourceARN": "arn:aws:kinesis:us-west-2:123456789012:stream/events",
                "awsRegion": "us-west-2",
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "sequenceNumber": f"{number}",
                    "partitionKey": _partition_key(event, number),
                    "approximateArrivalTimestamp": _arrival_s(event),
                    "data": b2a_base64(
                        event if isinstance(event, bytes) else codec.encode(event).encode(), newline=False
                    ).decode("ascii"),
                },
            }
            for number, event in enumerate(events)
        ]
    }


def _partition_key(event: Any, number: int) -> str:
    key = event.get("partition_key") if isinstance(event, Mapping) else None
    return str(number if key is None else key)


def _arrival_s(event: Any) -> float:
    timestamp = event.get("timestamp") if isinstance(event, Mapping) else None
    return timestamp / 1000 if isinstance(timestamp, int | float) else 0.0
