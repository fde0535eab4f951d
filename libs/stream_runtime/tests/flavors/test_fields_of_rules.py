"""Fields that many flavors share: rate, compact, group, sizes of calls, compression, skip tags."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from stream_runtime import DEFAULT_OPTIONS, InvalidRule, StreamPipeline, initialize_from
from stream_runtime.engine.rate import Rate
from stream_runtime.engine.run import Run
from stream_runtime.events import (
    from_dynamodb,
    from_kinesis,
    from_sqs,
    to_dynamodb_records,
    to_kinesis_records,
    to_sqs_records,
)
from stream_runtime.expressions import update_expression
from stream_runtime.flavors import collect, correlate, evaluate, materialize, task
from stream_runtime.payload.compression import MARK, compressed, decompressed


def thing(number: int, key: str = "k", **fields: Any) -> dict[str, Any]:
    return {"id": f"e{number}", "type": "thing", "timestamp": number, "partition_key": key, "n": number, **fields}


def to_row(uow: Any) -> dict[str, Any]:
    return {
        "Key": {"pk": uow["event"]["partition_key"], "sk": "thing"},
        **update_expression({"n": uow["event"]["n"]}),
    }


MATERIALIZE = {"id": "m", "flavor": materialize, "event_type": "thing", "to_update_request": to_row}


class Clock:
    """A clock that only sleep() advances."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_rate_spaces_units_evenly() -> None:
    clock = Clock()
    limit = Rate(10, clock, clock.sleep)
    assert all(limit.admit(Run(()), {}) for _ in range(6))
    assert clock.now == pytest.approx(0.5)


def test_a_unit_whose_turn_comes_after_the_deadline_is_left_for_retry() -> None:
    clock = Clock()
    records = [{"messageId": "0"}, {"messageId": "1"}]
    run = Run(records, deadline=0.05)
    limit = Rate(10, clock, clock.sleep)
    assert [limit.admit(run, {"record": record}) for record in records] == [True, False]
    assert run.response() == {"batchItemFailures": [{"itemIdentifier": "1"}]}


def test_a_rule_with_a_rate_is_slowed_down(table: Any, run: Callable[..., Any]) -> None:
    begun = time.monotonic()
    run({**MATERIALIZE, "rate": 100}, *(thing(number, f"k{number}") for number in range(6)))
    assert time.monotonic() - begun >= 0.05
    assert len(table.scan()["Items"]) == 6


def test_of_several_events_of_a_key_only_the_last_is_written(table: Any, run: Callable[..., Any]) -> None:
    out = run({**MATERIALIZE, "compact": True}, thing(1), thing(3), thing(2), thing(9, "other"))
    assert {row["pk"]: row["n"] for row in table.scan()["Items"]} == {"k": 3, "other": 9}
    assert len(out) == 2


def test_a_compacted_unit_that_fails_leaves_all_records_of_its_key_for_retry() -> None:
    def fail(uow: Any) -> None:
        raise TimeoutError

    rule = {"id": "t", "flavor": task, "event_type": "thing", "compact": True, "execute": fail}
    pipeline = StreamPipeline(initialize_from([rule]), DEFAULT_OPTIONS)
    events = [thing(0, "a"), thing(1, "a")]
    assert pipeline.assemble(from_kinesis(to_kinesis_records(events))) == {
        "batchItemFailures": [{"itemIdentifier": "0"}]
    }


@pytest.mark.parametrize("key", ["event.box", lambda uow: uow["event"]["box"]], ids=["path", "callable"])
def test_units_may_be_compacted_by_any_key(table: Any, run: Callable[..., Any], key: Any) -> None:
    assert len(run({**MATERIALIZE, "compact": key}, thing(1, "a", box=1), thing(2, "b", box=1))) == 1


def test_a_group_is_executed_once_with_all_of_its_units(run: Callable[..., Any]) -> None:
    seen: list[Any] = []
    rule = {
        "id": "t",
        "flavor": task,
        "event_type": "thing",
        "group": True,
        "execute": lambda uow: seen.append([each["event"]["n"] for each in uow["batch"]]),
    }
    run(rule, thing(1, "a"), thing(2, "b"), thing(3, "a"))
    assert sorted(seen) == [[1, 3], [2]]


def test_a_group_has_at_most_batch_size_units(run: Callable[..., Any]) -> None:
    seen: list[int] = []
    rule = {
        "id": "t",
        "flavor": task,
        "event_type": "thing",
        "group": "event.type",
        "batch_size": 2,
        "execute": lambda uow: seen.append(len(uow["batch"])),
    }
    run(rule, *(thing(number) for number in range(5)))
    assert seen == [2, 2, 1]


def test_a_key_that_cannot_be_read_is_a_fault_of_that_unit_alone(run: Callable[..., Any], bus: Any) -> None:
    seen: list[Any] = []
    rule = {
        "id": "t",
        "flavor": task,
        "event_type": "thing",
        "group": lambda uow: uow["event"]["box"],
        "execute": lambda uow: seen.append(uow["event"]["id"]),
    }
    run(rule, thing(1), thing(2, box="b"), thing(3, box=[]))
    assert seen == ["e2"]
    assert len(bus.of_type("fault")) == 2


@pytest.mark.parametrize(
    ("field", "value"),
    [("rate", 0), ("rate", "fast"), ("batch_size", 0), ("compact", 3), ("compression_threshold", -1), ("group", 1)],
)
def test_a_field_of_the_wrong_kind_is_refused(field: str, value: Any) -> None:
    with pytest.raises(InvalidRule, match=f"rule 'm': field '{field}'"):
        initialize_from([{**MATERIALIZE, field: value}])


