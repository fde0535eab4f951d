"""Plain HTTP/1.1 requests are read, answered and written without hypercorn's machinery, which costs 0.3 ms of CPU each.

hypercorn parses a request with a state machine in Python, runs it in a task of its own behind two queues, stops and
starts a timer around it, and writes the answer in pieces. Tools and functions send thousands of small requests over a
few kept connections, so that most of the emulator's time went there. It also ends a connection after 1,000 requests.

A request is plain if its head arrives whole, is ASCII, names one Host, and neither upgrades the connection nor has a
long body or one in chunks. From the first request that is not, the connection is hypercorn's, and ``whole_requests``
stands before the application.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import logging
import re
from collections.abc import Generator, MutableMapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import unquote

from stream_cli.local.emulator.whole_requests import whole_requests

INTERNALS = {
    "hypercorn.asyncio.run": ("TCPServer",),
    "hypercorn.asyncio.tcp_server": ("TCPServer",),
    "hypercorn.utils": ("suppress_body",),
}

Message = MutableMapping[str, Any]
Headers = list[tuple[bytes, bytes]]

LONGEST_BODY = 1_048_576
"""A request with a longer body is hypercorn's, which hands it on in pieces."""

_READ_AT_ONCE = 65_536
_END_OF_HEAD = b"\r\n\r\n"
_REQUEST_LINE = re.compile(rb"([A-Z]+) (/[!-~]*) HTTP/1\.1")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*+([ -~\t]*)")
_NOT_PLAIN = frozenset({b"upgrade", b"transfer-encoding", b"expect", b"te", b"http2-settings"})
# Of the event loop, until a task that waited for the client to go has been cancelled.
_TURNS_TO_STOP = 3
_FORBIDDEN = re.compile(rb"[\r\n\0]")

logger = logging.getLogger("stream_cli.plain_requests")


class Request(NamedTuple):
    """The head of a request; names of headers are in lower case, ``length`` is the body's."""

    method: str
    target: bytes
    headers: Headers
    length: int


def plain_request(head: bytes) -> Request | None:
    """Read the lines before the empty one; None if the request is not plain."""
    first, *lines = head.split(b"\r\n")
    line = _REQUEST_LINE.fullmatch(first)
    if line is None:
        return None
    headers: Headers = []
    seen: dict[bytes, bytes] = {}
    for each in lines:
        header = _HEADER.fullmatch(each)
        if header is None:
            return None
        name, value = header[1].lower(), header[2].rstrip(b" \t")
        if name in _NOT_PLAIN or (name in {b"host", b"content-length", b"connection"} and name in seen):
            return None
        seen[name] = value
        headers.append((name, value))
    length = seen.get(b"content-length", b"0")
    keeps = seen.get(b"connection", b"keep-alive").lower() == b"keep-alive"
    if b"host" not in seen or not keeps or not length.isdigit() or len(length) > 7 or int(length) > LONGEST_BODY:
        return None
    return Request(line[1].decode(), line[2], headers, int(length))


def patch() -> None:
    """Give new connections to `Connection`."""
    run: Any = importlib.import_module("hypercorn.asyncio.run")
    run.TCPServer = Connection


