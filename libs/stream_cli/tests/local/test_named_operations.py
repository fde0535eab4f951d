"""Requests that name their operation go straight to their service, which answers as it does behind ministack's app."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import boto3
import httpx
import pytest
from ministack import app as ministack_app
from ministack.services import sts
from stream_cli.local.emulator.authorization import callers
from stream_cli.local.emulator.named_operations import NamedOperations, named_operation
from stream_cli.local.endpoint import LocalEndpoint

TARGET = {"x-amz-target": "DynamoDB_20120810.PutItem", "host": "127.0.0.1:4566"}
RANDOM = {"x-amzn-requestid", "x-amz-request-id", "x-amz-id-2", "date"}
OWN = "Credential=test/20261122/us-east-1/dynamodb/aws4_request"
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


@pytest.mark.parametrize(
    "headers",
    [
        TARGET,
        {**TARGET, "authorization": "Credential=ASIA1/20261122/us-east-1/dynamodb/aws4_request"},
        {
            **TARGET,
            "x-amz-security-token": "another",
            "authorization": "Credential=ASIA2/20261122/us-east-1/dynamodb/aws4_request",
        },
    ],
    ids=["without keys", "without the session", "with another token"],
)
def test_where_policies_are_enforced_ministack_answers_whoever_is_not_known(
    monkeypatch: pytest.MonkeyPatch, headers: dict[str, str]
) -> None:
    seen: list[Any] = []
    session = {"Arn": "arn:aws:sts::000000000000:assumed-role/r/s", "SessionToken": "its token"}
    monkeypatch.setitem(sts._sessions, "ASIA2", session)
    monkeypatch.setattr(callers, "issued", {"ASIA1": None, "ASIA2": None})

    async def app(*arguments: Any) -> None:
        seen.append(arguments[0])

    monkeypatch.setattr(ministack_app, "AUTH", True)
    request = scope("POST", "/", headers)
    asyncio.run(NamedOperations(app)(request, None, None))  # type: ignore[arg-type]
    assert seen == [request]


@pytest.mark.parametrize(
    ("target", "request_", "credentials"),
    [
        ("DynamoDB_20120810.ListTables", {}, OWN),
        ("DynamoDB_20120810.ListTables", {}, OTHER_ACCOUNT),
        ("DynamoDB_20120810.PutItem", {"TableName": "none", "Item": {}}, OWN),
        ("DynamoDB_20120810.Unknown", {}, OWN),
        ("DynamoDBStreams_20120810.ListStreams", {}, OWN),
        ("Kinesis_20131202.ListShards", {"StreamName": "none"}, OWN),
        ("Kinesis_20131202.PutRecords", "no JSON", OWN),
        ("AWSEvents.DescribeEventBus", {}, OTHER_ACCOUNT),
        ("AWSEvents.PutEvents", {"Entries": []}, OWN),
        ("AmazonSQS.GetQueueUrl", {"QueueName": "none"}, OTHER_ACCOUNT),
        ("AmazonSQS.ReceiveMessage", {}, OWN),
        ("Firehose_20150804.ListDeliveryStreams", {}, OWN),
        ("Firehose_20150804.PutRecord", [], OWN),  # the handler itself fails
        ("Logs_20140328.DescribeLogStreams", {"logGroupName": "none"}, OWN),
    ],
)
def test_the_answer_is_that_of_ministacks_app(
    endpoint: LocalEndpoint, target: str, request_: Any, credentials: str
) -> None:
    headers = {
        "x-amz-target": target,
        "content-type": "application/x-amz-json-1.0",
        "authorization": f"AWS4-HMAC-SHA256 {credentials}, SignedHeaders=host, Signature=0",
    }
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


def test_the_keys_of_a_session_are_of_the_account_of_its_role(endpoint: LocalEndpoint, name: str) -> None:
    account, settings = "222222222222", {"region_name": "eu-west-1", "endpoint_url": endpoint.url}
    owner = boto3.Session(account, account)
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "sts:AssumeRole"}
    allow = {"Effect": "Allow", "Action": "events:*", "Resource": "*"}
    iam = owner.client("iam", **settings)
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": trust}))["Role"]["Arn"]
    policy = json.dumps({"Version": "2012-10-17", "Statement": allow})
    iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=policy)
    keys = owner.client("sts", **settings).assume_role(RoleArn=role, RoleSessionName="any")["Credentials"]
    session = boto3.Session(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
    bus = session.client("events", **settings).describe_event_bus()
    assert bus["Arn"] == f"arn:aws:events:eu-west-1:{account}:event-bus/default"
