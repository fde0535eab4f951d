"""update: the fields of aws_lambda_stream's rules. Cases of its flavors/test_update.py, written anew."""

from collections.abc import Callable
from typing import Any

import pytest
from stream_runtime.events import from_dynamodb, to_dynamodb_records
from stream_runtime.expressions import update_expression
from stream_runtime.flavors import update

Run = Callable[..., list[Any]]

SUBMITTED = {
    "id": "e1",
    "type": "thing-submitted",
    "timestamp": 1548967022000,
    "partition_key": "thing-1",
    "thing": {"id": "thing-1", "name": "One"},
}
COLLECTED = {
    "pk": "e1",
    "sk": "EVENT",
    "discriminator": "EVENT",
    "timestamp": SUBMITTED["timestamp"],
    "sequence_number": "0",
    "ttl": 1551818222,
    "data": "thing-1",
    "event": SUBMITTED,
}


def rule(**fields: Any) -> dict[str, Any]:
    return {"id": "r", "flavor": update, "event_type": "thing-submitted", "table_name": "entities", **fields}


def to_query_request(uow: Any, _: Any) -> dict[str, Any]:
    return {
        "IndexName": "DataIndex",
        "KeyConditionExpression": "#data = :data",
        "ExpressionAttributeNames": {"#data": "data"},
        "ExpressionAttributeValues": {":data": uow["event"]["thing"]["id"]},
    }


@pytest.fixture
def boxes(table: Any) -> Any:
    """Two rows that refer to the thing; the second cannot be written under its condition."""
    for pk, locked in (("box-a", False), ("box-b", True)):
        table.put_item(Item={"pk": pk, "sk": "box", "data": "thing-1", "locked": locked})
    return table


def test_a_collected_event_updates_what_its_query_finds_with_a_fallback(boxes: Any, run: Run) -> None:
    """Case: test_update_from_collected_event."""

    def key(uow: Any) -> dict[str, str]:
        return {"pk": uow["query_response"]["pk"], "sk": "box"}

    def to_update_request(uow: Any, _: Any) -> dict[str, Any]:
        (box,) = uow["batch_get_response"]["Responses"]["entities"]
        return {
            "Key": key(uow),
            **update_expression({"last_event_id": uow["event"]["id"], "was": box["locked"], "locked": False}),
            "ConditionExpression": "#locked = :locked",
        }

    def to_fallback_update_request(uow: Any, _: Any) -> dict[str, Any]:
        return {"Key": {"pk": f"{key(uow)['pk']}.fallback", "sk": "box"}, **update_expression({"of": "e1"})}

    uows = run(
        rule(
            to_query_request=to_query_request,
            to_get_request=lambda uow, _: {"RequestItems": {"entities": {"Keys": [key(uow)]}}},
            to_update_request=to_update_request,
            to_fallback_update_request=to_fallback_update_request,
        ),
        uows=from_dynamodb(to_dynamodb_records([{"keys": {"pk": "e1", "sk": "EVENT"}, "newImage": COLLECTED}])),
    )
    assert [uow["event"]["type"] for uow in uows] == ["thing-submitted"] * 2
    assert [uow["update_response"]["Attributes"]["pk"] for uow in uows] == ["box-a", "box-b.fallback"]
    rows = {row["pk"]: row for row in boxes.scan()["Items"]}
    assert (rows["box-a"]["was"], rows["box-b"].get("was"), rows["box-b.fallback"]["of"]) == (False, None, "e1")


def test_without_a_query_the_event_itself_is_written(table: Any, run: Run) -> None:
    """Case: test_update_without_query."""

    def to_update_request(uow: Any, _: Any) -> dict[str, Any]:
        thing = uow["event"]["thing"]
        return {"Key": {"pk": thing["id"], "sk": "thing"}, **update_expression({"name": thing["name"]})}

    (uow,) = run(rule(to_update_request=to_update_request), SUBMITTED)
    assert (uow["update_request"]["Key"]["pk"], uow["update_response"]["Attributes"]["name"]) == ("thing-1", "One")


def test_requests_and_responses_are_in_the_fields_that_the_rule_names(boxes: Any, run: Run) -> None:
    """The seven options that flavors/update.py passes to its operators."""
    fields = {
        "query_request_field": "find",
        "query_response_field": "found",
        "batch_get_request_field": "read",
        "batch_get_response_field": "was_read",
        "update_request_field": "write",
        "update_response_field": "written",
        "fallback_update_request_field": "else_write",
    }

    def to_write(uow: Any, _: Any) -> dict[str, Any]:
        (row,) = uow["was_read"]["Responses"]["entities"]
        change = update_expression({"name": "new", "locked": row["locked"]})
        return {
            "Key": {"pk": uow["found"]["pk"], "sk": "box"},
            **change,
            "ConditionExpression": "attribute_exists(absent)",
        }

    uows = run(
        rule(
            to_query_request=to_query_request,
            to_get_request=lambda uow, _: {"Keys": [{"pk": uow["found"]["pk"], "sk": "box"}]},
            to_update_request=to_write,
            to_fallback_update_request=lambda uow, _: {
                **to_write(uow, _),
                "ConditionExpression": "attribute_exists(pk)",
            },
            **fields,
        ),
        SUBMITTED,
    )
    assert [uow["written"]["Attributes"]["locked"] for uow in uows] == [False, True]
    assert [row["name"] for row in boxes.scan()["Items"]] == ["new", "new"]
    unused = {"query_request", "query_response", "batch_get_request", "batch_get_response", "update_request"}
    assert set(fields.values()) <= set(uows[0])
    assert not (unused | {"update_response", "fallback_update_request"}) & set(uows[0])


@pytest.mark.parametrize(("fields", "target"), [({}, "query_response"), ({"query_response_field": "found"}, "found")])
def test_a_member_of_a_split_without_a_target_is_where_the_query_s_answer_was(
    boxes: Any, run: Run, fields: Any, target: str
) -> None:
    """As in flavors/update.py: ``split_target_field`` is by default ``query_response_field``."""

    def to_update_request(uow: Any) -> dict[str, Any]:
        return {"Key": {"pk": uow[target]["pk"], "sk": "box"}, **update_expression({"name": "new"})}

    run(
        rule(to_query_request=to_query_request, split_on=target, to_update_request=to_update_request, **fields),
        SUBMITTED,
    )
    assert [row["name"] for row in boxes.scan()["Items"]] == ["new", "new"]
