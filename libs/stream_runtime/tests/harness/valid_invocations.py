"""Valid invocations of every source, as trees in which what is encoded can be changed before it is encoded.

A `Layer` stands for a text that holds something: JSON, base64, a compressed field. `rendered` makes the invocation
event that Lambda passes to a function.
"""

from __future__ import annotations

import json
import random
import zlib
from base64 import b64encode
from collections.abc import Callable
from typing import Any, NamedTuple

from stream_runtime import events as sources
from stream_runtime.payload.attributes import marshall
from stream_runtime.payload.compression import PREFIX

BUCKET = "claims"
KEY = "claimchecks/elsewhere/2026/01/01/00/e1"
"""A claim check that can be redeemed; the object holds the event with the id e1."""


class Layer:
    """A text that holds content: ``json``, ``base64`` (of text or bytes) or ``compressed`` (a field's JSON)."""

    def __init__(self, kind: str, content: Any, spoil: Callable[[Any], Any] | None = None) -> None:
        self.kind = kind
        self.inner = [content]
        self.spoil = spoil
        """What is done to the text when it has been made."""

    @property
    def content(self) -> Any:
        """What it holds; nothing if that was taken out."""
        return self.inner[0] if self.inner else ""

    def __repr__(self) -> str:
        return f"{self.kind}({self.content!r:.300}{', spoiled' if self.spoil else ''})"


class Raw(str):
    """A text that stands in JSON as it is: what Python's values cannot say, such as nesting without end."""


def rendered(tree: Any) -> Any:
    """The tree with its layers encoded."""
    if isinstance(tree, dict):
        return {name: rendered(member) for name, member in tree.items()}
    if isinstance(tree, list):
        return [rendered(member) for member in tree]
    if isinstance(tree, Raw):
        return "raw"
    if not isinstance(tree, Layer):
        return tree
    text = _encoded(tree)
    return tree.spoil(text) if tree.spoil else text


def _encoded(layer: Layer) -> Any:
    if layer.kind == "base64":
        inner = rendered(layer.content)
        return b64encode(inner if isinstance(inner, bytes) else _bytes(_text(inner))).decode()
    if layer.kind == "compressed":
        return PREFIX + b64encode(zlib.compress(_bytes(_json(layer.content)), wbits=31)).decode()
    return _json(layer.content)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _json(content: Any) -> str:
    raw: list[str] = []

    def with_places(tree: Any) -> Any:
        if isinstance(tree, Raw):
            raw.append(tree)
            return f"\x00raw{len(raw) - 1}\x00"
        if isinstance(tree, dict):
            return {name: with_places(member) for name, member in tree.items()}
        if isinstance(tree, list):
            return [with_places(member) for member in tree]
        return rendered(tree)

    text = json.dumps(with_places(content))
    for number, each in enumerate(raw):
        text = text.replace(f'"\\u0000raw{number}\\u0000"', each)
    return text


class Kind(NamedTuple):
    """A kind of invocation: the source that reads it, and what makes its invocation of a number of records."""

    source: Callable[[Any], Any]
    make: Callable[[random.Random, int], Any]
    records: str = "Records"
    """Where its records are; empty where the invocation is the record."""


def event_of(chance: random.Random, n: int) -> dict[str, Any]:
    """An event as the runtime publishes it; a few travel as claim checks or have a compressed field."""
    thing = {"id": f"t{n % 2}", "name": "One", "amount": n, "parts": [1, {"a": 2}]}
    event = {
        "id": f"e{n}",
        "type": chance.choice(("thing-created", "thing-created", "thing-updated")),
        "timestamp": 1_700_000_000_000 + n,
        "partition_key": f"k{n % 2}",
        "tags": {"source": "elsewhere", "region": "us-east-1"},
    }
    if n == 1 and not chance.randrange(4):
        return {**event, "claim_check": {"bucket": BUCKET, "key": KEY}}
    return {**event, "thing": thing if chance.randrange(8) else Layer("compressed", thing)}


def _kinesis(chance: random.Random, count: int) -> Any:
    invocation = sources.to_kinesis_records([{}] * count)
    for n, record in enumerate(invocation["Records"]):
        record["kinesis"] |= {
            "sequenceNumber": f"4959033827149025660855969253836157109592157598913658{n:04}",
            "partitionKey": f"k{n % 2}",
            "data": Layer("base64", Layer("json", event_of(chance, n))),
        }
    return invocation


def _firehose(chance: random.Random, count: int) -> Any:
    invocation = sources.to_firehose_records([{}] * count)
    for n, record in enumerate(invocation["records"]):
        record["data"] = Layer("base64", Layer("json", event_of(chance, n)))
    return invocation


def _notification(count: int = 1) -> Any:
    """A notification of S3."""
    objects = [{"bucket": {"name": "drops"}, "object": {"key": f"in/a {n}.csv", "size": 1}} for n in range(count)]
    return sources.to_s3_records(objects)


