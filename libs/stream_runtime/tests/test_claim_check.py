"""Events too large for the bus travel as pointers, and come back whole."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws
from reactivex import Observable
from stream_runtime import DEFAULT_OPTIONS, StreamPipeline, clients, initialize_from
from stream_runtime.events import from_kinesis, to_kinesis_records
from stream_runtime.flavors import task


@pytest.fixture(autouse=True)
def bucket(monkeypatch: pytest.MonkeyPatch, environment: None) -> Iterator[Any]:
    monkeypatch.setenv("CLAIMCHECK_BUCKET_NAME", "claims")
    monkeypatch.setenv("MAX_REQUEST_SIZE", "10000")
    monkeypatch.setenv("SERVICE", "tested")
    with mock_aws():
        s3 = clients.client("s3")
        s3.create_bucket(Bucket="claims", CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
        yield s3


def large(number: int = 0) -> dict[str, Any]:
    return {"id": f"e{number}", "type": "x", "timestamp": 0, "partition_key": "k", "text": "ü" * 6000, "n": number}


def publish(events: list[Any], **fields: Any) -> Any:
    rules = [{"id": "a", "flavor": task, "event_type": "x", "emit": lambda uow, rule, t: {**uow["event"]}, **fields}]
    return StreamPipeline(initialize_from(rules), DEFAULT_OPTIONS).assemble(from_kinesis(to_kinesis_records(events)))


def receive(events: list[Any]) -> tuple[Any, list[Any]]:
    seen: list[Any] = []
    rules = [{"id": "a", "flavor": task, "event_type": "x", "execute": lambda uow: seen.append(uow["event"])}]
    pipeline = StreamPipeline(initialize_from(rules), DEFAULT_OPTIONS)
    return pipeline.assemble(from_kinesis(to_kinesis_records(events))), seen


def test_a_large_event_is_published_as_a_pointer(bus: Any, bucket: Any) -> None:
    publish([large()])

    (pointer,) = bus.events
    claim = pointer["claim_check"]
    assert "text" not in pointer
    assert {name: pointer[name] for name in ("id", "type", "timestamp", "partition_key")} == {
        "id": "e0",
        "type": "x",
        "timestamp": 0,
        "partition_key": "k",
    }
    assert claim == {"bucket": "claims", "key": "claimchecks/tested/1970/01/01/00/e0"}
    assert json.loads(bucket.get_object(Bucket="claims", Key=claim["key"])["Body"].read())["text"] == "ü" * 6000


def test_an_event_that_was_checked_in_is_redeemed(bus: Any) -> None:
    publish([large()])

    response, seen = receive([{"id": "before", "type": "x"}, *bus.events, {"id": "after", "type": "x"}])

    assert response == {"batchItemFailures": []}
    assert [event["id"] for event in seen] == ["before", "e0", "after"]
    assert seen[1]["text"] == "ü" * 6000


def test_a_small_event_stays_on_the_bus(bus: Any, bucket: Any) -> None:
    publish([{**large(), "text": "small"}])

    assert bus.events[0]["text"] == "small"
    assert "Contents" not in bucket.list_objects_v2(Bucket="claims")


def test_without_a_bucket_a_large_event_is_a_fault_that_says_so(bus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAIMCHECK_BUCKET_NAME", "")

    assert publish([large()]) == {"batchItemFailures": []}
    assert "CLAIMCHECK_BUCKET_NAME" in bus.of_type("fault")[0]["err"]["message"]


def test_a_claim_whose_object_is_gone_is_a_fault_and_the_rest_goes_on(bus: Any) -> None:
    lost = {"id": "e0", "type": "x", "claim_check": {"bucket": "claims", "key": "gone"}}

    response, seen = receive([lost, {"id": "e1", "type": "x"}])

    assert response == {"batchItemFailures": []}
    assert [event["id"] for event in seen] == ["e1"]
    assert [fault["err"]["name"] for fault in bus.events] == ["NoSuchKey"]


@pytest.mark.parametrize("claim", [None, 5, {}, {"bucket": "claims"}, "text", {"bucket": 1, "key": 2}])
def test_a_malformed_claim_check_is_a_fault(claim: Any, bus: Any) -> None:
    response, seen = receive([{"id": "e0", "type": "x", "claim_check": claim}])

    assert (response, seen) == ({"batchItemFailures": []}, [])
    assert [fault["id"] for fault in bus.events] == ["e0.undefined.fault"]


def test_a_claim_on_a_bucket_that_is_missing_is_left_for_retry() -> None:
    response, seen = receive([{"id": "e0", "type": "x", "claim_check": {"bucket": "missing", "key": "k"}}])

    assert (response, seen) == ({"batchItemFailures": [{"itemIdentifier": "0"}]}, [])


def test_a_claim_check_of_a_claim_check_is_a_fault(bus: Any, bucket: Any) -> None:
    claim = {"id": "e0", "type": "x", "claim_check": {"bucket": "claims", "key": "again"}}
    bucket.put_object(Bucket="claims", Key="again", Body=json.dumps(claim).encode())

    receive([claim])

    assert [fault["err"]["name"] for fault in bus.events] == ["InvalidRecord"]


def test_an_event_that_is_published_again_is_stored_once(bus: Any, bucket: Any) -> None:
    publish([large()])
    publish([large()])

    assert bucket.list_objects_v2(Bucket="claims")["KeyCount"] == 1


def test_an_error_that_escapes_a_pipeline_is_not_a_fault(bus: Any) -> None:
    publish([large()])

    class Escaping(Observable[Any]):
        """An operator that lets exceptions out, as ones written by hand may."""

        def __init__(self, source: Observable[Any]) -> None:
            super().__init__(lambda observer, scheduler=None: source.subscribe(lambda uow: {}["missing"]))

    rules = [{"id": "a", "flavor": lambda rule: Escaping, "event_type": "x"}]

    with pytest.raises(KeyError, match="missing"):
        StreamPipeline(initialize_from(rules), DEFAULT_OPTIONS).assemble(from_kinesis(to_kinesis_records(bus.events)))
