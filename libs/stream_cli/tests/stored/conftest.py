"""A bucket with a small history, as Firehose would have written it."""

import gzip
import json
from datetime import UTC, datetime

import boto3
import pytest
from moto import mock_aws
from stream_cli.stored.history import History

BUCKET = "history"
NOON_MS = 1_767_268_800_000  # 2026-01-01T12:00:00Z


@pytest.fixture
def envelope():
    """Make the envelope of an event by number."""

    def make(number, type_="item-submitted", *, key="k", hours=0, source="rest-bff-service"):
        event = {
            "id": f"e{number}",
            "type": type_,
            "timestamp": NOON_MS + hours * 3_600_000 + number,
            "partition_key": key,
            "tags": {"source": source},
        }
        published = datetime.fromtimestamp(event["timestamp"] // 1000, UTC)
        return {"source": "custom", "detail-type": type_, "time": f"{published:%Y-%m-%dT%H:%M:%SZ}", "detail": event}

    return make


@pytest.fixture
def aws(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield


@pytest.fixture
def store(aws):
    """Write envelopes (or text) as an object of a day and an hour."""
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=BUCKET)

    def put(lines, *, day="2026-01-01", hour=12, name="a", compressed=True, prefix="events/"):
        text = "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines).encode()
        body = gzip.compress(text) if compressed else text
        s3.put_object(Bucket=BUCKET, Key=f"{prefix}dt={day}/hour={hour:02}/{name}", Body=body)

    return put


@pytest.fixture
def history(aws):
    """The history of the bucket, and the list of its unreadable lines."""
    unreadable = []
    found = History(
        boto3.client("s3"), BUCKET, "events/", lambda place, why: unreadable.append((place.key, place.line, why))
    )
    return found, unreadable
