"""The ingress: one entry point for landed objects and custom events."""

import gzip
import importlib
import io
import json
import logging
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stream_runtime import clients
from stream_runtime.errors import InvalidSetting, UnsupportedEvent
from stream_runtime.events import to_s3_records
from stream_runtime.ids import derived_id

CSV = b"id,name,amount\n1,Alice,10\n2,Bob,twenty\n3,Carol,30.25\n"
KEY = "orders/november 1.csv"
GOOD = {"source": "ecommerce.orders", "type": "OrderCreated", "payload": {"order_id": 123, "amount": 49.9}}


@pytest.fixture
def land(bucket: str) -> Callable[..., dict[str, Any]]:
    """Stores an object and returns its notification."""

    def put(content: bytes, key: str = KEY) -> dict[str, Any]:
        etag = boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=content)["ETag"].strip('"')
        return to_s3_records([{"bucket": {"name": bucket}, "object": {"key": key, "eTag": etag}}])

    return put


@pytest.fixture
def ingress(context: Any) -> Callable[..., dict[str, Any]]:
    from event_hub.handlers.ingress import handler

    return lambda event, using=context: handler(event, using)


def test_each_valid_row_becomes_an_event_and_invalid_rows_are_logged(
    land: Any, ingress: Any, published: Any, caplog: pytest.LogCaptureFixture
) -> None:
    (summary,) = ingress(land(CSV))["objects"]

    assert summary == {
        "bucket": "landing",
        "key": KEY,
        "rows": 3,
        "taken": 2,
        "skipped": 1,
        "amount": 40.25,
        "continued": False,
    }
    first, second = published()
    assert (first["type"], first["partition_key"]) == ("record-received", "1")
    assert first["record"] == {"id": "1", "name": "Alice", "amount": 10}
    assert (second["record"]["amount"], second["tags"]["source"]) == (30.25, "event-hub")
    assert "line 3 column amount" in caplog.text


