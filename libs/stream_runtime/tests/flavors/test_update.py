"""update: rows that are related to an event."""

from collections.abc import Callable
from typing import Any

from stream_runtime.events import from_dynamodb, to_dynamodb_records
from stream_runtime.expressions import timestamp_condition, update_expression
from stream_runtime.flavors import update

RENAMED = {
    "id": "e1",
    "type": "thing-renamed",
    "timestamp": 10,
    "partition_key": "t1",
    "thing": {"id": "t1", "name": "new"},
}


def rule(**fields: Any) -> dict[str, Any]:
    return {"id": "update", "flavor": update, "event_type": "thing-renamed", **fields}


def by_index(uow: Any, rule: Any) -> dict[str, Any]:
    return {
        "IndexName": "DataIndex",
        "KeyConditionExpression": "#data = :data",
        "ExpressionAttributeNames": {"#data": "data"},
        "ExpressionAttributeValues": {":data": uow["event"]["thing"]["id"]},
    }


def name_of_target(uow: Any) -> dict[str, Any]:
    target = uow["target"]
    return {
        "Key": {"pk": target["pk"], "sk": target["sk"]},
        **update_expression({"thing_name": uow["event"]["thing"]["name"]}),
    }


def test_every_row_that_the_query_finds_is_updated(table: Any, run: Callable[..., Any]) -> None:
    for pk in ("a", "b"):
        table.put_item(Item={"pk": pk, "sk": "box", "data": "t1"})
    run(
        rule(
            to_query_request=by_index,
            split_on="query_response",
            split_target_field="target",
            to_update_request=name_of_target,
        ),
        RENAMED,
    )
    assert {row["pk"]: row["thing_name"] for row in table.scan()["Items"]} == {"a": "new", "b": "new"}


def test_a_rule_that_queries_splits_on_what_it_finds(table: Any, run: Callable[..., Any]) -> None:
    table.put_item(Item={"pk": "a", "sk": "box", "data": "t1"})
    run(
        rule(
            to_query_request=by_index,
            to_update_request=lambda uow: name_of_target({**uow, "target": uow["query_response"]}),
        ),
        RENAMED,
    )
    assert table.get_item(Key={"pk": "a", "sk": "box"})["Item"]["thing_name"] == "new"


def test_rows_read_by_key_are_there_for_the_update(table: Any, run: Callable[..., Any]) -> None:
    table.put_item(Item={"pk": "t1", "sk": "thing", "count": 2})

    def to_update_request(uow: Any) -> dict[str, Any]:
        (row,) = uow["batch_get_response"]["Responses"]["entities"]
        return {"Key": {"pk": "t1", "sk": "thing"}, **update_expression({"count": row["count"] + 1})}

    run(
        rule(
            to_get_request=lambda uow, rule: {"Keys": [{"pk": "t1", "sk": "thing"}]},
            to_update_request=to_update_request,
        ),
        RENAMED,
    )
    assert table.get_item(Key={"pk": "t1", "sk": "thing"})["Item"]["count"] == 3


def test_the_fallback_is_made_if_the_condition_does_not_hold(table: Any, run: Callable[..., Any]) -> None:
    table.put_item(Item={"pk": "t1", "sk": "thing", "timestamp": 99})
    key = {"pk": "t1", "sk": "thing"}
    (uow,) = run(
        rule(
            to_update_request=lambda uow: {
                "Key": key,
                **update_expression({"name": "new", "timestamp": 10}),
                **timestamp_condition(),
            },
            to_fallback_update_request=lambda uow: {"Key": key, **update_expression({"late": True})},
        ),
        RENAMED,
    )
    row = table.get_item(Key=key)["Item"]
    assert (row.get("name"), row["late"], row["timestamp"]) == (None, True, 99)
    assert uow["update_response"]["Attributes"]["late"] is True


def test_a_stale_event_without_a_fallback_is_an_outcome(table: Any, run: Callable[..., Any]) -> None:
    table.put_item(Item={"pk": "t1", "sk": "thing", "timestamp": 99})
    (uow,) = run(
        rule(
            to_update_request=lambda uow: {
                "Key": {"pk": "t1", "sk": "thing"},
                **update_expression({"timestamp": 10}),
                **timestamp_condition(),
            }
        ),
        RENAMED,
    )
    assert uow["update_response"] == {}


def test_a_collected_row_stands_for_its_event(table: Any, run: Callable[..., Any]) -> None:
    row = {"pk": "e1", "sk": "EVENT", "discriminator": "EVENT", "data": "t1", "event": RENAMED}
    uows = from_dynamodb(to_dynamodb_records([{"keys": {"pk": "e1", "sk": "EVENT"}, "newImage": row}]))
    run(
        rule(
            to_update_request=lambda uow: {
                "Key": {"pk": "t1", "sk": "x"},
                **update_expression({"n": uow["event"]["id"]}),
            }
        ),
        uows=uows,
    )
    assert table.get_item(Key={"pk": "t1", "sk": "x"})["Item"]["n"] == "e1"
