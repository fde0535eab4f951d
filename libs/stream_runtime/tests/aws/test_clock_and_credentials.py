"""A machine whose clock is wrong, credentials that change, damaged answers: what becomes of the calls meanwhile."""

import json
import logging
import os
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from socket_server import Received, SocketServer, answering, response
from stream_runtime.aws import sigv4
from two_clients import Outcome, client_of, environment, outcome_of

TABLES = b'{"TableNames": ["t"]}'
FOUND = Outcome(value="['t']")


@pytest.fixture
def server() -> Iterator[SocketServer]:
    with SocketServer() as server, environment(AWS_ENDPOINT_URL=server.url):
        yield server


def tables(client: Any) -> Outcome:
    return outcome_of(lambda: client.list_tables()["TableNames"])


# The clock


class Signatures:
    """Refuses requests that were signed more than five minutes from its own time, as AWS does."""

    def __init__(self, ahead: timedelta) -> None:
        self.ahead = ahead
        self.refused = 0
        self.accepted: list[bytes] = []

    def __call__(self, request: Received) -> bytes:
        now = datetime.now(UTC) + self.ahead
        date = {"Date": format_datetime(now, usegmt=True)}
        signed = datetime.strptime(request.header("X-Amz-Date"), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if abs(now - signed) <= timedelta(minutes=5):
            self.accepted.append(request.body)
            return response(TABLES, headers=date)
        self.refused += 1
        error = {"__type": "com.amazon.coral.service#InvalidSignatureException", "message": "Signature not yet current"}
        return response(json.dumps(error).encode(), 400, date)


@pytest.mark.parametrize("ahead", [timedelta(hours=3), timedelta(days=-400)])
def test_a_clock_that_is_wrong_is_corrected_once_and_the_call_is_made_again(
    ahead: timedelta, server: SocketServer
) -> None:
    aws = Signatures(ahead)
    server.play = answering(aws)
    client = client_of("lean", "dynamodb")

    assert [tables(client) for _ in range(4)] == [FOUND] * 4
    assert (aws.refused, len(aws.accepted)) == (1, 4)


def test_a_clock_that_many_threads_find_wrong_at_once_is_corrected_for_all(server: SocketServer) -> None:
    aws, together = Signatures(timedelta(hours=-1)), threading.Barrier(8)

    def answer(request: Received) -> bytes:
        answered = aws(request)
        if request.connection < 8 and b" 400 " in answered[:20]:
            together.wait(10)  # all are refused before any of them corrects the clock
        return answered

    server.play = answering(answer)
    client = client_of("lean", "dynamodb")
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda _: tables(client), range(8))) == [FOUND] * 8
    assert (aws.refused, len(aws.accepted)) == (8, 8)


def test_a_clock_that_is_set_right_is_corrected_again(server: SocketServer) -> None:
    aws = Signatures(timedelta(hours=1))
    server.play = answering(aws)
    client = client_of("lean", "dynamodb")
    tables(client)

    aws.ahead = timedelta()  # as if the machine's clock had been set: the offset is wrong now

    assert tables(client) == FOUND
    assert aws.refused == 2


@pytest.mark.parametrize(
    "date",
    [
        *("", "yesterday", "Thu, 01 Jan 1970 00:00:99 GMT", "Sun, 22 Nov 99999 01:00:00 GMT"),
        *(f"Sun, 22 Nov {'9' * 20} 01:00:00 GMT", f"Sun, 22 Nov 2026 01:00:00 +{'9' * 20}"),
    ],
)
def test_a_refused_signature_without_a_time_is_the_error_that_it_is(date: str, server: SocketServer) -> None:
    error = b'{"__type": "InvalidSignatureException", "message": "wrong key"}'
    server.play = answering(lambda _: response(error, 403, {"Date": date}))

    outcome = tables(client_of("lean", "dynamodb"))

    assert (outcome.error[0], outcome.kind) == ("ClientError", "configuration")
    assert len(server.requests) == 1


def test_a_signature_that_is_refused_at_the_right_time_is_not_sent_again(server: SocketServer) -> None:
    error = b'{"__type": "InvalidSignatureException", "message": "wrong key"}'
    date = {"Date": format_datetime(datetime.now(UTC), usegmt=True)}
    server.play = answering(lambda _: response(error, 403, date))

    assert tables(client_of("lean", "dynamodb")).kind == "configuration"
    assert len(server.requests) == 1


