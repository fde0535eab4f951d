"""A server on loopback whose every byte, and every way to fail, is the test's own.

What a connection does is a function of it: it receives requests, sends bytes, waits, closes or resets.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

LONGEST_WAIT_S = 30


@dataclass(frozen=True)
class Received:
    """One request as it came through the socket.

    Attributes:
        connection: the number of its connection, from 0.
        line: the request line.
        headers: names as they were sent, values decoded as latin-1.
        body: as many bytes as Content-Length says.
    """

    connection: int
    line: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str:
        """The value of a header, or an empty text."""
        return next((value for each, value in self.headers if each.lower() == name.lower()), "")


class Connection:
    """The server's end of one connection."""

    def __init__(self, server: SocketServer, number: int, sock: socket.socket) -> None:
        self.server = server
        self.number = number
        self._socket = sock
        self._buffer = b""

    def receive(self, *, body: bool = True) -> Received | None:
        """The next request; None when the client has closed. Without ``body`` only its head is read."""
        while b"\r\n\r\n" not in self._buffer:
            more = self._socket.recv(1 << 16)
            if not more:
                return None
            self._buffer += more
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").split("\r\n")
        headers = tuple((name, value.strip()) for name, _, value in (each.partition(":") for each in lines))
        request = Received(self.number, line, headers, b"")
        length = int(request.header("Content-Length") or 0) if body else 0
        while len(self._buffer) < length:
            more = self._socket.recv(1 << 16)
            if not more:
                return None
            self._buffer += more
        request = Received(self.number, line, headers, self._buffer[:length])
        self._buffer = self._buffer[length:]
        self.server.requests.append(request)
        return request

    @property
    def protocol(self) -> str | None:
        """What was chosen in the handshake of TLS (ALPN); None if the client offered nothing."""
        return self._socket.selected_alpn_protocol() if isinstance(self._socket, ssl.SSLSocket) else None

    def send(self, content: bytes) -> None:
        """Send bytes as they are."""
        self._socket.sendall(content)

    def respond(self, body: bytes = b"{}", status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Send a whole response."""
        self.send(response(body, status, headers))

    def reset(self) -> None:
        """End the connection with RST instead of FIN."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._socket.close()


def response(body: bytes = b"{}", status: int = 200, headers: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a response; ``headers`` replace Content-Type and Content-Length."""
    fields = {"Content-Type": "application/x-amz-json-1.0", "Content-Length": str(len(body)), **(headers or {})}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Status\r\n{lines}\r\n".encode("latin-1") + body


Play = Callable[[Connection], None]


def answering(answer: Callable[[Received], bytes]) -> Play:
    """Connections that stay open and answer each request."""

    def play(connection: Connection) -> None:
        while (request := connection.receive()) is not None:
            connection.send(answer(request))

    return play


class SocketServer:
    """Listens on a free port of loopback from `__enter__` to `__exit__`; each connection has a thread.

    Attributes:
        play: what the next connections do.
        requests: all that were received, in order.
        url: where it listens.
    """

    def __init__(self, play: Play | None = None, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.play = play or answering(lambda _: response())
        self.requests: list[Received] = []
        self.connections = 0
        self.is_over = threading.Event()
        self._tls = tls
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://{host}:{self.port}"
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> SocketServer:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.is_over.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for each in tuple(self._open):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # its connection has ended
        for thread in self._threads:
            thread.join(LONGEST_WAIT_S)

    def _start(self, work: Callable[..., Any], *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._socket.accept()
            except OSError:
                return  # closed by __exit__
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            number, self.connections = self.connections, self.connections + 1
            self._start(self._serve, number, accepted)

    def _serve(self, number: int, accepted: socket.socket) -> None:
        try:
            end = accepted if self._tls is None else self._tls.wrap_socket(accepted, server_side=True)
        except OSError:
            return  # the client did not like the certificate
        self._open.add(end)
        try:
            with end:
                self.play(Connection(self, number, end))
        except OSError:
            return  # the client has gone, which is its business
        finally:
            self._open.discard(end)
