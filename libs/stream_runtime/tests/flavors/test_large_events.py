"""collect, correlate, evaluate and expired with events that are larger than a row, which rows keep as claim checks."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from stream_runtime import DEFAULT_OPTIONS, StreamPipeline, clients, initialize_from
from stream_runtime.events import from_dynamodb, from_kinesis, to_dynamodb_records, to_kinesis_records
from stream_runtime.flavors import collect, correlate, evaluate, expired

MIB = 1024 * 1024
TYPES = ["submitted", "analyzed"]
COLLECT = {"id": "collect", "flavor": collect, "event_type": TYPES, "correlation_key": "item"}


class Counting:
    """An S3 client that counts what is read."""

    def __init__(self, s3: Any) -> None:
        self.s3 = s3
        self.read: list[str] = []

    def get_object(self, **request: Any) -> Any:
        """Read an object."""
        self.read.append(request["Key"])
        return self.s3.get_object(**request)

    def put_object(self, **request: Any) -> Any:
        """Write one."""
        return self.s3.put_object(**request)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, table: Any) -> Iterator[Counting]:
    """The claim-check bucket, beside moto's table."""
    monkeypatch.setenv("CLAIMCHECK_BUCKET_NAME", "claims")
    monkeypatch.setenv("SERVICE", "tested")
    with mock_aws():
        s3 = clients.client("s3")
        s3.create_bucket(Bucket="claims", CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
        counting = Counting(s3)
        clients.use("s3", counting)
        yield counting


def event(type_: str = "submitted", size: int = 2 * MIB, **fields: Any) -> dict[str, Any]:
    number = TYPES.index(type_)
    return {
        "id": f"{type_}1",
        "type": type_,
        "timestamp": 1_700_000_000_000 + number,
        "partition_key": "i1",
        "item": "i1",
        "text": "x" * size,
        **fields,
    }


def published(bucket: Counting, event: dict[str, Any]) -> dict[str, Any]:
    """What the stream has of an event: itself, or its pointer."""
    if len(json.dumps(event)) < MIB:
        return event
    key = f"claimchecks/other/{event['id']}"
    bucket.put_object(Bucket="claims", Key=key, Body=json.dumps(event).encode())
    kept = {name: event[name] for name in ("id", "type", "timestamp", "partition_key")}
    return {**kept, "claim_check": {"bucket": "claims", "key": key}}


def run(rules: Any, source: Any) -> Any:
    return StreamPipeline(initialize_from(rules), DEFAULT_OPTIONS).assemble(source)


def collected(bucket: Counting, table: Any, *events: dict[str, Any], **fields: Any) -> list[dict[str, Any]]:
    """The rows of events that came on the stream, in their order."""
    stream = from_kinesis(to_kinesis_records([published(bucket, event) for event in events]))
    assert run([{**COLLECT, **fields}], stream) == {"batchItemFailures": []}
    rows = {row["pk"]: row for row in table.scan()["Items"]}
    return [rows[event["id"]] for event in events]


def inserted(*rows: dict[str, Any]) -> Any:
    return from_dynamodb(
        to_dynamodb_records([{"keys": {"pk": row["pk"], "sk": row["sk"]}, "newImage": row} for row in rows])
    )


@pytest.mark.parametrize("size", [10, 255 * 1024, 257 * 1024, 399 * 1024, 401 * 1024, 1023 * 1024, 2 * MIB, 9 * MIB])
def test_events_of_any_size_are_correlated(size: int, bucket: Counting, table: Any, bus: Any) -> None:
    rows = collected(bucket, table, event("submitted", size), event("analyzed", 10))
    seen: list[Any] = []
    rule = {"id": "e", "flavor": evaluate, "event_type": TYPES, "emit": "ready"}
    rule["expression"] = lambda uow: seen.append(uow["correlated"]) or len(uow["correlated"]) == 2

    assert run([rule], inserted(*rows)) == {"batchItemFailures": []}

    assert [len(each["text"]) for each in seen[-1]] == [10, size]
    assert [each["triggers"][0]["id"] for each in bus.events] == ["analyzed1"]


def test_a_row_keeps_the_pointer_that_came(bucket: Counting, table: Any) -> None:
    (row,) = collected(bucket, table, event())

    assert row["event"] == {
        **{name: event()[name] for name in ("id", "type", "timestamp", "partition_key")},
        "claim_check": {"bucket": "claims", "key": "claimchecks/other/submitted1", "without_raw": True},
    }
    assert row["data"] == "i1"


@pytest.mark.parametrize("include_raw", [True, False])
@pytest.mark.parametrize("size", [10, 500_000, 2 * MIB])
def test_raw_images_come_back_if_the_rule_keeps_them(
    size: int, include_raw: bool, bucket: Counting, table: Any
) -> None:
    rows = collected(bucket, table, event(size=size, raw={"new": {"a": 1}}), include_raw=include_raw)
    seen: list[Any] = []
    rule = {"id": "e", "flavor": evaluate, "event_type": TYPES, "emit": "ready"}
    rule["expression"] = lambda uow: seen.append((uow["event"], uow["correlated"]))

    run([rule], inserted(*rows))

    ((own, (found,)),) = seen
    assert ["raw" in own, "raw" in found] == [include_raw] * 2


def test_a_further_key_files_the_pointer_and_the_key_is_read_from_the_event(bucket: Counting, table: Any) -> None:
    rows = collected(bucket, table, event(other="o7"))

    run([{"id": "c", "flavor": correlate, "event_type": TYPES, "correlation_key": "other"}], inserted(*rows))

    (found,) = [row for row in table.scan()["Items"] if row["discriminator"] == "CORREL"]
    assert (found["pk"], found["event"]["claim_check"]["key"]) == ("o7", "claimchecks/other/submitted1")
    assert "text" not in found["event"]


def test_a_body_is_read_once_for_a_batch(bucket: Counting, table: Any, bus: Any) -> None:
    rows = collected(bucket, table, event("submitted"), event("analyzed"))
    bucket.read.clear()
    rule = {"id": "e", "flavor": evaluate, "event_type": TYPES, "emit": "ready", "expression": lambda uow: True}

    run([rule], inserted(*rows))

    assert len(bucket.read) == 5  # each as the event of its row, and those of each correlation as it was then


def test_what_no_rule_wants_is_not_read(bucket: Counting, table: Any, bus: Any) -> None:
    rows = collected(bucket, table, event())
    bucket.read.clear()
    rules = [
        {"id": "c", "flavor": correlate, "event_type": "analyzed", "correlation_key": "item"},
        {"id": "x", "flavor": expired},
    ]
    change = {"keys": {"pk": "submitted1", "sk": "EVENT"}, "oldImage": rows[0], "timestamp": 1}

    run(rules, inserted(*rows))
    run(rules, from_dynamodb(to_dynamodb_records([change])))

    assert (bucket.read, bus.events) == ([], [])


def test_an_expired_event_is_whole(bucket: Counting, table: Any, bus: Any) -> None:
    (row,) = collected(bucket, table, event(), expire=True)
    change = {"keys": {"pk": row["pk"], "sk": "EVENT"}, "oldImage": row, "timestamp": int(row["ttl"])}

    run([{"id": "x", "flavor": expired}], from_dynamodb(to_dynamodb_records([change])))

    (emitted,) = bus.events
    body = bucket.s3.get_object(Bucket="claims", Key=emitted["claim_check"]["key"])["Body"].read()
    assert (emitted["type"], len(json.loads(body)["text"])) == ("submitted-expired", 2 * MIB)


def test_events_of_a_correlation_that_are_too_large_together_are_a_fault(
    bucket: Counting, table: Any, bus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = collected(bucket, table, event("submitted"), event("analyzed"))
    monkeypatch.setenv("MAX_EXPANDED_SIZE", str(4 * MIB + 1000))
    rule = {"id": "e", "flavor": evaluate, "event_type": "analyzed", "emit": "ready", "expression": lambda uow: True}
    run([{**rule, "correlation_key_suffix": None}], inserted(rows[0]))

    run([rule], inserted(rows[1]))

    assert bus.of_type("fault") == []

    monkeypatch.setenv("MAX_EXPANDED_SIZE", str(4 * MIB - 1))
    assert run([rule], inserted(rows[1])) == {"batchItemFailures": []}
    assert "MAX_EXPANDED_SIZE" in bus.of_type("fault")[0]["err"]["message"]


@pytest.mark.parametrize("first", [0, 1])
def test_whether_a_correlation_is_too_large_does_not_depend_on_which_event_comes_first(
    first: int, bucket: Counting, table: Any, bus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = collected(bucket, table, event("submitted", 3 * MIB), event("analyzed", 2 * MIB))
    monkeypatch.setenv("MAX_EXPANDED_SIZE", str(4 * MIB))
    rule = {"id": "e", "flavor": evaluate, "event_type": TYPES, "emit": "ready", "expression": lambda uow: True}

    run([rule], inserted(rows[first]))
    run([rule], inserted(rows[1 - first]))

    assert len(bus.of_type("fault")) == 1


def test_a_body_that_cannot_be_stored_leaves_the_record_for_retry(table: Any, bus: Any, bucket: Counting) -> None:
    answer: Any = {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}

    class Refusing:
        def put_object(self, **_: Any) -> Any:
            raise ClientError(answer, "PutObject")

    clients.use("s3", Refusing())

    response = run([COLLECT], from_kinesis(to_kinesis_records([event(size=500_000)])))

    assert response == {"batchItemFailures": [{"itemIdentifier": "0"}]}
    assert (table.scan()["Items"], bus.events) == ([], [])


def test_a_bucket_that_cannot_be_reached_leaves_the_record_for_retry(bucket: Counting, table: Any, bus: Any) -> None:
    rows = collected(bucket, table, event("submitted"), event("analyzed", 10))
    rule = {"id": "e", "flavor": evaluate, "event_type": TYPES, "emit": "ready", "expression": lambda uow: True}
    run([rule], inserted(rows[0]))
    bus.events.clear()
    answer: Any = {"Error": {"Code": "SlowDown"}, "ResponseMetadata": {"HTTPStatusCode": 503}}

    class Slow:
        def get_object(self, **_: Any) -> Any:
            raise ClientError(answer, "GetObject")

    clients.use("s3", Slow())

    assert run([rule], inserted(rows[1])) == {"batchItemFailures": [{"itemIdentifier": "0"}]}
    assert bus.events == []


def test_without_a_bucket_an_event_too_large_for_a_row_is_a_fault(
    bucket: Counting, table: Any, bus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAIMCHECK_BUCKET_NAME", "")

    run([COLLECT], from_kinesis(to_kinesis_records([event(size=500_000)])))

    assert len(bus.of_type("fault")) == 1
    assert table.scan()["Items"] == []
