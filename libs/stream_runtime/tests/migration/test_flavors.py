"""Rules of aws_lambda_stream's tests/unit/flavors, written anew: the same fields give the same rows and events."""

from collections.abc import Callable
from typing import Any

import pytest
from stream_runtime.clock import ttl
from stream_runtime.events import from_dynamodb, to_dynamodb_records
from stream_runtime.expressions import timestamp_condition, update_expression
from stream_runtime.flavors import cdc, collect, correlate, evaluate, expired, materialize, s3, task
from stream_runtime.operators import rx_map

Run = Callable[..., list[Any]]

AT = 1548967022000


def event(number: str, type_: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": number,
        "type": type_,
        "timestamp": AT,
        "partition_key": number * 2,
        "thing": {"id": number * 2, "name": "Thing"},
        **fields,
    }


def collected_row(number: str, type_: str, **fields: Any) -> dict[str, Any]:
    """The row that `collect` writes for an event."""
    return {
        "pk": number,
        "sk": "EVENT",
        "discriminator": "EVENT",
        "timestamp": AT,
        "sequence_number": "0",
        "ttl": 1551818222,
        "data": number * 2,
        "event": event(number, type_, **fields),
    }


def correlated_row(key: str, number: str, type_: str, suffix: str | None = None) -> dict[str, Any]:
    """The row that `correlate` writes for an event."""
    return {**collected_row(number, type_), "pk": key, "sk": number, "discriminator": "CORREL", "suffix": suffix}


def inserted(*rows: dict[str, Any]) -> Any:
    changes = [{"timestamp": 1548967023, "keys": {"pk": row["pk"], "sk": row["sk"]}, "newImage": row} for row in rows]
    return from_dynamodb(to_dynamodb_records(changes))


def test_tasks_emit_one_event_or_several(run: Run, bus: Any) -> None:
    """Case: test_task.py, test_execute_task."""

    def execute(uow: Any, rule: Any) -> Any:
        return {"id": rule["id"], **uow["event"]["thing"]}

    def emitted(type_: str, uow: Any, template: Any) -> Any:
        return {**template, "type": type_, "thing": uow["event"]["thing"]}

    one: Any = {"id": "one", "flavor": task, "event_type": "a", "execute": execute}
    two: Any = {"id": "two", "flavor": task, "event_type": "b", "execute": execute}
    one["emit"] = lambda uow, _, template: emitted("a-completed", uow, template)
    two["emit"] = lambda uow, _, template: [emitted(f"b-completed-{n}", uow, template) for n in (1, 2)]
    uows = run([one, two], event("1", "a"), event("2", "b"))
    assert sorted(uow["emit"]["type"] for uow in uows) == ["a-completed", "b-completed-1", "b-completed-2"]
    assert {published["type"]: published["partition_key"] for published in bus.events} == {
        "a-completed": "11",
        "b-completed-1": "22",
        "b-completed-2": "22",
    }


def test_the_row_of_a_collected_event(table: Any, run: Run) -> None:
    """Case: test_collect.py, test_collect; ``awsregion`` is AWS_REGION, which Lambda sets, and not REGION."""
    given = {"id": "e1", "type": "thing-created", "timestamp": 1548967023, "partition_key": "0", "thing": {"id": "1"}}
    (uow,) = run({"id": "p1", "flavor": collect, "event_type": ["thing-created"]}, given)
    assert uow["put_request"] == {
        "Item": {
            "pk": "e1",
            "sk": "EVENT",
            "discriminator": "EVENT",
            "timestamp": 1548967023,
            "awsregion": "us-west-2",
            "sequence_number": "0",
            "ttl": 4400167,
            "expire": None,
            "data": "0",
            "event": given,
        }
    }


