"""Events too large for the bus travel as pointers, and come back whole."""

import json
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.response import StreamingBody
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


def pointer(key: Any = "claimchecks/other/e0", bucket: Any = "claims", **fields: Any) -> dict[str, Any]:
    return {"id": "e0", "type": "x", **fields, "claim_check": {"bucket": bucket, "key": key}}


def test_a_claim_whose_object_is_gone_is_a_fault_and_the_rest_goes_on(bus: Any) -> None:
    lost = pointer("claimchecks/gone")

    response, seen = receive([lost, {"id": "e1", "type": "x"}])

    assert response == {"batchItemFailures": []}
    assert [event["id"] for event in seen] == ["e1"]
    assert [fault["err"]["name"] for fault in bus.events] == ["NoSuchKey"]


@pytest.mark.parametrize("claim", [None, 5, {}, {"bucket": "claims"}, "text", {"bucket": 1, "key": 2}])
def test_a_malformed_claim_check_is_a_fault(claim: Any, bus: Any) -> None:
    response, seen = receive([{"id": "e0", "type": "x", "claim_check": claim}])

    assert (response, seen) == ({"batchItemFailures": []}, [])
    assert [fault["id"] for fault in bus.events] == ["e0.undefined.fault"]


class Refusing:
    """An S3 client that counts calls and answers with an error."""

    def __init__(self, code: str, status: int = 403) -> None:
        self.calls: list[Any] = []
        answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
        self._error = ClientError(answer, "GetObject")

    def get_object(self, **request: Any) -> Any:
        """Refuse."""
        self.calls.append(request)
        raise self._error


@pytest.mark.parametrize(
    "claim",
    [
        {"bucket": "foreign", "key": "claimchecks/e0"},
        {"bucket": ["claims"], "key": "claimchecks/e0"},
        {"bucket": "claims", "key": "events/e0"},
        {"bucket": "claims", "key": "/claimchecks/e0"},
        {"bucket": "claims", "key": "claimchecks"},
        {"bucket": "claims", "key": "claimchecks/"},
        {"bucket": "claims", "key": "claimchecks/../events/e0"},
        {"bucket": "claims", "key": "claimchecks//e0"},
        {"bucket": "claims", "key": "claimchecks/./e0"},
        {"bucket": "claims", "key": "claimchecks/a\nb"},
        {"bucket": "claims", "key": "claimchecks/" + "x" * 1024},
        {"bucket": "claims", "key": "claimchecks/" + "ü" * 600},
        {"bucket": "claims", "key": ["claimchecks/e0"]},
        {"bucket": "claims", "key": None},
        {"bucket": "claims"},
    ],
)
def test_nothing_but_the_bucket_and_its_prefix_is_read(claim: Any, bus: Any) -> None:
    s3 = Refusing("AccessDenied")
    clients.use("s3", s3)

    response, seen = receive([{"id": "e0", "type": "x", "claim_check": claim}, {"id": "e1", "type": "x"}])

    assert (response, [event["id"] for event in seen], s3.calls) == ({"batchItemFailures": []}, ["e1"], [])
    assert [(fault["id"], fault["err"]["name"]) for fault in bus.events] == [("e0.undefined.fault", "InvalidRecord")]


def test_without_a_claim_check_bucket_nothing_is_read(bus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAIMCHECK_BUCKET_NAME", "")
    s3 = Refusing("AccessDenied")
    clients.use("s3", s3)

    for bucket in ("claims", "", None):
        response, seen = receive([pointer(bucket=bucket)])

        assert (response, seen, s3.calls) == ({"batchItemFailures": []}, [], [])
    assert {fault["err"]["message"].partition(",")[2] for fault in bus.events} == {
        " and CLAIMCHECK_BUCKET_NAME is not set"
    }


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("AccessDenied", 403),
        ("InvalidObjectState", 403),
        ("KMS.DisabledException", 400),
        ("NoSuchKey", 404),
        ("X", 401),
    ],
)
def test_no_pointer_holds_a_shard_whatever_s3_says_of_the_object(code: str, status: int, bus: Any) -> None:
    clients.use("s3", Refusing(code, status))

    response, seen = receive([pointer(), {"id": "e1", "type": "x"}])

    assert (response, [event["id"] for event in seen]) == ({"batchItemFailures": []}, ["e1"])
    assert len(bus.of_type("fault")) == 1


