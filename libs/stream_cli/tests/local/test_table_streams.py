"""Streams of tables: one record for each change of an item, whichever operation makes it."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from stream_cli.local.emulator import table_streams
from stream_cli.local.endpoint import LocalEndpoint

VIEWS = ["NEW_AND_OLD_IMAGES", "NEW_IMAGE", "OLD_IMAGE", "KEYS_ONLY"]


def item(key: str, n: int | None = None) -> dict[str, Any]:
    return {"pk": {"S": key}, **({} if n is None else {"n": {"N": str(n)}})}


class Table:
    def __init__(self, endpoint: LocalEndpoint, name: str, view: str = "NEW_AND_OLD_IMAGES") -> None:
        self.name = name
        self.client = endpoint.client("dynamodb")
        self.streams = endpoint.client("dynamodbstreams")
        created = self.client.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": view},
        )
        self.stream_arn = created["TableDescription"]["LatestStreamArn"]

    def put(self, key: str, n: int) -> None:
        self.client.put_item(TableName=self.name, Item=item(key, n))

    def set_n(self, key: str, n: int) -> dict[str, Any]:
        """An update, as the fields of UpdateItem."""
        values = {":n": {"N": str(n)}}
        return {
            "TableName": self.name,
            "Key": item(key),
            "UpdateExpression": "SET n = :n",
            "ExpressionAttributeValues": values,
        }

    def records(self) -> list[dict[str, Any]]:
        (shard,) = self.streams.describe_stream(StreamArn=self.stream_arn)["StreamDescription"]["Shards"]
        iterator = self.streams.get_shard_iterator(
            StreamArn=self.stream_arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        return list(self.streams.get_records(ShardIterator=iterator)["Records"])

    def changes(self) -> list[tuple[str, str, Any, Any]]:
        """Each record's name and key, and ``n`` in the old and the new image."""

        def n(image: Any) -> Any:
            return None if image is None else int(image["n"]["N"])

        return [
            (r["eventName"], change["Keys"]["pk"]["S"], n(change.get("OldImage")), n(change.get("NewImage")))
            for r in self.records()
            for change in (r["dynamodb"],)
        ]


def put(table: Table) -> None:
    table.put("new", 1)
    table.put("old", 2)


def update(table: Table) -> None:
    table.client.update_item(**table.set_n("new", 1))
    table.client.update_item(**table.set_n("old", 2))


def delete(table: Table) -> None:
    table.client.delete_item(TableName=table.name, Key=item("new"))
    table.client.delete_item(TableName=table.name, Key=item("old"))


def batch(table: Table) -> None:
    requests = [
        {"PutRequest": {"Item": item("new", 1)}},
        {"DeleteRequest": {"Key": item("old")}},
        {"DeleteRequest": {"Key": item("absent")}},
    ]
    table.client.batch_write_item(RequestItems={table.name: requests})


def transaction(table: Table) -> None:
    actions = [
        {"Put": {"TableName": table.name, "Item": item("new", 1)}},
        {"Update": table.set_n("old", 2)},
        {"Delete": {"TableName": table.name, "Key": item("absent")}},
    ]
    table.client.transact_write_items(TransactItems=actions)


def statement(table: Table, text: str, *parameters: dict[str, Any]) -> dict[str, Any]:
    return {"Statement": text.replace("TABLE", f'"{table.name}"'), "Parameters": list(parameters)}


INSERT = "INSERT INTO TABLE VALUE {'pk': ?, 'n': 1}"
UPDATE = "UPDATE TABLE SET n = 2 WHERE pk = ?"
DELETE = "DELETE FROM TABLE WHERE pk = ?"


def statements(table: Table) -> None:
    for text, key in ((INSERT, "new"), (UPDATE, "old"), (DELETE, "old"), (DELETE, "absent")):
        table.client.execute_statement(**statement(table, text, {"S": key}))


def batch_of_statements(table: Table) -> None:
    asked = [statement(table, INSERT, {"S": "new"}), statement(table, DELETE, {"S": "old"})]
    table.client.batch_execute_statement(Statements=asked)


def transaction_of_statements(table: Table) -> None:
    asked = [statement(table, INSERT, {"S": "new"}), statement(table, UPDATE, {"S": "old"})]
    table.client.execute_transaction(TransactStatements=asked)


INSERTED, MODIFIED = ("INSERT", "new", None, 1), ("MODIFY", "old", 1, 2)


@pytest.mark.parametrize(
    ("write", "changes"),
    [
        (put, [INSERTED, MODIFIED]),
        (update, [INSERTED, MODIFIED]),
        (delete, [("REMOVE", "old", 1, None)]),
        (batch, [INSERTED, ("REMOVE", "old", 1, None)]),
        (transaction, [INSERTED, MODIFIED]),
        (statements, [INSERTED, MODIFIED, ("REMOVE", "old", 2, None)]),
        (batch_of_statements, [INSERTED, ("REMOVE", "old", 1, None)]),
        (transaction_of_statements, [INSERTED, MODIFIED]),
    ],
)
def test_each_change_of_an_item_is_one_record(
    endpoint: LocalEndpoint, name: str, write: Callable[[Table], None], changes: list[Any]
) -> None:
    table = Table(endpoint, name)
    table.put("old", 1)
    write(table)
    assert table.changes() == [("INSERT", "old", None, 1), *changes]


