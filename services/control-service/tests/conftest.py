"""The service's table and bus in memory, its environment, and its fixtures."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
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
    "SERVICE": "control-service",
    "STAGE": "test",
    "BUS_NAME": "test-bus",
    "EVENT_TABLE_NAME": "test-events",
    "INCOMPLETE_AFTER_SECONDS": "3600",
    "RETRY_BASE_MS": "0",
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
        TableName="test-events",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
            {"AttributeName": "data", "AttributeType": "S"},
            {"AttributeName": "waiting", "AttributeType": "S"},
            {"AttributeName": "ttl", "AttributeType": "N"},
        ],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "DataIndex",
                "KeySchema": [
                    {"AttributeName": "data", "KeyType": "HASH"},
                    {"AttributeName": "sk", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            },
            {
                "IndexName": "WaitingIndex",
                "KeySchema": [
                    {"AttributeName": "waiting", "KeyType": "HASH"},
                    {"AttributeName": "ttl", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            },
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
