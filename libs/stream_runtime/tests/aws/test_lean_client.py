"""What the lean client does beside sending requests: tokens, clocks, checksums, and what it leaves to boto3."""

import datetime
import json
import logging
import re
import time
import zlib
from collections.abc import Iterator
from email.utils import formatdate
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ChecksumError, ClientError
from stream_runtime import clients
from stream_runtime.aws.connections import Connections, Response
from stream_runtime.aws.lean import LeanClient
from stream_runtime.engine.retry import classify

ARN = "arn:aws:dynamodb:us-west-2:123456789012:table"
KEY = {"pk": {"S": "1"}, "sk": {"S": "item"}}


class Wire:
    """What was sent, and what is answered: ``{}`` unless there is another answer."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.answers: list[Response] = []

    def send(self, request: bytes) -> Response:
        self.sent.append(request)
        return self.answers.pop(0) if self.answers else Response(200, {}, b"{}")

    def headers(self, number: int = -1) -> dict[str, str]:
        """The headers of a request; the last by default."""
        _, *lines = self.sent[number].partition(b"\r\n\r\n")[0].decode().split("\r\n")
        return dict(line.split(": ", 1) for line in lines)

    def body(self, number: int = -1) -> Any:
        return json.loads(self.sent[number].partition(b"\r\n\r\n")[2])


class Boto3:
    """In place of boto3's client: keeps the calls that come to it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, method: str) -> Any:
        if method == "meta":
            return SimpleNamespace(region_name="of-boto3")

        def call(*_: Any, **request: Any) -> str:
            self.calls.append((method, request))
            return "from boto3"

        return call


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    made = Wire()
    monkeypatch.setattr(Connections, "send", lambda _, request: made.send(request))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    return made


@pytest.fixture
def boto3() -> Boto3:
    return Boto3()


def client_for(service: str, boto3: Boto3) -> Any:
    return LeanClient(service, lambda: boto3)


def error(code: str, status: int = 400, /, headers: dict[str, str] | None = None, **members: Any) -> Response:
    return Response(status, headers or {}, json.dumps({"__type": f"com.amazonaws#{code}", **members}).encode())


def test_an_operation_is_called_as_with_boto3(wire: Wire, boto3: Boto3) -> None:
    wire.answers = [Response(200, {"x-amzn-requestid": "r1"}, b'{"Item": {"data": {"B": "AAE="}, "new": {"S": "x"}}}')]

    response = client_for("dynamodb", boto3).get_item(TableName="view", Key=KEY)

    assert response["Item"] == {"data": {"B": b"\0\1"}, "new": {"S": "x"}}
    assert response["ResponseMetadata"]["RequestId"] == "r1"
    assert wire.body() == {"TableName": "view", "Key": KEY}
    assert boto3.calls == []


