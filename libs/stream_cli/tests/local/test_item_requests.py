"""The local cloud's DynamoDB answers as AWS does; what moto says to the same requests is a second opinion."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from item_requests import (
    EMPTY,
    ITEM,
    KEY,
    UPDATES,
    ItemRequests,
    Table,
    is_as,
    made,
    placeholders,
)
from moto import mock_aws
from stream_cli.local.cloud import LocalCloud
from stream_cli.local.emulator.dynamodb.requests import expressions_problem


@pytest.fixture(scope="module")
def table(cloud: LocalCloud) -> Iterator[Table]:
    client = boto3.client(
        "dynamodb",
        endpoint_url=cloud.endpoint.url,
        region_name=cloud.endpoint.region,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(parameter_validation=False, retries={"total_max_attempts": 1}),
    )
    made(client, Table.name)
    yield Table(client)
    # A worker may run tests of this file, others that share its cloud, and these again.
    client.delete_table(TableName=Table.name)


@pytest.fixture(scope="module")
def moto_table() -> Iterator[Table]:
    with mock_aws():
        client = boto3.client("dynamodb", region_name="us-east-1", config=Config(parameter_validation=False))
        made(client, Table.name)
        yield Table(client)


class TestRequests(ItemRequests):
    """The local cloud refuses and answers as AWS was recorded to."""


# What moto takes and AWS does not, and where moto fails.
MOTO_DIFFERS = {
    "SET a = (:v), n = (n - (:n))",
    "SET #undefined = :v",
    "SET l[0] = :v, l.k = :w",
    "SET n = n + :v",
    "SET s.k = :v",
    "SET l.k = :v",
    "DELETE s.k :ss",
    "SET #data.k = :n",
    "SET #data = :n",
    "SET #data = :empty",
    "SET n = n + :n + :n",
}


@pytest.mark.parametrize("update", [update for update in UPDATES if update not in MOTO_DIFFERS])
def test_moto_refuses_the_same_updates(moto_table: Table, update: str) -> None:
    given = {"Key": KEY, "UpdateExpression": update, **placeholders(update)}
    refusal = moto_table.ask("update_item", TableName=Table.name, **given)
    assert (refusal is None) is (UPDATES[update] is None), refusal
    moto_table.restore()


@pytest.mark.parametrize("value", ["ZmVmZQ=!", "a", "YWJjZGVmZ2g", "ü", 5])
@pytest.mark.parametrize("condition", ["n BETWEEN :v AND :v", "n > :v", "contains(n, :v)", "begins_with(:v, n)"])
def test_a_binary_value_that_is_no_base64_is_refused(condition: str, value: Any) -> None:
    """AWS answers 400 (recorded by ScyllaDB's test/alternator/test_manual_requests.py); boto3 cannot ask that."""
    request = {"FilterExpression": condition, "ExpressionAttributeValues": {":v": {"B": value}}}
    assert expressions_problem(request, None) == (
        "ExpressionAttributeValues contains invalid value: "
        "One or more parameter values were invalid: A binary value is no base64 for key :v"
    )


STATEMENTS = {
    "INSERT INTO requests VALUE {'pk': 'p'}": "Missing the key sk in the item",
    "INSERT INTO requests VALUE {'pk': 1, 'sk': 's'}": "Type mismatch for key pk expected: S actual: N",
    "INSERT INTO requests VALUE {'pk': '', 'sk': 's'}": EMPTY,
    "INSERT INTO requests VALUE {'pk': 'p', 'sk': 's', 'data': 1}": "Type mismatch for Index Key data",
    "UPDATE requests SET pk = 'p' WHERE pk = 'a' AND sk = 'b'": "Cannot update attribute pk. This attribute is part",
    "UPDATE requests REMOVE sk WHERE pk = 'a' AND sk = 'b'": "Cannot update attribute sk. This attribute is part",
    "UPDATE requests SET data = 5 WHERE pk = 'a' AND sk = 'b'": "Type mismatch for Index Key data",
    "UPDATE requests SET s = 'x' WHERE pk = 'a'": "Where clause does not contain a mandatory equality on all key",
}


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_statement_is_refused_as_the_operations_are_and_changes_nothing(table: Table, statement: str) -> None:
    refusal = table.ask("execute_statement", Statement=statement)
    assert is_as(STATEMENTS[statement], refusal), refusal
    assert table.client.scan(TableName=table.name)["Items"] == [ITEM]


def test_a_number_is_the_same_key_and_value_however_it_is_written(cloud: LocalCloud, name: str) -> None:
    client = cloud.endpoint.client("dynamodb")
    client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "N"},
            {"AttributeName": "sk", "AttributeType": "N"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )

    def key(text: str) -> dict[str, Any]:
        return {"pk": {"N": text}, "sk": {"N": text}}

    client.put_item(TableName=name, Item={**key("1.0"), "n": {"N": "1e1"}})
    add = {"UpdateExpression": "ADD n :one", "ExpressionAttributeValues": {":one": {"N": "1.00"}}}
    client.update_item(TableName=name, Key=key("1.00"), **add)
    client.transact_write_items(TransactItems=[{"Update": {"TableName": name, "Key": key("01"), **add}}])
    found = client.query(
        TableName=name, KeyConditionExpression="pk = :k AND sk = :k", ExpressionAttributeValues={":k": {"N": "1.0"}}
    )
    expected = {**key("1"), "n": {"N": "12"}}
    assert found["Items"] == client.scan(TableName=name)["Items"] == [expected]
    assert client.get_item(TableName=name, Key=key("1.000"))["Item"] == expected
    read = client.batch_get_item(RequestItems={name: {"Keys": [key("1.0")]}})["Responses"][name]
    transacted = client.transact_get_items(TransactItems=[{"Get": {"TableName": name, "Key": key("1.0")}}])
    assert read == [transacted["Responses"][0]["Item"]] == [expected]
    client.batch_write_item(RequestItems={name: [{"DeleteRequest": {"Key": key("1.0")}}]})
    assert client.scan(TableName=name)["Count"] == 0


def test_every_reserved_word_of_moto_is_reserved() -> None:
    from ministack.services._dynamodb_keywords import AWS_KEYWORDS
    from moto.dynamodb.parsing.reserved_keywords import ReservedKeywords

    assert set(ReservedKeywords.get_reserved_keywords()) == set(AWS_KEYWORDS)
