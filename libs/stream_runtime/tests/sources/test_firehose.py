"""Transformation functions of Firehose: what each record's answer is."""

import json
from base64 import b64decode
from typing import Any

import pytest
from stream_runtime import UnfinishedBatch, UnsupportedEvent, stream_handler
from stream_runtime.events import from_firehose, to_eventbridge_event, to_firehose_records
from stream_runtime.flavors import task, transform

THING = {"id": "e1", "type": "thing-created", "timestamp": 1, "partition_key": "t1", "thing": {"name": "one"}}
TO_NAME = {
    "id": "name",
    "flavor": transform,
    "event_type": "thing-created",
    "to_data": lambda uow: uow["event"]["thing"],
}


def answers(rules: list[Any], *events: Any) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = stream_handler(rules, from_firehose)(to_firehose_records(events), None)["records"]
    return records


def test_the_rule_s_data_is_delivered_as_a_line_of_json() -> None:
    (answer,) = answers([TO_NAME], THING)
    assert answer["result"] == "Ok"
    assert b64decode(answer["data"]) == b'{"name":"one"}\n'


def test_every_record_is_answered_in_order_with_its_id() -> None:
    batch = to_firehose_records([THING, THING, THING])
    response = stream_handler([TO_NAME], from_firehose)(batch, None)
    assert [answer["recordId"] for answer in response["records"]] == [record["recordId"] for record in batch["records"]]


def test_a_record_of_which_the_rule_makes_none_is_dropped() -> None:
    (answer,) = answers([{**TO_NAME, "to_data": lambda uow: None}], THING)
    assert answer["result"] == "Dropped"


def test_a_record_that_no_rule_wants_is_delivered_as_it_came() -> None:
    (answer,) = answers([TO_NAME], {**THING, "type": "other"})
    assert answer["result"] == "Ok"
    assert json.loads(b64decode(answer["data"]))["type"] == "other"


def test_a_record_that_fails_is_processing_failed_and_a_fault(bus: Any) -> None:
    rule = {**TO_NAME, "to_data": lambda uow: uow["event"]["thing"]["name"]}
    good, bad = answers([rule], THING, {**THING, "id": "e2", "thing": {}})
    assert (good["result"], bad["result"]) == ("Ok", "ProcessingFailed")
    assert [fault["uow"]["event"]["id"] for fault in bus.of_type("fault")] == ["e2"]


def test_data_that_is_not_json_is_processing_failed_and_returned_unchanged(bus: Any) -> None:
    batch = to_firehose_records([b"not json"])
    response = stream_handler([TO_NAME], from_firehose)(batch, None)
    assert response["records"] == [
        {
            "recordId": batch["records"][0]["recordId"],
            "result": "ProcessingFailed",
            "data": batch["records"][0]["data"],
        }
    ]


def test_the_data_of_several_rules_stands_one_after_the_other_in_the_order_of_the_rules() -> None:
    rules = [{**TO_NAME, "id": name, "to_data": lambda uow, rule: f"{rule['id']}\n"} for name in ("first", "second")]
    (answer,) = answers(rules, THING)
    assert b64decode(answer["data"]) == b"first\nsecond\n"


def test_partition_keys_are_handed_to_firehose() -> None:
    (answer,) = answers([{**TO_NAME, "to_partition_keys": lambda uow: {"kind": "thing"}}], THING)
    assert answer["metadata"] == {"partitionKeys": {"kind": "thing"}}


def test_a_transient_failure_makes_firehose_invoke_again() -> None:
    def fail(uow: Any) -> None:
        raise TimeoutError

    rule = {"id": "t", "flavor": task, "event_type": "thing-created", "execute": fail}
    with pytest.raises(UnfinishedBatch):
        answers([TO_NAME, rule], THING)


def test_an_eventbridge_event_in_a_record_is_its_detail() -> None:
    (answer,) = answers([TO_NAME], to_eventbridge_event(THING))
    assert b64decode(answer["data"]) == b'{"name":"one"}\n'


def test_an_invocation_that_is_no_transformation_is_refused() -> None:
    with pytest.raises(UnsupportedEvent, match="Records"):
        from_firehose({"Records": []})
