"""HTTP/1.1 over connections that are kept open: just enough for AWS's JSON protocols, and strict about the rest.

A request is sent once. Whatever is odd about a response, its length first of all, ends the connection and is an error.

Sources: RFC 9112; urllib3 and botocore's httpsession.py for what becomes which error.
"""

from __future__ import annotations

import os
import select
import socket
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .models import botocore_folder

MAX_IDLE_S = 20
"""Seconds after which a kept connection is closed instead of used; a frozen function's connections are older."""

MOST_HEAD_BYTES = 65_536
_MOST_HEADERS = 100
_MOST_INTERIM = 8
_MOST_DIGITS = 18
_BUFFER = 65_536


class Odd(Exception):
    """A response that is not HTTP as it should be, or ends too early."""


class Response:
    """A response; names of headers are in lower case, and values of a repeated one are joined by commas."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class Connections:
    """The connections to one endpoint, for any number of threads.

    Args:
        url: of the endpoint, for errors.
        host: to connect to.
        port: to connect to.
        tls: whether to speak TLS: verified, with the name of the host.
        most: how many connections are kept while they are not used.
        connect_timeout_s: for connecting, and for the handshake of TLS.
        read_timeout_s: for each wait for bytes.

    Attributes:
        url: of the endpoint.
        host: for the header Host.
    """

    def __init__(
        self, url: str, host: str, port: int, *, tls: bool, most: int, connect_timeout_s: float, read_timeout_s: float
    ) -> None:
        self.url = url
        self.host = url.partition("://")[2].rstrip("/").removesuffix(":443" if tls else ":80")
        self._name = host
        self._address: Any = (host.encode("ascii"), port)  # bytes, because the codec idna takes a millisecond to import
        self._tls = tls
        self._most = most
        self._connect_timeout_s = connect_timeout_s
        self._read_timeout_s = read_timeout_s
        self._kept: list[_Connection] = []
        _all.add(self)

    def send(self, request: bytes) -> Response:
        """Send a request and return its response.

        Raises:
            botocore.exceptions.HTTPClientError: and its subclasses, where botocore would raise them.
        """
        connection = self._take() or self._connect()
        try:
            with _as_botocore(self.url):
                response, reusable = connection.exchange(request)
        except BaseException:
            connection.close()
            raise
        if reusable and len(self._kept) < self._most:
            connection.idle_since = time.monotonic(), time.time()
            self._kept.append(connection)
        else:
            connection.close()
        return response

    def close(self) -> None:
        """Close the connections that are not in use."""
        while self._kept:
            self._kept.pop().close()

    def _take(self) -> _Connection | None:
        """A kept connection that the server has not closed; the one used last, so that others grow old."""
        while True:
            try:
                connection = self._kept.pop()
            except IndexError:
                return None
            if connection.alive():
                return connection
            connection.close()

    def _connect(self) -> _Connection:
        from_botocore = _as_botocore(self.url, connecting=True)
        with from_botocore:
            sock = socket.create_connection(self._address, self._connect_timeout_s)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if self._tls:
                with _as_botocore(self.url):
                    sock = _tls_context().wrap_socket(sock, server_hostname=self._name)
            sock.settimeout(self._read_timeout_s)
        except BaseException:
            sock.close()
            raise
        return _Connection(sock)

    def _forget(self) -> None:
        """In a child process: leave the connections to the parent."""
        self._kept = []


class _Connection:
    __slots__ = ("_poll", "_sock", "idle_since")

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        self.idle_since = 0.0, 0.0

    def alive(self) -> bool:
        """Whether nothing has come since the last response: an end, an error or bytes that nobody asked for.

        Two clocks tell its age: while a function is frozen, one may stand still, and the other may be set.
        """
        monotonic, wall = self.idle_since
        idle_s = max(time.monotonic() - monotonic, time.time() - wall)
        return idle_s < MAX_IDLE_S and not self._poll.poll(0)

    def close(self) -> None:
        self._sock.close()

    def exchange(self, request: bytes) -> tuple[Response, bool]:
        """Send a request; return the response, and whether the connection can take another."""
        try:
            self._sock.sendall(request)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the server may have answered before it had read all
        except TimeoutError as error:
            raise Odd("the request could not be sent in time") from error
        reader = _Reader(self._sock)
        for _ in range(_MOST_INTERIM):
            version, status, headers = reader.head()
            if status >= 200:
                break
            if status == 101:
                raise Odd("the server wants another protocol")
        else:
            raise Odd("the server sends interim responses only")
        body, to_the_end = reader.body(status, headers)
        kept = not to_the_end and not reader.rest and _keeps_open(version, headers)
        return Response(status, headers, body), kept


class _Reader:
    """Reads one response from a socket."""

    __slots__ = ("_sock", "rest")

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self.rest = b""

    def head(self) -> tuple[str, int, dict[str, str]]:
        data = self.rest
        end = data.find(b"\r\n\r\n")
        while end < 0:
            if len(data) > MOST_HEAD_BYTES:
                raise Odd("the head of the response is too long")
            more = self._sock.recv(_BUFFER)
            if not more:
                raise Odd("the server closed the connection " + ("within a response" if data else "without a response"))
            data += more
            end = data.find(b"\r\n\r\n")
        if end > MOST_HEAD_BYTES:
            raise Odd("the head of the response is too long")
        self.rest = data[end + 4 :]
        return _parsed_head(data[:end].decode("latin-1"))

    def body(self, status: int, headers: dict[str, str]) -> tuple[bytes, bool]:
        """The body, and whether it goes to the end of the connection."""
        coding, length = headers.get("transfer-encoding"), headers.get("content-length")
        if coding is not None:
            if coding.lower() != "chunked" or length is not None:
                raise Odd("the response has an unknown transfer coding, or two lengths")
            return self._chunks(), False
        if status in (204, 304):
            return b"", False
        if length is None:
            return b"".join((self._take_rest(), *iter(lambda: self._sock.recv(_BUFFER), b""))), True
        if not (length.isascii() and length.isdecimal() and len(length) <= _MOST_DIGITS):
            raise Odd(f"the length of the response is no number: {length:.40}")
        return self._exactly(int(length)), False

    def _take_rest(self) -> bytes:
        rest, self.rest = self.rest, b""
        return rest

    def _exactly(self, count: int) -> bytes:
        rest = self.rest
        if len(rest) < count:
            parts, missing = [rest], count - len(rest)
            while missing > 0:
                more = self._sock.recv(max(_BUFFER, min(missing, 1 << 20)))
                if not more:
                    raise Odd(f"the response ends {missing} bytes early")
                parts.append(more)
                missing -= len(more)
            rest = b"".join(parts)
        self.rest = rest[count:]
        return rest[:count]

    def _line(self) -> bytes:
        while (end := self.rest.find(b"\r\n")) < 0:
            if len(self.rest) > MOST_HEAD_BYTES:
                raise Odd("a line of a chunk is too long")
            more = self._sock.recv(_BUFFER)
            if not more:
                raise Odd("the response ends within a chunk")
            self.rest += more
        line, self.rest = self.rest[:end], self.rest[end + 2 :]
        return line

    def _chunks(self) -> bytes:
        chunks = []
        while True:
            size = self._line().partition(b";")[0].strip()
            if not size or size.strip(b"0123456789abcdefABCDEF") or len(size) > 16:
                raise Odd("the size of a chunk is no number")
            count = int(size, 16)
            if count == 0:
                break
            chunks.append(self._exactly(count))
            if self._line():
                raise Odd("a chunk is longer than it says")
        for _ in range(_MOST_TRAILERS):
            if not self._line():
                return b"".join(chunks)
        raise Odd("there are too many trailers")


_MOST_TRAILERS = 64


def _parsed_head(head: str) -> tuple[str, int, dict[str, str]]:
    status_line, *lines = head.split("\r\n")
    version, _, rest = status_line.partition(" ")
    code = rest[:3]
    is_code = len(code) == 3 and code.isascii() and code.isdecimal() and code >= "100"
    if version not in ("HTTP/1.1", "HTTP/1.0") or not is_code or rest[3:4].strip():
        raise Odd(f"the response does not start like one: {status_line:.80}")
    if len(lines) > _MOST_HEADERS:
        raise Odd(f"the response has more than {_MOST_HEADERS} headers")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name.split() != [name] or "\n" in line or "\r" in line or "\0" in line:
            raise Odd(f"a header of the response is none: {line:.80}")
        name, value = name.lower(), value.strip(" \t")
        if name not in headers:
            headers[name] = value
        elif name != "content-length":
            headers[name] += f", {value}"
        elif headers[name] != value:
            raise Odd("the response has two lengths")
    return version, int(code), headers


def _keeps_open(version: str, headers: dict[str, str]) -> bool:
    connection = headers.get("connection", "").lower()
    return version == "HTTP/1.1" and "close" not in connection


@contextmanager
def _as_botocore(url: str, *, connecting: bool = False) -> Iterator[None]:
    """Raises what goes wrong at the socket as botocore's exceptions, which are imported only then."""
    try:
        yield
    except (OSError, Odd) as error:
        raise _botocores(error, url, connecting) from error


