"""Stream records in the shape that a function receives.

The shapes are those of the Lambda developer guide ("Using AWS Lambda with Amazon Kinesis" and "... with DynamoDB"). A
record is serialized once, when it is read; every invocation joins its batch from these texts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from stream_cli.mappings.settings import Source


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a shard.

    Attributes:
        key: the partition key (Kinesis) or the item's key (DynamoDB).
        arrival: Unix seconds.
        body: the record's JSON as the function receives it.
        kept: whether the mapping's filters keep it.
    """

    sequence_number: str
    key: str
    arrival: float
    body: bytes = b"{}"
    kept: bool = True


@dataclass(frozen=True, slots=True)
class WindowContext:
    """What an invocation is told about its tumbling window; `start` and `end` are Unix seconds."""

    start: float
    end: float
    state: Any
    final: bool
    terminated_early: bool


def to_json(value: Any) -> bytes:
    """Compact JSON in UTF-8."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def kinesis_event_record(raw: Mapping[str, Any], shard_id: str, source: Source, role_arn: str) -> dict[str, Any]:
    """A record of Kinesis GetRecords (`Data` in base64) as a function receives it."""
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": raw["PartitionKey"],
            "sequenceNumber": raw["SequenceNumber"],
            "data": raw["Data"],
            "approximateArrivalTimestamp": raw["ApproximateArrivalTimestamp"],
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"{shard_id}:{raw['SequenceNumber']}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": role_arn,
        "awsRegion": source.region,
        "eventSourceARN": source.arn,
    }


def dynamodb_event_record(raw: Mapping[str, Any], source: Source) -> dict[str, Any]:
    """A record of DynamoDB Streams GetRecords (with type letters, binary in base64) as a function receives it."""
    identity = raw.get("userIdentity")
    # The API's Identity has PrincipalId and Type; the event of a function has principalId and type.
    named = (
        {"userIdentity": {name[0].lower() + name[1:]: value for name, value in identity.items()}} if identity else {}
    )
    return {**raw, **named, "eventSourceARN": source.arn}


def item_key(raw: Mapping[str, Any]) -> str:
    """The key attributes of a DynamoDB record's item as one canonical text."""
    return json.dumps(raw["dynamodb"].get("Keys", {}), sort_keys=True, separators=(",", ":"))


def invocation_event(bodies: Iterable[bytes], window: WindowContext | None, shard_id: str, source_arn: str) -> bytes:
    """The event of an invocation, from the bodies of its records."""
    event = b'{"Records":[' + b",".join(bodies) + b"]"
    if window is not None:
        beside = {
            "window": {"start": iso_time(window.start), "end": iso_time(window.end)},
            "state": window.state,
            "shardId": shard_id,
            "eventSourceARN": source_arn,
            "isFinalInvokeForWindow": window.final,
            "isWindowTerminatedEarly": window.terminated_early,
        }
        event += b"," + to_json(beside)[1:-1]
    return event + b"}"


def iso_time(seconds: float, timespec: str = "auto") -> str:
    """Unix seconds as ISO 8601 in UTC; `auto` writes milliseconds only if there are any."""
    moment = datetime.fromtimestamp(round(seconds, 3), UTC)
    if timespec == "auto":
        timespec = "milliseconds" if moment.microsecond else "seconds"
    return moment.replace(tzinfo=None).isoformat(timespec=timespec) + "Z"
