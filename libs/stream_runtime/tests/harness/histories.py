"""Histories: a batch, rules, and failures; what has to come of them, and the check that it does.

A history is plain data, drawn from any `random.Random` (a seed's own, or hypothesis'), and runs the real engine with
real clients against `simulated_aws`, redelivered by `simulated_mapping`.
"""

from __future__ import annotations

import json
import logging
import os
import random
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from reactivex import operators as ops
from simulated_aws import KINDS, REFUSED, Effect, Injected, Plan, ProcessDied, SimulatedAws
from simulated_mapping import Kind, Record, deliver
from stream_runtime import DEFAULT_OPTIONS, StreamPipeline, initialize_from, rx_filter, rx_map
from stream_runtime.events import (
    from_dynamodb,
    from_kinesis,
    from_sns,
    from_sqs,
    to_dynamodb_records,
    to_kinesis_records,
)
from stream_runtime.expressions import timestamp_condition, update_expression
from stream_runtime.faults import faulty
from stream_runtime.filters import on_event_type
from stream_runtime.flavors import (
    cdc,
    collect,
    correlate,
    elasticsearch,
    evaluate,
    expired,
    firehose,
    kinesis,
    materialize,
    outbox,
    s3,
    sns,
    sqs,
    task,
)
from stream_runtime.flavors import update as updating
from stream_runtime.operators import rx_effect, split_buffer
from stream_runtime.payload.attributes import marshall
from stream_runtime.sinks.dynamodb import put_dynamodb

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "simulated",
    "AWS_SECRET_ACCESS_KEY": "simulated",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "BUS_NAME": "bus",
    "SERVICE": "tested",
    "RETRY_BASE_MS": "0",
    "RETRY_ATTEMPTS": "2",
    "DEADLINE_MARGIN_MS": "5",
    "PARALLEL": "4",
}
BUCKET = "claims"
EVENT_PIPELINES = (
    *("collect", "view", "guarded", "split", "work", "workers", "custom", "direct", "buffered"),
    *("topic", "queue", "stream", "delivery", "object", "index", "compacting", "related"),
)
ROW_PIPELINES = ("cdc", "correlate", "evaluate", "once", "expired", "rowview", "outbox")
SENDING = ("topic", "queue", "stream", "delivery")
RELATIVES = 3
WANTED = {
    "collect": "ab",
    "view": "ac",
    "guarded": "abc",
    "split": "bc",
    "work": "ab",
    "workers": "bc",
    "custom": "ac",
    "direct": "ab",
    "buffered": "abc",
    "topic": "ab",
    "queue": "bc",
    "stream": "ac",
    "delivery": "ab",
    "object": "bc",
    "index": "abc",
    "compacting": "abc",
    "related": "ab",
}
Slot = tuple[str, int]
Expected = dict[Slot, bool]


@dataclass(frozen=True)
class Item:
    """One record of a batch.

    Attributes:
        n: its place.
        type: one letter; z is wanted by no rule.
        key: its partition key.
        poison: rules whose own code raises for it.
        refused: AWS refuses what is written for it.
        bad: how the record itself cannot be read: base64, json, list, typeless, unclaimed.
        claim: it came as a claim check.
        parts: into how many it is split.
        row: for a table's stream, what kind of row it is: collected, entity, latched, ttl.
    """

    n: int
    type: str
    key: str
    poison: tuple[str, ...] = ()
    refused: bool = False
    bad: str = ""
    claim: bool = False
    parts: int = 1
    row: str = ""

    @property
    def id(self) -> str:
        """The event's id."""
        return f"e{self.n}"