def _on_bus(chance: random.Random, n: int) -> Any:
    """An event of EventBridge: one that the runtime published, a service's own, or a schedule's."""
    form = chance.randrange(3)
    if form == 0:
        event = event_of(chance, n)
        return {**sources.to_eventbridge_event({"type": event["type"]}), "id": f"b{n}", "detail": event}
    if form == 1:
        envelope = {**sources.to_schedule_event(), "id": f"b{n}", "resources": ["arn:aws:ec2:::instance/i-1"]}
        return {**envelope, "detail-type": "thing-changed", "source": "aws.ec2", "detail": {"state": "running"}}
    return {**sources.to_schedule_event(), "id": f"b{n}"}


def _message(chance: random.Random, n: int) -> Any:
    """What a queue or a topic carries: an event, or what another service sent there."""
    form = chance.randrange(6)
    if form == 0:
        return _notification()
    if form == 1:
        return _on_bus(chance, n)
    return event_of(chance, n)


def _sns(chance: random.Random, count: int) -> Any:
    invocation = sources.to_sns_records([{}] * count)
    for n, record in enumerate(invocation["Records"]):
        record["Sns"]["Message"] = Layer("json", _message(chance, n))
    return invocation


def _sqs(chance: random.Random, count: int, queue_name: str = "events") -> Any:
    invocation = sources.to_sqs_records([{}] * count, queue_name=queue_name)
    for n, record in enumerate(invocation["Records"]):
        content = _message(chance, n)
        if not chance.randrange(4):
            sns = {"Type": "Notification", "MessageId": f"n{n}", "TopicArn": "arn:aws:sns:us-west-2:1:t"}
            content = {**sns, "Message": Layer("json", content)}
        record["body"] = Layer("json", content)
    return invocation


def _fifo(chance: random.Random, count: int) -> Any:
    return _sqs(chance, count, "events.fifo")


def _dynamodb(chance: random.Random, count: int) -> Any:
    invocation = sources.to_dynamodb_records([{"keys": {}}] * count)
    for n, record in enumerate(invocation["Records"]):
        keys, new, old = _change(chance, n)
        record |= {"eventID": f"c{n}", "awsRegion": "us-east-1"}
        record["eventName"] = "INSERT" if old is None else "REMOVE" if new is None else "MODIFY"
        record["dynamodb"] |= {"Keys": marshall(keys), "SequenceNumber": f"{100 + n}", "SizeBytes": 100}
        record["dynamodb"]["ApproximateCreationDateTime"] = 1_700_000_000 + n
        for name, image in (("NewImage", new), ("OldImage", old)):
            if image is not None:
                record["dynamodb"][name] = marshall(image)
    return invocation


def _change(chance: random.Random, n: int) -> tuple[Any, Any, Any]:
    """Keys, new image and old image of a row of some kind."""
    stored = {"id": f"e{n}", "type": "thing-created", "timestamp": 1_700_000_000_000 + n, "partition_key": f"k{n % 2}"}
    stored |= {"thing": {"id": f"t{n % 2}", "amount": n}}
    kind = chance.choice(("entity", "entity", "collected", "collected", "correlated", "ttl", "outbox", "job"))
    if kind == "collected":
        row = {"pk": f"e{n}", "sk": "EVENT", "discriminator": "EVENT", "data": f"k{n % 2}", "event": stored, "ttl": 9}
        return _keys_of(row), row, None
    if kind == "correlated":
        row = {"pk": f"k{n % 2}", "sk": f"e{n}", "discriminator": "CORREL", "event": stored, "ttl": 9}
        return _keys_of(row), row, None
    if kind == "ttl":
        row = {"pk": f"e{n}", "sk": "EVENT", "ttl": 9, "expire": True, "event": stored}
        return _keys_of(row), None, row
    if kind == "outbox":
        row = {"pk": f"k{n % 2}", "sk": f"m{n}", "discriminator": "outbox", "topic": "t", "message": {"a": n}}
        return _keys_of(row), row, None
    if kind == "job":
        row = {"pk": "job", "sk": "JOB", "discriminator": "JOB", "cursor": {"pk": "i1", "sk": "item"}, "event_id": "x"}
        return _keys_of(row), row, {**row, "cursor": None}
    row = {"pk": f"k{n % 2}", "sk": "thing", "discriminator": "thing", "timestamp": n + 1, "name": "One", "tags": {"a"}}
    return _keys_of(row), row, {**row, "name": "Zero"} if chance.randrange(2) else None


def _keys_of(row: Any) -> Any:
    return {name: row[name] for name in ("pk", "sk")}


KINDS: dict[str, Kind] = {
    "kinesis": Kind(sources.from_kinesis, _kinesis),
    "dynamodb": Kind(sources.from_dynamodb, _dynamodb),
    "sqs": Kind(sources.from_sqs, _sqs),
    "fifo": Kind(sources.from_sqs, _fifo),
    "sns": Kind(sources.from_sns, _sns),
    "s3": Kind(sources.from_s3, lambda _, count: _notification(count)),
    "firehose": Kind(sources.from_firehose, _firehose, "records"),
    "eventbridge": Kind(sources.from_eventbridge, lambda chance, _: _on_bus(chance, 0), ""),
    "schedule": Kind(sources.from_schedule, lambda _, __: sources.to_schedule_event(), ""),
}
"""Every source. `from_event`, which recognises them, reads some invocations of each kind."""
