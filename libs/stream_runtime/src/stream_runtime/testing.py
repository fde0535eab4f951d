"""A pytest plugin with fixtures for the tests of functions; it is loaded where this package is installed.

- ``aws``: AWS in memory (moto), test credentials, no waits between retries; nothing of the machine's own settings.
- ``create_table``: creates a table as the service's ``resources/tables.yml`` declares it.
- ``published``: reads the events on the bus BUS_NAME.
- ``fixture``: reads a JSON file of the folder ``fixtures`` beside the test.
- ``invocation``: the same, as a handler gets it: plain events are wrapped as the handler's source delivers them.
- ``context``: a Lambda context, of the function AWS_LAMBDA_FUNCTION_NAME.

``to_api_gateway_request_v2(method=..., path=...)`` makes the event of a request to an HTTP API;
``includes(expected, actual)`` compares a response with its expected part.

A service's conftest.py sets the service's own variables in a fixture that uses ``aws``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from . import clients, events, settings
from .events import to_api_gateway_request_v2

__all__ = [
    "aws",
    "context",
    "create_table",
    "fixture",
    "includes",
    "invocation",
    "published",
    "to_api_gateway_request_v2",
]

REGION = "us-east-1"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """AWS in memory: every client of the test is answered by moto."""
    from moto import mock_aws

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, REGION)
    monkeypatch.setenv("RETRY_BASE_MS", "0")
    clients.reset()
    with mock_aws():
        yield
    clients.reset()


@pytest.fixture
def create_table(aws: None, request: pytest.FixtureRequest) -> Callable[[str, str], Any]:
    """Creates the table with a logical id in ``resources/tables.yml`` under a name; returns boto3's Table."""
    import boto3
    import yaml

    # libyaml's, where PyYAML has it, is eight times as fast.
    class TagsAsNone(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        """Reads !Ref and the other tags of CloudFormation as None."""

    TagsAsNone.add_multi_constructor("!", lambda *_: None)
    text = (request.path.parents[1] / "resources" / "tables.yml").read_text(encoding="utf-8")
    resources = yaml.load(text, TagsAsNone)["Resources"]
    kept = ("AttributeDefinitions", "BillingMode", "GlobalSecondaryIndexes", "KeySchema")

    def create(logical_id: str, table_name: str) -> Any:
        declared = {name: value for name, value in resources[logical_id]["Properties"].items() if name in kept}
        return boto3.resource("dynamodb").create_table(TableName=table_name, **declared)

    return create


@pytest.fixture
def published(aws: None) -> Callable[[], list[dict[str, Any]]]:
    """Returns the events that were published to the bus BUS_NAME since it was last called."""
    import boto3

    events, sqs = boto3.client("events"), boto3.client("sqs")
    bus = settings.required(settings.BUS_NAME)
    events.create_event_bus(Name=bus)
    url = sqs.create_queue(QueueName="published")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = json.dumps({"source": [settings.BUS_SRC.read()]})
    events.put_rule(Name="published", EventBusName=bus, EventPattern=pattern)
    events.put_targets(Rule="published", EventBusName=bus, Targets=[{"Id": "queue", "Arn": arn}])

    def read() -> list[dict[str, Any]]:
        received: list[dict[str, Any]] = []
        while batch := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in batch:
                received.append(json.loads(message["Body"])["detail"])
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return received

    return read


@pytest.fixture
def fixture(request: pytest.FixtureRequest) -> Callable[[str], Any]:
    """Reads ``fixtures/<name>.json`` beside the test."""
    folder = request.path.parent / "fixtures"
    return lambda name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture
def invocation(fixture: Callable[[str], Any]) -> Callable[[Any, str], Any]:
    """Reads a fixture as the invocation event of a handler that `stream_handler` made.

    The file holds one, or else a plain event or a list of them: events, changes of rows as `to_dynamodb_records` takes
    them, objects as `to_s3_records` does.
    """

    def read(handler: Any, name: str) -> Any:
        content = fixture(name)
        source = getattr(handler.source, "func", handler.source).__name__
        if isinstance(content, dict) and ("Records" in content or "records" in content or "detail-type" in content):
            return content
        if source == "from_eventbridge":
            return events.to_eventbridge_event(content)
        wrap = getattr(events, f"{source.replace('from_', 'to_')}_records")
        return wrap(content if isinstance(content, list) else [content])

    return read


@pytest.fixture
def context() -> Any:
    """A Lambda context with 900 s left; its attributes can be set."""
    name = os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "function")
    return SimpleNamespace(
        function_name=name,
        memory_limit_in_mb=512,
        invoked_function_arn=f"arn:aws:lambda:{REGION}:123456789012:function:{name}",
        aws_request_id="5c2e0b0c-8d6c-4f6e-9b0b-3f6f0f0f0f0f",
        get_remaining_time_in_millis=lambda: 900_000,
    )


def includes(expected: Any, actual: Any) -> bool:
    """Whether a value has all that is expected; an object may have more fields, and may be given as JSON text."""
    if isinstance(expected, dict) and isinstance(actual, str):
        actual = json.loads(actual)
    if isinstance(expected, dict) and isinstance(actual, dict):
        return all(name in actual and includes(value, actual[name]) for name, value in expected.items())
    if isinstance(expected, list) and isinstance(actual, list):
        return len(expected) == len(actual) and all(map(includes, expected, actual))
    return bool(expected == actual)
