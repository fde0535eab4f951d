"""The service's bucket and ledger in memory, its environment, and its fixtures."""

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
    "SERVICE": "event-fault-monitor",
    "STAGE": "test",
    "LEDGER_TABLE_NAME": "test-ledger",
    "METRIC_NAMESPACE": "test-faults",
    "RETRY_BASE_MS": "0",
}


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "BUS_NAME"):
        monkeypatch.delenv(name, raising=False)
    clients.reset()
    with mock_aws():
        yield
    clients.reset()


@pytest.fixture
def ledger_table() -> Any:
    return boto3.resource("dynamodb").create_table(
        TableName="test-ledger",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
    )


@pytest.fixture
def bucket() -> str:
    boto3.client("s3").create_bucket(Bucket="test-faults")
    return "test-faults"


@pytest.fixture
def fixture() -> Callable[[str], dict[str, Any]]:
    """A file of tests/fixtures, as `sls invoke local -p` reads it."""
    return lambda name: json.loads((Path(__file__).parent / "fixtures" / f"{name}.json").read_text())
