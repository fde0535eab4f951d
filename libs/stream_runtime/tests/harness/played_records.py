"""The records of a history, as AWS delivers them; what they refer to is put in its place."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

from failures import REFUSED
from histories import EVALUATING, History, Item
from rules_on_events import JOB_ITEMS, RELATIVES
from simulated_aws import SimulatedAws
from simulated_mapping import Kind, Record
from stream_runtime.events import (
    from_dynamodb,
    from_firehose,
    from_kinesis,
    from_sns,
    from_sqs,
    to_dynamodb_records,
    to_kinesis_records,
)
from stream_runtime.payload.attributes import marshall
from stream_runtime.payload.compression import compressed

BUCKET = "claims"


def source_of(kind: Kind) -> Callable[[Any], Any]:
    """What makes units of work of an invocation event."""
    if kind == "kinesis":
        return from_kinesis
    if kind == "dynamodb":
        return from_dynamodb
    if kind == "firehose":
        return from_firehose
    return from_sns if kind == "unidentified" else from_sqs


def records_of(history: History, aws: SimulatedAws) -> list[Record]:
    """The records of a history's items, in order."""
    if history.kind == "dynamodb":
        return _changes(history, aws)
    if "related" in history.pipelines:
        _fill(aws, "related", [_row(f"k{key}", f"r{n}", number=n) for key in range(3) for n in range(RELATIVES)])
    if "job" in history.pipelines:
        _fill(aws, "job", [_row(f"i{number}", "item", number=number) for number in range(JOB_ITEMS)])
    events = [event_of(item) for item in history.items]
    if history.kind == "kinesis":
        records = [to_kinesis_records([event])["Records"][0] for event in events]
        for item, record in zip(history.items, records, strict=True):
            record["eventID"] = item.id
            record["kinesis"]["sequenceNumber"] = str(item.n + 9)
            record["kinesis"]["partitionKey"] = item.key
            record["kinesis"]["data"] = _data(item, aws)
        return records
    bodies = [json.dumps(event) for event in events]
    if history.kind == "unidentified":
        return [{"EventSource": "aws:sns", "Sns": {"Message": body}} for body in bodies]
    if history.kind == "firehose":
        return [
            {"recordId": item.id, "data": b64encode(body.encode()).decode()}
            for item, body in zip(history.items, bodies, strict=True)
        ]
    suffix = ".fifo" if history.kind == "fifo" else ""
    return [
        {
            "messageId": f"m{item.n}",
            "body": body,
            "attributes": {"MessageGroupId": item.key} if history.kind == "fifo" else {},
            "eventSource": "aws:sqs",
            "eventSourceARN": f"arn:aws:sqs:us-east-1:123456789012:queue{suffix}",
        }
        for item, body in zip(history.items, bodies, strict=True)
    ]


def invocation_of(kind: Kind, batch: list[Record]) -> dict[str, Any]:
    """The invocation event of a batch."""
    return {"deliveryStreamArn": "arn", "records": batch} if kind == "firehose" else {"Records": batch}


def event_of(item: Item) -> dict[str, Any]:
    """The event of an item."""
    return {
        "id": item.id,
        "type": item.type,
        "timestamp": item.timestamp,
        "partition_key": item.key,
        "tags": {"source": "elsewhere"},
        "poison": list(item.poison),
        "parts": list(range(item.parts)),
        **({"note": REFUSED} if item.refused else {}),
    }


def _data(item: Item, aws: SimulatedAws) -> str:
    event = event_of(item)
    if item.bad == "base64":
        return "no base64!"
    if item.packed or item.bad == "bomb":
        event = compressed({**event, "filling": "x" * (20_000 if item.bad == "bomb" else 500)}, 300)
    if item.claim or item.bad in ("unclaimed", "foreign"):
        event = _pointer(event, None if item.bad else aws, "elsewhere" if item.bad == "foreign" else BUCKET)
    text = {"json": "{no json", "list": "[1]", "typeless": '{"id": "%s"}' % item.id}.get(item.bad)  # noqa: UP031
    return b64encode((text or json.dumps(event)).encode()).decode()


def _pointer(event: dict[str, Any], aws: SimulatedAws | None, bucket: str = BUCKET) -> dict[str, Any]:
    """The claim check of an event; its body is in S3 if a simulated AWS is given."""
    key = f"claimchecks/{event['id']}"
    if aws is not None:
        aws.objects[BUCKET, key] = json.dumps({**event, "more": "y" * 500}).encode()
    kept = {name: event[name] for name in ("id", "type", "timestamp", "partition_key")}
    return {**kept, "claim_check": {"bucket": bucket, "key": key}}


def _row(pk: str, sk: str, **attributes: Any) -> dict[str, Any]:
    return {"pk": pk, "sk": sk, **attributes}


def _fill(aws: SimulatedAws, table: str, rows: list[dict[str, Any]]) -> None:
    """Put rows into a table that have been there for long."""
    for row in rows:
        aws.table(table).write(f"{row['pk']}/{row['sk']}", marshall(row))
    aws.table(table).settle()


# Changes of rows


def _changes(history: History, aws: SimulatedAws) -> list[Record]:
    rows = [_row_of(item, aws) for item in history.items]
    for name in EVALUATING:
        if name in history.pipelines:
            table = aws.table(f"{name}-rows")
            for item, row in zip(history.items, rows, strict=True):
                if item.row in ("collected", "correlated"):
                    table.write(f"{row['pk']}/{row['sk']}", marshall(row))  # just now: indexes do not have it yet
            table.changes.clear()
    _fill(aws, "outbox-rows", [row for item, row in zip(history.items, rows, strict=True) if item.row == "outbox"])
    records: list[Record] = to_dynamodb_records(map(_change, history.items, rows))["Records"]
    for item, record in zip(history.items, records, strict=True):
        record["eventID"] = item.id
        record["awsRegion"] = "us-east-1"
        record["dynamodb"]["SequenceNumber"] = str(item.n + 9)
    return records


def _change(item: Item, row: dict[str, Any]) -> dict[str, Any]:
    keys = {"pk": row["pk"], "sk": row["sk"]}
    if item.row == "ttl":
        return {"keys": keys, "oldImage": row, "timestamp": 10}
    if item.row in ("entity", "latched") and item.n % 2:
        return {"keys": keys, "newImage": row, "oldImage": {**row, "old": True}}
    return {"keys": keys, "newImage": row}


def _row_of(item: Item, aws: SimulatedAws) -> dict[str, Any]:
    poison = list(item.poison)
    stored = {"id": item.id, "type": item.type, "timestamp": item.timestamp, "partition_key": item.key}
    stored |= {"poison": poison, "amount": item.n}
    if item.claim:
        stored = _pointer(stored, aws)
    if item.row == "collected":
        return _row(item.id, "EVENT", discriminator="EVENT", data=item.key, event=stored, ttl=9)
    if item.row == "correlated":
        return _row(correlation_of(item), item.id, discriminator="CORREL", event=stored, ttl=9)
    if item.row == "ttl":
        return _row(item.id, "EVENT", ttl=9, expire=True, event=stored)
    if item.row == "outbox":
        return _row(item.key, item.id, discriminator="outbox", poison=poison, cause=item.id)
    row = _row(item.key, "entity", discriminator="entity", timestamp=item.n + 1, poison=poison)
    return {**row, "latched": True if item.row == "latched" else None}


def correlation_of(item: Item) -> str:
    """The correlation key: events that were collected and such that were correlated have different ones."""
    return item.key if item.row == "collected" else f"{item.key}c"