@dataclass(frozen=True)
class History:
    """Everything that decides what happens."""

    seed: int
    kind: Kind
    items: tuple[Item, ...]
    pipelines: tuple[str, ...]
    kinds: tuple[str, ...] = ()
    rate: float = 0.0
    denied_operation: str = ""
    denied_until: int = 0
    concurrency: bool = True
    bisect: bool = False
    parallel: int = 4
    hurried: tuple[int, ...] = ()
    """Invocations whose time is up too soon."""
    patience: int = 0
    """After how many calls it is."""

    def to_json(self) -> str:
        """The text from which `from_json` makes it again."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> History:
        """A history from its text."""
        values = json.loads(text)
        items = tuple(Item(**{**item, "poison": tuple(item["poison"])}) for item in values.pop("items"))
        lists = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        return History(**{**lists, "items": items})


def generate(chance: random.Random) -> History:
    """A history drawn from a source of chance."""
    kind: Kind = chance.choice(("kinesis", "kinesis", "dynamodb", "dynamodb", "sqs", "fifo", "unidentified"))
    names = ROW_PIPELINES if kind == "dynamodb" else EVENT_PIPELINES
    pipelines = tuple(name for name in names if chance.randrange(len(names)) < 3) or (chance.choice(names),)
    faultiness = chance.choice((0, 0, 1, 3))
    items = tuple(_item(chance, n, kind, pipelines, faultiness) for n in range(chance.choice((1, 2, 3, 4, 6, 11))))
    is_failing = chance.randrange(8) > 0
    kinds = tuple(kind for kind in KINDS if kind != "denied" and chance.randrange(2)) if is_failing else ()
    is_in_a_hurry = chance.randrange(4) == 0
    denied = chance.choice(_OPERATIONS) if is_failing and chance.randrange(3) == 0 else ""
    return History(
        seed=chance.randrange(1 << 30),
        kind=kind,
        items=items,
        pipelines=pipelines,
        kinds=kinds,
        rate=chance.choice((0.1, 0.3, 0.6)) if kinds else 0.0,
        denied_operation=denied,
        denied_until=chance.randrange(1, 4) if denied else 0,
        concurrency=bool(chance.randrange(2)),
        bisect=not chance.randrange(3),
        parallel=chance.choice((1, 4)),
        hurried=tuple(n for n in range(1, 6) if is_in_a_hurry and chance.randrange(2)),
        patience=chance.choice((0, 1, 2, 4, 8)),
    )


_OPERATIONS = (
    *("BatchWriteItem", "UpdateItem", "PutItem", "Query", "BatchGetItem", "PutEvents", "GetObject", "PutObject"),
    *("PublishBatch", "SendMessageBatch", "PutRecords", "PutRecordBatch", "Bulk", "local"),
)


def _item(chance: random.Random, n: int, kind: Kind, pipelines: Sequence[str], faultiness: int) -> Item:
    row = ""
    if kind == "dynamodb":
        row = chance.choice(("collected", "collected", "entity", "latched", "ttl", "outbox"))
    poison = tuple(name for name in pipelines if chance.randrange(10) < faultiness)
    bad = ""
    if kind == "kinesis" and chance.randrange(20) < faultiness:
        bad = chance.choice(("base64", "json", "list", "typeless", "unclaimed"))
    return Item(
        n=n,
        type=chance.choice("aabbcz") if kind != "dynamodb" else chance.choice("ab"),
        key=f"k{chance.randrange(3)}",
        poison=poison,
        refused=kind != "dynamodb" and chance.randrange(12) < faultiness,
        bad=bad,
        claim=kind == "kinesis" and chance.randrange(8) == 0,
        parts=chance.choice((0, 1, 1, 2)),
        row=row,
    )


# What rules do


def _raise_if_poisoned(name: str, event: Mapping[str, Any]) -> None:
    if name in event.get("poison", ()):
        raise ValueError(f"{event['id']} is poison for {name}")


def _rules(history: History, aws: SimulatedAws) -> list[dict[str, Any]]:
    """The rules of a history, whose own code acts upon and fails with the simulated world."""

    def local(name: str, target: str) -> Callable[[Any], Any]:
        def act(uow: Any) -> Any:
            _raise_if_poisoned(name, uow["event"])
            aws.local(name, uow["event"]["id"], target)
            return uow

        return act

    def update(name: str, **condition: str) -> Callable[[Any], Any]:
        def request(uow: Any) -> Any:
            event = uow["event"]
            _raise_if_poisoned(name, event)
            part = uow.get("split")
            cause = event["id"] if part is None else f"{event['id']}/{part}"
            return {
                "Key": {"pk": event["partition_key"], "sk": "row" if part is None else f"part{part}"},
                **update_expression({"cause": cause, "note": event.get("note"), "timestamp": event["timestamp"]}),
                **condition,
            }

        return request

    def key(uow: Any) -> str:
        _raise_if_poisoned("collect", uow["event"])
        return str(uow["event"]["partition_key"])

    def message(name: str, field: str) -> Callable[[Any], Any]:
        def make(uow: Any) -> Any:
            _raise_if_poisoned(name, uow["event"])
            return {field: {"cause": uow["event"]["id"], "note": uow["event"].get("note")}}

        return make

    def to_object(uow: Any) -> Any:
        _raise_if_poisoned("object", uow["event"])
        return {"Key": f"{uow['event']['id']}-{uow['event'].get('note', 'good')}", "Body": uow["event"]}

    def to_document(uow: Any) -> Any:
        event = uow["event"]
        _raise_if_poisoned("index", event)
        return {
            "index": "index",
            "id": event["partition_key"],
            "data": {"cause": event["id"], "note": event.get("note")},
        }

    def to_relatives(uow: Any) -> Any:
        _raise_if_poisoned("related", uow["event"])
        return {
            "KeyConditionExpression": "#pk = :pk",
            "ExpressionAttributeNames": {"#pk": "pk"},
            "ExpressionAttributeValues": {":pk": uow["event"]["partition_key"]},
        }

    def to_relative(uow: Any) -> Any:
        return {"Keys": [{name: uow["split"][name] for name in ("pk", "sk")}]}

    def related_update(uow: Any) -> Any:
        (row,) = uow["batch_get_response"]["Responses"]["related"]
        request = update("related")({**uow, "split": row["number"]})
        return {**request, "Key": {name: row[name] for name in ("pk", "sk")}}

    def to_outbox_message(uow: Any) -> Any:
        row = uow["event"]["raw"]["new"]
        _raise_if_poisoned("outbox", {**row, "id": row["sk"]})
        return {"topic": "outbox", "message": {"cause": row["sk"]}}

    def execute(name: str) -> Callable[[Any], Any]:
        act = local(name, "executed")
        return lambda uow: act(uow) and "result"

    def emit_two(uow: Any, rule: Any, template: Any) -> Any:
        if uow["event"].get("note"):
            return {**template, "id": f"{template['id']}.{REFUSED}", "type": "first"}
        return [{**template, "type": "first"}, {**template, "type": "second"}]

    def custom(rule: Any) -> Any:
        act = faulty(local("custom", "custom"))
        return lambda source: source.pipe(
            rx_filter(on_event_type(rule)),
            ops.do_action(lambda uow: None),
            rx_map(act),
            ops.map(lambda uow: uow),
            rx_map(lambda uow: {**uow, "custom": True}),
        )

    def direct(rule: Any) -> Any:
        def to_put(uow: Any) -> Any:
            event = uow["event"]
            row = {"pk": event["partition_key"], "sk": event["id"], "cause": event["id"], "note": event.get("note")}
            return {**uow, "put_request": {"Item": row}}

        return lambda source: source.pipe(
            rx_filter(on_event_type(rule)),
            rx_map(to_put),
            put_dynamodb(table_name="direct", parallel=history.parallel),
            rx_map(faulty(local("direct", "after"))),
        )

    def buffered(rule: Any) -> Any:
        act = local("buffered", "buffered")
        return lambda source: source.pipe(
            rx_filter(on_event_type(rule)),
            ops.buffer_with_count(3),
            rx_map(lambda uows: [_raise_if_poisoned("buffered", uow["event"]) or uow for uow in uows]),
            split_buffer(),
            rx_effect(act),
        )

    def is_complete(name: str) -> Callable[[Any], bool]:
        def expression(uow: Any) -> bool:
            _raise_if_poisoned(name, uow["event"])
            return {event["type"] for event in uow["correlated"]} >= {"a", "b"}

        return expression

    def to_event(uow: Any) -> Any:
        row = uow["event"]["raw"]["new"]
        _raise_if_poisoned("cdc", {**row, "id": row["pk"]})
        return {"type": "entity-changed", "entity": row}

    def row_update(uow: Any) -> Any:
        row = uow["event"]["raw"]["new"]
        _raise_if_poisoned("rowview", {**row, "id": row["pk"]})
        return update("rowview")({"event": {**uow["event"], "poison": ()}})

    def correlation_key(uow: Any) -> str:
        _raise_if_poisoned("correlate", uow["event"])
        return str(uow["event"]["partition_key"])

    every: dict[str, dict[str, Any]] = {
        "collect": {"flavor": collect, "table_name": "collect", "correlation_key": key},
        "view": {"flavor": materialize, "table_name": "view", "to_update_request": update("view")},
        "guarded": {
            "flavor": materialize,
            "table_name": "guarded",
            "to_update_request": update("guarded", **timestamp_condition()),
        },
        "split": {
            "flavor": materialize,
            "table_name": "split",
            "split_on": "event.parts",
            "to_update_request": update("split"),
        },
        "work": {"flavor": task, "execute": execute("work"), "emit": emit_two},
        "workers": {"flavor": task, "execute": execute("workers"), "emit": "worked", "parallel": history.parallel},
        "custom": {"flavor": custom},
        "direct": {"flavor": direct},
        "buffered": {"flavor": buffered},
        "topic": {
            "flavor": sns,
            "to_sns": message("topic", "Message"),
            "topic_arn": "arn:aws:sns:us-east-1:123456789012:topic",
        },
        "queue": {
            "flavor": sqs,
            "to_sqs": message("queue", "MessageBody"),
            "queue_url": "https://sqs.us-east-1.amazonaws.com/123456789012/queue",
        },
        "stream": {"flavor": kinesis, "to_kinesis": message("stream", "Data"), "stream_name": "stream"},
        "delivery": {
            "flavor": firehose,
            "to_firehose": message("delivery", "Data"),
            "delivery_stream_name": "delivery",
        },
        "object": {"flavor": s3, "to_s3": to_object, "bucket_name": "object"},
        "index": {"flavor": elasticsearch, "to_elasticsearch": to_document, "domain_host": "search"},
        "compacting": {
            "flavor": materialize,
            "table_name": "compacting",
            "compact": True,
            "to_update_request": update("compacting"),
        },
        "related": {
            "flavor": updating,
            "table_name": "related",
            "to_query_request": to_relatives,
            "split_on": "query_response",
            "split_target_field": "split",
            "to_get_request": to_relative,
            "to_update_request": related_update,
        },
        "outbox": {
            "flavor": outbox,
            "event_type": "outbox-created",
            "to_message": to_outbox_message,
            "table_name": "outbox-rows",
        },
        "cdc": {"flavor": cdc, "event_type": ["entity-created", "entity-updated"], "to_event": to_event},
        "correlate": {
            "flavor": correlate,
            "event_type": ["a", "b"],
            "table_name": "correlate",
            "correlation_key": correlation_key,
        },
        "evaluate": {"flavor": evaluate, "event_type": ["a", "b"], "table_name": "control", "emit": "complete"},
        "once": {
            "flavor": evaluate,
            "event_type": re.compile("^[ab]$"),
            "table_name": "control",
            "emit": lambda uow, rule, template: {**template, "type": "complete-once"},
            "once": True,
        },
        "expired": {"flavor": expired},
        "rowview": {
            "flavor": materialize,
            "event_type": re.compile("^entity-"),
            "table_name": "rowview",
            "to_update_request": row_update,
        },
    }
    for name in ("evaluate", "once"):
        every[name]["expression"] = is_complete(name)
    for name, wanted in WANTED.items():
        every[name].setdefault("event_type", list(wanted))
    return [{"id": name, **every[name]} for name in history.pipelines]


# What has to come of an item


def expected(item: Item, pipeline: str) -> set[Slot] | None:
    """The effects of a good record in a pipeline, each as (what, which); None where it is not wanted."""
    if item.bad:
        return None
    if pipeline in WANTED:
        if item.type not in WANTED[pipeline]:
            return None
        return {
            "split": {("row", part) for part in range(item.parts)},
            "work": {("executed", 0), ("bus", 0), ("bus", 1)},
            "workers": {("executed", 0), ("bus", 0)},
            "custom": {("custom", 0)},
            "direct": {("row", 0), ("after", 0)},
            "buffered": {("buffered", 0)},
            "index": {("indexed", 0)},
            "object": {("object", 0)},
            "related": {("row", number) for number in range(RELATIVES)},
            **{name: {("sent", 0)} for name in SENDING},
        }.get(pipeline, {("row", 0)})
    wanted = {
        "cdc": item.row == "entity",
        "correlate": item.row == "collected",
        "evaluate": item.row == "collected",
        "once": item.row == "collected",
        "expired": item.row == "ttl",
        "rowview": item.row in ("entity", "latched"),
        "outbox": item.row == "outbox",
    }[pipeline]
    if not wanted:
        return None
    if pipeline == "outbox":
        return {("sent", 0), ("row", 0)}
    return {("row" if pipeline in ("correlate", "rowview") else "bus", 0)}


def fails(item: Item, pipeline: str) -> bool:
    """Whether a wanted record is poison for a pipeline."""
    if pipeline == "split" and not item.parts:
        return False
    if pipeline in item.poison and pipeline not in ("expired",):
        return True
    return item.refused and pipeline in WANTED and pipeline not in ("workers", "custom", "buffered")


def before_failure(item: Item, pipeline: str) -> set[Slot]:
    """Effects that a poisoned record may have had before the step that it fails in."""
    if pipeline in item.poison:
        return {("row", 0)} if pipeline == "direct" and not item.refused else set()
    return {("executed", 0)} if pipeline == "work" else set()


# Records


def records_of(history: History, aws: SimulatedAws) -> list[Record]:
    """The records of a history's items, as AWS delivers them; what they refer to is put in its place."""
    if history.kind == "dynamodb":
        return _rows(history, aws)
    for key in ("k0", "k1", "k2"):
        for number in range(RELATIVES):
            row = {"pk": key, "sk": f"r{number}", "number": number}
            aws.tables.setdefault("related", {})[f"{key}/r{number}"] = marshall(row)
    events = [_event(item) for item in history.items]
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