def test_an_error_of_another_kind_never_corrects_the_clock(server: SocketServer) -> None:
    date = {"Date": format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True)}
    server.play = answering(lambda _: response(b'{"__type": "ThrottlingException"}', 400, date))
    client = client_of("lean", "dynamodb")

    assert [tables(client).kind for _ in range(2)] == ["transient"] * 2
    signed = datetime.strptime(server.requests[1].header("X-Amz-Date"), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert abs(signed.timestamp() - time.time()) < 60


# Credentials


def test_credentials_that_change_in_the_environment_are_those_of_the_next_request(
    server: SocketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.play = answering(lambda _: response(TABLES))
    client = client_of("lean", "dynamodb")
    for name in ("first", "second"):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", f"key-{name}")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", f"secret-{name}")
        monkeypatch.setenv("AWS_SESSION_TOKEN", f"token-{name}")

        assert tables(client) == FOUND
        sent = server.requests[-1]
        assert sent.header("X-Amz-Security-Token") == f"token-{name}"
        assert f"Credential=key-{name}/" in sent.header("Authorization")
    monkeypatch.delenv("AWS_SESSION_TOKEN")
    tables(client)

    assert server.requests[-1].header("X-Amz-Security-Token") == ""
    assert len({request.header("Authorization").rpartition("=")[2] for request in server.requests}) == 3


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_credentials_that_are_gone_are_a_configuration_error(
    name: str, server: SocketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of("lean", "dynamodb")
    monkeypatch.delenv(name)

    outcome = tables(client)

    assert outcome.kind == "configuration"
    assert server.requests == []


# Damaged answers


@pytest.mark.parametrize(
    "answer",
    [(TABLES, 200), (b'{"__type": "ConditionalCheckFailedException"}', 400), (b"", 200), (b'{"TableNames": []}', 200)],
)
def test_an_answer_of_dynamodb_whose_checksum_is_wrong_is_transient(
    answer: tuple[bytes, int], server: SocketServer
) -> None:
    body, status = answer
    server.play = answering(lambda _: response(body, status, {"x-amz-crc32": str(zlib.crc32(body) ^ 1)}))

    outcome = tables(client_of("lean", "dynamodb"))

    assert (outcome.error[0], outcome.kind) == ("ChecksumError", "transient")


def test_an_answer_whose_checksum_is_right_is_accepted(server: SocketServer) -> None:
    server.play = answering(lambda _: response(TABLES, headers={"x-amz-crc32": str(zlib.crc32(TABLES))}))

    assert tables(client_of("lean", "dynamodb")) == FOUND


@pytest.mark.parametrize("members", ['"CancellationReasons": "text"', '"CancellationReasons": [1.5]'])
def test_an_error_whose_members_are_of_other_types_is_the_error_that_it_is(members: str, server: SocketServer) -> None:
    body = f'{{"__type": "TransactionCanceledException", {members}}}'.encode()
    server.play = answering(lambda _: response(body, 500))

    outcome = tables(client_of("lean", "dynamodb"))

    assert outcome.error[0] == "TransactionCanceledException"
    assert outcome.kind == "poison"


def test_the_checksum_of_an_error_is_checked_before_the_error_is_believed(server: SocketServer) -> None:
    body = b'{"__type": "ConditionalCheckFailedException"}'
    server.play = answering(lambda _: response(body, 400, {"x-amz-crc32": str(zlib.crc32(body))}))

    assert tables(client_of("lean", "dynamodb")).error[0] == "ConditionalCheckFailedException"


# What is written down


SECRETS = ("AKIDSECRETKEY", "the/secret+key", "the-session-token")


@pytest.mark.parametrize("status", [200, 400, 403, 500, 0])
def test_credentials_are_in_no_log_line_and_no_error_at_any_level(
    status: int, server: SocketServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in zip(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"), SECRETS, strict=True):
        monkeypatch.setenv(name, value)
    caplog.set_level(logging.NOTSET)
    server.play = answering(lambda _: response(TABLES, status)) if status else lambda connection: connection.close()
    client = client_of("lean", "dynamodb")
    errors = []
    for call in (client.list_tables, lambda: client.list_tables(Limit="x"), lambda: client.describe_table()):
        try:
            call()
        except Exception as error:
            while error is not None:
                errors.append(f"{error!r} {error} {vars(error)}")
                error = error.__cause__ or error.__context__  # type: ignore[assignment]

    ours = [record.getMessage() for record in caplog.records if record.name.startswith("stream_runtime")]
    assert ours
    for secret in SECRETS:
        assert not [text for text in (*ours, *errors, repr(client), str(vars(client))) if secret in text]


def test_the_password_of_an_endpoint_is_in_no_log_line_and_no_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.NOTSET)
    with environment(AWS_ENDPOINT_URL="http://user:the-password@127.0.0.1:1", AWS_LAMBDA_FUNCTION_NAME="f"):
        error = outcome_of(lambda: client_of("lean", "dynamodb"))
        client_of("auto", "dynamodb")

    ours = [record.getMessage() for record in caplog.records if record.name.startswith("stream_runtime")]
    assert error.kind == "configuration"
    assert "the-password" not in "".join((error.text, *ours))


def test_a_process_that_forks_shares_no_connection_with_its_child(server: SocketServer) -> None:
    server.play = answering(lambda _: response(TABLES))
    client = client_of("lean", "dynamodb")
    tables(client)

    child = os.fork()
    if child == 0:
        os._exit(0 if tables(client) == FOUND else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert tables(client) == FOUND
    assert server.connections == 2


# Signing keys, which are kept


SIGNED: dict[str, Any] = {"secret": "s", "region": "us-east-1", "service": "dynamodb", "date": "20261122T235959Z"}


def signature(secret: str, region: str, service: str, date: str) -> str:
    headers = [("host", "example.com"), ("x-amz-date", date)]
    request: dict[str, Any] = {"method": "POST", "path": "/", "query": "", "headers": headers, "body": b"{}"}
    return sigv4.authorization(sigv4.Credentials("key", secret), region, service, **request, amz_date=date)


@pytest.mark.parametrize(
    "other",
    [{"secret": "next"}, {"region": "eu-west-1"}, {"service": "events"}, {"date": "20261123T000000Z"}],
    ids=lambda other: next(iter(other)),
)
def test_a_kept_signing_key_is_of_this_day_and_secret_and_place(
    other: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sigv4, "_keys", {})
    signature(**SIGNED)
    after = signature(**{**SIGNED, **other})

    monkeypatch.setattr(sigv4, "_keys", {})

    assert after == signature(**{**SIGNED, **other})


def test_signing_keys_of_earlier_days_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sigv4, "_keys", {})
    for day in range(1, 31):
        for hour in range(3):
            signature(**{**SIGNED, "date": f"202611{day:02}T000000Z", "secret": str(hour)})

    assert len(sigv4._keys) <= sigv4._MOST_KEYS
