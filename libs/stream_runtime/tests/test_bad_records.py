"""Records that no rule can ever read are faults, and the rest of the batch goes on."""

import json
from typing import Any

import pytest
from stream_runtime import DEFAULT_OPTIONS, StreamPipeline, UnsupportedEvent, initialize_from
from stream_runtime.events import (
    from_dynamodb,
    from_kinesis,
    from_sqs,
    to_dynamodb_records,
    to_kinesis_records,
    to_s3_records,
    to_sqs_records,
)
from stream_runtime.flavors import task
from stream_runtime.payload import codec


def process(source: Any) -> tuple[Any, list[str]]:
    seen: list[str] = []
    rules = [{"id": "a", "flavor": task, "event_type": lambda uow: True, "execute": lambda uow: seen.append("seen")}]
    return StreamPipeline(initialize_from(rules), DEFAULT_OPTIONS).assemble(source), seen


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"{no json", "not base64 of JSON"),
        (b"", "not base64 of JSON"),
        (b"\xff\xfe\x00", "not base64 of JSON"),
        (b"[1, 2]", "a JSON list, not an object"),
        (b"null", "a JSON NoneType, not an object"),
        (b'"text"', "a JSON str, not an object"),
        (b"5", "a JSON int, not an object"),
        (b'{"id": "e"}', "no type"),
        (b'{"id": "e", "type": ""}', "no type"),
        (b'{"id": "e", "type": 5}', "no type"),
        (b'{"id": "e", "type": ["x"]}', "no type"),
    ],
)
def test_data_that_is_no_event_is_a_fault(data: bytes, reason: str, bus: Any) -> None:
    batch = to_kinesis_records([{"id": "e0", "type": "x"}, data, {"id": "e2", "type": "x"}])

    response, seen = process(from_kinesis(batch))

    assert (response, seen) == ({"batchItemFailures": []}, ["seen", "seen"])
    (fault,) = bus.events
    assert fault["err"]["name"] == "InvalidRecord"
    assert reason in fault["err"]["message"]
    assert fault["uow"]["record"] == batch["Records"][1]


@pytest.mark.parametrize("decode", [codec.decode_shallow, codec._decode_with_json])
@pytest.mark.parametrize("levels", [200, 60_000])
def test_a_document_with_too_many_levels_is_a_fault(
    decode: Any, levels: int, bus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codec, "decode_shallow", decode)
    deep = '{"id": "e1", "type": "x", "a": ' + "[" * levels + "]" * levels + "}"
    good = {"id": "e0", "type": "x"}

    for source in (from_kinesis(to_kinesis_records([good, deep.encode()])), from_sqs(to_sqs_records([good, deep]))):
        response, seen = process(source)

        assert (response, seen) == ({"batchItemFailures": []}, ["seen"])
    assert ["more than 200 levels" in fault["err"]["message"] for fault in bus.events] == [True, True]


def test_the_fault_of_a_deep_event_can_be_read(bus: Any) -> None:
    def fail(uow: Any) -> None:
        raise ValueError("bad")

    levels: Any = {}
    for _ in range(codec.MOST_LEVELS - 2):
        levels = [levels]
    rules = [{"id": "a", "flavor": task, "event_type": "x", "execute": fail}]
    source = from_kinesis(to_kinesis_records([{"id": "e0", "type": "x", "levels": levels}]))

    assert StreamPipeline(initialize_from(rules), DEFAULT_OPTIONS).assemble(source) == {"batchItemFailures": []}

    (fault,) = bus.of_type("fault")
    assert codec.decode(json.dumps(fault)) == fault
    assert fault["uow"]["record"]["kinesis"]["data"]


def test_a_record_that_is_null_is_a_fault(bus: Any) -> None:
    batch = to_kinesis_records([{"id": "e0", "type": "x"}])

    response, seen = process(from_kinesis({"Records": [None, *batch["Records"], None]}))

    assert (response, seen) == ({"batchItemFailures": []}, ["seen"])
    assert [fault["err"]["name"] for fault in bus.events] == ["InvalidRecord", "InvalidRecord"]