def _event(item: Item) -> dict[str, Any]:
    return {
        "id": item.id,
        "type": item.type,
        "timestamp": 1_700_000_000_000 + item.n,
        "partition_key": item.key,
        "tags": {"source": "elsewhere"},
        "poison": list(item.poison),
        "parts": list(range(item.parts)),
        **({"note": REFUSED} if item.refused else {}),
    }


def _data(item: Item, aws: SimulatedAws) -> str:
    event = _event(item)
    if item.bad == "base64":
        return "no base64!"
    if item.claim or item.bad == "unclaimed":
        if not item.bad:
            aws.objects[BUCKET, f"claim/{item.id}"] = json.dumps(event).encode()
        event = {name: event[name] for name in ("id", "type", "timestamp", "partition_key")}
        event["claim_check"] = {"bucket": BUCKET, "key": f"claim/{item.id}"}
    text = {"json": "{no json", "list": "[1]", "typeless": '{"id": "%s"}' % item.id}.get(item.bad)  # noqa: UP031
    return b64encode((text or json.dumps(event)).encode()).decode()


def _rows(history: History, aws: SimulatedAws) -> list[Record]:
    changes = []
    control = aws.tables.setdefault("control", {})
    for item in history.items:
        stored = {"id": item.id, "type": item.type, "timestamp": 1_700_000_000_000 + item.n, "partition_key": item.key}
        stored |= {"poison": list(item.poison)}
        if item.row == "collected":
            row = {"pk": item.id, "sk": "EVENT", "discriminator": "EVENT", "data": item.key, "event": stored, "ttl": 9}
            control[f"{item.id}/EVENT"] = marshall(row)
            change = {"newImage": row}
        elif item.row == "ttl":
            row = {"pk": item.id, "sk": "EVENT", "ttl": 9, "expire": True, "event": stored}
            change = {"oldImage": row, "timestamp": 10}
        elif item.row == "outbox":
            row = {"pk": item.key, "sk": item.id, "discriminator": "outbox", "poison": list(item.poison)}
            row |= {"cause": item.id}
            aws.tables.setdefault("outbox-rows", {})[f"{item.key}/{item.id}"] = marshall(row)
            change = {"newImage": row}
        else:
            row = {"pk": item.key, "sk": "entity", "discriminator": "entity", "timestamp": item.n + 1}
            row |= {"poison": list(item.poison), "latched": True if item.row == "latched" else None}
            change = {"newImage": row, "oldImage": {**row, "old": True}} if item.n % 2 else {"newImage": row}
        changes.append({"keys": {"pk": row["pk"], "sk": row["sk"]}, **change})
    records: list[Record] = to_dynamodb_records(changes)["Records"]
    for item, record in zip(history.items, records, strict=True):
        record["eventID"] = item.id
        record["awsRegion"] = "us-east-1"
        record["dynamodb"]["SequenceNumber"] = str(item.n + 9)
    return records


