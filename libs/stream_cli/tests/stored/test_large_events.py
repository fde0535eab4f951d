"""Large events of the lake: printed whole, and replayed with their bodies where functions read them."""

import json

import boto3
import pytest
from stream_cli.cli import app
from typer.testing import CliRunner

LAKE, CLAIMS, ANOTHER = "history", "hub-claims", "another"  # the first is the one that ``store`` fills
KEY = "claimchecks/orders/2026/01/01/12/e1"


@pytest.fixture
def s3(store):
    client = boto3.client("s3")
    for name in (CLAIMS, ANOTHER):
        client.create_bucket(Bucket=name)
    boto3.client("kinesis").create_stream(StreamName="s", ShardCount=1)
    return client


@pytest.fixture
def streamctl(tmp_path):
    def run(*arguments):
        return CliRunner().invoke(app, [*arguments, "--stage", "dev", "--state", str(tmp_path), "--bucket", LAKE])

    return run


@pytest.fixture(params=["claim_check", "s3"])
def large(request, envelope):
    """The envelope of a pointer, in our form and in that of aws-lambda-stream, and the whole event."""

    def make(bucket=CLAIMS):
        pointer = envelope(1)
        whole = {**pointer["detail"], "order": {"text": "x" * 1_000_000}}
        pointer["detail"][request.param] = {"bucket": bucket, "key": KEY}
        return pointer, whole

    return make


def copied(s3, whole, bucket=CLAIMS):
    """What the lake's function has copied."""
    s3.put_object(Bucket=LAKE, Key=f"claims/{bucket}/{KEY}", Body=json.dumps(whole).encode())


def keys(s3, bucket):
    return [each["Key"] for each in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]


def test_a_large_event_is_printed_whole(store, envelope, large, streamctl, s3):
    pointer, whole = large()
    store([pointer, envelope(2)])
    copied(s3, whole)

    assert [json.loads(line) for line in streamctl("lake", "cat").stdout.splitlines()] == [whole, envelope(2)["detail"]]
    (line, _) = streamctl("lake", "cat", "--envelope").stdout.splitlines()
    assert json.loads(line) == {**pointer, "detail": whole}


@pytest.mark.parametrize("found", [None, b'{"id": "another"}', b"[]"])
def test_without_a_copy_of_its_body_the_pointer_is_printed_and_said(store, large, streamctl, s3, found):
    pointer, _ = large()
    store([pointer])
    if found is not None:
        s3.put_object(Bucket=LAKE, Key=f"claims/{CLAIMS}/{KEY}", Body=found)

    ran = streamctl("lake", "cat")

    assert json.loads(ran.stdout) == pointer["detail"]
    assert f"the lake has no copy of the body of e1, s3://{CLAIMS}/{KEY}; it is the pointer" in ran.stderr


def test_a_replay_puts_the_body_back_before_it_sends_the_pointer(store, large, streamctl, s3):
    pointer, whole = large()
    store([pointer])
    copied(s3, whole)

    ran = streamctl("lake", "replay", "--to-stream", "s")

    assert "Replayed 1 event to stream s." in ran.stdout
    assert json.loads(s3.get_object(Bucket=CLAIMS, Key=KEY)["Body"].read()) == whole


def test_a_replay_says_whose_body_the_lake_does_not_have(store, large, streamctl, s3):
    store([large()[0]])

    ran = streamctl("lake", "replay", "--to-stream", "s")

    assert "Replayed 1 event to stream s." in ran.stdout
    assert "the lake has no copy of the body of e1" in ran.stderr
    assert keys(s3, CLAIMS) == []


def test_a_forged_pointer_makes_a_replay_write_nowhere(store, large, streamctl, s3):
    """The lake's function copies from the hub's bucket only; a pointer to another one has no copy."""
    pointer, whole = large(ANOTHER)
    store([pointer])
    copied(s3, whole)

    ran = streamctl("lake", "replay", "--to-stream", "s")

    assert "the lake has no copy of the body of e1" in ran.stderr
    assert keys(s3, ANOTHER) == []


def test_a_refusal_of_s3_stops_a_replay_before_the_pointer_is_sent(store, large, streamctl, s3):
    pointer, whole = large("gone")
    store([pointer])
    copied(s3, whole, "gone")

    ran = streamctl("lake", "replay", "--to-stream", "s")

    assert ran.exit_code != 0
    assert "NoSuchBucket" in ran.output
