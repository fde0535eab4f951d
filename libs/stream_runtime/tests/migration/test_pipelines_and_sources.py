"""Pipelines, sources and faults: cases of aws_lambda_stream's tests/unit/pipelines, events and utils, written anew."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import reactivex
from reactivex import operators as ops
from stream_runtime import DEFAULT_OPTIONS, UnfinishedBatch, UnhandledFault
from stream_runtime.events import (
    from_dynamodb,
    from_kinesis,
    from_s3,
    from_sns,
    from_sqs,
    to_dynamodb_records,
    to_kinesis_records,
    to_s3_records,
    to_sns_records,
    to_sqs_records,
)
from stream_runtime.faults import faulty
from stream_runtime.operators import rx_filter, rx_map
from stream_runtime.pipelines import StreamPipeline, initialize_from

NUMBERED = [{"event": {"id": number}} for number in (1, 2, 3)]


class Seen:
    """What a pipeline tells its callbacks."""

    def __init__(self) -> None:
        self.uows: list[tuple[str, Any]] = []
        self.errors: list[Any] = []
        self.completed: list[str] = []

    def run(self, flavors: dict[str, Any], uows: Any, concurrency: bool = True) -> Any:
        rules = [{"id": id_, "flavor": flavor} for id_, flavor in flavors.items()]
        return StreamPipeline(initialize_from(rules), DEFAULT_OPTIONS, concurrency).assemble(
            uows,
            on_next=lambda pipeline_id, uow: self.uows.append((pipeline_id, uow)),
            on_error=lambda pipeline_id, error: self.errors.append(error),
            on_completed=self.completed.append,
        )


def flavor_of(*operators: Any) -> Callable[[Any], Any]:
    return lambda rule: lambda source: source.pipe(*operators)


def failing_for(number: int) -> Any:
    def fail(uow: Any) -> Any:
        if uow["event"]["id"] == number:
            raise ValueError("bad item")
        return uow

    return rx_map(faulty(fail))


def test_units_of_work_without_a_record_go_through_each_pipeline_in_their_order(bus: Any) -> None:
    """Case: test_stream_pipeline.py, test_stream_pipeline; there the first rule has all of them before the second."""
    seen = Seen()
    more_than_1 = rx_filter(lambda uow: uow["event"]["id"] > 1)
    response = seen.run({"a": flavor_of(more_than_1), "b": flavor_of(failing_for(3))}, NUMBERED, False)
    by_pipeline = {name: [uow["event"]["id"] for id_, uow in seen.uows if id_ == name] for name in ("a", "b")}
    assert by_pipeline == {"a": [2, 3], "b": [1, 2]}
    assert (seen.completed, seen.errors, response) == (["a", "b"], [], {"batchItemFailures": []})
    assert [fault["uow"]["event"]["id"] for fault in bus.events] == [3]


def test_operators_of_reactivex_stand_in_concurrent_pipelines(bus: Any) -> None:
    """Cases: test_stream_pipeline_with_concurrency_and_flat_map and ..._flat_map_and_failed_item."""

    def copies(factor: int) -> Any:
        return ops.flat_map(lambda uow: reactivex.from_list([{**uow, "copy": factor * n} for n in (1, 2)]))

    seen = Seen()
    seen.run({"a": flavor_of(copies(1), failing_for(2)), "b": flavor_of(copies(10), failing_for(2))}, NUMBERED)
    assert sorted(uow["copy"] for _, uow in seen.uows) == [1, 1, 2, 2, 10, 10, 20, 20]
    assert {uow["event"]["id"] for _, uow in seen.uows} == {1, 3}
    assert (sorted(seen.completed), seen.errors) == (["a", "b"], [])


def test_an_error_that_belongs_to_no_record_fails_the_batch(bus: Any) -> None:
    """There the pipeline ends, ``on_error`` is told, and Lambda takes the whole batch as done."""

    def broken(uow: Any) -> Any:
        raise ValueError("boom")

    seen = Seen()
    with pytest.raises(UnfinishedBatch, match="boom"):
        seen.run({"a": flavor_of(ops.map(broken))}, NUMBERED)
    assert [str(error) for error in seen.errors] == ["boom"]


def test_an_error_that_is_ignored_by_faulty_fails_the_batch() -> None:
    """Cases: utils/faults.py, test_faulty_no_ignore_exception and test_faulty_ignore_exception."""

    def fail(uow: Any) -> Any:
        raise ValueError("Fail")

    uow = {"pipeline": "p", "event": {"id": "e1"}}
    with pytest.raises(ValueError, match="Fail") as raised:
        faulty(fail)(uow)
    assert raised.value.uow == uow  # type: ignore[attr-defined]
    with pytest.raises(UnhandledFault, match="ValueError: Fail"):
        faulty(fail, True)(uow)


def test_a_fault_says_what_failed_where(bus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cases: utils/faults.py, test_format_fault, test_faults_collects_faults, test_flush_faults."""
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "function")
    Seen().run({"test": flavor_of(failing_for(2))}, NUMBERED)
    (fault,) = bus.events
    assert fault.items() >= {"type": "fault", "id": "2.test.fault", "partition_key": "2"}.items()
    assert fault["tags"].items() >= {"functionname": "function", "pipeline": "test"}.items()
    assert (fault["err"]["name"], fault["err"]["message"]) == ("ValueError", "bad item")
    assert (fault["uow"]["event"], "in fail\n" in fault["err"]["stack"]) == ({"id": 2}, True)


