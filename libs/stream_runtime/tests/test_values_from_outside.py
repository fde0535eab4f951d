"""Rules compare, sort, group and key by values from outside. A bad one is the fault of its record alone."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from stream_runtime import DEFAULT_OPTIONS, StreamPipeline, clients, initialize_from
from stream_runtime.events import from_eventbridge, to_eventbridge_event, to_kinesis_records
from stream_runtime.flavors import collect, elasticsearch, sqs, task
from stream_runtime.flavors.evaluate import newest_first
from stream_runtime.operators import compose, rx_effect, rx_map

GOOD = 1_700_000_000_000
BAD_TIMESTAMPS = [
    *("text", "", "1700000000000", [], {}, [1], {"ms": 1}, True, False, None),
    *(float("nan"), float("inf"), -float("inf"), 10**400, 1e300, 1 << 60, -(10**18)),
]
BAD_KEYS = [{"a": 1}, {}, ["a"], [], [["a"]], {"a": {"b": []}}]


def event(number: int, key: Any = "k", **fields: Any) -> dict[str, Any]:
    whole = {"id": f"e{number}", "type": "x", "timestamp": GOOD + number, "partition_key": key, **fields}
    return {name: value for name, value in whole.items() if value != "missing"}


def uows(*events: Mapping[str, Any]) -> Any:
    """Units of work of a stream, with values that JSON has no text for, too."""
    records = to_kinesis_records([{}] * len(events))["Records"]
    return [{"record": record, "event": event} for record, event in zip(records, events, strict=True)]


def run(rule: Any, source: Any, bus: Any) -> tuple[list[Any], list[Any]]:
    """Which events went through a rule, and which have a fault."""
    out: list[Any] = []
    pipeline = StreamPipeline(initialize_from([{"id": "r", "event_type": "x", **rule}]), DEFAULT_OPTIONS)
    response = pipeline.assemble(source, on_next=lambda _, uow: out.append(uow))
    assert response == {"batchItemFailures": []}
    faults = bus.of_type("fault")
    assert all(each["uow"]["record"] for each in faults)
    return [uow["event"]["id"] for uow in out], [each["uow"]["event"]["id"] for each in faults]


def nothing(uow: Any) -> None:
    """A rule's work."""


@pytest.mark.parametrize("timestamp", [*BAD_TIMESTAMPS, "missing"], ids=str)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_compact_takes_a_bad_timestamp_for_a_fault_of_its_record(timestamp: Any, place: int, bus: Any) -> None:
    events = [event(0), event(1), event(2)]
    events[place] = event(place, timestamp=timestamp)

    done, faults = run({"flavor": task, "execute": nothing, "compact": True}, uows(*events), bus)

    assert done == [max(each["id"] for each in events if each is not events[place])]
    assert faults == [f"e{place}"]


@pytest.mark.parametrize("timestamp", [0, -1, GOOD + 0.5, 253_402_300_799_999, -62_135_596_800_000])
def test_compact_takes_any_time_that_there_is(timestamp: Any, bus: Any) -> None:
    done, faults = run(
        {"flavor": task, "execute": nothing, "compact": True}, uows(event(0, timestamp=timestamp), event(1)), bus
    )

    assert (len(done), faults) == (1, [])


@pytest.mark.parametrize("key", BAD_KEYS[:1] + BAD_KEYS[2:3] + BAD_KEYS[4:], ids=str)
@pytest.mark.parametrize("field", ["compact", "group"])
@pytest.mark.parametrize("path", [True, "event.partition_key"])
def test_a_key_that_is_no_text_and_no_number_is_a_fault_of_its_record(
    key: Any, field: str, path: Any, bus: Any
) -> None:
    rule = {"flavor": task, "execute": nothing, field: path}

    done, faults = run(rule, uows(event(0), event(1, key), event(2, "other")), bus)

    assert (done, faults) == (["e0", "e2"], ["e1"])


@pytest.mark.parametrize("key", BAD_KEYS, ids=str)
def test_a_key_of_a_rules_own_function_is_a_fault_of_its_record(key: Any, bus: Any) -> None:
    rule = {"flavor": task, "execute": nothing, "group": lambda uow: uow["event"]["by"]}

    done, faults = run(rule, uows(event(0, by="a"), event(1, by=key), event(2, by="b")), bus)

    assert (done, faults) == (["e0", "e2"], ["e1"])


