"""The service's environment and its landing bucket; the other fixtures come from stream_runtime.testing."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

ENVIRONMENT = {
    "AWS_LAMBDA_FUNCTION_NAME": "event-hub-test-ingress",
    "SERVICE": "event-hub",
    "STAGE": "test",
    "BUS_NAME": "test-bus",
    "ROW_ENTITY": "record",
    "ROW_EVENT_TYPE": "record-received",
}


@pytest.fixture(autouse=True)
def environment(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def bucket() -> str:
    boto3.client("s3").create_bucket(Bucket="landing")
    return "landing"


@pytest.fixture
def published(published: Callable[[], list[dict[str, Any]]]) -> Callable[[], list[dict[str, Any]]]:
    """Returns the events published since the last call, sorted by id: parallel calls publish in any order."""
    return lambda: sorted(published(), key=lambda event: event["id"])