def test_records_stay_in_the_order_of_their_stream() -> None:
    """Cases: events/test_kinesis.py and test_dynamodb.py, where they are sorted by timestamp."""
    late_first = [{"type": "thing-created", "timestamp": at, "partition_key": f"t{at}"} for at in (2, 1)]
    uows = from_kinesis(to_kinesis_records(late_first))
    assert [uow["event"]["partition_key"] for uow in uows] == ["t2", "t1"]
    assert [uow["event"]["id"] for uow in uows] == ["shardId-000000000000:0", "shardId-000000000000:1"]
    rows = [{"pk": f"t{at}", "sk": "THING", "timestamp": at * 1000} for at in (2, 1)]
    changes = [{"timestamp": 1, "keys": {"pk": row["pk"], "sk": "THING"}, "newImage": row} for row in rows]
    events = [uow["event"] for uow in from_dynamodb(to_dynamodb_records(changes))]
    assert [(event["partition_key"], event["timestamp"]) for event in events] == [("t2", 2000), ("t1", 1000)]


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ({"newImage": {}}, "THING-created"),
        ({"newImage": {"discriminator": "thing"}}, "thing-created"),
        ({"oldImage": {}, "newImage": {}}, "THING-updated"),
        ({"oldImage": {}}, "THING-deleted"),
        ({"oldImage": {"deleted": True}, "newImage": {"deleted": True}}, "THING-deleted"),
        ({"oldImage": {"deleted": True}, "newImage": {"deleted": False}}, "THING-undeleted"),
        ({"newImage": {"awsregion": "us-west-2"}}, "THING-created"),
        ({"newImage": {"awsregion": "us-east-1"}}, None),
    ],
)
def test_the_type_of_a_change(images: Any, expected: str | None) -> None:
    """Cases: events/test_dynamodb.py, deleted and undeleted suffixes, replicas of other regions."""
    keys = {"pk": "t1", "sk": "THING"}
    change = {"timestamp": 1, "keys": keys, **{name: {**keys, **image} for name, image in images.items()}}
    types = [uow["event"]["type"] for uow in from_dynamodb(to_dynamodb_records([change]))]
    assert types == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("event_name", "expected"),
    [
        ("ObjectCreated:Put", "object-created"),
        ("ObjectCreated:Post", "object-created"),
        ("ObjectRemoved:Delete", "object-deleted"),
        ("ObjectRestore:Completed", "object-restored"),
    ],
)
def test_the_type_of_a_notification(event_name: str, expected: str) -> None:
    """Cases: events/test_s3.py; there only Put and Post have a type that S3 sends, and the id is the key alone."""
    notification = to_s3_records([{"bucket": {"name": "bucket"}, "object": {"key": "thing.json"}}])
    notification["Records"][0]["eventName"] = event_name
    (uow,) = from_s3(notification)
    assert (uow["event"]["type"], uow["event"]["s3"]["object"]["key"]) == (expected, "thing.json")


@pytest.mark.parametrize(
    ("source", "to_records", "field"),
    [(from_sns, to_sns_records, "msg"), (from_sqs, to_sqs_records, "body")],
    ids=["sns", "sqs"],
)
def test_the_event_in_a_message(source: Any, to_records: Any, field: str) -> None:
    """Cases: events/test_sns.py, events/test_sqs.py."""
    content = {"type": "thing-created", "thing": {"id": "thing-1"}}
    invocation = to_records([{field: json.dumps(content), "subject": "Thing Created"}])
    (uow,) = source(invocation)
    assert uow["record"] == invocation["Records"][0]
    assert uow["event"].items() >= {"id": "00000000-0000-0000-0000-000000000000", **content}.items()
