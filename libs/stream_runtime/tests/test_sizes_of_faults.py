"""The fault of any record, however large, wide or deep, fits into an entry of PutEvents, and names its record."""

import json
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sample_sizes import sample_of
from stream_runtime import DEFAULT_OPTIONS, StreamPipeline, clients, initialize_from
from stream_runtime.engine.run import Fault
from stream_runtime.events import from_kinesis, from_sqs, to_kinesis_records, to_sqs_records
from stream_runtime.faults import LEAST_BYTES, distinguished, fault_event
from stream_runtime.flavors import task
from stream_runtime.payload.redaction import Redaction

MOST_BYTES = 1024 * 1024

CHARACTERS = st.sampled_from(["x", "ü", "\x01", "\U0001f600", '"', "\\", "\ud800", "\u2028", "[", "="])
LENGTHS = st.sampled_from([0, 1, 9, 200, 1_000, 5_000, 70_000, 400_000])
TEXTS = st.builds(lambda character, length: character * length, CHARACTERS, LENGTHS)
SHAPES = ("kinesis", "dynamodb", "sqs", "sns", "eventbridge", "firehose", "text", "deep")


def record_of(shape: str, number: int, identifier: str, text: str) -> Any:
    if shape == "kinesis":
        return {"eventID": f"s:{identifier}", "kinesis": {"sequenceNumber": identifier, "data": text}}
    if shape == "dynamodb":
        return {"eventID": identifier, "dynamodb": {"SequenceNumber": identifier, "NewImage": {text: {"S": text}}}}
    if shape == "sqs":
        return {"messageId": identifier, "body": text, "eventSourceARN": text, "attributes": {"a": text}}
    if shape == "sns":
        return {"Sns": {"MessageId": identifier, "Message": text}}
    if shape == "firehose":
        return {"recordId": identifier, "data": text}
    if shape == "text":
        return {"id": identifier, "n": number, text: text}
    if shape == "deep":
        deep: Any = text
        for _ in range(1_500):
            deep = [deep]
        return {"eventID": identifier, "kinesis": {"sequenceNumber": identifier, "data": deep}}
    return {"id": identifier, "detail-type": text, "source": text, "detail": {"a": [text] * 3}, "time": text}


def entry_size(event: Any, source: str = "custom") -> int:
    """Bytes of an entry as EventBridge counts them, with time and resources, which the runtime does not send.

    Source: EventBridge user guide, "Calculating PutEvents event entry size".
    """
    detail = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return 14 + len(source.encode()) + len(b"fault") + len(detail.encode())


def identifiers_in(fault: Any) -> set[str]:
    """What a fault calls its records, wherever it does."""
    uow = fault["uow"]
    found = set(uow.get("identifiers", ()))
    for single in uow.get("batch") or [uow]:
        record = single["record"]
        inner = (
            (record.get("kinesis") or {}).get("sequenceNumber"),
            (record.get("dynamodb") or {}).get("SequenceNumber"),
        )
        own = (record.get(name) for name in ("identifier", "messageId", "recordId", "id"))
        found |= {str(each) for each in (*own, (record.get("Sns") or {}).get("MessageId"), *inner) if each}
    return found


