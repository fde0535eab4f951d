"""The simulated AWS behind real sockets, where failures are those of sockets: resets, halves, wrong lengths, silence.

What fails is the history's plan; how it looks on the wire follows from the request. Answers that succeed come in
pieces, in chunks, behind an interim response, with bytes too many behind them, or on a connection that ends.
"""

from __future__ import annotations

import json
import os
import random
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any
from unittest import mock

from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError
from failures import ProcessDied
from refusals import Refusal
from simulated_aws import SimulatedAws
from socket_server import Connection, Received, SocketServer, response
from stream_runtime.aws import clients as aws_clients
from two_clients import Way, client_of, environment

SERVICES = ("dynamodb", "events", "sqs", "kinesis", "firehose")
TIMEOUT_S = 2
"""So long that a busy machine is no failure; whoever waits for an answer that never comes waits as long."""


@contextmanager
def served_by_sockets(aws: SimulatedAws, way: Way) -> Iterator[Mapping[str, Any]]:
    """Clients of a kind, by service, whose requests this simulated AWS gets through sockets."""
    server = _server()
    _serving[:] = [aws]
    clients = {service: _Caller(_client(way, service), aws) for service in SERVICES}
    with mock.patch.dict(os.environ, {"AWS_ENDPOINT_URL": server.url}):
        yield clients
    if _errors:
        raise AssertionError("the simulated AWS failed by itself") from _errors.pop()


_serving: list[SimulatedAws] = []
_errors: list[BaseException] = []


@cache
def _server() -> SocketServer:
    """One server for all histories: it only listens."""
    return SocketServer(_play).__enter__()


@cache
def _client(way: Way, service: str) -> Any:
    limits = {"CONNECT_TIMEOUT_S": TIMEOUT_S, "READ_TIMEOUT_S": TIMEOUT_S}
    with mock.patch.multiple(aws_clients, **limits), environment(AWS_ENDPOINT_URL=_server().url):
        return client_of(way, service)


class _Caller:
    """A client in a process that may die during a call, and whose time passes with each."""

    def __init__(self, client: Any, aws: SimulatedAws) -> None:
        self._client = client
        self._aws = aws

    @property
    def exceptions(self) -> Any:
        return self._client.exceptions

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def call(**request: Any) -> Any:
            with self._aws.lock:
                self._aws.check_alive()
                self._aws.let_time_pass()
            try:
                answer = method(**request)
            except Exception:
                self._aws.check_alive()
                raise
            self._aws.check_alive()
            return answer

        return call


# The server's side


def _play(connection: Connection) -> None:
    while (request := connection.receive()) is not None:
        dice = random.Random(request.body)
        try:
            sent, stays = _answer(request, dice)
        except Exception as error:
            _errors.append(error)
            return None
        for part in sent:
            connection.send(part)
        if stays is None:
            return connection.reset()
        if not stays:
            return None
    return None


def _answer(request: Received, dice: random.Random) -> tuple[list[bytes], bool | None]:
    """What is sent, and whether the connection stays: None for a reset."""
    operation = request.header("X-Amz-Target").rpartition(".")[2]
    aws = _serving[0]
    try:
        answered = aws.call(operation, _read(operation, request.body))
    except ProcessDied:
        return [], None
    except Refusal as error:
        return _refusal(error, dice), True
    except ConnectTimeoutError:
        return [], dice.choice((None, False))  # nothing was done
    except ReadTimeoutError:
        return _lost(_whole(aws.last_answer, operation), dice)
    return _delivered(_whole(answered, operation), dice)


def _read(operation: str, body: bytes) -> dict[str, Any]:
    request: dict[str, Any] = json.loads(body)
    if operation in ("PutRecords", "PutRecordBatch"):
        request["Records"] = [{**entry, "Data": b64decode(entry["Data"])} for entry in request["Records"]]
    return request


def _whole(answer: Mapping[str, Any], operation: str) -> bytes:
    body = json.dumps(answer, default=lambda value: b64encode(value).decode()).encode()
    checksum = {"x-amz-crc32": str(zlib.crc32(body))}
    return response(body, headers={"x-amzn-RequestId": operation, **checksum})


def _refusal(error: Refusal, dice: random.Random) -> list[bytes]:
    if error.status >= 500 and dice.randrange(2):
        return [response(dice.choice((b"<html>bad gateway</html>", b"", b"{")), error.status)]
    body = {"__type": f"com.amazonaws#{error.code}", "message": str(error), **error.more}
    return [response(json.dumps(body).encode(), error.status)]


def _lost(whole: bytes, dice: random.Random) -> tuple[list[bytes], bool | None]:
    """An effect that its caller is not told of."""
    if dice.randrange(64) == 0:
        return [whole[: len(whole) // 2]], True  # and then silence, until the client gives up
    kind = dice.randrange(16)
    if kind < 4:
        return [], None
    if kind < 7:
        return [whole[: dice.randrange(len(whole))]], False
    if kind < 9:
        head, _, body = whole.partition(b"\r\n\r\n")
        return [b"%s\r\n\r\n%s" % (head.replace(b"Content-Length: ", b"Content-Length: 9"), body)], False
    if kind < 11:
        return [whole.replace(b"HTTP/1.1 200", b"HTTP/1.1 2OO")], False
    return [], False


def _delivered(whole: bytes, dice: random.Random) -> tuple[list[bytes], bool | None]:
    kind = dice.randrange(16)
    if kind == 0:
        middle = dice.randrange(len(whole))
        return [whole[:middle], whole[middle:]], True
    if kind == 1:
        return [b"HTTP/1.1 100 Continue\r\n\r\n", whole], True
    if kind == 2:
        return [whole.replace(b"HTTP/1.1", b"HTTP/1.0", 1)], False
    if kind == 3:
        return [whole.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)], False
    if kind == 4:
        return [whole], False
    if kind == 5:
        head, _, body = whole.partition(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
        head = b"\r\n".join((*lines, b"Transfer-Encoding: chunked", b"", b""))
        return [head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)], True
    if kind == 6:
        return [whole + response(b'{"of": "somebody else"}')], True
    return [whole], True
