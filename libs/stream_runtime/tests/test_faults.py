"""Fault events: their ids, what they hold, and how they are cut to fit."""

import json
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from stream_runtime import DEFAULT_OPTIONS, StreamPipeline, initialize_from
from stream_runtime.engine.run import Fault
from stream_runtime.events import from_kinesis, from_sqs, to_kinesis_records, to_sqs_records
from stream_runtime.faults import distinguished, fault_event, faulty, throw_fault
from stream_runtime.flavors import materialize, task
from stream_runtime.payload import codec


def a_fault(error: Exception | None = None, **uow: Any) -> Fault:
    record = {"eventID": "shard:1", "kinesis": {"sequenceNumber": "1", "data": "e30="}}
    return Fault(error or ValueError("bad"), {"pipeline": "a", "record": record, "event": {"id": "e1"}, **uow}, [0])


def size_of(event: Any) -> int:
    return len(json.dumps(event, ensure_ascii=False).encode())


def test_a_fault_names_the_pipeline_the_error_and_the_record() -> None:
    fault = a_fault()

    event = fault_event(fault)

    assert event["id"] == "e1.a.fault"
    assert event["type"] == "fault"
    assert event["partition_key"] == "e1"
    assert event["tags"]["pipeline"] == "a"
    assert (event["err"]["name"], event["err"]["message"]) == ("ValueError", "bad")
    assert event["uow"] == {"pipeline": "a", "record": fault.uow["record"], "event": {"id": "e1"}}


def test_the_stack_of_a_fault_shows_where_it_was_raised() -> None:
    def where_it_was_raised() -> None:
        raise ValueError("bad")

    with pytest.raises(ValueError, match="bad") as raised:
        where_it_was_raised()

    assert "where_it_was_raised" in fault_event(a_fault(raised.value))["err"]["stack"]


def test_a_record_without_an_event_gives_the_id() -> None:
    assert fault_event(a_fault(event={"id": None}))["id"] == "shard:1.a.fault"


def test_the_fault_of_a_record_without_an_id_is_identified_by_its_content() -> None:
    one, same, other = (
        fault_event(a_fault(event=None, record={"Sns": {"Message": text}}))["id"] for text in ("x", "x", "y")
    )

    assert one == same != other


def test_a_fault_of_several_records_holds_all_of_them() -> None:
    uow = a_fault().uow

    event = fault_event(Fault(ValueError("bad"), {"batch": [uow, {"batch": [uow]}]}, [0, 1]))

    assert [single["event"]["id"] for single in event["uow"]["batch"]] == ["e1", "e1"]


def test_a_fault_encodes_values_of_any_type() -> None:
    event = {
        "id": "e1",
        "number": Decimal("1.5"),
        "set": {"b", "a"},
        "when": datetime(2026, 1, 1),
        "object": object(),
        "function": len,
        "nan": float("nan"),
        "huge": 1 << 80,
        1: "number as name",
    }

    written = fault_event(a_fault(event=event))["uow"]["event"]

    assert written["number"] == 1.5
    assert written["set"] == ["a", "b"]
    assert written["when"].startswith("2026-01-01")
    assert written["object"].startswith("<object object")
    assert "function" not in written
    assert written["1"] == "number as name"


def test_a_large_event_is_left_out_since_the_record_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_REQUEST_SIZE", "20000")

    event = fault_event(a_fault(event={"id": "e1", "text": "x" * 18_000}))

    assert "event" not in event["uow"]
    assert event["uow"]["record"]["kinesis"]["data"] == "e30="


def test_a_trimmed_fault_keeps_the_sequence_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_REQUEST_SIZE", "20000")
    record = {"eventID": "shard:1", "eventSourceARN": "arn", "kinesis": {"sequenceNumber": "1", "data": "x" * 99_000}}

    event = fault_event(a_fault(record=record))

    assert event["uow"]["trimmed"] is True
    assert event["uow"]["record"] == {"eventID": "shard:1", "eventSourceARN": "arn", "identifier": "1"}