def source_of(kind: Kind) -> Callable[[Any], Any]:
    """What makes units of work of an invocation event."""
    if kind == "kinesis":
        return from_kinesis
    if kind == "dynamodb":
        return from_dynamodb
    return from_sns if kind == "unidentified" else from_sqs


# Running


class Violated(AssertionError):
    """A promise of the runtime was broken; the message tells which, and the history."""


class _Context:
    def __init__(self, left_ms: int) -> None:
        self._left_ms = left_ms

    def get_remaining_time_in_millis(self) -> int:
        """What Lambda says is left."""
        return self._left_ms


@dataclass
class _World:
    """A history under way."""

    history: History
    aws: SimulatedAws
    number_of: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.items = {item.n: item for item in self.history.items}

    def expected(self, item: Item, pipeline: str) -> set[Slot] | None:
        """As `expected`, but of `evaluate` and `once` only what suffices, and of `once` only the first that does."""
        wanted = expected(item, pipeline)
        if wanted is None or pipeline not in ("evaluate", "once") or fails(item, pipeline):
            return wanted
        if not self._completes(item):
            return None
        before = [other for other in self._correlated(item) if other is not item]
        is_published = any(self._completes(other) and not fails(other, pipeline) for other in before)
        return None if pipeline == "once" and is_published else wanted

    def _completes(self, item: Item) -> bool:
        return {other.type for other in self._correlated(item)} >= {"a", "b"}

    def _correlated(self, item: Item) -> list[Item]:
        """The items of its correlation up to itself."""
        collected = [other for other in self.history.items if other.row == "collected" and other.key == item.key]
        return [other for other in collected if other.n <= item.n]