@pytest.mark.parametrize("key", [1, 1.5, 0, "1", True], ids=repr)
def test_numbers_are_keys(key: Any, bus: Any) -> None:
    done, faults = run({"flavor": task, "execute": nothing, "group": "event.by"}, uows(event(0, by=key), event(1)), bus)

    assert (len(done), faults) == (2, [])


@pytest.mark.parametrize("key", BAD_KEYS, ids=str)
def test_the_order_of_parallel_calls_does_not_depend_on_a_bad_key(key: Any, bus: Any) -> None:
    rule = {"flavor": task, "execute": nothing, "parallel": 4, "rate": 100_000}

    done, faults = run(rule, [{"record": {"id": "r"}, "event": event(0, key)}], bus)

    assert (done, faults) == (["e0"], [])


def test_an_order_key_that_cannot_be_one_is_a_fault_of_its_record(bus: Any) -> None:
    def flavor(rule: Any) -> Any:
        return compose(
            rx_map(lambda uow: {**uow, "order_key": uow["event"]["partition_key"]}),
            rx_effect(lambda uow: uow, parallel=2),
        )

    done, faults = run({"flavor": flavor}, uows(event(0), event(1, {"a": 1}), event(2)), bus)

    assert (done, faults) == (["e0", "e2"], ["e1"])


@pytest.mark.parametrize("key", BAD_KEYS, ids=str)
def test_a_correlation_key_that_is_no_text_and_no_number_is_a_fault_of_its_record(key: Any, bus: Any) -> None:
    stored: list[Any] = []
    clients.use("dynamodb", Tables(stored))

    rule = {"flavor": collect, "table_name": "t", "correlation_key": "thing.id"}
    done, faults = run(rule, uows(*(event(n, thing={"id": k}) for n, k in enumerate(("a", key, 5)))), bus)

    assert (done, faults) == (["e0", "e2"], ["e1"])
    assert [item["data"] for item in stored] == [{"S": "a"}, {"S": "5"}]


class Tables:
    """DynamoDB, of which only the items of BatchWriteItem are seen."""

    def __init__(self, stored: list[Any]) -> None:
        self.stored = stored

    def batch_write_item(self, RequestItems: Any) -> dict[str, Any]:
        """Keep the items."""
        self.stored += [each["PutRequest"]["Item"] for requests in RequestItems.values() for each in requests]
        return {}

    def query(self, **_: Any) -> dict[str, Any]:
        """Nothing found."""
        return {"Items": self.stored}


@pytest.mark.parametrize("timestamp", [*BAD_TIMESTAMPS, "missing"], ids=str)
def test_the_time_to_live_of_a_bad_timestamp_is_a_fault_of_its_record(timestamp: Any, bus: Any) -> None:
    stored: list[Any] = []
    clients.use("dynamodb", Tables(stored))

    done, faults = run(
        {"flavor": collect, "table_name": "t"}, uows(event(0), event(1, timestamp=timestamp), event(2)), bus
    )

    assert (done, faults) == (["e0", "e2"], ["e1"])
    assert [item["ttl"]["N"].isdecimal() for item in stored] == [True, True]


@pytest.mark.parametrize("timestamp", BAD_TIMESTAMPS[:-1], ids=str)
def test_a_bad_timestamp_among_correlated_events_is_no_fault_of_the_others(timestamp: Any, bus: Any) -> None:
    """Its own collection was a fault; a row that came there in another way counts as the oldest."""
    rows = [{"discriminator": "CORREL", "event": event(n, timestamp=t)} for n, t in enumerate((GOOD, timestamp, 5))]

    found = newest_first({"correlated": rows, "meta": {"ttl": None}})

    assert [each["id"] for each in found["correlated"]] == ["e0", "e2", "e1"]


@pytest.mark.parametrize("timestamp", [each for each in BAD_TIMESTAMPS if each is not None], ids=str)
def test_a_document_has_no_version_of_a_bad_timestamp(timestamp: Any, bus: Any) -> None:
    rule = {"flavor": elasticsearch, "domain_host": "h", "to_elasticsearch": lambda uow: {"index": "i", "id": "1"}}

    done, faults = run(rule, uows(event(1, timestamp=timestamp)), bus)

    assert (done, faults) == ([], ["e1"])


