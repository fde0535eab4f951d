"""AWS by moto, with a table and a bucket; a fixture that runs rules."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws
from stream_runtime import DEFAULT_OPTIONS, StreamPipeline, clients, initialize_from
from stream_runtime.events import from_kinesis, to_kinesis_records


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """moto in place of AWS."""
    with mock_aws():
        clients.reset()
        yield


@pytest.fixture
def table(aws: None, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The function's table, with the index that `evaluate` and `update` query."""
    monkeypatch.setenv("ENTITY_TABLE_NAME", "entities")
    return boto3.resource("dynamodb").create_table(
        TableName="entities",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk", "data")],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "DataIndex",
                "KeySchema": [
                    {"AttributeName": "data", "KeyType": "HASH"},
                    {"AttributeName": "pk", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        BillingMode="PAY_PER_REQUEST",
    )


@pytest.fixture
def bucket(aws: None, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The function's bucket."""
    monkeypatch.setenv("BUCKET_NAME", "views")
    return boto3.resource("s3").create_bucket(
        Bucket="views", CreateBucketConfiguration={"LocationConstraint": "us-west-2"}
    )


Run = Callable[..., list[Any]]


@pytest.fixture
def run() -> Run:
    """Runs rules over events of a stream, or over units of work; returns the units of work that leave the pipelines."""

    def run(rules: Any, *events: Any, uows: Any = None, options: Any = None) -> list[Any]:
        out: list[Any] = []
        rules = rules if isinstance(rules, list) else [rules]
        pipeline = StreamPipeline(initialize_from(rules), {**DEFAULT_OPTIONS, **(options or {})})
        source = from_kinesis(to_kinesis_records(events)) if uows is None else uows
        response = pipeline.assemble(source, on_next=lambda _, uow: out.append(uow))
        assert response == {"batchItemFailures": []}
        return out

    return run


@pytest.fixture
def received(aws: None) -> Callable[[str], list[dict[str, Any]]]:
    """All the messages that are in a queue, by its URL."""

    def receive(queue_url: str) -> list[dict[str, Any]]:
        sqs, messages = boto3.client("sqs"), []
        while found := sqs.receive_message(
            QueueUrl=queue_url,
            MaxNumberOfMessages=10,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        ).get("Messages"):
            messages += found
            for message in found:
                sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
        return messages

    return receive


@pytest.fixture
def bodies(received: Callable[[str], list[dict[str, Any]]]) -> Callable[[str], list[Any]]:
    """The JSON of all the messages in a queue, by its URL."""
    return lambda queue_url: [json.loads(message["Body"]) for message in received(queue_url)]
