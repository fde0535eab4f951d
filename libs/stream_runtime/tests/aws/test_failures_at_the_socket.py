"""A server that fails at the socket: the lean client does what boto3's does, and no request arrives twice.

A scenario is what the server does with each connection. Both clients make the same calls before it. What they raise,
what they return and how many requests arrive is equal, and is as the test says.
"""

import contextlib
import json
import random
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest
from socket_server import Connection, SocketServer, answering, response
from stream_runtime import clients
from stream_runtime.aws import clients as aws_clients
from two_clients import WAYS, Outcome, Way, client_of, environment, outcome_of

TIMEOUT_S = 0.25


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[SocketServer]:
    monkeypatch.setattr(aws_clients, "CONNECT_TIMEOUT_S", TIMEOUT_S)
    monkeypatch.setattr(aws_clients, "READ_TIMEOUT_S", TIMEOUT_S)
    with SocketServer() as server, environment(AWS_ENDPOINT_URL=server.url):
        yield server


# Scenarios: what a connection does


def reset_before_reading(connection: Connection) -> None:
    connection.reset()


def closed_before_reading(connection: Connection) -> None:
    connection.close()


def reset_after_reading(connection: Connection) -> None:
    connection.receive()
    connection.reset()


def closed_after_reading(connection: Connection) -> None:
    connection.receive()
    connection.close()


def reset_within_the_request(connection: Connection) -> None:
    connection.receive(body=False)
    connection.reset()


def silent(connection: Connection) -> None:
    connection.receive()
    connection.server.is_over.wait()


def sending(*parts: bytes, stays: bool = False) -> Callable[[Connection], None]:
    """Answers each request with these bytes and closes, or stays silent."""

    def play(connection: Connection) -> None:
        connection.receive()
        for part in parts:
            connection.send(part)
        if stays:
            connection.server.is_over.wait()

    return play


def trickling(connection: Connection) -> None:
    """A byte each time the client is about to give up: its timeout is for each read, as urllib3's is."""
    connection.receive()
    for byte in response(TABLES)[:40]:
        connection.send(bytes([byte]))
        if connection.server.is_over.wait(0.005):
            return
    connection.send(response(TABLES)[40:])
    connection.server.is_over.wait()


TABLES = b'{"TableNames": ["t"]}'
WRITES = [{"Delete": {"TableName": "t", "Key": {"pk": {"S": "a"}}}}]
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Scenario(NamedTuple):
    """What the server does, and what the call comes to: an error by its class and kind, or table names.

    Attributes:
        play: what each connection does.
        errors: classes of which either may be raised; which one depends on how far the client had come.
        kind: of the error.
        boto3: what boto3's client raises where it is less strict.
    """

    play: Callable[[Connection], None]
    errors: tuple[str, ...] = ()
    kind: str = ""
    boto3: str = ""


LOST = ("ConnectionClosedError",)


def head(*lines: str) -> bytes:
    return "\r\n".join((*lines, "", "")).encode()