def test_the_summary_of_an_object_is_logged(
    land: Any, ingress: Any, published: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    ingress(land(CSV))

    (logged,) = [record for record in caplog.records if record.levelno == logging.INFO and KEY in record.getMessage()]
    where, _, summary = logged.getMessage().partition(": ")
    assert where.startswith(f"landing/{KEY}#")
    assert json.loads(summary) == {"rows": 3, "taken": 2, "skipped": 1, "amount": 40.25}


def test_rows_are_measured(land: Any, ingress: Any, published: Any, capsys: pytest.CaptureFixture[str]) -> None:
    ingress(land(CSV))

    metrics = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (metrics["RowsRead"], metrics["RowsTaken"], metrics["RowsSkipped"], metrics["Amount"]) == (3, 2, 1, 40.25)
    assert metrics["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "event-hub"


def test_a_repeated_notification_publishes_the_same_ids_and_a_new_object_different_ones(
    land: Any, ingress: Any, published: Any
) -> None:
    notification = land(CSV)
    ingress(notification)
    first = published()
    ingress(notification)
    again = published()
    ingress(land(CSV + b"4,Dan,1\n"))
    other = published()

    assert [event["id"] for event in first] == [event["id"] for event in again]
    assert not {event["id"] for event in first} & {event["id"] for event in other}


def test_an_object_without_its_columns_is_refused_and_measured(
    land: Any, ingress: Any, published: Any, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    (summary,) = ingress(land(b"id;name;amount\n1;Alice;10\n"))["objects"]

    assert (summary["rows"], summary["continued"]) == (0, False)
    assert "not by ';'" in summary["refused"]
    assert '"ObjectsRefused":1' in capsys.readouterr().out
    assert "no column id, name, amount" in caplog.text


@pytest.mark.parametrize(
    ("key", "content", "reason"),
    [
        ("orders.csv.gz", gzip.compress(random.Random(0).randbytes(2_000_000), mtime=0), "compressed with gzip"),
        ("photo.raw", b"\x89RAW" + bytes(2_000_000), "binary"),
        ("one-line.json", b"[" + b"1," * 1_000_000 + b"1]", "more than 65536 characters"),
    ],
    ids=["gzip", "binary", "one line"],
)
def test_an_object_that_is_not_csv_is_refused_after_its_first_bytes(
    land: Any,
    ingress: Any,
    published: Any,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    key: str,
    content: bytes,
    reason: str,
) -> None:
    notification = land(content, key)
    body = io.BytesIO(content)
    monkeypatch.setattr(clients.client("s3"), "get_object", lambda **_: {"Body": body})

    (summary,) = ingress(notification)["objects"]

    assert reason in summary["refused"]
    assert reason in caplog.text
    assert '"ObjectsRefused":1' in capsys.readouterr().out
    assert body.closed
    assert published() == []


def test_only_the_start_of_an_object_that_is_not_csv_is_read(
    land: Any, ingress: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Endless:
        given_out = 0

        def read(self, size: int) -> bytes:
            self.given_out += size
            return b"no line has an end. "[:size] * (size // 20)

        def close(self) -> None: ...

    body = Endless()
    monkeypatch.setattr(clients.client("s3"), "get_object", lambda **_: {"Body": body})

    ingress(land(CSV))

    assert body.given_out < 1_000_000


def test_a_folder_marker_is_ignored(
    ingress: Any, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    marker = {"bucket": {"name": "landing"}, "object": {"key": "orders/2026/", "size": 0, "eTag": "e"}}

    assert ingress(to_s3_records([marker])) == {"objects": []}
    assert (capsys.readouterr().out, caplog.text) == ("", "")


def test_an_empty_object_is_refused_and_one_with_a_header_only_has_no_rows(
    land: Any, ingress: Any, published: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    (empty,) = ingress(land(b""))["objects"]
    assert "found nothing" in empty["refused"]
    assert '"ObjectsRefused":1' in capsys.readouterr().out

    (bare,) = ingress(land(b"id,name,amount\n"))["objects"]
    assert (bare["rows"], "refused" in bare) == (0, False)
    assert "ObjectsRefused" not in capsys.readouterr().out
    assert published() == []


def test_a_row_that_is_too_large_for_an_event_is_skipped(
    land: Any, ingress: Any, published: Any, caplog: pytest.LogCaptureFixture
) -> None:
    # Each control character is six bytes of JSON.
    large = b"id,name,amount,first,second\n1,Alice,10,a," + b"\1" * 100_000 + b"\n2,Bob,20,b," + b"\1" * 130_000
    large += b"\n3,Carol,30," + b"\1" * 100_000 + b"," + b"\1" * 120_000 + b"\n"

    (summary,) = ingress(land(large))["objects"]

    assert (summary["taken"], summary["skipped"]) == (2, 1)
    assert "line 4 column second: the event has 13" in caplog.text


def test_an_unreadable_row_does_not_affect_others(
    land: Any, ingress: Any, published: Any, caplog: pytest.LogCaptureFixture
) -> None:
    content = b"id,name,amount\n1,Al\0ice,10\n2,Bob,20,20\n3,Carol,30\n4," + b"x" * 140_000 + b",40\n"

    (summary,) = ingress(land(content))["objects"]

    assert (summary["taken"], summary["skipped"], summary["amount"]) == (1, 3, 30)
    for where in ("line 2 column name: ", "line 3 column 4: ", "line 5 column name: "):
        assert where in caplog.text


def test_an_object_that_was_overwritten_is_left_to_its_later_notification(
    land: Any, ingress: Any, published: Any
) -> None:
    notification = land(CSV)
    land(b"id,name,amount\n9,Zoe,1\n")

    (summary,) = ingress(notification)["objects"]

    assert summary["rows"] == 0
    assert published() == []


def test_the_notified_version_of_an_object_is_read(bucket: str, ingress: Any, published: Any) -> None:
    s3 = boto3.client("s3")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})

    def land(content: bytes) -> dict[str, Any]:
        stored = s3.put_object(Bucket=bucket, Key=KEY, Body=content)
        entity = {"key": KEY, "eTag": stored["ETag"].strip('"'), "versionId": stored["VersionId"]}
        return to_s3_records([{"bucket": {"name": bucket}, "object": entity}])

    notification, later = land(CSV), land(b"id,name,amount\n9,Zoe,1\n")
    version = notification["Records"][0]["s3"]["object"]["versionId"]

    ingress(notification)
    events = published()
    assert [event["record"]["name"] for event in events] == ["Alice", "Carol"]
    assert [event["id"] for event in events] == [derived_id(f"{bucket}/{KEY}#{version}", line) for line in (2, 4)]

    ingress(later)
    assert [event["record"]["name"] for event in published()] == ["Zoe"]


def test_a_broken_connection_is_resumed_where_it_broke(
    land: Any, ingress: Any, published: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"id,name,amount\n" + b"".join(b"%d,Name %d,1\n" % (number, number) for number in range(10_000))
    notification = land(content)
    real, breaks = clients.client("s3").get_object, [True, True]

    class Breaking:
        def __init__(self, body: Any) -> None:
            self.body = body
            self.chunks = 1

        def read(self, size: int) -> bytes:
            if breaks and not self.chunks:
                breaks.pop()
                raise ReadTimeoutError(endpoint_url="https://s3.example")
            self.chunks -= 1
            return self.body.read(size)

        def close(self) -> None:
            self.body.close()

    def get_object(**request: str) -> dict[str, Any]:
        response = real(**request)
        return {**response, "Body": Breaking(response["Body"])}

    monkeypatch.setattr(clients.client("s3"), "get_object", get_object)
    monkeypatch.setattr(
        clients.client("events"), "put_events", lambda Entries: {"FailedEntryCount": 0, "Entries": [{}] * len(Entries)}
    )

    (summary,) = ingress(notification)["objects"]

    assert (summary["rows"], summary["skipped"], breaks) == (10_000, 0, [])


def test_only_entries_that_were_not_accepted_are_sent_again(
    land: Any, ingress: Any, published: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = clients.client("events").put_events, []

    def first_fails(Entries: list[dict[str, str]]) -> Any:
        calls.append(len(Entries))
        if len(calls) > 1:
            return real(Entries=Entries)
        accepted = real(Entries=Entries[1:])["Entries"]
        return {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "ThrottlingException"}, *accepted]}

    monkeypatch.setattr(clients.client("events"), "put_events", first_fails)

    ingress(land(CSV))

    assert calls == [2, 1]
    assert len(published()) == 2


def test_events_that_are_never_accepted_fail_the_invocation(
    land: Any, ingress: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deny(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "PutEvents")

    monkeypatch.setattr(clients.client("events"), "put_events", deny)

    with pytest.raises(ClientError):
        ingress(land(CSV))


def test_the_rest_of_a_long_object_is_left_to_another_invocation(
    land: Any, ingress: Any, published: Any, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = b"".join(b"%d,Name %d,1.5\n" % (number, number) for number in range(130))
    left: list[dict[str, Any]] = []
    monkeypatch.setattr(clients.client("lambda"), "invoke", lambda **request: left.append(request))
    context.get_remaining_time_in_millis = lambda: 5_000

    answer = ingress(land(b"id,name,amount\n" + rows))
    while left:
        request = left.pop()
        assert (request["FunctionName"], request["InvocationType"]) == ("event-hub-test-ingress", "Event")
        assert answer["objects"][0]["continued"]
        answer = ingress(json.loads(request["Payload"]))

    (summary,) = answer["objects"]
    assert (summary["rows"], summary["amount"], summary["continued"]) == (130, 195, False)
    events = published()
    assert len({event["id"] for event in events}) == len(events) == 130


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.sampled_from([b"1,Alice,1.5", b"2,Bob,twenty", b"", b'3,"C\narol",7', b"\xff,x,1", b"4,Dan,1,1"]),
        min_size=1,
        max_size=30,
    ),
    end=st.sampled_from([b"\n", b"\r\n"]),
    takes_ranges=st.booleans(),  # some S3-compatible stores return the whole object
    data=st.data(),
)
def test_an_object_has_the_same_result_in_one_invocation_and_in_several(
    ingress: Any,
    context: Any,
    monkeypatch: pytest.MonkeyPatch,
    rows: list[bytes],
    end: bytes,
    takes_ranges: bool,
    data: st.DataObject,
) -> None:
    content = end.join([b'\xef\xbb\xbfId,"name", AMOUNT', *rows])
    sent: list[str] = []
    left: list[bytes] = []

    def put_events(Entries: list[dict[str, str]]) -> dict[str, Any]:
        sent.extend(entry["Detail"] for entry in Entries)
        return {"FailedEntryCount": 0, "Entries": [{}] * len(Entries)}

    def get_object(Range: str | None = None, **_: str) -> dict[str, Any]:
        if Range is None or not takes_ranges:
            return {"Body": io.BytesIO(content)}
        start = int(Range.removeprefix("bytes=").removesuffix("-"))
        return {"Body": io.BytesIO(content[start:]), "ContentRange": f"bytes {start}-"}

    monkeypatch.setattr(clients.client("events"), "put_events", put_events)
    monkeypatch.setattr(clients.client("s3"), "get_object", get_object)
    monkeypatch.setattr(clients.client("lambda"), "invoke", lambda **request: left.append(request["Payload"]))
    monkeypatch.setattr("event_hub.logic.landing.LOOK_AT_THE_CLOCK_EVERY", 1)
    notification = to_s3_records([{"bucket": {"name": "landing"}, "object": {"key": "a.csv", "eTag": "e"}}])
    context.get_remaining_time_in_millis = lambda: 900_000
    at_once, events = ingress(notification), sorted(sent)
    sent.clear()

    context.get_remaining_time_in_millis = lambda: data.draw(st.sampled_from([900_000, 1_000]))
    in_parts = ingress(notification)
    while left:
        in_parts = ingress(json.loads(left.pop()))

    assert in_parts == at_once
    assert sorted(sent) == events


def test_memory_does_not_grow_with_the_object(
    ingress: Any, published: Any, monkeypatch: pytest.MonkeyPatch, context: Any
) -> None:
    import tracemalloc

    from event_hub.dal import objects

    def chunks(*_: Any) -> Any:
        yield b"id,name,amount\n"
        for _ in range(200):
            yield b"1,Alice,10\n2,Bob,twenty\n" + b"3," + b"x" * (1 << 16) + b",1\n"

    monkeypatch.setattr(objects, "chunks", chunks)
    monkeypatch.setattr(
        clients.client("events"), "put_events", lambda Entries: {"FailedEntryCount": 0, "Entries": [{}] * len(Entries)}
    )
    monkeypatch.setattr("event_hub.logic.landing.logger.warning", lambda *_: None)
    notification = to_s3_records([{"bucket": {"name": "landing"}, "object": {"key": "a.csv", "eTag": "e"}}])
    ingress(to_s3_records([]))  # modules are loaded before memory is measured

    tracemalloc.start()
    (summary,) = ingress(notification)["objects"]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert summary["rows"] == 600
    assert peak < 6 * 1024 * 1024, "13 MB were read"


def test_a_custom_event_is_published(ingress: Any, published: Any) -> None:
    answer = ingress(GOOD)

    (event,) = published()
    assert answer == {"statusCode": 202, "id": event["id"]}
    assert (event["type"], event["tags"]["source"], event["payload"]) == (
        "OrderCreated",
        "ecommerce.orders",
        GOOD["payload"],
    )
    assert event["partition_key"] == event["id"]


def test_a_custom_event_that_lambda_delivers_again_has_the_same_id(ingress: Any, published: Any) -> None:
    assert ingress(GOOD) == ingress(GOOD)


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        ({}, ["source", "type", "payload"]),
        ({**GOOD, "source": "", "payload": {}}, ["source", "payload"]),
        ({**GOOD, "type": 7}, ["type"]),
        ({**GOOD, "type": "fault"}, ["type"]),
        ({**GOOD, "source": "aws.s3"}, ["source"]),
        ({**GOOD, "payload": [1]}, ["payload"]),
        ({**GOOD, "extra": 1}, ["extra"]),
        ({**GOOD, "continue": True}, ["continue"]),
        ([], ["event"]),
        (None, ["event"]),
        ("text", ["event"]),
    ],
)
def test_an_invalid_custom_event_is_answered_with_every_violation(
    ingress: Any, published: Any, event: Any, fields: list[str]
) -> None:
    answer = ingress(event)

    assert answer["statusCode"] == 422
    assert [error["field"] for error in answer["errors"]] == fields
    assert published() == []


def nested(depth: int) -> Any:
    return {"a": nested(depth - 1)} if depth else {}


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"text": "x" * 1_100_000}, "EventBridge takes"),
        ({"text": "\ud800"}, "half a surrogate pair"),
    ],
    ids=["too large", "no text"],
)
def test_a_custom_event_that_eventbridge_rejects_is_answered_with_422(
    ingress: Any, published: Any, payload: dict[str, Any], message: str
) -> None:
    answer = ingress({**GOOD, "payload": payload})

    assert answer["statusCode"] == 422
    assert [error["field"] for error in answer["errors"]] == ["payload"]
    assert message in answer["errors"][0]["message"]
    assert published() == []


