"""What is different from aws_lambda_stream on purpose (docs/migration.md), where no other test shows it."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import boto3
import pytest
from stream_runtime import DEFAULT_OPTIONS, StreamPipeline, initialize_from
from stream_runtime.events import from_dynamodb, from_kinesis, to_dynamodb_records, to_kinesis_records
from stream_runtime.expressions import update_expression
from stream_runtime.flavors import collect, evaluate, materialize, task, update

Run = Callable[..., list[Any]]

CREATED = {"id": "e1", "type": "thing-created", "timestamp": 1548967022000, "partition_key": "t1", "number": 5}


def rule(flavor: Any, **fields: Any) -> dict[str, Any]:
    return {"id": "r", "flavor": flavor, "event_type": "thing-created", **fields}


def to_update_request(uow: Any) -> dict[str, Any]:
    return {"Key": {"pk": str(uow.get("split", "x")), "sk": "x"}, **update_expression({"n": 1})}


@pytest.mark.parametrize("value", [{"a": 1}, "ab"])
def test_only_a_list_is_split(table: Any, run: Run, bus: Any, value: Any) -> None:
    """There the keys of an object and the characters of a text become units of work."""
    run(rule(materialize, split_on="event.parts", to_update_request=to_update_request), {**CREATED, "parts": value})
    assert table.scan()["Items"] == []
    assert [fault["err"]["name"] for fault in bus.events] == ["TypeError"]


def test_a_correlation_key_is_text(table: Any, run: Run) -> None:
    """There a number stays one, and DynamoDB refuses it as the key of an index on text."""
    run(rule(collect, correlation_key="number"), CREATED)
    assert [row["data"] for row in table.scan()["Items"]] == ["5"]


def test_an_event_without_a_partition_key_emits_with_its_id(run: Run, bus: Any) -> None:
    """There it is a fault."""
    run(rule(task, emit="done"), {name: value for name, value in CREATED.items() if name != "partition_key"})
    assert [(event["type"], event["partition_key"]) for event in bus.events] == [("done", "e1")]


@pytest.mark.parametrize("nothing", [None, []])
def test_a_unit_of_work_that_emits_nothing_ends(run: Run, bus: Any, nothing: Any) -> None:
    """There one whose ``emit`` returns None still reaches ``on_next``."""
    assert run(rule(task, emit=lambda uow, rule, template: nothing), CREATED) == []
    assert bus.events == []


def test_an_emitted_event_has_a_type(run: Run, bus: Any) -> None:
    """There it is published without one, which no rule of a bus matches."""
    run(rule(task, emit=lambda uow, rule, template: template), CREATED)
    assert [event["type"] for event in bus.events] == ["fault"]


def test_a_pipeline_sees_what_another_changed_in_the_event(run: Run) -> None:
    """There each pipeline has a copy; with ``freeze`` a change raises (test_engine_routing.py)."""
    rules = [
        rule(task, execute=lambda uow: uow["event"].update(changed=True)),
        {**rule(task, execute=lambda uow: uow["event"].get("changed")), "id": "s"},
    ]
    assert [uow["result"] for uow in run(rules, CREATED)] == [None, True]


def test_events_with_the_tag_skip_reach_no_pipeline(run: Run) -> None:
    """There a rule has to filter them with ``out_skip``; its own events of tests have that tag."""
    assert run(rule(task, execute=lambda uow: 1), {**CREATED, "tags": {"skip": True}}) == []


def test_a_rule_s_table_is_that_of_every_flavor(table: Any, run: Run, bus: Any) -> None:
    """There ``materialize`` ignores ``table_name``."""
    boto3.client("dynamodb").create_table(
        TableName="views",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
        BillingMode="PAY_PER_REQUEST",
    )
    run(rule(materialize, table_name="views", to_update_request=to_update_request), CREATED)
    assert (table.scan()["Count"], boto3.resource("dynamodb").Table("views").scan()["Count"]) == (0, 1)


def test_numbers_of_rows_that_are_not_whole_are_exact() -> None:
    """There they become floats, in all of boto3's answers, too."""
    row = {"pk": "1", "sk": "thing", "price": Decimal("0.1")}
    (uow,) = from_dynamodb(to_dynamodb_records([{"keys": {"pk": "1", "sk": "thing"}, "newImage": row}]))
    assert uow["event"]["raw"]["new"]["price"] == Decimal("0.1")
    assert isinstance(uow["event"]["raw"]["new"]["price"], Decimal)