def test_the_rows_of_a_correlated_event(table: Any, run: Run) -> None:
    """Case: test_correlate.py, test_correlate."""
    group = {"thing": {"id": "33", "group": "A", "category": "B"}}

    def by_group(uow: Any) -> str:
        thing = uow["event"]["thing"]
        return f"{thing['group']}|{thing['category']}"

    rules: list[Any] = [
        {"id": "1", "flavor": correlate, "event_type": "c1", "correlation_key": "thing.id"},
        {"id": "2", "flavor": correlate, "event_type": "c1", "correlation_key": "thing.id"},
        {"id": "3", "flavor": correlate, "event_type": "c3", "correlation_key": by_group, "expire": True},
    ]
    rules[1] |= {"correlation_key_suffix": "x", "ttl": 11}
    uows = run(rules, uows=inserted(collected_row("1", "c1"), collected_row("3", "c3", **group)))
    items = {uow["pipeline"]: uow["put_request"]["Item"] for uow in uows}
    assert items["1"] == {
        "pk": "11",
        "sk": "1",
        "discriminator": "CORREL",
        "ttl": 1551818222,
        "expire": None,
        "timestamp": AT,
        "sequence_number": "0",
        "suffix": None,
        "rule_id": "1",
        "awsregion": "us-west-2",
        "event": event("1", "c1"),
    }
    assert (items["2"]["pk"], items["2"]["ttl"]) == ("11.x", 1549917422)
    assert (items["3"]["pk"], items["3"]["expire"]) == ("A|B", True)


def test_higher_order_events_of_single_events(run: Run, bus: Any) -> None:
    """Case: test_evaluate.py, test_should_execute_simple_rules."""

    def emits(*types: str) -> Any:
        return lambda uow, _, template: [
            {**template, "id": f"{template['id']}.{n}", "type": type_, "thing": uow["event"]["thing"]}
            for n, type_ in enumerate(types, 1)
        ]

    rules = [
        {"id": "basic", "flavor": evaluate, "event_type": "e1", "emit": "e111"},
        {"id": "single", "flavor": evaluate, "event_type": "e2", "emit": lambda *given: emits("e222")(*given)[0]},
        {"id": "multi", "flavor": evaluate, "event_type": "e3", "emit": emits("e333.1", "e333.2")},
    ]
    uows = run(rules, uows=inserted(*(collected_row(number, f"e{number}") for number in "123")))
    for found in (uows, bus.events):  # the rules make their calls at the same time
        found.sort(key=lambda each: each["id"] if "id" in each else each["meta"]["id"])
    assert uows[0]["meta"] == {
        "id": "0",
        "pk": "1",
        "data": "11",
        "sequence_number": "0",
        "ttl": 1551818222,
        "expire": None,
        "correlation_key": "11",
        "correlation": False,
        "suffix": None,
    }
    assert [(published["id"], published["type"]) for published in bus.events] == [
        ("0.basic", "e111"),
        ("1.single.1", "e222"),
        ("2.multi.1", "e333.1"),
        ("2.multi.2", "e333.2"),
    ]
    for number, published in zip("1233", bus.events, strict=True):
        trigger = {"id": number, "type": f"e{number}", "timestamp": AT}
        assert (published["triggers"], published["timestamp"]) == ([trigger], AT)
        assert (published["partition_key"], published["thing"]) == (number * 2, event(number, "")["thing"])


def test_higher_order_events_of_collected_events(table: Any, run: Run, bus: Any) -> None:
    """Case: test_evaluate.py, test_should_execute_complex_rules; there an index finds the events."""
    triggers = [{"id": number, "type": f"e{number}", "timestamp": AT} for number in ("51", "52")]
    rules = [
        {"id": "four", "flavor": evaluate, "event_type": "e4", "expression": lambda _: True, "emit": "e444"},
        {"id": "five", "flavor": evaluate, "event_type": "e5", "expression": lambda _: triggers, "emit": "e555"},
    ]
    uows = run(rules, uows=inserted(collected_row("4", "e4"), collected_row("5", "e5")))
    assert {uow["pipeline"]: uow["correlated"] for uow in uows} == {
        "four": [event("4", "e4")],
        "five": [event("5", "e5")],
    }
    four, five = sorted(bus.events, key=lambda published: published["id"])
    assert (four["id"], four["type"], four["partition_key"]) == ("0.four", "e444", "44")
    assert four["triggers"] == [{"id": "4", "type": "e4", "timestamp": AT}]
    assert (five["id"], five["triggers"]) == ("1.five", triggers)


