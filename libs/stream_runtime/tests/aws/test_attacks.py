"""All that a hostile server, or a hostile value in an event, can do to a function through its client is fail a call."""

import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from socket_server import Connection, SocketServer, answering, response
from stream_runtime.aws import clients as aws_clients
from two_clients import WAYS, BothClients, Outcome, Way, client_of, environment, outcome_of

TABLES = b'{"TableNames": ["t"]}'
FOUND = Outcome(value="['t']")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[SocketServer]:
    monkeypatch.setattr(aws_clients, "CONNECT_TIMEOUT_S", 2)
    monkeypatch.setattr(aws_clients, "READ_TIMEOUT_S", 2)
    with SocketServer() as server, environment(AWS_ENDPOINT_URL=server.url):
        yield server


def tables(client: Any) -> Outcome:
    return outcome_of(lambda: client.list_tables()["TableNames"])


# Answers


def nested(levels: int, opening: bytes, closing: bytes) -> bytes:
    return opening * levels + closing * levels


@pytest.mark.parametrize("levels", [32, 200, 900])
def test_an_item_with_many_levels_is_read_as_botocore_reads_it(levels: int, server: SocketServer) -> None:
    value = b'{"M": {"a": ' * levels + b'{"S": "deep"}' + b"}}" * levels
    server.play = answering(lambda _: response(b'{"Item": {"pk": ' + value + b"}}"))

    outcomes = {}
    for way in WAYS:
        client = client_of(way, "dynamodb")
        outcomes[way] = outcome_of(lambda: client.get_item(TableName="t", Key={"pk": {"S": "k"}})["Item"])  # noqa: B023

    assert outcomes["lean"].value == outcomes["boto3"].value or outcomes["boto3"].error
    assert outcomes["lean"].value if levels <= 200 else True


@pytest.mark.parametrize(
    "body", [nested(100_000, b"[", b"]"), nested(100_000, b'{"a":', b"}"), b"[" * 100_000], ids=len
)
@pytest.mark.parametrize("status", [200, 400, 500])
def test_a_bottomless_answer_is_an_error_and_the_process_lives(body: bytes, status: int, server: SocketServer) -> None:
    server.play = answering(lambda _: response(body, status))
    client = client_of("lean", "dynamodb")

    outcome = tables(client)

    assert outcome.error[0] in ("HTTPClientError", "ClientError"), outcome.error
    assert outcome.kind == ("poison" if status == 400 else "transient")
    server.play = answering(lambda _: response(TABLES))
    assert tables(client_of("lean", "dynamodb")) == FOUND


NUMBERS = ("9" * 5000, "-" + "9" * 5000, "1e999999999", "0." + "1" * 5000, "NaN", "Infinity", "-Infinity", "1E400")


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:12])
def test_a_number_without_bounds_is_read_as_botocore_reads_it_or_is_transient(
    number: str, server: SocketServer
) -> None:
    body = f'{{"TableNames": ["t"], "Count": {number}, "Items": [{{"n": {{"N": "{number}"}}}}]}}'.encode()
    server.play = answering(lambda _: response(body))
    outcomes = {}
    for way in WAYS:
        client = client_of(way, "dynamodb")
        outcomes[way] = outcome_of(lambda: client.scan(TableName="t"))  # noqa: B023

    assert outcomes["lean"] == outcomes["boto3"] or outcomes["lean"].kind == "transient"


HEADERS = (
    "X-Amzn-RequestId: one\r\nX-Amzn-RequestId: two",
    "Content-Length: 21\r\nContent-Length: 21",
    "x-amz-crc32: 1\r\nx-amz-crc32: 1",
    "Set-Cookie: a=b",
    "X-Long: " + "x" * 30_000,
    "X-Text: \xff\xfe",
    "Content-Encoding: gzip",
    "Transfer-Encoding: identity",
    "Connection: keep-alive, x",
    "Keep-Alive: timeout=0",
    "Upgrade: h2c",
    "Content-Length: 9\r\nContent-Length: 21",
    "Content-Length: -1",
    "Content-Length: +21",
    "Content-Length: 2_1",
    "Content-Length: 0x15",
    "Content-Length: " + "9" * 5000,
    "Content-Length: ٢١",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding : chunked",
    "X-Folded: a\r\n b",
    "no colon at all",
    ": no name",
    "X\x00Y: z",
    "X-Y: a\rZ: b",
)