def play(history: History) -> SimulatedAws:
    """Run a history to its end, checking after each invocation and once more at the end.

    Raises:
        Violated: with the history as JSON.
    """
    logging.getLogger("stream_runtime").setLevel(logging.CRITICAL + 1)
    plan = Plan(
        history.seed,
        history.kinds,
        history.rate,
        denied_operation=history.denied_operation,
        denied_until=history.denied_until,
    )
    aws = SimulatedAws(plan)
    aws.serve()
    world = _World(history, aws)
    records = records_of(history, aws)
    world.number_of = {id(record): item.n for record, item in zip(records, history.items, strict=True)}
    options = {**DEFAULT_OPTIONS, "parallel": history.parallel}
    pipeline = StreamPipeline(initialize_from(_rules(history, aws)), options, history.concurrency)
    source = source_of(history.kind)

    def invoke(batch: list[Record]) -> Any:
        is_hurried = aws.invocation + 1 in history.hurried
        aws.begin(history.patience if is_hurried and history.patience else None)
        context = _Context(0 if is_hurried and not history.patience else 60_000)
        return pipeline.assemble(source({"Records": batch}), context=context)

    def observe(batch: list[Record], left: list[Record], raised: BaseException | None) -> None:
        _check_invocation(world, batch, left, raised)

    try:
        deliver(history.kind, records, invoke, observe, bisect=history.bisect)
        _check_end(world)
    except AssertionError as error:
        raise Violated(f"{error}\nreplay with --history '{history.to_json()}'") from error
    return aws


