"""A plain request is answered without hypercorn's machinery, and is the same request that h11 would read."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import h11
import pytest
from hypercorn.asyncio import tcp_server
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypothesis import given
from hypothesis.strategies import binary, from_regex, lists, sampled_from, tuples
from stream_cli.local.cloud import running_emulator
from stream_cli.local.emulator.plain_requests import LONGEST_BODY, Connection, plain_request
from stream_cli.local.endpoint import LocalEndpoint
from stream_cli.local.state import StateFolder

OK = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
LINE = b"POST /a?b=c HTTP/1.1"
HOST = b"Host: 127.0.0.1"

App = Callable[[Any, Any, Any], Awaitable[None]]


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with what was asked."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    asked = [scope["method"], scope["path"], scope["query_string"].decode(), len(body), body[:20].decode()]
    answer = json.dumps(asked).encode()
    headers = [(b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


class Served:
    """What a client got from an application over one connection, and what it took to serve it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, app: App) -> None:
        self.handed_on = 0
        self.writes: list[bytes] = []
        self._app = app
        run = tcp_server.TCPServer.run

        async def counted(server: Any) -> None:
            self.handed_on += 1
            await run(server)

        monkeypatch.setattr(tcp_server.TCPServer, "run", counted)

    def get(self, *pieces: bytes, config: Config | None = None, until: bytes | None = None) -> bytes:
        """Send pieces one after the other; returns all that comes back, up to the text `until` if there is one."""
        if config is None:
            config = Config()
            config.keep_alive_timeout = 0.3  # at the end of a connection, hypercorn waits as long
        return asyncio.run(asyncio.wait_for(self._get(pieces, config, until), 20))

    async def _get(self, pieces: tuple[bytes, ...], config: Config, until: bytes | None) -> bytes:
        loop, context = asyncio.get_running_loop(), WorkerContext(None)

        async def wrapped(scope: Any, receive: Any, send: Any, *_: Any) -> None:
            await self._app(scope, receive, send)

        async def serve(reader: Any, writer: Any) -> None:
            write = writer.write
            writer.write = lambda data: (self.writes.append(bytes(data)), write(data))
            await Connection(wrapped, loop, config, context, {}, reader, writer)

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)
        if until is None:
            with suppress(OSError):  # the server may have ended the connection
                writer.write_eof()
        got = await (reader.read() if until is None else reader.readuntil(until))
        writer.close()
        server.close()
        return got


def request(*headers: bytes, line: bytes = LINE, body: bytes = b"") -> bytes:
    length = [b"Content-Length: %d" % len(body)] if body else []
    return b"\r\n".join([line, HOST, *length, *headers, b"", body])


def answers(got: bytes) -> list[Any]:
    """The JSON of each answer."""
    return [json.loads(part[: part.index(b"]") + 1]) for part in got.split(b"\r\n\r\n")[1:]]


def test_a_plain_request_is_answered_in_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    served = Served(monkeypatch, echo)
    assert answers(served.get(request(body=b"some"))) == [["POST", "/a", "b=c", 4, "some"]]
    assert (served.handed_on, len(served.writes)) == (0, 1)


def test_requests_follow_each_other_and_come_in_any_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    served = Served(monkeypatch, echo)
    first, second = request(body=b"first"), request(body=b"second", line=b"PUT / HTTP/1.1")
    got = answers(served.get(first + second, first[:-3], first[-3:] + second))
    assert [each[4] for each in got] == ["first", "second"] * 2
    assert served.handed_on == 0


@pytest.mark.parametrize(
    "unusual",
    [
        request(b"Connection: close", body=b"some"),
        request(b"Transfer-Encoding: chunked").replace(b"\r\n\r\n", b"\r\n\r\n4\r\nsome\r\n0\r\n\r\n"),
        request(b"Expect: 100-continue", body=b"some"),
        request(b"X-Name: \xc3\xa9", body=b"some"),
        request(b"X-Folded: a\r\n b", body=b"some"),
        request(body=b"some", line=b"POST http://127.0.0.1/a?b=c HTTP/1.1"),
    ],
)
def test_another_request_is_hypercorns_with_all_bytes(monkeypatch: pytest.MonkeyPatch, unusual: bytes) -> None:
    served = Served(monkeypatch, echo)
    got = served.get(request(body=b"first") + unusual)
    assert served.handed_on == 1
    assert b'"first"]' in got
    assert got.count(b"HTTP/1.1 200") == 2
    assert got.endswith(b'4, "some"]')


def test_a_head_in_two_pieces_and_a_long_body_are_hypercorns(monkeypatch: pytest.MonkeyPatch) -> None:
    served = Served(monkeypatch, echo)
    assert answers(served.get(request(body=b"some")[:20], request(body=b"some")[20:]))[0][3] == 4
    assert answers(served.get(request(body=b"s" * (LONGEST_BODY + 1))))[0][3] == LONGEST_BODY + 1
    assert served.handed_on == 2


CHUNKED = request(b"Transfer-Encoding: chunked")


@pytest.mark.parametrize(
    "early",
    [
        request(body=b"some")[:-1],
        request(b"Expect: 100-continue", body=b"some")[:-1],
        request(body=b"s" * (LONGEST_BODY + 1))[:-1],
        *(CHUNKED, CHUNKED + b"4\r\nso", CHUNKED + b"4\r\nsome\r\n", CHUNKED + b"4\r\nsome\r\n0\r\n"),
    ],
)
def test_a_request_that_ends_early_is_not_executed(monkeypatch: pytest.MonkeyPatch, early: bytes) -> None:
    executed = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def answer(message: Any) -> None:
            executed.append(message)
            await send(message)

        await echo(scope, receive, answer)

    Served(monkeypatch, app).get(request(body=b"first") + early)
    assert [message["body"] for message in executed if "body" in message] == [b'["POST", "/a", "b=c", 5, "first"]']