@pytest.mark.parametrize("header", HEADERS, ids=lambda header: header[:40].encode("ascii", "replace"))
def test_strange_headers_give_the_right_answer_or_a_transient_error(header: str, server: SocketServer) -> None:
    length = "" if "Content-Length" in header else f"Content-Length: {len(TABLES)}\r\n"
    head = f"HTTP/1.1 200 OK\r\n{length}{header}\r\n\r\n".encode()

    def play(connection: Connection) -> None:
        while connection.receive() is not None:
            connection.send(head + TABLES)

    server.play = play
    client = client_of("lean", "dynamodb")
    for _ in range(2):
        outcome = tables(client)

        assert outcome == FOUND or outcome.kind == "transient", outcome
    assert len(server.requests) == 2


def test_a_length_that_is_a_lie_costs_nothing_before_the_bytes_come(
    server: SocketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws_clients, "READ_TIMEOUT_S", 0.2)
    server.play = answering(lambda _: response(TABLES, headers={"Content-Length": str(10**15)}))
    client = client_of("lean", "dynamodb")
    tracemalloc.start()
    try:
        outcome = tables(client)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert (outcome.error[0], outcome.kind) == ("ReadTimeoutError", "transient")
    assert peak < 16 << 20


def test_an_endless_head_is_given_up(server: SocketServer) -> None:
    def play(connection: Connection) -> None:
        connection.receive()
        connection.send(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.send(b"X-More: and more\r\n" * 1000)

    server.play = play

    assert tables(client_of("lean", "dynamodb")).kind == "transient"


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
@pytest.mark.parametrize("way", WAYS)
def test_a_redirect_is_not_followed(way: Way, status: int, server: SocketServer) -> None:
    with SocketServer() as other:
        target = {"Location": f"{other.url}/latest/meta-data/iam/", "x-amz-bucket-region": "eu-west-1"}
        server.play = answering(lambda _: response(b"", status, target))
        outcome = tables(client_of(way, "dynamodb"))

        assert outcome.error[0] == "ClientError" or (way, status) == ("boto3", 303)  # urllib3 makes it a GET, and fails
        assert other.connections == 0
        assert len(server.requests) == 1


# Values


HOSTILE = (
    *(
        "t\r\nX-Injected: yes",
        "t HTTP/1.1\r\n\r\nPOST / HTTP/1.1",
        "../../latest",
        "%2e%2e/",
        "//evil.example/",
        "?a=b#c",
    ),
    *(
        "http://169.254.169.254/",
        "@evil.example",
        "t\x00",
        "arn:aws:dynamodb:evil.example:1:table/t",
        "{Region}",
        "arn:",
    ),
    "arn:aws:dynamodb:us-east-1:123456789012:table/t",
    "arn:aws:dynamodb:us-east-1:evil.example/:table/t",
    "arn:aws:dynamodb:us-east-1#:123456789012:table/t",
)


def test_a_hostile_name_stays_in_the_body_and_goes_where_botocore_sends_it(server: SocketServer) -> None:
    both = BothClients(server)
    for value in HOSTILE:
        calls: tuple[tuple[str, str, dict[str, Any]], ...] = (
            ("dynamodb", "GetItem", {"TableName": value, "Key": {"pk": {"S": value}}}),
            ("dynamodb", "BatchGetItem", {"RequestItems": {value: {"Keys": [{value: {"S": value}}]}}}),
            ("dynamodb", "TransactWriteItems", {"TransactItems": [{"Delete": {"TableName": value, "Key": {}}}]}),
            ("sqs", "SendMessage", {"QueueUrl": value, "MessageBody": value}),
            ("events", "PutEvents", {"Entries": [{"EventBusName": value, "Detail": value}]}),
            ("kinesis", "PutRecord", {"StreamName": value, "Data": value, "PartitionKey": value}),
        )
        for service, operation, parameters in calls:
            for request in both.compare(service, operation, parameters).requests:
                assert request.line == "POST / HTTP/1.1"
                assert "x-injected" not in {name.lower() for name, _ in request.headers}
                assert repr(value)[1:-1] in repr(json.loads(request.body))


@pytest.mark.parametrize(
    "name", ["UpdateItem", "updateItem", "update__item", "_update_item", "update_item_", "no_such"]
)
def test_a_method_that_boto3_does_not_have_is_not_there(name: str, server: SocketServer) -> None:
    with pytest.raises(AttributeError):
        getattr(client_of("lean", "dynamodb"), name)