@pytest.mark.parametrize("depth", [300, 900])
def test_a_payload_that_is_nested_deeply_is_published_or_refused(ingress: Any, published: Any, depth: int) -> None:
    assert ingress({**GOOD, "payload": nested(depth)})["statusCode"] in (202, 422)


@pytest.mark.parametrize(
    ("given_id", "partition_key"),
    [("order-1", "order-1"), (7, "7"), ("", None), ("x" * 257, None), ([1], None), (None, None)],
)
def test_the_id_of_a_payload_is_the_partition_key_if_it_is_valid(
    ingress: Any, published: Any, given_id: Any, partition_key: str | None
) -> None:
    ingress({**GOOD, "payload": {"id": given_id}})

    (event,) = published()
    assert event["partition_key"] == (partition_key or event["id"])


def test_records_of_another_source_are_not_acknowledged(ingress: Any) -> None:
    with pytest.raises((ValueError, UnsupportedEvent)):
        ingress({"Records": [{"eventSource": "aws:sqs", "body": "{}"}]})


def test_the_test_notification_of_s3_is_ignored(ingress: Any) -> None:
    assert ingress({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "landing"}) == {"objects": []}


def test_the_removal_of_an_object_is_ignored(ingress: Any) -> None:
    removed = [{"bucket": {"name": "b"}, "object": {"key": "a.csv"}, "eventName": "ObjectRemoved:Delete"}]

    assert ingress(to_s3_records(removed)) == {"objects": []}