@pytest.mark.parametrize(
    ("service", "method", "request_"),
    [
        ("dynamodb", "get_item", {"TableName": "view"}),
        ("dynamodb", "get_item", {"TableName": "view", "Key": KEY, "Unknown": 1}),
        ("dynamodb", "get_item", {"TableName": "view", "Key": {"pk": {"X": "1"}}}),
        ("dynamodb", "get_item", {"TableName": "view", "Key": {"pk": "1"}}),
        ("dynamodb", "get_item", {"TableName": None, "Key": KEY}),
        ("dynamodb", "get_item", {"TableName": f"{ARN}/view", "Key": KEY}),
        ("dynamodb", "scan", {"TableName": "view", "Limit": 0}),
        (
            "dynamodb",
            "batch_write_item",
            {"RequestItems": {f"{ARN}/view": [{}]}},
        ),
        ("events", "put_events", {"Entries": [{"Source": "a"}], "EndpointId": "abcde.veo"}),
        ("events", "put_events", {"Entries": [{"Source": "a", "Time": "2026-11-22"}]}),
        ("kinesis", "put_records", {"Records": [], "StreamARN": "arn:aws:kinesis:us-west-2:123456789012:stream/s"}),
        ("kinesis", "subscribe_to_shard", {"ConsumerARN": "a", "ShardId": "b", "StartingPosition": {"Type": "LATEST"}}),
        ("stepfunctions", "start_sync_execution", {"stateMachineArn": "arn:aws:states:us-west-2:123456789012:x"}),
    ],
)
def test_what_is_unusual_about_a_call_goes_to_boto3(
    service: str, method: str, request_: dict[str, Any], wire: Wire, boto3: Boto3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")

    assert getattr(client_for(service, boto3), method)(**request_) == "from boto3"

    assert boto3.calls == [(method, request_)]
    assert wire.sent == []


def test_what_is_no_operation_is_boto3s(wire: Wire, boto3: Boto3) -> None:
    client = client_for("dynamodb", boto3)

    assert client.get_paginator("query") == "from boto3"
    assert client.meta.region_name == "of-boto3"


def test_a_line_of_the_log_says_once_why_a_call_goes_to_boto3(
    wire: Wire, boto3: Boto3, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "stream_runtime.aws")
    client = client_for("dynamodb", boto3)

    for _ in range(3):
        client.scan(TableName="view", Limit=0)

    (line,) = [record.getMessage() for record in caplog.records]
    assert line == "dynamodb.scan goes through boto3: PositiveIntegerObject is no whole number of at least 1"


def test_a_test_can_replace_an_operation(wire: Wire, boto3: Boto3, monkeypatch: pytest.MonkeyPatch) -> None:
    client = client_for("dynamodb", boto3)

    with monkeypatch.context() as patch:
        patch.setattr(client, "get_item", lambda **_: "replaced")
        assert client.get_item(TableName="view", Key=KEY) == "replaced"

    assert client.get_item(TableName="view", Key=KEY)["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_an_error_is_caught_by_its_class_and_has_its_members(wire: Wire, boto3: Boto3) -> None:
    client = client_for("dynamodb", boto3)
    wire.answers = [error("ConditionalCheckFailedException", message="no", Item={"pk": {"B": "AA=="}})]

    with pytest.raises(client.exceptions.ConditionalCheckFailedException) as caught:
        client.put_item(TableName="view", Item=KEY)

    assert isinstance(caught.value, ClientError)
    assert caught.value.response["Item"] == {"pk": {"B": b"\0"}}
    assert "(ConditionalCheckFailedException) when calling the PutItem operation" in str(caught.value)


def test_a_token_makes_a_request_idempotent(wire: Wire, boto3: Boto3) -> None:
    client = client_for("dynamodb", boto3)
    items = [{"Delete": {"TableName": "view", "Key": KEY}}]

    client.transact_write_items(TransactItems=items)
    client.transact_write_items(TransactItems=items)
    client.transact_write_items(TransactItems=items, ClientRequestToken="mine")

    first, second, third = (wire.body(number)["ClientRequestToken"] for number in range(3))
    version_4 = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    assert re.fullmatch(version_4, first)
    assert re.fullmatch(version_4, second)
    assert first != second
    assert third == "mine"


def test_credentials_that_change_are_seen(wire: Wire, boto3: Boto3, monkeypatch: pytest.MonkeyPatch) -> None:
    client = client_for("dynamodb", boto3)
    client.list_tables()

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "next")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    client.list_tables()

    assert "Credential=testing/" in wire.headers(0)["authorization"]
    assert "x-amz-security-token" not in wire.headers(0)
    assert "Credential=next/" in wire.headers(1)["authorization"]
    assert wire.headers(1)["x-amz-security-token"] == "token"


@pytest.mark.parametrize("value", ["", "a\r\nx-amz-target: other"])
def test_credentials_that_no_header_may_have_are_left_to_boto3(
    value: str, wire: Wire, boto3: Boto3, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_for("dynamodb", boto3)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", value)

    assert client.list_tables() == "from boto3"


def test_a_damaged_response_of_dynamodb_is_transient(wire: Wire, boto3: Boto3) -> None:
    body = b'{"TableNames": ["view"]}'
    wire.answers = [
        Response(200, {"x-amz-crc32": str(zlib.crc32(body))}, body),
        Response(200, {"x-amz-crc32": "1"}, body),
    ]
    client = client_for("dynamodb", boto3)

    assert client.list_tables()["TableNames"] == ["view"]
    with pytest.raises(ChecksumError) as caught:
        client.list_tables()

    assert classify(caught.value) == "transient"


def test_a_success_that_is_no_json_is_transient(wire: Wire, boto3: Boto3) -> None:
    wire.answers = [Response(200, {}, b"<html>please sign in</html>")]

    with pytest.raises(Exception, match="not the response of the operation") as caught:
        client_for("events", boto3).put_events(Entries=[{"Source": "a"}])

    assert classify(caught.value) == "transient"


@pytest.mark.parametrize("ahead_s", [-3600, 3600])
def test_a_clock_that_is_wrong_is_corrected_once_and_for_all(ahead_s: int, wire: Wire, boto3: Boto3) -> None:
    client = client_for("dynamodb", boto3)
    theirs = formatdate(client.now() + ahead_s, usegmt=True)
    wire.answers = [error("InvalidSignatureException", headers={"date": theirs}, message="Signature expired")]

    client.list_tables()
    client.list_tables()

    dates = [datetime.datetime.strptime(wire.headers(number)["x-amz-date"], "%Y%m%dT%H%M%SZ") for number in range(3)]
    assert (dates[1] - dates[0]).total_seconds() == pytest.approx(ahead_s, abs=5)
    assert (dates[2] - dates[1]).total_seconds() == pytest.approx(0, abs=5)


def test_a_signature_that_is_wrong_for_another_reason_is_an_error(wire: Wire, boto3: Boto3) -> None:
    client = client_for("dynamodb", boto3)
    wire.answers = [error("InvalidSignatureException", headers={"date": formatdate(client.now(), usegmt=True)})]

    with pytest.raises(ClientError, match="InvalidSignatureException"):
        client.list_tables()

    assert len(wire.sent) == 1
    assert client.clock_offset_s == 0


def test_a_clock_that_stays_wrong_is_an_error_after_two_requests(wire: Wire, boto3: Boto3) -> None:
    client = client_for("dynamodb", boto3)
    wrong = error("RequestExpired", headers={"date": formatdate(client.now() + 3600, usegmt=True)})
    wire.answers = [wrong, wrong]

    with pytest.raises(ClientError, match="RequestExpired"):
        client.list_tables()

    assert len(wire.sent) == 2


@pytest.mark.parametrize(
    ("trace", "sent"),
    [("Root=1-2;Parent=3;Sampled=0", "Root=1-2;Parent=3;Sampled=0"), ("a b\r\nc", "a%20b%0D%0Ac"), ("", None)],
)
def test_lambda_recognises_loops_by_the_trace(
    trace: str, sent: str | None, wire: Wire, boto3: Boto3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "function")
    monkeypatch.setenv("_X_AMZN_TRACE_ID", trace)

    client_for("dynamodb", boto3).list_tables()

    assert wire.headers().get("x-amzn-trace-id") == sent


def test_what_is_no_function_sends_no_trace(wire: Wire, boto3: Boto3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME", raising=False)
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "Root=1-2;Parent=3;Sampled=0")

    client_for("dynamodb", boto3).list_tables()

    assert "x-amzn-trace-id" not in wire.headers()


def test_the_answer_after_a_corrected_clock_is_checked_too(wire: Wire, boto3: Boto3) -> None:
    client = client_for("dynamodb", boto3)
    theirs = formatdate(client.now() + 3600, usegmt=True)
    wire.answers = [error("RequestExpired", headers={"date": theirs}), Response(200, {"x-amz-crc32": "1"}, b"{}")]

    with pytest.raises(ChecksumError):
        client.list_tables()


def test_names_of_tables_that_come_from_events_are_not_all_remembered(
    wire: Wire, boto3: Boto3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream_runtime.aws.operation._MOST_ADDRESSES", 3)
    client = client_for("dynamodb", boto3)

    for number in range(10):
        client.describe_table(TableName=f"table-{number}")

    assert len(wire.sent) == 10
    assert len(client.describe_table._addresses) <= 3


def test_a_time_without_a_zone_is_utc_wherever_the_machine_is(
    wire: Wire, boto3: Boto3, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as zone:
        zone.setenv("TZ", "America/New_York")
        time.tzset()
        client_for("events", boto3).put_events(Entries=[{"Time": datetime.datetime(2026, 7, 22, 1, 2, 3)}])
    time.tzset()

    assert wire.body() == {"Entries": [{"Time": 1784682123}]}


def test_the_process_has_one_client_that_tests_may_replace(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CLIENT", "lean")
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
    client = clients.client("dynamodb")
    assert clients.client("dynamodb") is client

    clients.use("dynamodb", "another")

    assert clients.client("dynamodb") == "another"
