"""Requests that name their operation go straight to their service, which answers as it does behind ministack's app."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from ministack import app as ministack_app
from stream_cli.local.emulator.named_operations import NamedOperations, named_operation
from stream_cli.local.endpoint import LocalEndpoint

TARGET = {"x-amz-target": "DynamoDB_20120810.PutItem", "host": "127.0.0.1:4566"}
RANDOM = {"x-amzn-requestid", "x-amz-request-id", "x-amz-id-2", "date"}
OTHER_ACCOUNT = "Credential=111111111111/20261122/eu-west-1/dynamodb/aws4_request"


def scope(method: str, path: str, headers: Mapping[str, str], **more: Any) -> dict[str, Any]:
    lines = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "http", "method": method, "path": path, "query_string": b"", "headers": lines, **more}


@pytest.mark.parametrize(
    ("method", "path", "headers", "named"),
    [
        ("POST", "/", TARGET, True),
        ("POST", "/", {**TARGET, "host": "localhost:4566"}, True),
        ("POST", "/", {**TARGET, "host": "0a1b2c3d.execute-api.localhost:4566"}, False),
        ("POST", "/", {**TARGET, "x-amz-target": "AWSCognitoIdentityProviderService.InitiateAuth"}, False),
        ("POST", "/", {**TARGET, "x-amz-target": "Logs_20140328.StartLiveTail"}, False),
        ("POST", "/", {**TARGET, "x-amz-target": "Kinesis_20131202.SubscribeToShard"}, False),
        ("POST", "/", {**TARGET, "content-encoding": "gzip"}, False),
        ("POST", "/", {**TARGET, "user-agent": "t\xe4st"}, False),
        ("POST", "/", {"host": "127.0.0.1:4566"}, False),
        ("POST", "/login", TARGET, False),
        ("OPTIONS", "/", TARGET, False),
    ],
)
def test_what_names_its_operation_and_is_plain(method: str, path: str, headers: dict[str, str], named: bool) -> None:
    assert named_operation(scope(method, path, headers)) == (headers if named else None)


def test_a_query_and_a_header_that_comes_twice_are_for_ministack() -> None:
    twice = scope("POST", "/", TARGET)
    twice["headers"].append((b"x-amz-target", b"Kinesis_20131202.PutRecord"))
    assert named_operation(twice) is None
    assert named_operation(scope("POST", "/", TARGET, query_string=b"a=b")) is None
    assert named_operation({"type": "lifespan"}) is None


def test_with_authorization_everything_is_for_ministack(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    async def app(*arguments: Any) -> None:
        seen.append(arguments[0])

    monkeypatch.setattr(ministack_app, "AUTH", True)
    request = scope("POST", "/", TARGET)
    asyncio.run(NamedOperations(app)(request, None, None))  # type: ignore[arg-type]
    assert seen == [request]


@pytest.mark.parametrize(
    ("target", "request_", "credentials"),
    [
        ("DynamoDB_20120810.ListTables", {}, ""),
        ("DynamoDB_20120810.ListTables", {}, OTHER_ACCOUNT),
        ("DynamoDB_20120810.PutItem", {"TableName": "none", "Item": {}}, ""),
        ("DynamoDB_20120810.Unknown", {}, ""),
        ("DynamoDBStreams_20120810.ListStreams", {}, ""),
        ("Kinesis_20131202.ListShards", {"StreamName": "none"}, ""),
        ("Kinesis_20131202.PutRecords", "no JSON", ""),
        ("AWSEvents.DescribeEventBus", {}, OTHER_ACCOUNT),
        ("AWSEvents.PutEvents", {"Entries": []}, ""),
        ("AmazonSQS.GetQueueUrl", {"QueueName": "none"}, OTHER_ACCOUNT),
        ("AmazonSQS.ReceiveMessage", {}, ""),
        ("Firehose_20150804.ListDeliveryStreams", {}, ""),
        ("Firehose_20150804.PutRecord", [], ""),  # the handler itself fails
        ("Logs_20140328.DescribeLogStreams", {"logGroupName": "none"}, ""),
    ],
)
def test_the_answer_is_that_of_ministacks_app(
    endpoint: LocalEndpoint, target: str, request_: Any, credentials: str
) -> None:
    headers = {"x-amz-target": target, "content-type": "application/x-amz-json-1.0"}
    if credentials:
        headers["authorization"] = f"AWS4-HMAC-SHA256 {credentials}, SignedHeaders=host, Signature=0"
    body = request_ if isinstance(request_, str) else json.dumps(request_)
    straight, through_app = (
        httpx.post(f"{endpoint.url}/{query}", content=body, headers=headers, trust_env=False)
        for query in ("", "?by=app")
    )
    assert (straight.status_code, straight.json()) == (through_app.status_code, through_app.json())
    assert straight.headers.keys() & RANDOM == through_app.headers.keys() & RANDOM
    assert {name: value for name, value in straight.headers.items() if name not in RANDOM} == {
        name: value for name, value in through_app.headers.items() if name not in RANDOM
    }


def test_the_keys_of_a_session_are_of_the_account_of_its_role(endpoint: LocalEndpoint) -> None:
    role = "arn:aws:iam::222222222222:role/any"
    keys = endpoint.client("sts").assume_role(RoleArn=role, RoleSessionName="any")["Credentials"]
    scope_ = f"{keys['AccessKeyId']}/20261122/eu-west-1/events/aws4_request"
    bus = httpx.post(
        f"{endpoint.url}/",
        content=b"{}",
        headers={
            "x-amz-target": "AWSEvents.DescribeEventBus",
            "authorization": f"AWS4-HMAC-SHA256 Credential={scope_}, SignedHeaders=host, Signature=0",
        },
        trust_env=False,
    ).json()
    assert bus["Arn"] == "arn:aws:events:eu-west-1:222222222222:event-bus/default"