def environment() -> None:
    """Set the environment that histories run in, for programs of their own."""
    os.environ.update(ENVIRONMENT)


# Checking


def _slot(effect: Effect) -> tuple[str, int, Slot] | None:
    """Which rule did what for which record; None for faults and what no record stands for."""
    content = effect.content
    if isinstance(content, Mapping) and content.get("type") == "fault":
        return None
    cause = content["triggers"][0]["id"] if effect.pipeline == "once" else effect.cause
    found = re.search(r"\be(\d+)\b", cause)
    if found is None:
        return None
    n = int(found[1])
    if effect.target == "bus":
        is_second = effect.pipeline == "work" and effect.cause.endswith(".work.1")
        return effect.pipeline, n, ("bus", int(is_second))
    if effect.target.startswith("row "):
        part = re.search(r"/(\d+)$", effect.cause)
        which = int(part[1]) if part and effect.pipeline in ("split", "related") else 0
        return effect.pipeline.removesuffix("-rows"), n, ("row", which)
    if effect.target.startswith("object "):
        return effect.pipeline, n, ("object", 0)
    return effect.pipeline, n, (effect.target, 0)


def _done(effects: Iterable[Effect]) -> dict[tuple[str, int], set[Slot]]:
    done: dict[tuple[str, int], set[Slot]] = {}
    for effect in effects:
        slot = _slot(effect)
        if slot is not None:
            done.setdefault(slot[:2], set()).add(slot[2])
    return done