def _botocores(error: Exception, url: str, connecting: bool) -> Exception:
    from botocore import exceptions

    raised: Exception
    if connecting:
        kind = exceptions.ConnectTimeoutError if isinstance(error, TimeoutError) else exceptions.EndpointConnectionError
        raised = kind(endpoint_url=url, error=error)
    elif isinstance(error, TimeoutError):
        raised = exceptions.ReadTimeoutError(endpoint_url=url, error=error)
    elif type(error).__module__ == "ssl":
        raised = exceptions.SSLError(endpoint_url=url, error=error)
    else:
        raised = exceptions.ConnectionClosedError(endpoint_url=url, error=error)
    return raised


_contexts: list[Any] = []


def _tls_context() -> Any:
    """TLS as botocore has it: verified with certifi's certificates, or else with its own."""
    if not _contexts:
        import ssl

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks the certificate and the name
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        context.load_verify_locations(cafile=_certificates())
        _contexts.append(context)
    return _contexts[0]


def _certificates() -> str:
    try:
        from certifi import where
    except ImportError:
        return os.path.join(botocore_folder() or "", "cacert.pem")
    return where()


_all: weakref.WeakSet[Connections] = weakref.WeakSet()


def _in_child() -> None:
    for connections in _all:
        connections._forget()


os.register_at_fork(after_in_child=_in_child)