def test_events_tagged_skip_reach_no_rule(run: Callable[..., Any]) -> None:
    rule = {"id": "t", "flavor": task, "event_type": "thing"}
    assert run(rule, thing(1, tags={"skip": True}), thing(2, tags={"skip": False})) != []
    assert run(rule, thing(1, tags={"skip": True})) == []


def test_events_tagged_skip_reach_no_custom_flavor(run: Callable[..., Any]) -> None:
    def everything(rule: Any) -> Any:
        return lambda source: source

    assert run({"id": "c", "flavor": everything}, thing(1, tags={"skip": True})) == []


def test_large_fields_are_compressed_and_what_routing_needs_is_not() -> None:
    event = thing(1, body="x" * 1000, small="y", tags={"long": "z" * 1000})
    small = compressed(event, 100)
    assert small["body"].startswith(MARK)
    assert {name: small[name] for name in event if name != "body"} == {
        name: event[name] for name in event if name != "body"
    }
    assert decompressed(small) == event


def test_compression_gives_the_same_text_for_the_same_field() -> None:
    assert compressed(thing(1, body="x" * 1000), 100) == compressed(thing(1, body="x" * 1000), 100)


def test_a_text_that_begins_like_a_compressed_one_is_left_alone() -> None:
    event = thing(1, title="COMPRESSED AIR")
    assert decompressed(event) is event


@pytest.mark.parametrize("source", ["kinesis", "sqs"])
def test_rules_get_compressed_fields_whole(source: str, run: Callable[..., Any]) -> None:
    event = thing(1, body={"text": "x" * 1000})
    small = [compressed(event, 100)]
    uows = from_kinesis(to_kinesis_records(small)) if source == "kinesis" else from_sqs(to_sqs_records(small))
    assert [uow["event"] for uow in run({"id": "t", "flavor": task, "event_type": "thing"}, uows=uows)] == [event]


def test_a_compressed_field_that_cannot_be_read_is_a_fault(run: Callable[..., Any], bus: Any) -> None:
    run({"id": "t", "flavor": task, "event_type": "thing"}, thing(1, body=f"{MARK}AAAA"))
    assert ["'body'" in fault["err"]["message"] for fault in bus.of_type("fault")] == [True]


def test_a_published_event_is_compressed_if_the_rule_says_so(run: Callable[..., Any], bus: Any) -> None:
    rule = {
        "id": "t",
        "flavor": task,
        "event_type": "thing",
        "compression_threshold": 100,
        "emit": lambda uow, rule, template: {**template, "type": "big", "body": "x" * 1000},
    }
    run(rule, thing(1))
    assert decompressed(bus.of_type("big")[0])["body"] == "x" * 1000
    assert len(json.dumps(bus.of_type("big")[0])) < 1000


def test_collected_events_are_compressed_in_the_table_and_whole_in_every_rule(
    table: Any, run: Callable[..., Any], bus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMPRESSION_THRESHOLD", "100")
    run({"id": "c", "flavor": collect, "event_type": "thing"}, thing(1, body="x" * 1000))
    (row,) = table.scan()["Items"]
    assert row["event"]["body"].startswith(MARK)
    stream = to_dynamodb_records([{"keys": {"pk": row["pk"], "sk": row["sk"]}, "newImage": row}])
    seen: list[Any] = []
    run(
        [
            {"id": "o", "flavor": correlate, "event_type": "thing", "correlation_key": "partition_key"},
            {
                "id": "v",
                "flavor": evaluate,
                "event_type": "thing",
                "expression": lambda uow: seen.extend([uow["event"], *uow["correlated"]]) or False,
                "emit": "done",
            },
        ],
        uows=from_dynamodb(stream),
    )
    assert [event["body"] for event in seen] == ["x" * 1000, "x" * 1000]


def test_events_are_published_in_calls_of_the_rule_s_batch_size(run: Callable[..., Any], bus: Any) -> None:
    rule = {"id": "t", "flavor": task, "event_type": "thing", "emit": "done", "batch_size": 2}
    run(rule, *(thing(number, f"k{number}") for number in range(4)))
    assert [len(call) for call in bus.calls] == [2, 2]


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ({"flavor": materialize}, "to_update_request"),
        ({"flavor": correlate}, "correlation_key"),
        ({"flavor": evaluate}, "emit"),
    ],
    ids=["materialize", "correlate", "evaluate"],
)
def test_a_rule_without_a_field_that_its_flavor_needs_is_refused(rule: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRule, match=f"field '{field}' is missing"):
        initialize_from([{"id": "r", "event_type": "thing", **rule}])


def test_a_result_key_with_dots_nests_and_changes_no_other_pipeline_s_unit(run: Callable[..., Any]) -> None:
    rules = [
        {
            "id": name,
            "flavor": task,
            "event_type": "thing",
            "execute": lambda uow: uow["event"]["n"] * 2,
            "result_key": path,
        }
        for name, path in [("a", "answer.number.doubled"), ("b", "event.doubled"), ("c", "doubled")]
    ]

    a, b, c = run(rules, thing(21))

    assert a["answer"] == {"number": {"doubled": 42}}
    assert b["event"] == {**a["event"], "doubled": 42}
    assert c["doubled"] == 42
    assert a["event"] == c["event"] == thing(21)


def test_a_result_key_below_a_value_is_a_fault(run: Callable[..., Any], bus: Any) -> None:
    run({"id": "t", "flavor": task, "event_type": "thing", "execute": len, "result_key": "event.n.doubled"}, thing(1))

    assert [fault["err"]["message"] for fault in bus.of_type("fault")] == [
        "nothing can be put at 'event.n.doubled': 'n' is of type int"
    ]