def _faults(effects: Iterable[Effect]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    for effect in effects:
        if effect.target == "bus" and effect.content["type"] == "fault":
            yield effect.pipeline, effect.content


def _covered(world: _World, effects: Iterable[Effect]) -> set[tuple[str, int]]:
    """The records that faults stand for, by pipeline ("undefined" for all)."""
    covered = set()
    for pipeline, fault in _faults(effects):
        for single in fault["uow"].get("batch") or [fault["uow"]]:
            covered.add((pipeline, _number(single["record"])))
    return covered


def _number(record: Mapping[str, Any]) -> int:
    """The place of a record, told by what a fault event holds of it."""
    if "messageId" in record:
        return int(str(record["messageId"])[1:])
    if "Sns" in record:
        return int(json.loads(record["Sns"]["Message"])["id"][1:])
    return int(str(record["eventID"])[1:])


def _is_superseded(
    world: _World, item: Item, done: Mapping[tuple[str, int], set[Slot]], covered: set[tuple[str, int]]
) -> bool:
    """Whether a record of a rule that compacts, or a later one of its key, had its effect or has a fault."""
    later = [other.n for other in world.items.values() if other.key == item.key and other.n >= item.n]
    return any(("compacting", n) in done or ("compacting", n) in covered for n in later)


def _check_invocation(world: _World, batch: list[Record], left: list[Record], raised: BaseException | None) -> None:
    history, aws = world.history, world.aws
    now = [effect for effect in aws.effects if effect.invocation == aws.invocation]
    injected = [failure for failure in aws.injected if failure.invocation == aws.invocation]
    is_hurried = aws.invocation in history.hurried
    if raised is not None and not isinstance(raised, ProcessDied) and history.kind != "unidentified":
        raise AssertionError(f"raised though every record can be returned: {raised!r}") from raised
    assert injected or is_hurried or not left, f"{len(left)} records are returned though nothing failed"
    left_numbers = {world.number_of[id(record)] for record in left}
    done, covered = _done(aws.effects), _covered(world, aws.effects)
    for record in batch:
        n = world.number_of[id(record)]
        if n in left_numbers:
            continue
        item = world.items[n]
        if item.bad:
            assert ("undefined", n) in covered, f"record {n} ({item.bad}) is acknowledged without a fault"
        for pipeline in history.pipelines:
            wanted = world.expected(item, pipeline)
            if wanted is None or (pipeline, n) in covered:
                continue
            if pipeline == "compacting":
                assert _is_superseded(world, item, done, covered), (
                    f"record {n} is acknowledged, and nothing stands for it"
                )
                continue
            if history.kind == "sqs" and pipeline == "guarded":
                continue  # a queue has no order: a newer message may have made this one stale, which is an outcome
            is_settled = wanted <= done.get((pipeline, n), set())
            assert is_settled, f"record {n} is acknowledged, and {pipeline} neither did its work nor gave a fault"
    failed_to_publish = any(".fault" in identity for failure in injected for identity in failure.identities)
    if left and raised is None and not failed_to_publish:
        early = {n for _, n in _covered(world, now)} & left_numbers
        assert not early, f"faults of records {sorted(early)} are published though they come again"
    if not history.concurrency and history.parallel == 1:
        _check_what_was_denied(world, injected)
    if left and not raised and history.kind != "fifo" and not set(history.pipelines) & _OF_SEVERAL_RECORDS:
        touched = {n for failure in injected for identity in failure.identities for n in _numbers_in(identity)}
        wrong = ({min(left_numbers)} if history.kind in ("kinesis", "dynamodb") else left_numbers) - touched
        if is_hurried:
            wrong -= _unfinished(world, now)
        assert not wrong, f"records {sorted(wrong)} are returned though nothing of theirs failed or was left undone"


def _unfinished(world: _World, now: Sequence[Effect]) -> set[int]:
    """The records that lack an effect or a fault of this invocation; what nobody wants may not have been reached."""
    done, covered = _done(now), _covered(world, now)
    unfinished = set()
    for item in world.items.values():
        wanted = {pipeline: world.expected(item, pipeline) for pipeline in world.history.pipelines}
        lacking = [
            pipeline
            for pipeline, slots in wanted.items()
            if (slots or set()) - done.get((pipeline, item.n), set()) and (pipeline, item.n) not in covered
        ]
        if lacking or not any(wanted.values()):
            unfinished.add(item.n)
    return unfinished


_OF_SEVERAL_RECORDS = {"evaluate", "once", "buffered", "compacting", "related"}
"""Rules for which a failure of one record, or of a key, is the failure of several."""


def _numbers_in(identity: str) -> set[int]:
    return {int(number) for number in re.findall(r"\be(\d+)\b", identity)}


def _check_what_was_denied(world: _World, injected: Sequence[Injected]) -> None:
    """Access denied leaves a record at once: nothing is started any more that comes again with it."""
    if world.history.kind == "sqs":
        return
    for failure in injected:
        if failure.kind != "denied":
            continue
        left = {n for identity in failure.identities for n in _numbers_in(identity)}
        if failure.operation in ("Query", "BatchGetItem") or not left:
            continue
        first = world.items[min(left)]
        for effect in world.aws.effects[failure.effects_before :]:
            slot = _slot(effect)
            if slot is None or (world.history.kind == "fifo" and world.items[slot[1]].key != first.key):
                continue
            assert slot[1] < first.n, f"{effect.pipeline} began record {slot[1]} when {first.n} had been left"


def _check_end(world: _World) -> None:
    history, aws = world.history, world.aws
    done, covered = _done(aws.effects), _covered(world, aws.effects)
    for item in history.items:
        if item.bad:
            assert ("undefined", item.n) in covered, f"record {item.n} ({item.bad}) has no fault"
        for pipeline in history.pipelines:
            _check_outcome(world, item, pipeline, done.get((pipeline, item.n), set()), done, covered)
    for pipeline, n in covered:
        item = world.items[n]
        is_due = (
            item.bad
            if pipeline == "undefined"
            else world.expected(item, pipeline) is not None and fails(item, pipeline)
        )
        is_due = is_due or pipeline in ("buffered", "compacting")
        assert is_due, f"record {n} has a fault in {pipeline} without a reason"
    for pipeline, n in done:
        assert n in world.items, f"{pipeline} did something for record {n}, which does not exist"
    _check_ids(world)
    _check_order(world)
    _check_compacted(world)
    if not aws.injected and not history.hurried:
        _check_once(world)


def _check_outcome(
    world: _World,
    item: Item,
    pipeline: str,
    has: set[Slot],
    done: Mapping[tuple[str, int], set[Slot]],
    covered: set[tuple[str, int]],
) -> None:
    wanted = world.expected(item, pipeline)
    name = f"record {item.n} in {pipeline}"
    if wanted is None:
        assert not has, f"{name}: did {has} for a record that it does not want"
    elif pipeline == "compacting":
        assert _is_superseded(world, item, done, covered), f"{name}: nothing stands for it"
        assert not (has and fails(item, pipeline)), f"{name}: is poison and did {has}"
    elif fails(item, pipeline):
        assert (pipeline, item.n) in covered, f"{name}: is poison and has no fault"
        assert has <= before_failure(item, pipeline), f"{name}: is poison and did {has}"
    elif pipeline == "guarded" and world.history.kind == "sqs":
        assert has <= wanted, f"{name}: did {sorted(has)}, expected {sorted(wanted)}"
    elif pipeline != "buffered" or (pipeline, item.n) not in covered:
        assert has == wanted, f"{name}: did {sorted(has)}, expected {sorted(wanted)}"
        assert (pipeline, item.n) not in covered, f"{name}: did its work and has a fault"


def _check_ids(world: _World) -> None:
    """An id means one event, at every attempt."""
    seen: dict[str, Any] = {}
    for effect in world.aws.effects:
        if effect.target != "bus":
            continue
        event = effect.content
        if effect.pipeline in ("buffered", "compacting"):
            continue
        meaning = (
            event["type"],
            event["partition_key"],
            json.dumps(event["uow"]["record"]) if event["type"] == "fault" else None,
        )
        assert seen.setdefault(event["id"], meaning) == meaning, f"id {event['id']} stands for two events"
    identified: dict[tuple[str, int, Slot], str] = {}
    for effect in world.aws.effects:
        slot = _slot(effect)
        if effect.target == "bus" and slot is not None:
            assert identified.setdefault(slot, effect.cause) == effect.cause, f"{slot} has two ids"


def _check_order(world: _World) -> None:
    """No record of a key takes effect in a pipeline before all earlier ones of its key did."""
    if world.history.kind == "sqs":
        return
    # With poison in a buffer all of it fails, and the next attempt may put other records into the same buffer.
    torn = any("buffered" in item.poison for item in world.history.items)
    highest: dict[tuple[str, str, str], tuple[int, int]] = {}
    seen: set[tuple[str, int, Slot]] = set()
    for effect in world.aws.effects:
        slot = _slot(effect)
        if slot is None or slot in seen:
            continue
        seen.add(slot)
        pipeline, n, (what, which) = slot
        item = world.items[n]
        if pipeline in ("correlate", "expired") or (pipeline == "buffered" and torn):
            continue
        if pipeline == "compacting":
            continue  # a smaller batch compacts to an older record, and the newer one comes again behind it
        lane = (pipeline, item.key, what)
        assert (n, which) > highest.get(lane, (-1, -1)), (
            f"{pipeline}: {what} of record {n} of key {item.key} came after that of record {highest[lane][0]}"
        )
        highest[lane] = (n, which)


def _check_compacted(world: _World) -> None:
    """Whatever was compacted to what, the last word of a key is that of its last record."""
    if world.history.kind == "sqs":
        return
    words: dict[str, list[int]] = {}
    for effect in world.aws.effects:
        slot = _slot(effect)
        if slot is not None and slot[0] == "compacting":
            words.setdefault(world.items[slot[1]].key, []).append(slot[1])
    for key, numbers in words.items():
        assert numbers[-1] == max(numbers), f"compacting: record {numbers[-1]} has the last word on {key}"


def _check_once(world: _World) -> None:
    """Where nothing failed, nothing happens twice."""
    seen = set()
    for effect in world.aws.effects:
        what = (effect.pipeline, effect.cause, effect.target)
        assert what not in seen, f"{what} happened twice though nothing failed"
        seen.add(what)


def without_failures(history: History) -> History:
    """The same batch and rules in a world where no call fails."""
    return replace(history, kinds=(), rate=0.0, denied_operation="", denied_until=0, hurried=())