class Connection:
    """A connection as long as its requests are plain; stands where hypercorn has its ``TCPServer``."""

    def __init__(self, *arguments: Any) -> None:
        """Take what ``TCPServer`` takes: app, loop, config, context, state, reader, writer."""
        self._arguments = arguments
        self._app, self._loop, self._config, self._context, self._state = arguments[:5]
        self._reader: asyncio.StreamReader = arguments[5]
        self._writer: asyncio.StreamWriter = arguments[6]
        self._unread = b""
        self._watched = False
        self._idle_since: float | None = self._loop.time()

    def __await__(self) -> Generator[Any, None, None]:
        return self._run().__await__()

    async def _run(self) -> None:
        server: Any = importlib.import_module("hypercorn.asyncio.tcp_server")
        watch = self._loop.create_task(self._end_when_idle())
        ended = True
        try:
            ended = await self._answer_requests()
        except OSError:
            pass  # the client is gone
        finally:
            watch.cancel()
            if ended:
                self._writer.close()
        if not ended:
            rest = _Continued(self._unread, self._reader)
            await server.TCPServer(whole_requests(self._app), *self._arguments[1:5], rest, self._writer)

    async def _end_when_idle(self) -> None:
        """End the connection when the server ends, or when there has been no request for long."""
        limit = self._config.keep_alive_timeout
        idle_s = 0.0
        while idle_s < limit:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._context.terminated.wait(), limit - idle_s)
                break
            idle_s = 0.0 if self._idle_since is None else self._loop.time() - self._idle_since
        if self._idle_since is not None:
            self._writer.close()

    async def _answer_requests(self) -> bool:
        """Answer requests to the end of the connection; False at a request that is not plain, which is unread then."""
        end = self._writer.get_extra_info("socket")
        addresses = {"client": end.getpeername()[:2], "server": end.getsockname()[:2]}
        while not self._context.terminated.is_set():
            if not self._unread:
                self._unread = await self._reader.read(_READ_AT_ONCE)
            if not self._unread:
                return True
            self._idle_since = None
            head, found, rest = self._unread.partition(_END_OF_HEAD)
            request = plain_request(head) if found else None
            if request is None:
                return False
            parts, missing = [rest], request.length - len(rest)
            while missing > 0:
                parts.append(await self._reader.read(_READ_AT_ONCE))
                missing -= len(parts[-1])
                if not parts[-1]:
                    return True
            rest = b"".join(parts)
            self._unread = rest[request.length :]
            path, _, query = request.target.partition(b"?")
            scope = {
                "type": "http",
                "http_version": "1.1",
                "asgi": {"spec_version": "2.1", "version": "3.0"},
                "method": request.method,
                "scheme": "http",
                "path": unquote(path.decode("ascii")),
                "raw_path": path,
                "query_string": query,
                "root_path": "",
                "headers": request.headers,
                **addresses,
                "state": dict(self._state),
                "extensions": {},
            }
            if not await self._answer(scope, rest[: request.length]):
                return True
            self._idle_since = self._loop.time()
        return True

    async def _answer(self, scope: Message, body: bytes) -> bool:
        """Run the application; returns whether the connection can be used again."""
        answer = _Answer(self._writer, scope["method"])
        pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            if pending:
                return pending.pop()
            self._watched = True
            try:
                while more := await self._reader.read(_READ_AT_ONCE):
                    self._unread += more
            finally:
                self._watched = False
            return {"type": "http.disconnect"}

        try:
            await self._app(scope, receive, answer.send, None, None)
        except Exception:
            logger.exception("The answer to %s %s failed", scope["method"], ascii(scope["path"]))
        await answer.end()
        for _ in range(_TURNS_TO_STOP):
            if self._watched:
                await asyncio.sleep(0)
        return answer.complete and not self._watched


class _Answer:
    """The answer to one request, written in one piece if the application gives it in one.

    Attributes:
        complete: whether all of it was sent.
    """

    def __init__(self, writer: asyncio.StreamWriter, method: str) -> None:
        self.complete = False
        self._writer = writer
        self._method = method
        self._head: bytes | None = None
        self._left: int | None = None
        self._started = self._chunked = self._without_body = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start(message)
        elif message["type"] == "http.response.body" and self._started and not self.complete:
            await self._write(message.get("body", b""), more=message.get("more_body", False))
        else:
            raise RuntimeError(f"{message['type']} is not expected now")

    async def end(self) -> None:
        """Answer with 500 if the application has not begun to answer."""
        if not self._started:
            self._writer.write(b"HTTP/1.1 500 \r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            await self._writer.drain()

    def _start(self, message: Message) -> None:
        from hypercorn.utils import suppress_body

        status, headers = int(message["status"]), list(message.get("headers", []))
        self._without_body = suppress_body(self._method, status)
        length = next((int(value) for name, value in headers if name.lower() == b"content-length"), None)
        if not self._without_body:
            self._left, self._chunked = length, length is None
        if self._chunked:
            headers.append((b"transfer-encoding", b"chunked"))
        if _FORBIDDEN.search(b"".join([part for header in headers for part in header])):
            raise ValueError("a header of the answer has a line break")
        lines = [_status_line(status), *[name + b": " + value for name, value in headers]]
        self._head = b"\r\n".join(lines) + _END_OF_HEAD
        self._started = True

    async def _write(self, body: bytes, *, more: bool) -> None:
        pieces = [self._head] if self._head else []
        self._head = None
        if self._left is not None:
            self._left -= len(body)
            if self._left < 0:
                raise ValueError("the answer is longer than its Content-Length")
        if body and not self._without_body:
            pieces += [b"%x\r\n" % len(body), body, b"\r\n"] if self._chunked else [body]
        if not more:
            pieces += [b"0\r\n\r\n"] if self._chunked else []
        self._writer.write(b"".join(pieces))
        await self._writer.drain()
        self.complete = not more and not self._left


@functools.lru_cache(64)
def _status_line(status: int) -> bytes:
    phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else ""
    return f"HTTP/1.1 {status} {phrase}".encode()


class _Continued:
    """A reader that begins with what has been read of the connection before."""

    def __init__(self, before: bytes, reader: asyncio.StreamReader) -> None:
        self._before = before
        self._reader = reader

    def at_eof(self) -> bool:
        return not self._before and self._reader.at_eof()

    async def read(self, size: int) -> bytes:
        if not self._before:
            return await self._reader.read(size)
        before, self._before = self._before, b""
        return before
