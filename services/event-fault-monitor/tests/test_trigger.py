"""The trigger: the faults of an object are counted once, whatever fails."""

import gzip
import json
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from stream_runtime import clients
from stream_runtime.errors import UnfinishedBatch
from stream_runtime.events import to_s3_records

NOW = datetime.now(UTC)
AT_OF_FIXTURES = datetime(2026, 11, 21, 2, 34, 56, 789_000, UTC)
KEY = "faults/dt=2026-11-21/hour=02/a fault+1.gz"


def fault(number: int, pipeline: str = "evaluate-story", error: str = "InvalidAnalysis") -> dict[str, Any]:
    return {
        "version": "0",
        "detail-type": "fault",
        "detail": {
            "id": f"fault-{number}",
            "type": "fault",
            "tags": {
                "source": "control-service",
                "functionname": "control-service-test-trigger",
                "pipeline": pipeline,
            },
            "err": {"name": error, "message": "score is 'high'"},
        },
    }


def lines(*envelopes: Any) -> bytes:
    return b"".join(
        (envelope if isinstance(envelope, bytes) else json.dumps(envelope).encode()) + b"\n" for envelope in envelopes
    )


@pytest.fixture
def store(bucket: str) -> Callable[..., dict[str, Any]]:
    """Stores an object and returns its notification."""

    def put(body: bytes, key: str = KEY, bucket: str = bucket) -> dict[str, Any]:
        etag = boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=body)["ETag"].strip('"')
        entity = {"key": key, "eTag": etag, "size": len(body)}
        return to_s3_records(
            [{"bucket": {"name": bucket}, "object": entity, "eventTime": NOW.isoformat(timespec="milliseconds")}]
        )

    return put