SCENARIOS: Mapping[str, Scenario] = {
    "reset before the request was read": Scenario(
        reset_before_reading, (*LOST, "EndpointConnectionError"), "transient"
    ),
    "closed before the request was read": Scenario(
        closed_before_reading, (*LOST, "EndpointConnectionError"), "transient"
    ),
    "reset after the request was read": Scenario(reset_after_reading, LOST, "transient"),
    "closed after the request was read": Scenario(closed_after_reading, LOST, "transient"),
    "reset within the request": Scenario(reset_within_the_request, LOST, "transient"),
    "no answer": Scenario(silent, ("ReadTimeoutError",), "transient"),
    "half a status line": Scenario(sending(b"HTTP/1.1 20"), LOST, "transient"),
    "half of the headers": Scenario(sending(response(TABLES)[:40]), LOST, "transient", boto3="KeyError"),
    "half of the headers, then silence": Scenario(
        sending(response(TABLES)[:40], stays=True), ("ReadTimeoutError",), "transient"
    ),
    "half of the body": Scenario(sending(response(TABLES)[:-5]), LOST, "transient"),
    "half of the body, then silence": Scenario(
        sending(response(TABLES)[:-5], stays=True), ("ReadTimeoutError",), "transient"
    ),
    "a byte at a time": Scenario(trickling),
    "a declared length that is too long": Scenario(
        sending(response(TABLES, headers={"Content-Length": "500"})), LOST, "transient"
    ),
    "no length, closed at the end": Scenario(sending(head("HTTP/1.1 200 OK") + TABLES)),
    "HTTP/1.0": Scenario(sending(head("HTTP/1.0 200 OK", f"Content-Length: {len(TABLES)}") + TABLES)),
    "HTTP/1.0 without a length": Scenario(sending(head("HTTP/1.0 200 OK") + TABLES)),
    "Connection: close": Scenario(sending(response(TABLES, headers={"Connection": "close"}))),
    "chunks": Scenario(
        sending(
            CHUNKED
            + b"5\r\n"
            + TABLES[:5]
            + b"\r\n%x;a=b\r\n" % len(TABLES[5:])
            + TABLES[5:]
            + b"\r\n0\r\nTrailer: x\r\n\r\n",
            stays=True,
        )
    ),
    "chunks that end early": Scenario(sending(CHUNKED + b"5\r\n" + TABLES[:5] + b"\r\n"), LOST, "transient"),
    "a chunk that ends early": Scenario(sending(CHUNKED + b"50\r\n" + TABLES[:5]), LOST, "transient"),
    "chunks without a length": Scenario(sending(CHUNKED + b"zz\r\n" + TABLES), LOST, "transient"),
    "100 Continue before the response": Scenario(sending(head("HTTP/1.1 100 Continue"), response(TABLES))),
    "two interim responses": Scenario(sending(head("HTTP/1.1 100 Continue") * 2 + response(TABLES))),
    "no HTTP at all": Scenario(sending(b"SSH-2.0-OpenSSH_9.2\r\n"), LOST, "transient"),
    "a status of two digits before the response": Scenario(
        sending(head("HTTP/1.1 20"), response(TABLES)), LOST, "transient"
    ),
    "a status below 100 before the response": Scenario(
        sending(head("HTTP/1.1 099 Continue"), response(TABLES)), LOST, "transient"
    ),
    "an endless line": Scenario(sending(b"HTTP/1.1 200 " + b"x" * 100_000), LOST, "transient"),
    "an endless header": Scenario(sending(head("HTTP/1.1 200 OK", "X: " + "x" * 100_000)), LOST, "transient"),
    "too many headers": Scenario(
        sending(head("HTTP/1.1 200 OK", *(f"X-{n}: x" for n in range(10_000)))), LOST, "transient"
    ),
    "5xx with HTML": Scenario(
        sending(response(b"<html>bad gateway</html>", 502, {"Content-Type": "text/html"})),
        ("ClientError",),
        "transient",
    ),
    "503 without a body": Scenario(sending(response(b"", 503)), ("ClientError",), "transient"),
    "413 with HTML": Scenario(sending(response(b"<html>too large</html>", 413)), ("ClientError",), "poison"),
    "429 without a body": Scenario(sending(response(b"", 429)), ("ClientError",), "transient"),
    "4xx with garbage": Scenario(sending(response(b'{"__type"', 400)), ("ClientError",), "poison"),
    "a modelled error": Scenario(
        sending(response(b'{"__type": "com.amazonaws#ResourceNotFoundException", "message": "m"}', 400)),
        ("ResourceNotFoundException",),
        "configuration",
    ),
}


def tables(client: Any) -> Outcome:
    """Call, and leave the headers of the response out of its value."""

    def call() -> Any:
        answer = client.list_tables()
        return answer["TableNames"], answer["ResponseMetadata"]["HTTPStatusCode"]

    return outcome_of(call)


FOUND = Outcome(value="(['t'], 200)")