@pytest.mark.parametrize("code", ["NoSuchBucket", "ExpiredToken", "SlowDown"])
def test_what_no_pointer_can_cause_leaves_the_record_for_retry(code: str, bus: Any) -> None:
    clients.use("s3", Refusing(code))

    response, seen = receive([pointer()])

    assert (response, seen, bus.events) == ({"batchItemFailures": [{"itemIdentifier": "0"}]}, [], [])


def test_a_claim_check_that_no_rule_wants_is_not_read_and_is_no_fault(bus: Any) -> None:
    s3 = Refusing("AccessDenied")
    clients.use("s3", s3)

    response, seen = receive([pointer(type="y"), pointer(tags={"skip": True}), pointer(type="y", bucket="foreign")])

    assert (response, seen, s3.calls, bus.events) == ({"batchItemFailures": []}, [], [], [])


def test_an_object_that_is_to_be_skipped_is_skipped(bus: Any, bucket: Any) -> None:
    event = {"id": "e0", "type": "x", "tags": {"skip": True}}
    bucket.put_object(Bucket="claims", Key="claimchecks/other/e0", Body=json.dumps(event).encode())

    assert (receive([pointer()]), bus.events) == (({"batchItemFailures": []}, []), [])


def test_opened_events_are_frozen_too(bus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FREEZE", "true")
    publish([large()])
    rule = {"id": "a", "flavor": task, "event_type": "x", "execute": lambda uow: uow["event"].update(text="changed")}
    pipeline = StreamPipeline(initialize_from([rule]), DEFAULT_OPTIONS)

    assert pipeline.assemble(from_kinesis(to_kinesis_records(bus.events[:1]))) == {"batchItemFailures": []}
    assert "shared by all pipelines" in bus.of_type("fault")[0]["err"]["message"]


def test_a_claim_check_is_read_once_for_all_rules_and_records_behind_it_keep_their_order(bus: Any) -> None:
    publish([large(0), large(1), large(2)])
    s3 = clients.client("s3")
    calls: list[str] = []

    class Counting:
        def get_object(self, **request: Any) -> Any:
            calls.append(request["Key"].rpartition("/")[2])
            return s3.get_object(**request)

    clients.use("s3", Counting())
    seen: list[Any] = []
    rules = [
        {"id": id_, "flavor": task, "event_type": "x", "execute": lambda uow: seen.append(uow["event"]["id"])}
        for id_ in ("a", "b")
    ]
    small = [{"id": f"s{n}", "type": "x"} for n in range(3)]
    events = [small[0], bus.events[0], small[1], bus.events[1], bus.events[2], small[2]]

    StreamPipeline(initialize_from(rules), DEFAULT_OPTIONS).assemble(from_kinesis(to_kinesis_records(events)))

    assert sorted(calls) == ["e0", "e1", "e2"]
    assert seen == [id_ for id_ in ("s0", "e0", "s1", "e1", "e2", "s2") for _ in range(2)]


@pytest.mark.parametrize("other", [{"id": "e1"}, {"type": "y"}, {"id": None}])
def test_an_object_that_holds_another_event_is_a_fault(other: Any, bus: Any, bucket: Any) -> None:
    event = {"id": "e0", "type": "x", **other}
    bucket.put_object(Bucket="claims", Key="claimchecks/other/e0", Body=json.dumps(event).encode())

    response, seen = receive([pointer()])

    assert (response, seen) == ({"batchItemFailures": []}, [])
    assert "another event" in bus.of_type("fault")[0]["err"]["message"]


@pytest.mark.parametrize("has_length", [True, False])
def test_an_object_is_read_up_to_a_size(has_length: bool, bus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_EXPANDED_SIZE", "2000")

    class Endless:
        closed, taken = 0, 0

        def get_object(self, **_: Any) -> Any:
            return {"Body": self, **({"ContentLength": 10**12} if has_length else {})}

        def read(self, amount: int) -> bytes:
            self.taken += amount
            return b" " * amount

        def close(self) -> None:
            self.closed += 1

    s3 = Endless()
    clients.use("s3", s3)

    response, seen = receive([pointer()])

    assert (response, seen, s3.closed) == ({"batchItemFailures": []}, [], 1)
    assert s3.taken <= 2001
    assert "MAX_EXPANDED_SIZE" in bus.of_type("fault")[0]["err"]["message"]


def test_an_object_whose_connection_breaks_is_read_again(bus: Any) -> None:
    """urllib3 1 gives what came before, and only who reads on hears that it was not all."""
    content = json.dumps(large()).encode()
    bodies = [content[:3_000], content]

    class Breaking:
        def get_object(self, **_: Any) -> Any:
            return {"Body": StreamingBody(BytesIO(bodies.pop(0)), len(content)), "ContentLength": len(content)}

    clients.use("s3", Breaking())

    response, seen = receive([pointer()])

    assert (response, bus.of_type("fault"), bodies) == ({"batchItemFailures": []}, [], [])
    assert [each["text"] for each in seen] == [large()["text"]]


@pytest.mark.parametrize("content", [b"{no json", b"[1]", b"", b"\xff", b'{"a":' * 500, b"[" + b"[]," * 900 + b"1]"])
def test_an_object_that_is_no_event_is_a_fault(content: bytes, bus: Any, bucket: Any) -> None:
    bucket.put_object(Bucket="claims", Key="claimchecks/other/e0", Body=content)

    assert receive([pointer()]) == ({"batchItemFailures": []}, [])
    assert len(bus.of_type("fault")) == 1


def test_an_object_with_more_values_than_fit_is_a_fault(bus: Any, bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_EXPANDED_SIZE", "32000")
    body = json.dumps({"id": "e0", "type": "x", "a": [{}] * 3000})
    bucket.put_object(Bucket="claims", Key="claimchecks/other/e0", Body=body.encode())

    assert receive([pointer()]) == ({"batchItemFailures": []}, [])
    assert "more than 2000 values" in bus.of_type("fault")[0]["err"]["message"]


def test_an_event_larger_than_consumers_read_is_not_checked_in(bus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_EXPANDED_SIZE", "11000")

    publish([large()])

    assert [event["type"] for event in bus.events] == ["fault"]
    assert "MAX_EXPANDED_SIZE is 11000" in bus.events[0]["err"]["message"]


@pytest.mark.parametrize("id_", ["a/../../b", "..", "a b/ü?#\n", "x" * 2000, "/"])
def test_an_event_with_any_id_comes_back(id_: str, bus: Any) -> None:
    publish([{**large(), "id": id_}])

    response, seen = receive(bus.events)

    assert (response, [event["id"] for event in seen]) == ({"batchItemFailures": []}, [id_])


def test_a_claim_on_a_bucket_that_is_missing_is_left_for_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAIMCHECK_BUCKET_NAME", "missing")

    response, seen = receive([pointer(bucket="missing")])

    assert (response, seen) == ({"batchItemFailures": [{"itemIdentifier": "0"}]}, [])


def test_a_claim_check_of_a_claim_check_is_a_fault(bus: Any, bucket: Any) -> None:
    claim = pointer()
    bucket.put_object(Bucket="claims", Key="claimchecks/other/e0", Body=json.dumps(claim).encode())

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


@pytest.mark.parametrize("key", ["claimchecks/e0", "us-west-2/claimchecks/2026/10/2/17/e0"])
def test_a_pointer_of_the_javascript_library_is_redeemed(key: str, bus: Any, bucket: Any) -> None:
    bucket.put_object(Bucket="claims", Key=key, Body=json.dumps({"id": "e0", "type": "x", "text": "whole"}).encode())

    response, seen = receive([{"id": "e0", "type": "x", "s3": {"bucket": "claims", "key": key}}])

    assert (response, [event["text"] for event in seen]) == ({"batchItemFailures": []}, ["whole"])


@pytest.mark.parametrize(
    "own",
    [
        None,
        "text",
        {},
        {"bucket": "claims"},
        {"bucket": "foreign", "key": "claimchecks/e0"},
        {"bucket": "claims", "key": "events/e0"},
        {"bucket": "claims", "key": 5},
        {"bucket": "claims", "key": "a/b/claimchecks/e0"},
        {"bucket": "claims", "key": "../claimchecks/e0"},
        {"bucket": "claims", "key": "claimchecks/e0", "size": 5},
    ],
)
def test_an_own_field_s3_stays_as_it_is(own: Any, bus: Any) -> None:
    s3 = Refusing("AccessDenied")
    clients.use("s3", s3)

    response, seen = receive([{"id": "e0", "type": "x", "s3": own}])

    assert (response, seen, s3.calls) == ({"batchItemFailures": []}, [{"id": "e0", "type": "x", "s3": own}], [])
