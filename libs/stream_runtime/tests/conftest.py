"""An environment in which nothing of this machine's leaks into a test, and no test waits between attempts.

Fixtures give AWS by moto, with a table and a bucket, a bus that keeps what is published, and run rules.
"""

import json
import logging
import os
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from stream_runtime import DEFAULT_OPTIONS, StreamPipeline, clients, initialize_from
from stream_runtime.events import from_kinesis, to_kinesis_records

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_REGION": "us-west-2",
    "AWS_DEFAULT_REGION": "us-west-2",
    "BUS_NAME": "test-bus",
    "RETRY_BASE_MS": "0",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The environment of every test; clients are built anew in each, so that moto's mocks reach them."""
    for name in tuple(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    clients.reset()
    yield
    clients.reset()
    logging.getLogger("stream_runtime").setLevel(logging.NOTSET)


class Bus:
    """An EventBridge client that keeps what is published, and answers with the failures it is given."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.calls: list[list[dict[str, Any]]] = []
        self.answers: list[Callable[[list[dict[str, Any]]], dict[str, Any] | None]] = []
        """One for each of the next calls; None accepts the entries, an exception may be raised."""

    def put_events(self, Entries: list[dict[str, Any]]) -> dict[str, Any]:
        """Accept the entries, unless another answer is due."""
        self.calls.append(Entries)
        answer = self.answers.pop(0)(Entries) if self.answers else None
        if answer is not None:
            return answer
        self.events += [json.loads(entry["Detail"]) for entry in Entries]
        return {"FailedEntryCount": 0, "Entries": [{"EventId": str(number)} for number in range(len(Entries))]}

    def fails(self, error: BaseException, times: int = 1) -> None:
        """The next calls raise."""

        def answer(_: list[dict[str, Any]]) -> None:
            raise error

        self.answers += [answer] * times

    def of_type(self, type_: str) -> list[dict[str, Any]]:
        """The events of a type, in the order in which they were published."""
        return [event for event in self.events if event["type"] == type_]


@pytest.fixture
def bus() -> Bus:
    """The bus that the runtime publishes to."""
    bus = Bus()
    clients.use("events", bus)
    return bus


class Context:
    """A Lambda context with so many milliseconds left."""

    def __init__(self, left_ms: int) -> None:
        self.left_ms = left_ms

    def get_remaining_time_in_millis(self) -> int:
        """What is left."""
        return self.left_ms


@pytest.fixture
def context_with() -> type[Context]:
    """Makes a Lambda context of the milliseconds it has left."""
    return Context


@pytest.fixture
def throttled() -> ClientError:
    """What AWS answers to too many requests."""
    return client_error("ThrottlingException")


@pytest.fixture
def denied() -> ClientError:
    """What AWS answers where a permission is missing."""
    return client_error("AccessDeniedException")


def client_error(code: str) -> ClientError:
    """An error as botocore raises it."""
    return ClientError({"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": 400}}, "Call")


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """moto in place of AWS."""
    with mock_aws():
        clients.reset()
        yield


@pytest.fixture
def table(aws: None, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The function's table, with an index that rules of `update` query."""
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