@pytest.mark.parametrize("limit", [4096, 20_000])
def test_a_fault_is_trimmed_until_it_fits_into_an_entry(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setenv("MAX_REQUEST_SIZE", str(limit))
    uow = {**a_fault().uow, "event": {"id": "e" * 400, "text": "ü" * 100_000}}

    event = fault_event(Fault(ValueError("ü" * 100_000), {"batch": [uow] * 100}, list(range(100))))

    assert size_of(event) < limit


def nested(depth: int) -> Any:
    value: Any = "deep"
    for _ in range(depth):
        value = [value]
    return value


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no message")


@pytest.mark.parametrize(
    ("error", "event"),
    [
        (ValueError("bad"), {"id": "e1", "deep": nested(900)}),
        (ValueError("lone surrogate \ud800"), {"id": "e1"}),
        (ValueError("bad"), {"id": "e1", "text": "lone surrogate \ud800"}),
        (Unspeakable(), {"id": "e1"}),
    ],
)
def test_a_fault_of_any_value_is_published(error: Exception, event: Any, bus: Any) -> None:
    def execute(uow: Any) -> None:
        raise error

    rules = [{"id": "a", "flavor": task, "event_type": "x", "execute": execute}]
    record = {"eventID": "1", "kinesis": {"sequenceNumber": "1", "partitionKey": "k", "data": ""}}

    response = StreamPipeline(initialize_from(rules), DEFAULT_OPTIONS).assemble(
        [{"record": record, "event": {**event, "type": "x"}}]
    )

    assert response == {"batchItemFailures": []}
    assert [fault["id"] for fault in bus.events] == ["e1.a.fault"]


def test_an_event_that_contains_itself_is_a_fault_with_its_record(bus: Any) -> None:
    event: dict[str, Any] = {"id": "e1", "type": "x"}
    event["self"] = event

    assert fault_event(a_fault(event=event))["uow"]["record"]["eventID"] == "shard:1"


def test_faults_of_the_parts_of_one_record_have_ids_of_their_own(bus: Any) -> None:
    def to_update_request(uow: Any) -> Any:
        raise ValueError("bad part")

    rules = [
        {
            "id": "a",
            "flavor": materialize,
            "event_type": "x",
            "split_on": "event.parts",
            "to_update_request": to_update_request,
        }
    ]
    batch = to_kinesis_records([{"id": "e1", "type": "x", "timestamp": 1, "parts": [1, 2]}])

    def published() -> set[str]:
        bus.events.clear()
        StreamPipeline(initialize_from(rules), DEFAULT_OPTIONS).assemble(from_kinesis(batch))
        return {fault["id"] for fault in bus.events}

    first, second = published(), published()

    assert len(first) == 2
    assert first == second


def test_the_fault_of_a_part_has_the_same_id_whatever_else_failed(bus: Any) -> None:
    def published(*bad: int) -> set[str]:
        def to_update_request(uow: Any) -> None:
            if uow["split"] in bad:
                raise ValueError(f"bad {uow['split']}")

        rule = {
            "id": "a",
            "flavor": materialize,
            "event_type": "x",
            "split_on": "event.parts",
            "to_update_request": to_update_request,
        }
        batch = to_kinesis_records([{"id": "e1", "type": "x", "timestamp": 1, "parts": [1, 2]}])
        bus.events.clear()
        StreamPipeline(initialize_from([rule]), DEFAULT_OPTIONS).assemble(from_kinesis(batch))
        return {fault["id"] for fault in bus.events}

    assert published(1) | published(2) == published(1, 2)


def test_ids_of_faults_that_are_alone_stay_as_they_are() -> None:
    one = fault_event(a_fault())
    other = fault_event(a_fault(event={"id": "e2"}))

    assert [event["id"] for event in distinguished([one, other])] == ["e1.a.fault", "e2.a.fault"]


def test_only_faults_that_share_an_id_are_compared_by_content(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = fault_event(a_fault(event={"id": "e2"}))
    one, other = fault_event(a_fault(ValueError("one"))), fault_event(a_fault(ValueError("other")))
    written: list[Any] = []

    def canonical(value: Any) -> str:
        written.append(value)
        return repr(value)

    monkeypatch.setattr(codec, "canonical", canonical)

    ids = [event["id"] for event in distinguished([one, alone, other])]

    assert [message for message, _ in written] == ["one", "other"]
    assert (len(set(ids)), ids[1]) == (3, "e2.a.fault")


@pytest.mark.parametrize("to_records", [to_kinesis_records, to_sqs_records])
def test_an_event_that_was_delivered_twice_has_one_fault_whatever_batches_it_comes_in(
    bus: Any, to_records: Callable[..., Any]
) -> None:
    event = {"id": "e1", "type": "x", "timestamp": 1}
    resubmitted = dict(reversed(event.items()))
    rule = {"id": "a", "flavor": materialize, "event_type": "x", "to_update_request": faulty(lambda uow: uow["absent"])}
    source = from_kinesis if to_records is to_kinesis_records else from_sqs

    StreamPipeline(initialize_from([rule]), DEFAULT_OPTIONS).assemble(source(to_records([event, resubmitted])))

    assert [fault["id"] for fault in bus.events] == ["e1.a.fault", "e1.a.fault"]


def test_faulty_passes_on_arguments_and_result() -> None:
    assert faulty(lambda uow, rule, *, more: (uow, rule, more))("uow", "rule", more="more") == ("uow", "rule", "more")


def test_throw_fault_raises_the_error_with_its_unit_of_work() -> None:
    with pytest.raises(ValueError, match="bad") as raised:
        throw_fault({"event": {"id": "e1"}})(ValueError("bad"))

    assert raised.value.uow == {"event": {"id": "e1"}}  # type: ignore[attr-defined]