def test_higher_order_events_of_correlations(table: Any, run: Run, bus: Any) -> None:
    """Case: test_evaluate.py, test_should_execute_correlation_rules."""

    def of_type_66(uow: Any) -> Any:
        return next((each for each in uow["correlated"] if each["type"] == "e66"), None)

    rows = [
        correlated_row("66", "6", "e6"),
        correlated_row("77.seven", "7", "e7", "seven"),
        correlated_row("77", "7", "e7", "undefined"),
        correlated_row("77.seventy", "7", "e7", "seventy"),
    ]
    for row in (*rows[:2], correlated_row("66", "66", "e66"), correlated_row("77.seven", "77", "e77", "seven")):
        table.put_item(Item=row)
    six = {"id": "six", "flavor": evaluate, "event_type": "e6", "expression": of_type_66, "emit": "e666"}
    seven = {"id": "seven", "flavor": evaluate, "event_type": "e7", "expression": lambda _: True, "emit": "e777"}
    uows = run([six, {**seven, "correlation_key_suffix": "seven"}], uows=inserted(*rows))
    uows.sort(key=lambda uow: uow["event"]["id"])
    assert [(uow["pipeline"], uow["meta"]["correlation"]) for uow in uows] == [("six", True), ("seven", True)]
    assert uows[0]["query_request"] == {
        "KeyConditionExpression": "#pk = :pk",
        "ExpressionAttributeNames": {"#pk": "pk"},
        "ExpressionAttributeValues": {":pk": "66"},
        "ConsistentRead": True,
    }
    first, second = sorted(bus.events, key=lambda published: published["id"])
    assert (first["id"], first["type"], first["partition_key"]) == ("0.six", "e666", "66")
    assert [trigger["id"] for trigger in first["triggers"]] == ["66"]
    assert (second["type"], second["partition_key"]) == ("e777", "77")
    assert [trigger["id"] for trigger in second["triggers"]] == ["7"]


@pytest.mark.parametrize("nothing", [False, None, [], {}, 0])
def test_an_expression_that_finds_nothing_emits_nothing(table: Any, run: Run, bus: Any, nothing: Any) -> None:
    """As in flavors/evaluate.py, where the result of an expression has to be true."""
    row = correlated_row("66", "6", "e6")
    table.put_item(Item=row)
    rule = {"id": "six", "flavor": evaluate, "event_type": "e6", "expression": lambda _: nothing, "emit": "e666"}
    assert (run(rule, uows=inserted(row)), bus.events) == ([], [])


def test_a_change_with_the_fields_that_to_event_gives(run: Run, bus: Any) -> None:
    """Case: test_cdc.py, test_cdc."""
    row = {"pk": "1", "sk": "thing", "discriminator": "thing", "timestamp": AT, "name": "Thing 1", "latched": False}
    rule = {"id": "l1", "flavor": cdc, "event_type": ["thing-created", "thing-updated", "thing-deleted"]}
    run({**rule, "to_event": lambda uow: {"thing": uow["event"]["raw"]["new"], "raw": None}}, uows=inserted(row))
    (published,) = bus.events
    assert (published["type"], published["thing"], published.get("raw")) == ("thing-created", row, None)