def test_a_record_that_is_no_json_is_one_fault(run: Run, bus: Any) -> None:
    """There it fails the whole batch, at every attempt."""
    (uow,) = run(rule(task, execute=lambda uow: 1), uows=from_kinesis(to_kinesis_records([b"{", CREATED])))
    assert (uow["event"]["id"], [fault["err"]["name"] for fault in bus.events]) == ("e1", ["InvalidRecord"])


def test_an_event_without_a_source_among_its_tags_is_materialized(table: Any, run: Run, bus: Any) -> None:
    """There it is a fault."""
    run(rule(materialize, to_update_request=to_update_request), {**CREATED, "tags": {"stage": "dev"}})
    assert (table.scan()["Count"], bus.events) == (1, [])


@pytest.mark.parametrize(("suffix", "emitted"), [(None, 1), ("x", 0)])
def test_without_an_expression_rows_of_another_suffix_trigger_nothing(
    run: Run, bus: Any, suffix: str | None, emitted: int
) -> None:
    """There every row triggers."""
    row = {"pk": "t1", "sk": "e1", "discriminator": "CORREL", "suffix": suffix, "event": CREATED}
    uows = from_dynamodb(to_dynamodb_records([{"keys": {"pk": "t1", "sk": "e1"}, "newImage": row}]))
    run(rule(evaluate, emit="thing-known"), uows=uows)
    assert len(bus.events) == emitted


@pytest.mark.parametrize("result", [1, "yes"])
def test_an_expression_holds_as_a_condition_of_python_does(
    table: Any, run: Run, bus: Any, monkeypatch: pytest.MonkeyPatch, result: Any
) -> None:
    """There it is a fault. The table is the one that `collect` writes to, also where there is an EVENT_TABLE_NAME."""
    monkeypatch.setenv("EVENT_TABLE_NAME", "events")
    row = {"pk": "t1", "sk": "e1", "discriminator": "CORREL", "event": CREATED}
    table.put_item(Item=row)
    uows = from_dynamodb(to_dynamodb_records([{"keys": {"pk": "t1", "sk": "e1"}, "newImage": row}]))
    run(rule(evaluate, expression=lambda uow: result, emit="thing-known"), uows=uows)
    assert [event["type"] for event in bus.events] == ["thing-known"]


def test_without_concurrency_a_record_goes_through_all_pipelines_before_the_next() -> None:
    """There a rule has the whole batch before the next rule starts."""
    out: list[Any] = []
    rules = [{**rule(task, execute=lambda uow: 1), "id": id_} for id_ in ("a", "b")]
    StreamPipeline(initialize_from(rules), DEFAULT_OPTIONS, concurrency=False).assemble(
        from_kinesis(to_kinesis_records([CREATED, {**CREATED, "id": "e2"}])),
        on_next=lambda id_, uow: out.append((uow["event"]["id"], id_)),
    )
    assert out == [("e1", "a"), ("e1", "b"), ("e2", "a"), ("e2", "b")]


def test_what_a_rule_does_not_ask_for_is_no_field_of_its_units_of_work(table: Any, run: Run) -> None:
    """There the requests that `update` can make are None."""
    (uow,) = run(rule(update, to_update_request=to_update_request), CREATED)
    assert set(uow) == {"event", "pipeline", "record", "update_request", "update_response"}
