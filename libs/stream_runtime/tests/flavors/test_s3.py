"""s3 and materialize_s3: objects for events."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from stream_runtime import InvalidRule, initialize_from
from stream_runtime.flavors import materialize_s3, s3


def thing(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"e{number}",
        "type": "thing-updated",
        "timestamp": number,
        "partition_key": "t1",
        "thing": {"id": "t1", "version": number},
        **fields,
    }


def contents(bucket: Any) -> dict[str, bytes]:
    return {each.key: each.get()["Body"].read() for each in bucket.objects.all()}


def to_thing(uow: Any) -> dict[str, Any]:
    return {"Key": f"things/{uow['event']['thing']['id']}.json", "Body": uow["event"]["thing"]}


def test_an_object_is_written_as_json(bucket: Any, run: Callable[..., Any]) -> None:
    run({"id": "s", "flavor": s3, "event_type": "thing-updated", "to_s3": to_thing}, thing(1))
    written = bucket.Object("things/t1.json").get()
    assert json.loads(written["Body"].read()) == {"id": "t1", "version": 1}
    assert written["ContentType"] == "application/json"


def test_the_last_of_several_events_of_a_key_wins(bucket: Any, run: Callable[..., Any]) -> None:
    run({"id": "s", "flavor": s3, "event_type": "thing-updated", "to_s3": to_thing}, *map(thing, range(5)))
    assert json.loads(contents(bucket)["things/t1.json"])["version"] == 4


def test_one_event_may_write_several_objects(bucket: Any, run: Callable[..., Any]) -> None:
    rule = {
        "id": "s",
        "flavor": s3,
        "event_type": "thing-updated",
        "split_on": "event.parts",
        "to_s3": lambda uow: {"Key": uow["split"], "Body": b"x"},
    }
    run(rule, thing(1, parts=["a", "b"]))
    assert sorted(contents(bucket)) == ["a", "b"]


def test_a_view_is_put_and_deleted_in_the_order_of_the_stream(bucket: Any, run: Callable[..., Any]) -> None:
    rule = {
        "id": "m",
        "flavor": materialize_s3,
        "event_type": ["thing-updated", "thing-deleted"],
        "to_put_request": lambda uow: to_thing(uow) if uow["event"]["type"] == "thing-updated" else None,
        "to_delete_request": lambda uow: {"Key": "things/t1.json"} if uow["event"]["type"] == "thing-deleted" else None,
    }
    run(rule, thing(1), thing(2, type="thing-deleted"), thing(3))
    assert json.loads(contents(bucket)["things/t1.json"])["version"] == 3
    run(rule, thing(4), thing(5, type="thing-deleted"))
    assert contents(bucket) == {}


def test_events_of_the_service_itself_are_left_out(
    bucket: Any, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVICE", "things")
    rule = {"id": "m", "flavor": materialize_s3, "event_type": "thing-updated", "to_put_request": to_thing}
    run(rule, thing(1, tags={"source": "things"}))
    assert contents(bucket) == {}


def test_a_rule_that_neither_puts_nor_deletes_is_refused() -> None:
    with pytest.raises(InvalidRule, match="'to_put_request' or 'to_delete_request'"):
        initialize_from([{"id": "m", "flavor": materialize_s3, "event_type": "x"}])