def test_a_notification_with_a_bad_time_is_the_fault_of_its_message(bus: Any) -> None:
    objects = [to_s3_records([{"bucket": {"name": "b"}, "object": {"key": key}}]) for key in "abc"]
    objects[1]["Records"][0]["eventTime"] = "yesterday"

    response, seen = process(from_sqs(to_sqs_records(objects)))

    assert (response, seen) == ({"batchItemFailures": []}, ["seen", "seen"])
    assert [fault["err"]["name"] for fault in bus.events] == ["InvalidRecord"]


@pytest.mark.parametrize(
    "kinesis",
    [{"data": "no base64!"}, {"data": 5}, {"data": None}, {}, None, "text"],
)
def test_a_record_without_readable_data_is_a_fault(kinesis: Any, bus: Any) -> None:
    batch = to_kinesis_records([{"id": "e0", "type": "x"}])
    batch["Records"].append({"eventID": "s:7", "kinesis": kinesis})

    response, seen = process(from_kinesis(batch))

    assert (response, seen) == ({"batchItemFailures": []}, ["seen"])
    assert [fault["err"]["name"] for fault in bus.events] == ["InvalidRecord"]


@pytest.mark.parametrize("record", [{}, {"eventID": "s:7"}, "text", 5, ["list"]])
def test_a_malformed_kinesis_record_is_a_fault(record: Any, bus: Any) -> None:
    response, _ = process(from_kinesis({"Records": [record]}))

    assert response == {"batchItemFailures": []}
    assert [fault["err"]["name"] for fault in bus.events] == ["InvalidRecord"]


def test_an_event_without_an_id_gets_the_records_id() -> None:
    uows = from_kinesis(to_kinesis_records([{"type": "x"}]))

    assert [uow["event"]["id"] for uow in uows] == ["shardId-000000000000:0"]


@pytest.mark.parametrize(
    "change",
    [
        {"keys": {"pk": "1", "sk": "x"}},
        {"keys": {"id": "1"}, "newImage": {"id": "1"}},
        {"keys": {"pk": "1"}, "newImage": {"pk": "1"}},
    ],
    ids=["no images", "other key names", "neither discriminator nor sort key"],
)
def test_a_row_whose_kind_cannot_be_told_is_a_fault(change: Any, bus: Any) -> None:
    response, seen = process(from_dynamodb(to_dynamodb_records([change])))

    assert (response, seen) == ({"batchItemFailures": []}, [])
    assert [fault["err"]["name"] for fault in bus.events] == ["InvalidRecord"]


@pytest.mark.parametrize(
    "dynamodb",
    [None, "text", {"Keys": {"pk": "no attribute value"}}, {"Keys": {"pk": {"S": "1"}}, "NewImage": {"a": {"N": "x"}}}],
)
def test_a_malformed_stream_record_is_a_fault(dynamodb: Any, bus: Any) -> None:
    record = {"eventID": "1", "eventName": "INSERT", "dynamodb": dynamodb}

    response, seen = process(from_dynamodb({"Records": [record]}))

    assert (response, seen) == ({"batchItemFailures": []}, [])
    assert [fault["err"]["name"] for fault in bus.events] == ["InvalidRecord"]


@pytest.mark.parametrize("source", [from_kinesis, from_dynamodb])
@pytest.mark.parametrize("event", [{}, {"Records": "text"}, {"Records": None}, None, [], "text"])
def test_an_invocation_without_records_is_refused(source: Any, event: Any) -> None:
    with pytest.raises(UnsupportedEvent, match="expected a list under 'Records'"):
        source(event)


@pytest.mark.parametrize("freezes", [False, True])
@pytest.mark.parametrize("lacking", [{}, {"event": None}, {"event": [1]}])
def test_a_unit_of_work_without_an_event_is_a_fault_and_the_others_go_on(
    lacking: dict[str, Any], freezes: bool, bus: Any
) -> None:
    seen: list[Any] = []
    rules = [{"id": "a", "flavor": task, "event_type": "thing", "execute": seen.append}]
    records = to_kinesis_records({"id": f"e{n}", "type": "thing"} for n in range(3))["Records"]
    first, second, third = [{"record": each, "event": {"id": "e", "type": "thing"}} for each in records]
    second = {"record": second["record"], **lacking}

    pipeline = StreamPipeline(initialize_from(rules), {**DEFAULT_OPTIONS, "freeze": freezes})

    assert pipeline.assemble([first, second, third]) == {"batchItemFailures": []}
    assert len(seen) == 2
    assert [event["type"] for event in bus.events] == ["fault"]