def load_handler() -> None:
    """Imports the handler's module as Lambda does at a cold start."""
    importlib.reload(importlib.import_module("event_hub.handlers.ingress"))


@pytest.mark.parametrize(
    ("variable", "value"),
    [("ROW_ENTITY", each) for each in ("id", "type", "timestamp", "partition_key", "tags")]
    + [("ROW_EVENT_TYPE", "fault")],
)
def test_rows_must_not_be_named_like_a_field_of_every_event_or_a_fault(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(InvalidSetting, match=f"{variable}.*{value}"):
        load_handler()


def test_settings_that_are_missing_or_wrong_are_all_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BUS_NAME")
    monkeypatch.setenv("PARALLEL", "many")
    monkeypatch.setenv("ROW_ENTITY", "Not A Name")

    with pytest.raises(InvalidSetting) as raised:
        load_handler()
    assert all(name in str(raised.value) for name in ("BUS_NAME", "PARALLEL", "ROW_ENTITY"))


@pytest.mark.parametrize(
    "name",
    [
        "ingress-object",
        "ingress-continue",
        "ingress-refused",
        "ingress-folder",
        "ingress-test-notification",
        "ingress-custom",
        "ingress-poison",
    ],
)
def test_each_fixture_has_the_expected_result(ingress: Any, published: Any, fixture: Any, name: str) -> None:
    event, expected = fixture(name), fixture(f"{name}.expected")
    boto3.client("s3").create_bucket(Bucket=fixture("ingress-test-notification")["Bucket"])
    for upload in (Path(__file__).parent / "fixtures").glob("*.csv"):
        boto3.client("s3").put_object(
            Bucket=fixture("ingress-test-notification")["Bucket"], Key=upload.name, Body=upload.read_bytes()
        )

    answer = ingress(event)

    # The id of a custom event is derived from the request.
    assert {name: value for name, value in answer.items() if name != "id"} == expected["returns"]
    assert [event["type"] for event in published()] == expected["publishes"]


def test_the_fixture_of_a_continuation_continues_the_ids_of_the_object(
    ingress: Any, published: Any, fixture: Any
) -> None:
    (record,) = fixture("ingress-object")["Records"]
    bucket = record["s3"]["bucket"]["name"]
    boto3.client("s3").create_bucket(Bucket=bucket)
    orders = (Path(__file__).parent / "fixtures" / "orders.csv").read_bytes()
    boto3.client("s3").put_object(Bucket=bucket, Key="orders.csv", Body=orders)

    ingress(fixture("ingress-object"))
    whole = published()
    ingress(fixture("ingress-continue"))

    assert published() == whole[1:]