def check(shape: str, count: int, wide: str, text: str, message: str, event_id: str, limit: int, redact: bool) -> None:
    """Make the fault of some records that failed together, and look at its size and at what it names."""
    text, wide, event_id = (each[: 600_000 // count] for each in (text, wide, event_id))  # an invocation has 6 MB
    count = min(count, 2) if shape == "deep" else count
    singles = []
    for n in range(count):
        record = record_of(shape, n, f"{n:020}{wide}", text)
        event = {"id": f"{event_id}{n}", "type": "x", "partition_key": text, "password": "opensesame-42", "text": text}
        singles.append({"pipeline": "r", "record": record, "event": event, "split": text, "key": text})
    uow = singles[0] if count == 1 else {"pipeline": "r", "batch": singles}

    fault = fault_event(Fault(ValueError(message), uow, [0]), limit, Redaction(["password"]) if redact else None)

    assert entry_size(fault) < max(limit, LEAST_BYTES)
    assert fault["type"] == "fault"
    assert any(each.startswith(f"{0:020}") for each in identifiers_in(fault))
    if redact:
        assert "opensesame" not in json.dumps(fault)
    assert len({each["id"] for each in distinguished([fault, fault])}) == 1


# Each character and each limit once for each shape; the other pairs of them show more of the same.
@pytest.mark.parametrize(
    ("character", "limit"),
    [
        pytest.param(character, limit, marks=() if number == place else pytest.mark.thorough)
        for number, character in enumerate(["x", "\x01", "\U0001f600"])
        for place, limit in enumerate([LEAST_BYTES, 20_000, MOST_BYTES])
    ],
)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_fault_of_a_record_that_is_wide_everywhere_is_below_the_limit(
    shape: str, character: str, limit: int
) -> None:
    for count, length in ((1, 5_000), (500, 250)):
        wide = character * length
        check(shape, count, wide, wide, wide, wide, limit, redact=False)


@settings(max_examples=sample_of(30), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    shape=st.sampled_from(SHAPES),
    count=st.sampled_from([1, 1, 2, 10, 500]),
    wide=st.one_of(st.just(""), CHARACTERS, TEXTS),
    text=TEXTS,
    message=TEXTS,
    event_id=st.one_of(st.just("e"), TEXTS),
    limit=st.sampled_from([1, LEAST_BYTES, 20_000, 256 * 1024, MOST_BYTES]),
    redact=st.booleans(),
)
def test_the_entry_of_a_fault_is_below_the_limit_and_names_its_record(**given: Any) -> None:
    check(**given)


@pytest.mark.parametrize("text", ["x" * 900, "\x01" * 900, "ü" * 900])
def test_a_fault_of_500_records_names_all_of_them_at_the_limit_of_eventbridge(text: str) -> None:
    numbers = [f"4959033827149025660855969253836157109592157598913{n:07}" for n in range(500)]
    singles = [
        {"record": {"eventID": text, "eventSourceARN": text, "kinesis": {"sequenceNumber": number, "data": text * 9}}}
        for number in numbers
    ]

    fault = fault_event(Fault(ValueError("bad"), {"batch": singles}, [0]))

    assert entry_size(fault) < MOST_BYTES
    assert identifiers_in(fault) == set(numbers)


class Bus:
    """EventBridge, which refuses what is too large."""

    def __init__(self) -> None:
        self.faults: list[Any] = []

    def put_events(self, Entries: list[Any]) -> dict[str, Any]:
        """Accept the entries."""
        sizes = [len((each["Source"] + each["DetailType"] + each["Detail"]).encode()) for each in Entries]
        assert sum(sizes) <= MOST_BYTES
        self.faults += [json.loads(each["Detail"]) for each in Entries]
        return {"FailedEntryCount": 0, "Entries": [{"EventId": "1"} for _ in Entries]}


@pytest.mark.parametrize("threshold", [None, "1"])
@pytest.mark.parametrize("length", [100, 700_000, 1_035_000, 1_041_000, 3_000_000])
def test_a_fault_reaches_the_bus_whatever_is_compressed(
    length: int, threshold: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if threshold:
        monkeypatch.setenv("COMPRESSION_THRESHOLD", threshold)
    bus = Bus()
    clients.use("events", bus)
    noise = random.Random(0).randbytes(length)  # cannot be compressed
    batch = to_kinesis_records([noise])
    pipeline = StreamPipeline(initialize_from([{"id": "r", "flavor": task, "event_type": "x"}]), DEFAULT_OPTIONS)

    assert pipeline.assemble(from_kinesis(batch)) == {"batchItemFailures": []}
    assert len(bus.faults) == 1


def test_500_messages_that_fail_one_by_one_have_a_fault_each() -> None:
    bus = Bus()
    clients.use("events", bus)

    def fails(uow: Any) -> None:
        raise ValueError("\x01" * 5_000)

    rules = [{"id": "r", "flavor": task, "event_type": "x", "execute": fails}]
    batch = to_sqs_records([{"id": f"e{n}", "type": "x", "text": "ü" * 300} for n in range(500)])
    response = StreamPipeline(initialize_from(rules), DEFAULT_OPTIONS).assemble(from_sqs(batch))

    assert response == {"batchItemFailures": []}
    assert {fault["uow"]["record"]["messageId"] for fault in bus.faults} == {
        record["messageId"] for record in batch["Records"]
    }