@pytest.mark.parametrize("name", SCENARIOS)
def test_both_clients_see_the_same(name: str, server: SocketServer, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = SCENARIOS[name]
    if not scenario.errors:
        monkeypatch.setattr(aws_clients, "READ_TIMEOUT_S", 20)  # a busy machine may take longer to answer
    server.play = scenario.play
    outcomes = {}
    for way in WAYS:
        first = len(server.requests)
        outcomes[way] = outcome = tables(client_of(way, "dynamodb"))
        assert len(server.requests) - first <= 1
        if way == "boto3" and scenario.boto3:
            assert outcome.error[0] == scenario.boto3
        elif scenario.errors:
            assert (outcome.error[0] in scenario.errors, outcome.kind) == (True, scenario.kind), outcome
        else:
            assert outcome == FOUND
    if len(scenario.errors) < 2 and not scenario.boto3:
        assert outcomes["lean"] == outcomes["boto3"]


@pytest.mark.parametrize("way", WAYS)
def test_nobody_listens(way: Way, server: SocketServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with environment(AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}"):
        outcome = tables(client_of(way, "dynamodb"))

    assert (outcome.error[0], outcome.kind) == ("EndpointConnectionError", "transient")


@pytest.mark.parametrize("way", WAYS)
def test_a_name_that_is_not_found(way: Way, server: SocketServer) -> None:
    with environment(AWS_ENDPOINT_URL="http://nowhere.invalid:1"):
        outcome = tables(client_of(way, "dynamodb"))

    assert (outcome.error[0], outcome.kind) == ("EndpointConnectionError", "transient")


@pytest.mark.parametrize("way", WAYS)
def test_a_connection_that_is_never_accepted_is_given_up_in_time(way: Way, server: SocketServer) -> None:
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):  # fill the queue of connections that nobody accepts
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        with environment(AWS_ENDPOINT_URL=f"http://127.0.0.1:{full.getsockname()[1]}"):
            outcome = tables(client_of(way, "dynamodb"))

    assert (outcome.error[0], outcome.kind) == ("ConnectTimeoutError", "transient")


# Kept connections


@pytest.mark.parametrize("way", WAYS)
def test_a_connection_asks_whether_its_server_is_there_and_waits_for_no_more_to_send(
    way: Way, server: SocketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[socket.socket] = []
    connect = socket.socket.connect

    def connected(sock: socket.socket, address: Any) -> None:
        made.append(sock)
        connect(sock, address)

    monkeypatch.setattr(socket.socket, "connect", connected)
    assert outcome_of(client_of(way, "dynamodb").list_tables).error == ()

    (sock,) = made
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


@pytest.mark.parametrize("way", WAYS)
def test_attempts_at_one_call_have_one_token(way: Way, server: SocketServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS may have done what it could not answer: with another token, a transaction would be written twice."""
    answers = iter([b"", b"", response()])
    monkeypatch.setenv("RETRY_BASE_MS", "1")

    def play(connection: Connection) -> None:
        connection.receive()
        connection.send(next(answers))

    server.play = play
    clients.use("dynamodb", client_of(way, "dynamodb"))
    try:
        for token in ({}, {"ClientRequestToken": "mine"}):
            answers = iter([b"", b"", response()])
            clients.call("dynamodb", "transact_write_items", TransactItems=WRITES, **token)
    finally:
        clients.reset()

    *first, other, _, last = [json.loads(request.body)["ClientRequestToken"] for request in server.requests]
    assert len(set(first)) == 1
    assert (len(first[0]), other, last) == (36, "mine", "mine")


@pytest.mark.parametrize("way", WAYS)
def test_a_connection_is_kept_for_the_next_request(way: Way, server: SocketServer) -> None:
    server.play = answering(lambda _: response(TABLES))
    client = client_of(way, "dynamodb")

    assert [tables(client) for _ in range(5)] == [FOUND] * 5
    assert server.connections == 1


ENDS: Mapping[str, Callable[[Connection], None]] = {
    "closed": lambda connection: connection.respond(TABLES),
    "closed, as it had said": lambda connection: connection.respond(TABLES, headers={"Connection": "close"}),
    "closed, HTTP/1.0": lambda connection: connection.send(
        head("HTTP/1.0 200 OK", f"Content-Length: {len(TABLES)}") + TABLES
    ),
    "closed after a timeout of its own": lambda connection: connection.send(
        response(TABLES) + head("HTTP/1.1 408 Request Timeout", "Content-Length: 0", "Connection: close")
    ),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("way", WAYS)
def test_a_dead_connection_is_found_before_a_request_is_at_risk(way: Way, end: str, server: SocketServer) -> None:
    ended = threading.Semaphore(0)

    def play(connection: Connection) -> None:
        connection.receive()
        ENDS[end](connection)
        connection.close()
        ended.release()

    server.play = play
    client = client_of(way, "dynamodb")
    for number in range(4):
        assert tables(client) == FOUND
        assert ended.acquire(timeout=10)
        assert len(server.requests) == number + 1


@pytest.mark.parametrize("way", WAYS)
def test_a_reset_while_idle_is_found_too(way: Way, server: SocketServer) -> None:
    ended, may_end = threading.Semaphore(0), threading.Semaphore(0)

    def play(connection: Connection) -> None:
        connection.receive()
        connection.respond(TABLES)
        may_end.acquire()
        connection.reset()
        ended.release()

    server.play = play
    client = client_of(way, "dynamodb")
    for _ in range(4):
        assert tables(client) == FOUND
        may_end.release()
        assert ended.acquire(timeout=10)


POISON = response(b'{"TableNames": ["of somebody else"]}')
POISONED: Mapping[str, tuple[bytes, ...]] = {
    "a second response in the same packet": (response(TABLES) + POISON,),
    "a second response in a packet of its own": (response(TABLES), POISON),
    "a body longer than declared": (response(TABLES, headers={"Content-Length": str(len(TABLES))}) + b"garbage",),
    "a body with 204": (response(TABLES), b"", response(TABLES, 204)),
    "a response behind the last chunk": (CHUNKED + b"%x\r\n" % len(TABLES) + TABLES + b"\r\n0\r\n\r\n" + POISON,),
    "line ends": (response(TABLES) + b"\r\n\r\n",),
}


@pytest.mark.parametrize("name", POISONED)
@pytest.mark.parametrize("way", WAYS)
def test_what_follows_a_response_never_answers_the_next_request(way: Way, name: str, server: SocketServer) -> None:
    sent = threading.Semaphore(0)

    def play(connection: Connection) -> None:
        while connection.receive() is not None:
            for part in POISONED[name]:
                connection.send(part)
            sent.release()

    server.play = play
    client = client_of(way, "dynamodb")
    for number in range(4):
        assert tables(client) == FOUND
        assert sent.acquire(timeout=10)
        assert len(server.requests) == number + 1
        assert way == "boto3" or server.connections == number + 1


@pytest.mark.parametrize("name", POISONED)
def test_bytes_that_nobody_asked_for_end_their_connection(name: str, server: SocketServer) -> None:
    sent = threading.Semaphore(0)

    def play(connection: Connection) -> None:
        while connection.receive() is not None:
            for part in POISONED[name]:
                connection.send(part)
            sent.release()

    server.play = play
    client = client_of("lean", "dynamodb")
    for _ in range(3):
        tables(client)
        assert sent.acquire(timeout=10)

    assert server.connections == 3


def test_an_answer_to_a_request_that_was_not_read_is_seen(server: SocketServer) -> None:
    """A server that refuses a large request may answer it, and reset the connection, before it has all of it."""

    def play(connection: Connection) -> None:
        connection.receive(body=False)
        connection.respond(b'{"__type": "ValidationException", "message": "too large"}', 413)
        connection.reset()

    server.play = play
    client = client_of("lean", "events")
    outcome = outcome_of(lambda: client.put_events(Entries=[{"Detail": "x" * (16 << 20)}]))

    assert (outcome.error[0], outcome.kind) == ("ClientError", "poison")
    assert "too large" in outcome.text


def test_an_answer_may_take_longer_than_connecting(server: SocketServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def play(connection: Connection) -> None:
        connection.receive()
        connection.server.is_over.wait(2 * TIMEOUT_S)
        connection.respond(TABLES)

    monkeypatch.setattr(aws_clients, "READ_TIMEOUT_S", 20)
    server.play = play

    assert tables(client_of("lean", "dynamodb")) == FOUND


@pytest.mark.parametrize("way", WAYS)
def test_an_answer_that_comes_too_late_never_answers_the_next_request(way: Way, server: SocketServer) -> None:
    may_answer = threading.Event()

    def play(connection: Connection) -> None:
        connection.receive()
        if connection.number == 0:
            may_answer.wait(10)
            connection.send(POISON)
        else:
            connection.respond(TABLES)
        connection.server.is_over.wait()

    server.play = play
    client = client_of(way, "dynamodb")

    assert tables(client).error[0] == "ReadTimeoutError"
    may_answer.set()
    assert tables(client) == FOUND
    assert server.connections == 2


FAILURES = ("", "", "", "", "reset", "half", "closed after", "poisoned", "5xx", "slow", "chunks")


@pytest.mark.parametrize("way", WAYS)
def test_each_thread_gets_the_response_to_its_own_request_and_none_is_sent_twice(
    way: Way, server: SocketServer
) -> None:
    def play(connection: Connection) -> None:
        while (request := connection.receive()) is not None:
            key = json.loads(request.body)["Key"]["pk"]["S"]
            fate = random.Random(key).choice(FAILURES)
            body = json.dumps(
                {"Item": {"pk": {"S": key}, "more": {"S": "x" * random.Random(key).randrange(9000)}}}
            ).encode()
            if fate == "reset":
                return connection.reset()
            if fate == "half":
                return connection.send(response(body)[: len(body)])
            if fate == "5xx":
                connection.respond(b"<html></html>", 502)
            elif fate == "slow":
                whole = response(body)
                for start in range(0, len(whole), 1000):
                    connection.send(whole[start : start + 1000])
            elif fate == "chunks":
                connection.send(CHUNKED + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n")
            else:
                rest = response(b'{"Item": {"pk": {"S": "of somebody else"}}}') if fate == "poisoned" else b""
                connection.send(response(body) + rest)
            if fate == "closed after":
                return None
        return None

    server.play = play
    client = client_of(way, "dynamodb")

    def read(key: str) -> Outcome:
        return outcome_of(lambda: client.get_item(TableName="t", Key={"pk": {"S": key}})["Item"]["pk"]["S"])

    keys = [f"key-{number}" for number in range(400)]
    with ThreadPoolExecutor(16) as threads:
        found = dict(zip(keys, threads.map(read, keys), strict=True))

    right = [key for key in keys if found[key] == Outcome(value=repr(key))]
    assert {outcome.kind for key, outcome in found.items() if key not in right} == {"transient"}
    assert len(right) > len(keys) / 2
    assert set(Counter(request.body for request in server.requests).values()) == {1}