@pytest.fixture
def trigger(ledger_table: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    from fault_monitor.handlers.trigger import handler

    return lambda event: handler(event, None)


def at_present(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> None:
    """Set the time at which objects are counted."""
    monkeypatch.setattr("fault_monitor.dal.metrics.now_ms", lambda: int(moment.timestamp() * 1000))


Metric = Callable[..., float]


@pytest.fixture
def metric(aws: None, monkeypatch: pytest.MonkeyPatch) -> Metric:
    """Returns the sum of a series with exactly the given dimensions; objects are counted NOW, however late the test."""
    at_present(monkeypatch, NOW)
    data: list[dict[str, Any]] = []

    def watch(params: dict[str, Any], **_: Any) -> None:
        assert params["Namespace"] == "test-faults"
        data.extend(params["MetricData"])

    clients.client("cloudwatch").meta.events.register("provide-client-params.cloudwatch.PutMetricData", watch)

    def read(name: str = "Faults", at: datetime = NOW, **dimensions: str) -> float:
        wanted = [{"Name": key, "Value": value} for key, value in {"Stage": "test", **dimensions}.items()]
        series = [datum for datum in data if datum["MetricName"] == name and datum["Dimensions"] == wanted]
        assert all(abs(datum["Timestamp"] - at) < timedelta(seconds=1) for datum in series)
        return sum(datum["Value"] for datum in series)

    return read


@pytest.mark.parametrize("pack", [gzip.compress, bytes], ids=["gzip", "plain"])
def test_faults_are_counted_by_stage_service_pipeline_and_error(
    store: Any, trigger: Any, pack: Any, metric: Metric
) -> None:
    body = lines(fault(1), fault(2), fault(3, "collect-story", "ValueError"), fault(4, error="KeyError"))

    trigger(store(pack(body)))

    assert metric() == 4
    assert metric(Service="control-service") == 4
    of_trigger = {"Service": "control-service", "Function": "control-service-test-trigger"}
    assert metric(**of_trigger, Pipeline="evaluate-story") == 3
    assert metric(**of_trigger, Pipeline="collect-story") == 1
    assert metric(**of_trigger, Pipeline="evaluate-story", Error="InvalidAnalysis") == 2


def test_an_object_that_is_counted_late_is_counted_now_so_that_alarms_see_it(
    store: Any, trigger: Any, metric: Metric, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_present(monkeypatch, NOW)
    notification = store(gzip.compress(lines(fault(1))))
    notification["Records"][0]["eventTime"] = (NOW - timedelta(minutes=20)).isoformat()

    trigger(notification)

    assert metric() == 1


def test_an_object_of_several_gzip_members_is_read_to_its_end(store: Any, trigger: Any, metric: Metric) -> None:
    trigger(store(gzip.compress(lines(fault(1))) + gzip.compress(lines(fault(2)))))

    assert metric() == 2


def test_a_line_without_a_newline_and_a_bare_fault_event_are_read(store: Any, trigger: Any, metric: Metric) -> None:
    trigger(store(json.dumps(fault(1)["detail"]).encode()))

    assert metric() == 1


def test_a_repeated_notification_counts_nothing(store: Any, trigger: Any, metric: Metric) -> None:
    notification = store(lines(fault(1)))

    trigger(notification)
    trigger(notification)

    assert metric() == 1


def test_a_fault_that_is_delivered_twice_counts_once(store: Any, trigger: Any, metric: Metric) -> None:
    trigger(store(lines(fault(1), fault(1))))

    assert metric() == 1


def test_lines_without_a_fault_are_counted_as_unreadable(
    store: Any, trigger: Any, caplog: pytest.LogCaptureFixture, metric: Metric
) -> None:
    trigger(store(lines(b"nonsense", b"[1]", b'{"detail": {"type": "story-ready"}}', b"", fault(1), b"\xff")))

    assert (metric(), metric("UnreadableLines")) == (1, 4)
    assert "line 1 " in caplog.text


def test_a_line_without_an_end_is_one_unreadable_line(store: Any, trigger: Any, metric: Metric) -> None:
    trigger(store(gzip.compress(lines(fault(1), b"[" * (9 * 1024 * 1024), fault(2)))))

    assert (metric(), metric("UnreadableLines")) == (2, 1)


def test_a_line_that_is_nested_too_deeply_does_not_affect_others(store: Any, trigger: Any, metric: Metric) -> None:
    trigger(store(lines(b'{"type": "fault", "uow": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", fault(1))))

    assert (metric(), metric("UnreadableLines")) == (1, 1)


def test_a_fault_without_tags_is_counted_as_unknown(store: Any, trigger: Any, metric: Metric) -> None:
    trigger(store(lines({"type": "fault"}, {"type": "fault", "tags": {"source": 7, "pipeline": "x" * 300}})))

    assert metric(Service="unknown") == 2
    assert metric(Service="unknown", Function="unknown", Pipeline="x" * 255) == 1


def test_an_object_without_faults_adds_no_metric(store: Any, trigger: Any) -> None:
    trigger(store(b""))

    assert boto3.client("cloudwatch").list_metrics(Namespace="test-faults")["Metrics"] == []


def test_a_failed_count_is_repeated_with_the_next_notification(
    store: Any, trigger: Any, monkeypatch: pytest.MonkeyPatch, metric: Metric
) -> None:
    notification = store(lines(fault(1)))
    denied = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "PutMetricData")

    def deny(**_: Any) -> None:
        raise denied

    with monkeypatch.context() as broken:
        broken.setattr(clients.client("cloudwatch"), "put_metric_data", deny)
        with pytest.raises(UnfinishedBatch):
            trigger(notification)

    trigger(notification)

    assert metric() == 1


def test_the_notified_version_of_an_object_is_counted(
    bucket: str, trigger: Any, ledger_table: Any, metric: Metric
) -> None:
    s3 = boto3.client("s3")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})

    def stored(body: bytes) -> dict[str, Any]:
        version = s3.put_object(Bucket=bucket, Key=KEY, Body=body)["VersionId"]
        at = NOW.isoformat(timespec="milliseconds")
        entity = {"key": KEY, "eTag": "e", "versionId": version}
        return to_s3_records([{"bucket": {"name": bucket}, "object": entity, "eventTime": at}])

    first, second = stored(lines(fault(1))), stored(lines(fault(2), fault(3), fault(4)))

    trigger(first)
    assert metric() == 1

    trigger(second)
    assert metric() == 4
    versions = [each["Records"][0]["s3"]["object"]["versionId"] for each in (first, second)]
    assert {row["pk"] for row in ledger_table.scan()["Items"]} == {f"{bucket}/{KEY}#{version}" for version in versions}


def test_a_counted_object_is_remembered_for_thirty_days(store: Any, trigger: Any, ledger_table: Any) -> None:
    before = int(time.time())

    trigger(store(lines(fault(1))))

    (row,) = ledger_table.scan()["Items"]
    assert before <= row["ttl"] - 30 * 86_400 <= time.time()
    assert row["status"] == "counted"


def test_an_object_that_another_invocation_is_counting_is_retried(
    store: Any, trigger: Any, ledger_table: Any, metric: Metric, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fault_monitor.dal import ledger

    monkeypatch.setattr(ledger, "WAIT_S", 0)
    notification = store(lines(fault(1)))
    entity = notification["Records"][0]["s3"]["object"]
    taken = {"pk": f"test-faults/{KEY}#{entity['eTag']}", "status": "counting", "owner": "another"}
    ledger_table.put_item(Item={**taken, "lease": int(time.time()) + 60})

    with pytest.raises(UnfinishedBatch):
        trigger(notification)
    assert metric() == 0

    ledger_table.put_item(Item={**taken, "lease": int(time.time()) - 1})
    trigger(notification)
    assert metric() == 1


def test_an_invocation_waits_for_another_that_is_counting(
    store: Any, trigger: Any, ledger_table: Any, metric: Metric, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fault_monitor.dal import ledger

    notification = store(lines(fault(1)))
    entity = notification["Records"][0]["s3"]["object"]
    row = {"pk": f"test-faults/{KEY}#{entity['eTag']}", "owner": "another", "lease": int(time.time()) + 60}
    ledger_table.put_item(Item={**row, "status": "counting"})

    def other_ends(seconds: float) -> None:
        ledger_table.put_item(Item={**row, "status": "counted"})

    monkeypatch.setattr(ledger, "time", SimpleNamespace(time=time.time, monotonic=time.monotonic, sleep=other_ends))

    assert trigger(notification) == {"batchItemFailures": []}
    assert metric() == 0


@pytest.mark.parametrize("fails", [True, False], ids=["release", "mark"])
def test_the_lock_of_another_invocation_stays_as_it_is(ledger_table: Any, *, fails: bool) -> None:
    """A release that took effect is repeated if its answer was lost, and meanwhile another may have the lock."""
    from fault_monitor.dal import ledger

    lock = {"pk": "object", "status": "counting", "owner": "another", "lease": int(time.time()) + 60}
    with suppress(ZeroDivisionError), ledger.once("object"):
        ledger_table.put_item(Item=lock)
        if fails:
            raise ZeroDivisionError
    assert ledger_table.scan()["Items"] == [lock]


def test_a_lock_that_is_gone_leaves_no_row_that_never_expires(ledger_table: Any) -> None:
    from fault_monitor.dal import ledger

    with ledger.once("object"):
        ledger_table.delete_item(Key={"pk": "object"})
    assert ledger_table.scan()["Items"] == []


def test_an_object_that_was_deleted_before_counting_is_measured_as_missing(
    bucket: str, trigger: Any, metric: Metric, caplog: pytest.LogCaptureFixture
) -> None:
    at = NOW.isoformat(timespec="milliseconds")
    trigger(to_s3_records([{"bucket": {"name": bucket}, "object": {"key": "faults/nothing"}, "eventTime": at}]))

    assert metric("MissingObjects") == 1
    assert "faults/nothing" in caplog.text


def test_without_its_bucket_nothing_is_acknowledged(trigger: Any) -> None:
    with pytest.raises(UnfinishedBatch):
        trigger(to_s3_records([{"bucket": {"name": "another"}, "object": {"key": "faults/a"}}]))


def test_the_removal_of_an_object_is_ignored(bucket: str, trigger: Any, ledger_table: Any) -> None:
    trigger(
        to_s3_records(
            [{"bucket": {"name": bucket}, "object": {"key": "faults/a"}, "eventName": "ObjectRemoved:Delete"}]
        )
    )

    assert ledger_table.scan()["Items"] == []


@pytest.mark.parametrize("name", ["trigger-faults", "trigger-deleted", "trigger-test-notification"])
def test_each_good_fixture_has_the_expected_result(
    fixture: Any, trigger: Any, metric: Metric, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    at_present(monkeypatch, AT_OF_FIXTURES + timedelta(minutes=1))
    notification, expected = fixture(name), fixture(f"{name}.expected")
    for record in notification.get("Records", []):
        boto3.client("s3").create_bucket(Bucket=record["s3"]["bucket"]["name"])
        upload = Path(__file__).parent / "fixtures" / Path(record["s3"]["object"]["key"]).name
        if upload.exists():
            stored = boto3.client("s3").put_object(
                Bucket=record["s3"]["bucket"]["name"], Key=record["s3"]["object"]["key"], Body=upload.read_bytes()
            )
            assert stored["ETag"].strip('"') == record["s3"]["object"]["eTag"]

    assert trigger(notification) == expected["returns"]
    for count in ("Faults", "UnreadableLines", "MissingObjects"):
        assert metric(count, at=AT_OF_FIXTURES) == expected["counts"].get(count, 0)


def test_the_poison_fixture_is_not_acknowledged(fixture: Any, trigger: Any) -> None:
    expected = fixture("trigger-poison.expected")

    with pytest.raises(UnfinishedBatch) as raised:
        trigger(fixture("trigger-poison"))

    assert (type(raised.value).__name__, expected["counts"]) == (expected["raises"], {})


def test_a_trigger_that_fails_publishes_no_fault_even_where_there_is_a_bus(
    store: Callable[..., dict[str, Any]],
    ledger_table: Any,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BUS_NAME", "test-bus")
    published = request.getfixturevalue("published")
    from fault_monitor.dal import metrics
    from fault_monitor.handlers.trigger import handler

    def put(*_: Any) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(metrics, "put", put)

    with pytest.raises(UnfinishedBatch, match="a bug"):
        handler(store(lines(fault(1))), None)

    assert published() == []