@pytest.mark.parametrize("view", VIEWS)
def test_a_record_has_the_images_of_the_streams_view_type(endpoint: LocalEndpoint, name: str, view: str) -> None:
    table = Table(endpoint, name, view)
    table.put("old", 1)
    statements(table)
    old, new = view in {"NEW_AND_OLD_IMAGES", "OLD_IMAGE"}, view in {"NEW_AND_OLD_IMAGES", "NEW_IMAGE"}
    assert table.changes() == [
        ("INSERT", "old", None, 1 if new else None),
        ("INSERT", "new", None, 1 if new else None),
        ("MODIFY", "old", 1 if old else None, 2 if new else None),
        ("REMOVE", "old", 2 if old else None, None),
    ]
    assert {record["dynamodb"]["StreamViewType"] for record in table.records()} == {view}


def test_a_write_that_changes_nothing_makes_no_record(endpoint: LocalEndpoint, name: str) -> None:
    table = Table(endpoint, name)
    first = {**item("a", 1), "s": {"SS": ["x", "y"]}}
    table.client.put_item(TableName=name, Item=first)
    table.client.put_item(TableName=name, Item={**first, "s": {"SS": ["y", "x"]}})
    table.client.put_item(TableName=name, Item={**first, "n": {"N": "1.0"}})
    table.client.update_item(**table.set_n("a", 1))
    table.client.transact_write_items(TransactItems=[{"Update": table.set_n("a", 1)}])
    table.client.batch_write_item(RequestItems={name: [{"PutRequest": {"Item": first}}]})
    table.client.execute_statement(**statement(table, "UPDATE TABLE SET n = 1 WHERE pk = ?", {"S": "a"}))
    assert len(table.records()) == 1


def test_a_transaction_that_fails_makes_no_record(endpoint: LocalEndpoint, name: str) -> None:
    table = Table(endpoint, name)
    table.put("old", 1)
    asked = [statement(table, INSERT, {"S": "new"}), statement(table, INSERT, {"S": "old"})]
    with pytest.raises(ClientError, match="TransactionCanceled"):
        table.client.execute_transaction(TransactStatements=asked)
    assert table.changes() == [("INSERT", "old", None, 1)]


def test_a_statement_that_is_refused_makes_no_record(endpoint: LocalEndpoint, name: str) -> None:
    table = Table(endpoint, name)
    table.put("old", 1)
    for text in ("UPDATE TABLE SET pk = 'x' WHERE pk = ?", "INSERT INTO TABLE VALUE {'pk': 1, 'k': ?}"):
        with pytest.raises(ClientError, match="ValidationException"):
            table.client.execute_statement(**statement(table, text, {"S": "old"}))
    assert table.changes() == [("INSERT", "old", None, 1)]


def test_a_record_has_the_size_of_its_key_and_images(endpoint: LocalEndpoint, name: str) -> None:
    table = Table(endpoint, name)
    table.put("abc", 1)
    (record,) = table.records()
    # Names and text in UTF-8; a number takes a byte for two digits and one more: pk abc, pk abc, n 1.
    assert record["dynamodb"]["SizeBytes"] == 5 + 5 + 3


def test_ttl_removes_what_has_expired_and_says_that_it_was_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reaper runs once a minute, so it runs here, in a thread with the name that it has in the emulator."""
    from ministack.services import dynamodb

    for name in table_streams.INTERNALS["ministack.services.dynamodb"]:
        monkeypatch.setattr(dynamodb, name, getattr(dynamodb, name))  # undone at the end of the test
    table_streams.patch()

    def call(operation: str, **request: Any) -> Any:
        headers = {"x-amz-target": f"DynamoDB_20120810.{operation}"}
        answer = asyncio.run(dynamodb.handle_request("POST", "/", headers, json.dumps(request).encode(), {}))
        assert answer[0] == 200, answer
        return json.loads(answer[2])

    now = int(time.time())
    expiries = {
        "expired": {"N": str(now - 60)},
        "later": {"N": str(now + 600)},
        "text": {"S": str(now - 60)},
        "six-years-old": {"N": str(now - 6 * 366 * 86_400)},
    }
    call(
        "CreateTable",
        TableName="expiring",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "OLD_IMAGE"},
    )
    call(
        "UpdateTimeToLive", TableName="expiring", TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires"}
    )
    for key, expires in expiries.items():
        call("PutItem", TableName="expiring", Item={**item(key), "expires": expires})

    rounds = iter([None])

    def sleep(_seconds: float) -> None:
        next(rounds)  # ends the reaper after one round

    monkeypatch.setattr(dynamodb, "time", SimpleNamespace(sleep=sleep, time=time.time))
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    reaper = threading.Thread(target=dynamodb._ttl_reaper, name="dynamodb-ttl-reaper")
    reaper.start()
    reaper.join(10)
    left = {found["pk"]["S"] for found in call("Scan", TableName="expiring")["Items"]}
    *_, record = dynamodb._stream_records["expiring"]
    call("DeleteTable", TableName="expiring")
    assert left == expiries.keys() - {"expired"}
    assert (record["eventName"], record["dynamodb"]["Keys"]) == ("REMOVE", item("expired"))
    assert record["dynamodb"]["OldImage"]["expires"] == expiries["expired"]
    assert record["userIdentity"] == {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}
