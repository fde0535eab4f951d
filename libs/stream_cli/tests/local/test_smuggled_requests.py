"""Requests within requests, byte by byte: what is framed oddly is refused, and nothing hidden in it is executed."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator

import pytest
from stream_cli.local.endpoint import LocalEndpoint
from stream_cli.local.injected_faults import FAULTS_PATH

FAULT = json.dumps({"target": "DynamoDB_20120810.PutItem", "error": "Unheard", "seconds": 0.001})
ARMING = f"POST {FAULTS_PATH} HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nContent-Length: {len(FAULT)}\r\n\r\n{FAULT}"
"""A request with an effect that can be seen."""

POST = "POST / HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n"
HEALTH = "GET /_ministack/health HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n"
LAST = f"{HEALTH}Connection: close\r\n\r\n"
EVIL = "GET /_ministack/health HTTP/1.1\r\nHost: evil.example\r\n\r\n"
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")


LAST = f"{HEALTH}Connection: close\r\n\r\n"


def answers(endpoint: LocalEndpoint, sent: str) -> list[int]:
    """Send these bytes, with PORT for the port, and behind them a request that ends the connection; all statuses."""
    with socket.create_connection(("127.0.0.1", endpoint.port), timeout=30) as connection:
        connection.sendall((sent + LAST).replace("PORT", str(endpoint.port)).encode("latin-1"))
        received = b"".join(iter(lambda: connection.recv(65_536), b""))
    return [int(status) for status in _STATUS.findall(received)]


def faults(endpoint: LocalEndpoint) -> int:
    with socket.create_connection(("127.0.0.1", endpoint.port), timeout=30) as connection:
        connection.sendall(f"GET {FAULTS_PATH} HTTP/1.0\r\nHost: 127.0.0.1:{endpoint.port}\r\n\r\n".encode())
        received = b"".join(iter(lambda: connection.recv(65_536), b""))
    return len(json.loads(received.partition(b"\r\n\r\n")[2]))


@pytest.fixture(autouse=True)
def no_faults(endpoint: LocalEndpoint) -> Iterator[None]:
    """No fault is armed before and after."""
    disarm = f"DELETE {FAULTS_PATH} HTTP/1.0\r\nHost: 127.0.0.1:PORT\r\n\r\n"
    answers(endpoint, disarm)
    yield
    answers(endpoint, disarm)


def test_a_request_behind_another_is_executed_where_both_are_framed_well(endpoint: LocalEndpoint) -> None:
    assert answers(endpoint, f"{HEALTH}\r\n{ARMING}") == [200, 201, 200]
    chunked = f"{HEALTH}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"
    assert answers(endpoint, f"{chunked}{ARMING}") == [200, 201, 200]
    assert faults(endpoint) == 2


ODDLY_FRAMED = {
    "two lengths": "Content-Length: 0\r\nContent-Length: 9\r\n\r\n",
    "two lengths in one": "Content-Length: 0, 9\r\n\r\n",
    "a length and chunks": "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and a length": "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
    "a length and folded chunks": "Content-Length: 5\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a length behind a line feed, and chunks": "X:\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a name with a space": "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a length with a space": "Content-Length : 0\r\n\r\n",
    "another coding": "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "two codings": "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "a coding with a tab": "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "a length with a sign": "Content-Length: +0\r\n\r\n",
    "a length below nothing": "Content-Length: -1\r\n\r\n",
    "a length in hexadecimal": "Content-Length: 0x0\r\n\r\n",
    "a length with an underscore": "Content-Length: 0_0\r\n\r\n",
    "a length of other digits": "Content-Length: \xb2\r\n\r\n",
    "no length": "Content-Length:\r\n\r\n",
    "a chunk with a sign": "Transfer-Encoding: chunked\r\n\r\n+2\r\n{}\r\n0\r\n\r\n",
    "a chunk in two notations": "Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
    "a chunk longer than it says": "Transfer-Encoding: chunked\r\n\r\n2\r\n{}XX0\r\n\r\n",
    "a carriage return alone": "X: a\rContent-Length: 5\r\n\r\n",
    "a zero byte": "X: a\0\r\n\r\n",
    "a header without a name": ": a\r\n\r\n",
    "a line without a colon": "GET /x HTTP/1.1\r\n\r\n",
    "headers of 70 KB": f"X: {'a' * 70_000}\r\n\r\n",
    "70 KB of headers": "".join(f"X-{number}: {'a' * 90}\r\n" for number in range(700)) + "\r\n",
}


@pytest.mark.parametrize("odd", ODDLY_FRAMED)
def test_what_is_framed_oddly_is_refused_and_ends_the_connection(endpoint: LocalEndpoint, odd: str) -> None:
    framed = ODDLY_FRAMED[odd]
    for before, first in ((HEALTH, []), (f"{HEALTH}\r\n{HEALTH}", [200]), (f"{POST}Expect: 100-continue\r\n", [])):
        *earlier, refused = [status for status in answers(endpoint, f"{before}{framed}{ARMING}") if status != 100]
        assert (earlier, refused) in [(first, status) for status in (400, 403, 411, 413, 431, 501)]
    assert faults(endpoint) == 0


def test_a_request_in_the_body_of_a_refused_one_is_its_body(endpoint: LocalEndpoint) -> None:
    length = len(ARMING.replace("PORT", str(endpoint.port)))
    chunk = f"Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{ARMING}\r\n0\r\n\r\n"
    for framed in (f"Content-Length: {length}\r\n\r\n{ARMING}", chunk):
        for hostile in (f"{POST}Origin: https://evil.example\r\n", POST.replace("127.0.0.1:PORT", "evil.example")):
            assert answers(endpoint, f"{hostile}{framed}") == [403, 200]
    assert faults(endpoint) == 0


@pytest.mark.parametrize(
    "head",
    [
        "GET /_ministack/health HTTP/1.1\nHost: evil.example\n\n",
        f"{HEALTH}X: a\nHost: evil.example\r\n\r\n",
        "GET /_ministack/health HTTP/1.1\r\nHost: evil.example\r\n 127.0.0.1:PORT\r\n\r\n",
        "GET /_ministack/health HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n evil.example\r\n\r\n",
        "GET /_ministack/health HTTP/1.1\r\n Host: 127.0.0.1:PORT\r\nHost: evil.example\r\n\r\n",
        "GET http://127.0.0.1:PORT/_ministack/health HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        "GET http://evil.example/_ministack/health HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n\r\n",
        "GET /_ministack/health HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: 127.0.0.1:PORT\r\n\r\n",
    ],
)
def test_another_host_is_refused_however_it_is_written(endpoint: LocalEndpoint, head: str) -> None:
    assert answers(endpoint, head) in ([400], [403, 200])
    assert answers(endpoint, f"{HEALTH}\r\n{head}") in ([200, 400], [200, 403, 200])


def test_a_request_to_another_host_between_good_ones_is_refused_alone(endpoint: LocalEndpoint) -> None:
    assert answers(endpoint, f"{HEALTH}\r\n{EVIL}{HEALTH}\r\n") == [200, 403, 200, 200]
