"""The service's environment and its bucket, and the hub's; the fixture `aws` comes from stream_runtime.testing."""

import sys
from pathlib import Path

import boto3
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

LAKE, CLAIMS = "event-lake-s3-local-000000000000-us-east-1", "event-hub-local-claims-000000000000-us-east-1"
ENVIRONMENT = {
    "SERVICE": "event-lake-s3",
    "STAGE": "test",
    "BUCKET_NAME": LAKE,
}


@pytest.fixture(autouse=True)
def environment(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(autouse=True)
def buckets(environment: None) -> tuple[str, str]:
    """The buckets of the lake and of the hub's claims."""
    for name in (LAKE, CLAIMS):
        boto3.client("s3").create_bucket(Bucket=name)
    return LAKE, CLAIMS
