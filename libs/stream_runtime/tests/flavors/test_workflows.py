"""collect, correlate and expired: rows of events that belong together."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from stream_runtime.events import from_dynamodb, to_dynamodb_records
from stream_runtime.flavors import collect, correlate, expired

SUBMITTED = {
    "id": "s1",
    "type": "submitted",
    "timestamp": 1_700_000_000_123,
    "partition_key": "i1",
    "item": {"id": "i1"},
    "tags": {"region": "x", "source": "other", "trace": "t"},
}
ANALYZED = {**SUBMITTED, "id": "a1", "type": "analyzed", "timestamp": 1_700_000_001_000}

COLLECT = {"id": "collect", "flavor": collect, "event_type": ["submitted", "analyzed"], "correlation_key": "item.id"}
CORRELATE = {**COLLECT, "id": "correlate", "flavor": correlate}


def inserted(*rows: dict[str, Any]) -> Any:
    return from_dynamodb(
        to_dynamodb_records([{"keys": {"pk": row["pk"], "sk": row["sk"]}, "newImage": row} for row in rows])
    )


def rows(table: Any, discriminator: str = "EVENT") -> list[dict[str, Any]]:
    return [row for row in table.scan()["Items"] if row["discriminator"] == discriminator]


def test_a_collected_event_is_kept_under_its_correlation_key(table: Any, run: Callable[..., Any]) -> None:
    run({**COLLECT, "ttl": 1, "expire": True}, SUBMITTED)
    (row,) = rows(table)
    assert {name: row[name] for name in ("pk", "sk", "data", "expire", "ttl", "awsregion", "sequence_number")} == {
        "pk": "s1",
        "sk": "EVENT",
        "data": "i1",
        "expire": True,
        "ttl": 1_700_000_000 + 24 * 60 * 60,
        "awsregion": "us-west-2",
        "sequence_number": "0",
    }
    assert row["event"] == SUBMITTED


def test_raw_images_are_left_out_of_the_row_unless_the_rule_wants_them(table: Any, run: Callable[..., Any]) -> None:
    run(COLLECT, {**SUBMITTED, "raw": {"new": {}}})
    assert "raw" not in rows(table)[0]["event"]
    run({**COLLECT, "include_raw": True}, {**SUBMITTED, "raw": {"new": {}}})
    assert "raw" in rows(table)[0]["event"]


@pytest.mark.parametrize(
    "to_put_request",
    [
        lambda uow, rule, template: {"Item": {**template["Item"], "note": rule["id"]}},
        lambda uow, rule: {"Item": {"pk": uow["key"], "sk": "own", "discriminator": "EVENT", "note": rule["id"]}},
        lambda uow: {"Item": {"pk": uow["key"], "sk": "own", "discriminator": "EVENT", "note": "collect"}},
    ],
    ids=["uow, rule and template", "uow and rule", "uow"],
)
def test_a_rule_may_write_its_own_row(table: Any, run: Callable[..., Any], to_put_request: Any) -> None:
    run({**COLLECT, "to_put_request": to_put_request}, SUBMITTED)

    assert [row["note"] for row in rows(table)] == ["collect"]


def test_the_template_is_the_request_that_collect_would_make(table: Any, run: Callable[..., Any]) -> None:
    templates: list[Any] = []
    run({**COLLECT, "to_put_request": lambda uow, rule, template: templates.append(template)}, SUBMITTED)

    run(COLLECT, SUBMITTED)

    assert [template["Item"]["event"] for template in templates] == [SUBMITTED]
    assert [{**template["Item"], "expire": None} for template in templates] == rows(table)


def test_an_event_without_its_correlation_key_is_a_fault(table: Any, run: Callable[..., Any], bus: Any) -> None:
    run(COLLECT, {**SUBMITTED, "item": {}})
    assert len(bus.of_type("fault")) == 1


def test_a_ttl_may_be_computed(table: Any, run: Callable[..., Any]) -> None:
    run({**COLLECT, "ttl": lambda rule, uow: uow["event"]["timestamp"] // 1000 + 5}, SUBMITTED)
    assert rows(table)[0]["ttl"] == 1_700_000_005


def test_a_collected_event_is_filed_under_key_and_suffix(table: Any, run: Callable[..., Any]) -> None:
    run(COLLECT, SUBMITTED)
    run({**CORRELATE, "correlation_key_suffix": "flow"}, uows=inserted(*rows(table)))
    (row,) = rows(table, "CORREL")
    assert (row["pk"], row["sk"], row["suffix"], row["rule_id"], row["event"]) == (
        "i1.flow",
        "s1",
        "flow",
        "correlate",
        SUBMITTED,
    )


def removed(row: dict[str, Any], at_s: int) -> Any:
    keys = {"pk": row["pk"], "sk": row["sk"]}
    return from_dynamodb(to_dynamodb_records([{"keys": keys, "oldImage": row, "timestamp": at_s, "ttl_removal": True}]))


ROW = {"pk": "s1", "sk": "EVENT", "discriminator": "EVENT", "ttl": 1_700_000_100, "expire": True, "event": SUBMITTED}


@pytest.mark.parametrize(
    ("expire", "type_", "expected"),
    [
        (True, "thing-created", "thing-created-expired"),
        (True, "thing.created", "thing.created.expired"),
        ("too-late", "thing-created", "too-late"),
    ],
)
def test_a_row_that_expires_gives_an_event(
    run: Callable[..., Any], bus: Any, expire: Any, type_: str, expected: str
) -> None:
    row = {**ROW, "expire": expire, "event": {**SUBMITTED, "type": type_}}
    run({"id": "expired", "flavor": expired}, uows=removed(row, 1_700_000_200))
    (event,) = bus.events
    assert (event["type"], event["partition_key"]) == (expected, "i1")


@pytest.mark.parametrize(
    ("row", "at_s"),
    [({**ROW, "expire": None}, 1_700_000_200), (ROW, 1_700_000_000)],
    ids=["not to expire", "before its time"],
)
def test_any_other_removal_gives_none(run: Callable[..., Any], bus: Any, row: Any, at_s: int) -> None:
    run({"id": "expired", "flavor": expired}, uows=removed(row, at_s))
    assert bus.events == []


def test_an_expired_row_is_left_out_by_the_rule_s_filters(run: Callable[..., Any], bus: Any) -> None:
    rule = {"id": "expired", "flavor": expired, "filters": [lambda uow: uow["event"]["raw"]["old"]["pk"] != "s1"]}

    run(rule, uows=removed(ROW, 1_700_000_200))

    assert bus.events == []


@pytest.mark.parametrize(
    ("event_type", "published"),
    [
        (SUBMITTED["type"], 1),
        ([SUBMITTED["type"], "other"], 1),
        (re.compile("^" + SUBMITTED["type"][:3]), 1),
        (lambda uow: uow["event"]["raw"]["old"]["pk"] == "s1", 1),
        ("other", 0),
        (re.compile("other"), 0),
        (lambda uow: uow["event"]["raw"]["old"]["pk"] == "s2", 0),
    ],
    ids=["type", "list", "pattern", "predicate", "other type", "other pattern", "other predicate"],
)
def test_an_expired_row_counts_if_the_rule_wants_the_type_of_its_event(
    event_type: Any, published: int, run: Callable[..., Any], bus: Any
) -> None:
    run({"id": "expired", "flavor": expired, "event_type": event_type}, uows=removed(ROW, 1_700_000_200))

    assert len(bus.events) == published
