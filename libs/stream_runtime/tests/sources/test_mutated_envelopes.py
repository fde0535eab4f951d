"""Whatever one field of an invocation holds, its record alone suffers, or the invocation is refused by name."""

import copy
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sample_sizes import part_of
from stream_runtime import TransientError, UnfinishedBatch, UnsupportedEvent, stream_handler
from stream_runtime.events import (
    from_dynamodb,
    from_event,
    from_eventbridge,
    from_firehose,
    from_kinesis,
    from_s3,
    from_schedule,
    from_sns,
    from_sqs,
    to_dynamodb_records,
    to_eventbridge_event,
    to_firehose_records,
    to_kinesis_records,
    to_s3_records,
    to_schedule_event,
    to_sns_records,
    to_sqs_records,
)
from stream_runtime.flavors import task
from stream_runtime.payload import codec

EVENTS = [{"id": f"e{n}", "type": "x", "timestamp": 1767225600000, "partition_key": "k"} for n in range(3)]
ROWS = [
    {"keys": {"pk": f"p{n}", "sk": "thing"}, "newImage": {"pk": f"p{n}", "sk": "thing", "timestamp": 1}, "timestamp": 1}
    for n in range(3)
]
OBJECTS = [{"bucket": {"name": "b"}, "object": {"key": f"k{n}", "size": 1}} for n in range(3)]
NOTIFICATIONS = [to_s3_records([each]) for each in OBJECTS]
OTHERS = [{**to_schedule_event(), "id": f"s{n}"} for n in range(3)]

INVOCATIONS: dict[str, tuple[Callable[[Any], Any], dict[str, Any]]] = {
    "kinesis": (from_kinesis, to_kinesis_records(EVENTS)),
    "dynamodb": (from_dynamodb, to_dynamodb_records(ROWS)),
    "sqs": (from_sqs, to_sqs_records(EVENTS)),
    "fifo": (from_sqs, to_sqs_records(EVENTS, queue_name="q.fifo")),
    "sns": (from_sns, to_sns_records(EVENTS)),
    "s3": (from_s3, to_s3_records(OBJECTS)),
    "firehose": (from_firehose, to_firehose_records(EVENTS)),
    "eventbridge": (from_eventbridge, to_eventbridge_event(EVENTS[1])),
    "event without its envelope": (from_eventbridge, EVENTS[1]),
    "event of another service": (from_eventbridge, {**to_schedule_event(), "detail-type": "y"}),
    "schedule": (from_schedule, to_schedule_event()),
}
MESSAGES: dict[str, list[Any]] = {
    "s3 in sqs": NOTIFICATIONS,
    "eventbridge in sqs": [to_eventbridge_event(each) for each in EVENTS],
    "schedule in sqs": OTHERS,
    "sns in sqs": [record["Sns"] for record in to_sns_records(EVENTS)["Records"]],
    "s3 in sns in sqs": [record["Sns"] for record in to_sns_records(NOTIFICATIONS)["Records"]],
}
DEEP: Any = []
for _ in range(300):
    DEEP = [DEEP]
MISSING = object()
VALUES = (MISSING, None, True, 5, -1.5, 1 << 70, "", "1e999", "0001-01-01", "9" * 5000, [], ["x"], {}, {"a": {}}, DEEP)


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of a value, and of all in it."""
    yield path
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, member in members:
        yield from paths(member, (*path, name))


def mutants(whole: Any, inside: tuple[Any, ...]) -> Iterator[Any]:
    """A value with one thing in the part at a path replaced, or removed."""
    part = whole
    for step in inside:
        part = part[step]
    places = [(*inside, *path) for path in paths(part) if (*inside, *path)]
    for (*way, last), value in part_of(itertools.product(places, VALUES)):
        mutant = copy.deepcopy(whole)
        holder = mutant
        for step in way:
            holder = holder[step]
        if value is not MISSING:
            holder[last] = value
        elif isinstance(holder, dict):
            del holder[last]
        yield mutant


def invocations(name: str) -> Iterator[tuple[Callable[[Any], Any], Any]]:
    if name in MESSAGES:
        for messages in mutants(MESSAGES[name], (1,)):
            yield from_sqs, to_sqs_records([{"body": each} for each in messages])
        return
    source, event = INVOCATIONS[name]
    records = next((key for key in ("Records", "records") if key in event), None)
    for mutant in mutants(event, (records, 1) if records else ()):
        yield source, mutant


ALL = pytest.mark.parametrize("name", [*INVOCATIONS, *MESSAGES])


@ALL
def test_one_field_spoils_one_record(name: str, bus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS", "true")
    seen: list[Any] = []
    rule = {"id": "a", "flavor": task, "event_type": lambda uow: True, "execute": lambda uow: seen.append(uow["event"])}
    handlers = {source: stream_handler([rule], source) for source in (*dict(INVOCATIONS.values()), from_event)}

    for source, event in invocations(name):
        for handler in (handlers[source], handlers[from_event]):
            seen.clear()
            bus.events.clear()
            before = copy.deepcopy(event)
            try:
                response = handler(event, None)
            except UnsupportedEvent:
                continue
            assert event == before
            left = response.get("batchItemFailures")
            assert not left, (event, left)
            faults = bus.of_type("fault")
            assert len(seen) + len(faults) >= len(event.get("Records") or event.get("records") or [event]), event
            assert all(codec.decode(codec.encode(fault)) for fault in faults)
            if len(event.get("Records") or event.get("records") or ()) == 3:
                assert len(seen) >= 2, event


@ALL
def test_what_cannot_be_named_fails_the_invocation(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(uow: Any) -> None:
        raise TransientError("later")

    rule = {"id": "a", "flavor": task, "event_type": lambda uow: True, "execute": fail}
    handlers = {source: stream_handler([rule], source) for source in dict(INVOCATIONS.values())}
    monkeypatch.setattr("stream_runtime.pipelines.pipeline.publish_faults", lambda run, options: None)

    for source, event in invocations(name):
        try:
            response = handlers[source](event, None)
        except (UnfinishedBatch, UnsupportedEvent):
            continue
        named = [each["itemIdentifier"] for each in response["batchItemFailures"]]
        assert all(isinstance(identifier, str) and identifier for identifier in named), event
        if "sqs" in name or name == "fifo":
            assert len(named) >= 2, event
        else:
            assert len(named) == (1 if len(event.get("Records", ())) == 3 else 0), event