@pytest.mark.parametrize("text", ["\ud800", {"a": "\udfff"}], ids=["text", "json"])
def test_a_message_that_utf_8_cannot_say_is_a_fault_of_its_record(text: Any, bus: Any) -> None:
    sent: list[Any] = []

    class Queue:
        def send_message_batch(self, QueueUrl: str, Entries: list[Any]) -> dict[str, Any]:
            sent.extend(Entries)
            return {"Successful": [{"Id": each["Id"], "MessageId": "m"} for each in Entries]}

    clients.use("sqs", Queue())
    rule = {"flavor": sqs, "queue_url": "q", "to_sqs": lambda uow: {"MessageBody": uow["event"]["text"]}}

    done, faults = run(rule, uows(event(0, text="a"), event(1, text=text), event(2, text="b")), bus)

    assert (done, faults) == (["e0", "e2"], ["e1"])
    assert [each["MessageBody"] for each in sent] == ["a", "b"]


def test_an_id_that_utf_8_cannot_say_has_its_fault(bus: Any) -> None:
    bad = {**uows(event(0))[0], "event": {}, "invalid": ValueError("bad")}
    bad["record"] = {**bad["record"], "eventID": "a\ud800b"}
    pipeline = StreamPipeline(initialize_from([{"id": "r", "flavor": task, "event_type": "x"}]), DEFAULT_OPTIONS)

    assert pipeline.assemble([bad]) == {"batchItemFailures": []}
    assert [each["partition_key"] for each in bus.of_type("fault")] == ["a?b"]


@pytest.mark.parametrize("timestamp", ["text", {"a": 1}, float("inf"), 10**400], ids=str)
def test_the_claim_check_of_a_bad_timestamp_is_a_fault_of_its_record(
    timestamp: Any, bus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAIMCHECK_BUCKET_NAME", "claims")

    class Bucket:
        def put_object(self, **_: Any) -> None:
            """Keep it."""

    clients.use("s3", Bucket())
    emit = {"flavor": task, "emit": lambda uow, rule, template: {**uow["event"], "body": "x" * 2000}}

    _, faults = run({**emit, "max_request_size": 1024}, uows(event(0), event(1, timestamp=timestamp), event(2)), bus)

    assert faults == ["e1"]
    assert [each["id"] for each in bus.of_type("x")] == ["e0", "e2"]


@pytest.mark.parametrize("resources", ["x" * 1_000, {"a": 1}, 5], ids=["text", "object", "number"])
def test_resources_that_are_no_list_are_a_fault_and_no_list_of_characters(resources: Any, bus: Any) -> None:
    envelope = {**to_eventbridge_event({"type": "x"}), "detail": {"a": 1}, "resources": resources}
    pipeline = StreamPipeline(initialize_from([{"id": "r", "flavor": task, "event_type": "x"}]), DEFAULT_OPTIONS)

    assert pipeline.assemble(from_eventbridge(envelope)) == {"batchItemFailures": []}
    assert [each["err"]["name"] for each in bus.of_type("fault")] == ["InvalidRecord"]


@pytest.mark.parametrize(
    "record",
    [
        {"kinesis": "text"},
        {"kinesis": ["data"]},
        {"kinesis": {"approximateArrivalTimestamp": float("inf"), "data": 5}},
        {"kinesis": {"approximateArrivalTimestamp": "7" * 100_000, "data": {"a": 1}}},
        {"dynamodb": "text"},
        {"dynamodb": {"ApproximateCreationDateTime": 10**400, "SizeBytes": "many"}},
        {"messageId": "m", "attributes": {"SentTimestamp": "9" * 5000}, "body": 5},
        {"recordId": "r", "approximateArrivalTimestamp": float("inf"), "data": 7},
        {"Sns": "text"},
        {"Sns": ["Timestamp"]},
        {"Sns": {"Timestamp": 5, "Message": ["a"]}},
        {"eventTime": "0001-01-01T00:00:00+14:00"},
        {"time": {"a": 1}},
        "text",
        5,
        ["kinesis"],
    ],
    ids=str,
)
def test_metrics_are_written_of_any_record(record: Any, monkeypatch: Any, capsys: Any, bus: Any) -> None:
    monkeypatch.setenv("METRICS", "true")
    pipeline = StreamPipeline(initialize_from([{"id": "r", "flavor": task, "event_type": "x"}]), DEFAULT_OPTIONS)

    pipeline.assemble([{"record": record, "event": event(0)}])

    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["Records"] == 1
