"""materialize, cdc and task: views of other services' data, changes of rows, and tasks."""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from reactivex import operators as ops
from stream_runtime.events import from_dynamodb, to_dynamodb_records
from stream_runtime.expressions import timestamp_condition, update_expression
from stream_runtime.flavors import cdc, materialize, task

THING = {"id": "e1", "type": "thing-created", "timestamp": 5, "partition_key": "t1", "thing": {"id": "t1", "n": 1}}
TASK = {"id": "t", "flavor": task, "event_type": "thing-created"}


def to_thing(uow: Any) -> dict[str, Any]:
    return {
        "Key": {"pk": uow["event"]["thing"]["id"], "sk": "thing"},
        **update_expression({"n": uow["event"]["thing"]["n"], "timestamp": uow["event"]["timestamp"]}),
        **timestamp_condition(),
    }


MATERIALIZE = {"id": "m", "flavor": materialize, "event_type": "thing-created", "to_update_request": to_thing}


def test_a_view_has_the_data_of_the_event(table: Any, run: Callable[..., Any]) -> None:
    run(MATERIALIZE, THING)
    assert table.scan()["Items"] == [{"pk": "t1", "sk": "thing", "n": 1, "timestamp": 5}]


def test_a_stale_event_changes_nothing(table: Any, run: Callable[..., Any]) -> None:
    run(MATERIALIZE, THING, {**THING, "id": "e0", "timestamp": 4, "thing": {"id": "t1", "n": 0}})
    assert table.scan()["Items"][0]["n"] == 1


def test_one_event_may_change_several_rows(table: Any, run: Callable[..., Any]) -> None:
    rule = {
        **MATERIALIZE,
        "split_on": "event.parts",
        "split_target_field": "part",
        "to_update_request": lambda uow: {"Key": {"pk": uow["part"], "sk": "x"}, **update_expression({"n": 1})},
    }
    run(rule, {**THING, "parts": ["a", "b"]})
    assert sorted(row["pk"] for row in table.scan()["Items"]) == ["a", "b"]


def test_events_of_the_service_itself_are_left_out(
    table: Any, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVICE", "things")
    run(MATERIALIZE, {**THING, "tags": {"source": "things"}})
    assert table.scan()["Items"] == []


def change(new: dict[str, Any]) -> Any:
    row = {"pk": "t1", "sk": "thing", "timestamp": 5, **new}
    return from_dynamodb(to_dynamodb_records([{"keys": {"pk": "t1", "sk": "thing"}, "newImage": row}]))


SUBMITTED = {
    "id": "c",
    "flavor": cdc,
    "event_type": re.compile("^thing-"),
    "to_event": lambda uow: {"type": "thing-submitted", "thing": {"n": uow["event"]["raw"]["new"]["n"]}},
}


def test_a_change_is_published_with_what_the_rule_adds_and_with_the_images(run: Callable[..., Any], bus: Any) -> None:
    run(SUBMITTED, uows=change({"n": 1, "price": Decimal("1.5"), "colours": {"red"}, "data": b"\x00"}))
    (event,) = bus.events
    assert (event["type"], event["thing"], event["timestamp"], event["partition_key"]) == (
        "thing-submitted",
        {"n": 1},
        5,
        "t1",
    )
    row = {"pk": "t1", "sk": "thing", "timestamp": 5, "n": 1, "price": 1.5, "colours": ["red"], "data": "AA=="}
    assert event["raw"] == {"new": row, "old": None}


@pytest.mark.parametrize(("include_raw", "published"), [(None, True), (True, True), (False, False)])
def test_the_images_are_left_out_only_if_the_rule_says_so(
    include_raw: bool | None, published: bool, run: Callable[..., Any], bus: Any
) -> None:
    run({**SUBMITTED, "include_raw": include_raw}, uows=change({"n": 1}))
    (event,) = bus.events
    assert ("raw" in event) is published
    assert event["thing"] == {"n": 1}


def test_what_a_listener_wrote_is_not_published_again(run: Callable[..., Any], bus: Any) -> None:
    run({"id": "c", "flavor": cdc, "event_type": "thing-created"}, uows=change({"latched": True}))
    assert bus.events == []


def test_of_several_changes_of_a_row_only_the_last_is_published_if_the_rule_says_so(
    run: Callable[..., Any], bus: Any
) -> None:
    changes = [
        {"keys": {"pk": "t1", "sk": "thing"}, "newImage": {"pk": "t1", "sk": "thing", "timestamp": n}} for n in (1, 2)
    ]
    rule = {"id": "c", "flavor": cdc, "event_type": "thing-created", "compact": True}
    run(rule, uows=from_dynamodb(to_dynamodb_records(changes)))
    assert [event["timestamp"] for event in bus.events] == [2]


def test_the_result_of_a_task_is_in_the_unit_of_work(run: Callable[..., Any]) -> None:
    assert run({**TASK, "execute": lambda uow, rule: rule["id"]}, THING)[0]["result"] == "t"
    assert run({**TASK, "execute": lambda uow: 1, "result_key": "one"}, THING)[0]["one"] == 1


def test_a_task_may_be_made_of_operators(run: Callable[..., Any]) -> None:
    rule = {**TASK, "execute_operators": lambda rule: ops.map(lambda uow: {**uow, "mapped": True})}
    assert run(rule, THING)[0]["mapped"] is True


@pytest.mark.parametrize(
    "emit",
    ["done", ["done"], lambda uow, rule, template: {**template, "type": "done"}],
    ids=["type", "types", "callable"],
)
def test_an_event_follows_from_a_task(run: Callable[..., Any], bus: Any, emit: Any) -> None:
    run({**TASK, "emit": emit}, THING)
    (event,) = bus.of_type("done")
    assert (event["id"], event["partition_key"]) == ("e1.t", "t1")


def test_a_task_may_emit_nothing(run: Callable[..., Any], bus: Any) -> None:
    run({**TASK, "emit": lambda uow, rule, template: None}, THING)
    assert bus.events == []