def test_an_answer_in_pieces_is_chunked_unless_its_length_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"4")] if scope["path"] == "/length" else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"so", "more_body": True})
        await send({"type": "http.response.body", "body": b"me"})

    served = Served(monkeypatch, app)
    got = served.get(request(line=b"GET / HTTP/1.1") + request(line=b"GET /length HTTP/1.1"))
    chunked, _, plain = got.partition(b"0\r\n\r\n")
    assert chunked.endswith(b"transfer-encoding: chunked\r\n\r\n2\r\nso\r\n2\r\nme\r\n")
    assert plain == b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nsome"


def test_an_answer_to_head_has_no_body(monkeypatch: pytest.MonkeyPatch) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(OK)
        await send({"type": "http.response.body", "body": b"ok"})

    served = Served(monkeypatch, app)
    got = served.get(request(line=b"HEAD / HTTP/1.1") * 2)
    assert got == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n" * 2


def test_an_application_that_fails_answers_500_or_ends_the_connection(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/late":
            await send(OK)
            await send({"type": "http.response.body", "body": b"o", "more_body": True})
        if scope["path"] == "/split":
            await send({**OK, "headers": [(b"x-name", b"a\r\nx-other: b")]})
        raise LookupError("on purpose")

    served = Served(monkeypatch, app)
    for path in (b"/", b"/split"):
        assert served.get(request(line=b"GET %s HTTP/1.1" % path) * 2).startswith(b"HTTP/1.1 500 ")
    assert served.get(request(line=b"GET /late HTTP/1.1") * 2).endswith(b"\r\n\r\no")
    assert len(served.writes) == 3
    assert "on purpose" in caplog.text


def test_an_application_sees_that_its_client_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(await receive())
        seen.append(await receive())

    Served(monkeypatch, app).get(request(body=b"some"))
    assert [message["type"] for message in seen] == ["http.request", "http.disconnect"]


@pytest.mark.parametrize("stops", [True, False])
def test_an_application_that_stops_watching_its_client_leaves_the_connection_usable(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, stops: bool
) -> None:
    watchers = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        watchers.append(asyncio.create_task(receive()))
        await asyncio.sleep(0)
        await send(OK)
        await send({"type": "http.response.body", "body": b"ok"})
        if stops:
            watchers[-1].cancel()

    served = Served(monkeypatch, app)
    got = served.get(request(), request())
    assert got == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok" * (2 if stops else 1)
    assert caplog.records == []


def test_a_connection_without_requests_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config()
    config.keep_alive_timeout = 0.05
    got = Served(monkeypatch, echo).get(request(body=b"some"), config=config, until=b"]")
    assert answers(got)[0][4] == "some"

    async def ends() -> bytes:
        served = Served(monkeypatch, echo)
        return await asyncio.wait_for(served._get((request(),), config, b"never"), 20)

    with pytest.raises(asyncio.IncompleteReadError):
        asyncio.run(ends())


NAMES = sampled_from([b"Host", b"Content-Length", b"Connection", b"Upgrade", b"X-A", b"x-b", b"Te", b"X A", b""])
VALUES = from_regex(rb"[ -~\t\x80\r\n\x00]{0,6}|0?[0-9]{1,2}|keep-alive|close", fullmatch=True) | binary(max_size=3)
ANY_LINE = from_regex(rb"[A-Za-z]{1,4} ?[/*a:?%\x01 -~]{0,5} HTTP/1.[01]", fullmatch=True)
LINES = sampled_from([LINE, b"GET / HTTP/1.1"]) | ANY_LINE


@given(LINES, lists(tuples(NAMES, VALUES), max_size=4))
def test_a_plain_request_is_what_h11_reads(line: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    head = b"\r\n".join([line, HOST, *(name + b":" + value for name, value in headers)])
    if b"\r\n\r\n" in head or (request := plain_request(head)) is None:
        return
    reader = h11.Connection(h11.SERVER)
    reader.receive_data(head + b"\r\n\r\n" + b"x" * request.length)
    read = reader.next_event()
    assert isinstance(read, h11.Request)
    assert (read.method.decode(), read.target, list(read.headers)) == request[:3]
    body, event = b"", reader.next_event()
    while isinstance(event, h11.Data):
        body, event = body + event.data, reader.next_event()
    assert isinstance(event, h11.EndOfMessage)
    assert (len(body), reader.trailing_data[0]) == (request.length, b"")


def test_the_emulator_keeps_a_connection_for_more_than_a_thousand_requests(endpoint: LocalEndpoint) -> None:
    connection = HTTPConnection("127.0.0.1", endpoint.port)
    connection.connect()
    local = connection.sock.getsockname()
    for _ in range(1_100):
        connection.request("GET", "/_streamctl/faults")
        assert connection.getresponse().read() == b"[]"
    assert connection.sock is not None
    assert connection.sock.getsockname() == local


def test_the_emulator_ends_at_once_though_connections_are_kept(tmp_path: Any) -> None:
    with connections(tmp_path) as kept:
        pass
    assert kept.recv(1) == b""


@contextmanager
def connections(folder: Any) -> Iterator[socket.socket]:
    """A connection that stays open while its emulator ends."""
    with running_emulator(StateFolder(folder), None) as cloud:
        kept = socket.create_connection(("127.0.0.1", cloud.endpoint.port), timeout=20)
        kept.sendall(b"GET /_streamctl/faults HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % cloud.endpoint.port)
        answer = HTTPResponse(kept)
        answer.begin()
        assert answer.read() == b"[]"
        yield kept
