"""The ingress: one entry point for landed objects and custom events."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from stream_runtime import clients
from stream_runtime.errors import InvalidSetting, UnsupportedEvent
from stream_runtime.events import to_s3_records

CSV = b"id,name,amount\n1,Alice,10\n2,Bob,twenty\n3,Carol,30.25\n"
KEY = "orders/november 1.csv"
GOOD = {"source": "ecommerce.orders", "type": "OrderCreated", "payload": {"order_id": 123, "amount": 49.9}}


@pytest.fixture
def land(bucket: str) -> Callable[..., dict[str, Any]]:
    """Lands an object and gives its notification."""

    def put(content: bytes, key: str = KEY) -> dict[str, Any]:
        etag = boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=content)["ETag"].strip('"')
        return to_s3_records([{"bucket": {"name": bucket}, "object": {"key": key, "eTag": etag}}])

    return put


@pytest.fixture
def ingress(context: Any) -> Callable[..., dict[str, Any]]:
    from event_hub.handlers.ingress import handler

    return lambda event, using=context: handler(event, using)


def test_each_good_row_becomes_an_event_and_bad_ones_are_told(
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


def test_what_was_read_is_measured(land: Any, ingress: Any, published: Any, capsys: pytest.CaptureFixture[str]) -> None:
    ingress(land(CSV))

    metrics = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (metrics["RowsRead"], metrics["RowsTaken"], metrics["RowsSkipped"], metrics["Amount"]) == (3, 2, 1, 40.25)
    assert metrics["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "event-hub"


def test_a_repeated_notification_publishes_the_same_ids_and_a_new_object_others(
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

    assert summary["rows"] == 0
    assert '"ObjectsRefused":1' in capsys.readouterr().out
    assert "no column id, name, amount" in caplog.text


def test_an_object_that_was_replaced_meanwhile_is_left_to_its_own_notification(
    land: Any, ingress: Any, published: Any
) -> None:
    notification = land(CSV)
    land(b"id,name,amount\n9,Zoe,1\n")

    (summary,) = ingress(notification)["objects"]

    assert summary["rows"] == 0
    assert published() == []


def test_a_broken_connection_is_taken_up_where_it_broke(
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

    monkeypatch.setattr(
        clients.client("s3"), "get_object", lambda **request: {"Body": Breaking(real(**request)["Body"])}
    )
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
    ingress(to_s3_records([]))  # whatever is loaded once is loaded before

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
        ([], ["event"]),
        (None, ["event"]),
        ("text", ["event"]),
    ],
)
def test_a_custom_event_that_breaks_the_contract_is_answered_with_every_reason(
    ingress: Any, published: Any, event: Any, fields: list[str]
) -> None:
    answer = ingress(event)

    assert answer["statusCode"] == 422
    assert [error["field"] for error in answer["errors"]] == fields
    assert published() == []


def test_records_of_another_source_are_not_acknowledged(ingress: Any) -> None:
    with pytest.raises((ValueError, UnsupportedEvent)):
        ingress({"Records": [{"eventSource": "aws:sqs", "body": "{}"}]})


def test_the_test_notification_of_s3_is_nothing_to_do(ingress: Any) -> None:
    assert ingress({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "landing"}) == {"objects": []}


def test_a_removed_object_is_nothing_to_do(ingress: Any) -> None:
    removed = [{"bucket": {"name": "b"}, "object": {"key": "a.csv"}, "eventName": "ObjectRemoved:Delete"}]

    assert ingress(to_s3_records(removed)) == {"objects": []}


def test_settings_that_are_missing_or_wrong_are_all_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from event_hub.models.settings import from_environment

    monkeypatch.delenv("BUS_NAME")
    monkeypatch.setenv("PARALLEL", "many")
    monkeypatch.setenv("ROW_ENTITY", "Not A Name")

    with pytest.raises(InvalidSetting) as raised:
        from_environment()
    assert all(name in str(raised.value) for name in ("BUS_NAME", "PARALLEL", "ROW_ENTITY"))


@pytest.mark.parametrize("name", ["ingress-object", "ingress-custom", "ingress-poison", "ingress-test-notification"])
def test_each_fixture_gives_what_it_is_said_to(ingress: Any, published: Any, fixture: Any, name: str) -> None:
    event, expected = fixture(name), fixture(f"{name}.expected")
    for record in event.get("Records", []):
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket=record["s3"]["bucket"]["name"])
        s3.put_object(
            Bucket=record["s3"]["bucket"]["name"],
            Key=record["s3"]["object"]["key"],
            Body=(Path(__file__).parent / "fixtures" / "orders.csv").read_bytes(),
        )

    answer = ingress(event)

    assert {name: value for name, value in answer.items() if name != "id"} == expected
