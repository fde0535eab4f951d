"""The service's table and bus in memory, its environment, and its fixtures."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws
from stream_runtime import clients

sys.path.insert(0, str(Path(__file__).parents[1]))

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
    "SERVICE": "rest-bff-service",
    "STAGE": "test",
    "BUS_NAME": "test-bus",
    "ENTITY_TABLE_NAME": "test-entities",
    "TOMBSTONE_DAYS": "30",
    "DASHBOARD_TABLE_NAME": "test-dashboard",
    "TTL_DAYS": "7",
    "RETRY_BASE_MS": "0",
    "POWERTOOLS_DEV": "false",
}


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    clients.reset()
    with mock_aws():
        yield
    clients.reset()


@pytest.fixture
def table() -> Any:
    return boto3.resource("dynamodb").create_table(
        TableName="test-entities",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
            {"AttributeName": "listing", "AttributeType": "S"},
            {"AttributeName": "created", "AttributeType": "N"},
        ],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "ListingIndex",
                "KeySchema": [
                    {"AttributeName": "listing", "KeyType": "HASH"},
                    {"AttributeName": "created", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )


@pytest.fixture
def dashboard_table() -> Any:
    return boto3.resource("dynamodb").create_table(
        TableName="test-dashboard",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
            {"AttributeName": "sentiment_score_combined", "AttributeType": "S"},
        ],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "SentimentIndex",
                "KeySchema": [
                    {"AttributeName": "pk", "KeyType": "HASH"},
                    {"AttributeName": "sentiment_score_combined", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )


@pytest.fixture
def published() -> Callable[[], list[dict[str, Any]]]:
    """The events published since it was last called."""
    events = boto3.client("events")
    sqs = boto3.client("sqs")
    events.create_event_bus(Name="test-bus")
    url = sqs.create_queue(QueueName="published")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name="all", EventBusName="test-bus", EventPattern='{"source": ["custom"]}')
    events.put_targets(Rule="all", EventBusName="test-bus", Targets=[{"Id": "queue", "Arn": arn}])

    def read() -> list[dict[str, Any]]:
        messages = []
        while batch := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            messages += [json.loads(message["Body"])["detail"] for message in batch]
            for message in batch:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return messages

    return read


@pytest.fixture
def fixture() -> Callable[[str], dict[str, Any]]:
    """A file of tests/fixtures, as `sls invoke local -p` reads it."""
    return lambda name: json.loads((Path(__file__).parent / "fixtures" / f"{name}.json").read_text())


@pytest.fixture
def holds() -> Callable[[Any, Any], bool]:
    """Whether an answer has all that is expected: objects may have more, and a body may be the text of one."""

    def compare(expected: Any, answer: Any) -> bool:
        if isinstance(expected, dict) and isinstance(answer, str):
            answer = json.loads(answer)
        if isinstance(expected, dict) and isinstance(answer, dict):
            return all(name in answer and compare(value, answer[name]) for name, value in expected.items())
        if isinstance(expected, list) and isinstance(answer, list):
            return len(expected) == len(answer) and all(map(compare, expected, answer))
        return bool(expected == answer)

    return compare


@pytest.fixture
def context() -> Any:
    return SimpleNamespace(
        function_name="rest-bff-service-test-rest",
        memory_limit_in_mb=512,
        invoked_function_arn="arn:aws:lambda:us-east-1:123456789012:function:rest-bff-service-test-rest",
        aws_request_id="5c2e0b0c-8d6c-4f6e-9b0b-3f6f0f0f0f0f",
        get_remaining_time_in_millis=lambda: 30_000,
    )
