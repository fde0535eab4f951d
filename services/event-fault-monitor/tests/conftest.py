"""The service's environment, bucket and ledger; the other fixtures come from stream_runtime.testing."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

ENVIRONMENT = {
    "SERVICE": "event-fault-monitor",
    "STAGE": "test",
    "LEDGER_TABLE_NAME": "test-ledger",
    "METRIC_NAMESPACE": "test-faults",
}


@pytest.fixture(autouse=True)
def environment(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("BUS_NAME", raising=False)


@pytest.fixture
def ledger_table(create_table: Callable[[str, str], Any]) -> Any:
    return create_table("LedgerTable", "test-ledger")


@pytest.fixture
def bucket() -> str:
    boto3.client("s3").create_bucket(Bucket="test-faults")
    return "test-faults"
