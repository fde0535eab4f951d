"""Update expressions, checked against DynamoDB as moto plays it."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import boto3
import pytest
from moto import mock_aws
from stream_runtime.expressions import add, delete, pk_condition, timestamp_condition, update_expression
from stream_runtime.sinks.dynamodb import to_typed

KEY = {"pk": "p"}


@pytest.fixture
def table() -> Iterator[Any]:
    with mock_aws():
        yield boto3.resource("dynamodb").create_table(
            TableName="t",
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )


def updated(table: Any, item: dict[str, Any], **more: Any) -> dict[str, Any]:
    boto3.client("dynamodb").update_item(**to_typed("t", {"Key": KEY, **update_expression(item), **more}))
    row: dict[str, Any] = table.get_item(Key=KEY)["Item"]
    return row


def test_attributes_are_set_and_those_that_are_none_are_removed(table: Any) -> None:
    updated(table, {"name": "a", "gone": 1})
    assert updated(table, {"name": "b", "gone": None}) == {"pk": "p", "name": "b"}


@pytest.mark.parametrize("name", ["status", "size", "a-b", "a.b", "1st", "mit Ü", "#x", ":y"])
def test_any_name_will_do(table: Any, name: str) -> None:
    assert updated(table, {name: 1}) == {"pk": "p", name: 1}


def test_numbers_keep_their_precision(table: Any) -> None:
    number = Decimal("1234567890.12345678901234567890")
    assert updated(table, {"n": number, "f": 0.1}) == {"pk": "p", "n": number, "f": Decimal("0.1")}


def test_members_are_added_to_a_set_and_taken_out_of_it(table: Any) -> None:
    assert updated(table, {"tags": add({"a", "b"})})["tags"] == {"a", "b"}
    assert updated(table, {"tags": add({"c"})})["tags"] == {"a", "b", "c"}
    assert updated(table, {"tags": delete({"a", "x"})})["tags"] == {"b", "c"}


def test_sets_change_beside_attributes_that_are_set_and_removed(table: Any) -> None:
    updated(table, {"tags": {"a"}, "old": 1})
    row = updated(table, {"name": "n", "old": None, "tags": add({"b"}), "marks": add({1})})
    assert row == {"pk": "p", "name": "n", "tags": {"a", "b"}, "marks": {1}}


def test_a_number_is_added_to_a_number(table: Any) -> None:
    updated(table, {"n": add(2)})
    assert updated(table, {"n": add(Decimal("0.5"))})["n"] == Decimal("2.5")


def test_no_members_change_nothing(table: Any) -> None:
    assert updated(table, {"name": "n", "tags": add(set()), "marks": delete(set())}) == {"pk": "p", "name": "n"}


@pytest.mark.parametrize("change", [lambda: add(["a"]), lambda: add("a"), lambda: add(True), lambda: delete(["a"])])
def test_a_change_of_a_set_needs_a_set(change: Any) -> None:
    with pytest.raises(TypeError, match="set"):
        change()


def test_only_a_newer_event_may_write(table: Any) -> None:
    updated(table, {"timestamp": 5})
    client = boto3.client("dynamodb")
    stale = to_typed("t", {"Key": KEY, **update_expression({"timestamp": 5}), **timestamp_condition()})
    with pytest.raises(client.exceptions.ConditionalCheckFailedException):
        client.update_item(**stale)


def test_an_item_that_exists_is_not_written_again(table: Any) -> None:
    updated(table, {"n": 1})
    client = boto3.client("dynamodb")
    with pytest.raises(client.exceptions.ConditionalCheckFailedException):
        client.put_item(**to_typed("t", {"Item": KEY, **pk_condition()}))