def test_rows_that_expire(run: Run) -> None:
    """Case: test_expired.py, test_expired, with the rule's own ``publish``."""

    def change(image: str, at_s: int, expire: Any, type_: str, timestamp: int = AT) -> dict[str, Any]:
        stored = {"id": "e", "type": type_, "timestamp": timestamp}
        row = {"pk": "p", "sk": "EVENT", "ttl": timestamp // 1000, "expire": expire, "event": stored}
        return {"timestamp": at_s, "keys": {"pk": "p", "sk": "EVENT"}, image: row}

    changes = [
        change("newImage", 1548967023, True, "thing-created"),
        change("oldImage", 1548967023, None, "thing-created"),
        change("oldImage", 1548967021, True, "thing-created"),
        change("oldImage", 1548967023, True, "thing.created", AT + 345),
        change("oldImage", 1548967024, "thing-timeout", "thing-created", AT + 1007),
    ]
    rule = {"id": "expired", "flavor": expired, "publish": lambda _: rx_map(lambda uow: {**uow, "published": "OK"})}
    uows = run(rule, uows=from_dynamodb(to_dynamodb_records(changes)))
    assert [uow["published"] for uow in uows] == ["OK", "OK"]
    assert uows[0]["emit"].items() >= {"id": "3", "type": "thing.created.expired", "timestamp": AT + 345}.items()
    assert uows[0]["emit"]["triggers"] == [{"id": "e", "type": "thing.created", "timestamp": AT + 345}]
    assert (uows[1]["emit"]["type"], uows[1]["emit"]["timestamp"]) == ("thing-timeout", AT + 1007)


THING = {"id": "1", "name": "Thing One"}
SPLITS = [
    ("event.root.things", {"things": [{"id": "2"}, {"id": "3"}]}),
    (
        lambda uow, _: [{**uow, "split": thing} for thing in uow["event"]["root"]["things"]],
        {"things": [{"id": "2"}, {"id": "3"}]},
    ),
    ("event.root[1].things", [{}, {"things": [{"id": "2"}, {"id": "3"}]}]),
]


def content(uow: Any) -> dict[str, Any]:
    thing = uow.get("split") or uow["event"]["thing"]
    return {**thing, "ttl": ttl(uow["event"]["timestamp"], 1), "timestamp": uow["event"]["timestamp"]}


def to_update_request(uow: Any) -> dict[str, Any]:
    item = content(uow)
    return {"Key": {"pk": item["id"], "sk": "thing"}, **update_expression(item), **timestamp_condition()}


def to_s3(uow: Any) -> dict[str, Any]:
    return {"Key": f"{content(uow)['id']}/thing", "Body": content(uow)}


def test_the_request_of_a_materialized_view(table: Any, run: Run) -> None:
    """Case: test_materialize.py, test_materialize, mv1."""
    rule = {"id": "mv1", "flavor": materialize, "event_type": "m1", "filters": [lambda *_: True]}
    (uow,) = run({**rule, "to_update_request": to_update_request}, event("1", "m1", thing=THING))
    names = ["id", "name", "ttl", "timestamp"]
    assert uow["update_request"] == {
        "Key": {"pk": "1", "sk": "thing"},
        "ExpressionAttributeNames": {f"#{name}": name for name in names},
        "ExpressionAttributeValues": {":id": "1", ":name": "Thing One", ":ttl": 1549053422, ":timestamp": AT},
        "UpdateExpression": "SET #id = :id, #name = :name, #ttl = :ttl, #timestamp = :timestamp",
        "ReturnValues": "ALL_NEW",
        "ConditionExpression": "attribute_not_exists(#timestamp) OR #timestamp < :timestamp",
    }


@pytest.mark.parametrize(("split_on", "root"), SPLITS, ids=["path", "callable", "path with an index"])
def test_the_parts_of_an_event_become_rows_and_objects(
    table: Any, bucket: Any, run: Run, split_on: Any, root: Any
) -> None:
    """Cases: test_materialize.py and test_s3.py, split and split-custom; paths with indexes are those of pydash."""
    rules: list[Any] = [
        {"id": "rows", "flavor": materialize, "split_on": split_on, "to_update_request": to_update_request},
        {"id": "objects", "flavor": s3, "split_on": split_on, "to_s3": to_s3},
    ]
    run([{**rule, "event_type": "split"} for rule in rules], event("1", "split", root=root))
    assert sorted(row["pk"] for row in table.scan()["Items"]) == ["2", "3"]
    assert sorted(item.key for item in bucket.objects.all()) == ["2/thing", "3/thing"]


@pytest.mark.parametrize("path", ["things[0].id", "things.0.id", "thing.id"])
def test_a_correlation_key_may_be_in_a_list(table: Any, run: Run, path: str) -> None:
    """As pydash reads paths, from which utils/split.py and flavors/collect.py take them."""
    run(
        {"id": "c", "flavor": collect, "event_type": "a", "correlation_key": path},
        event("1", "a", things=[{"id": "11"}]),
    )
    assert [row["data"] for row in table.scan()["Items"]] == ["11"]
