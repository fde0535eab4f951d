"""A lean client that exists already: mocks, hooks and tracers that come later, threads, and signals in a response."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from types import ModuleType
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from botocore.stub import Stubber
from moto import mock_aws
from socket_server import Connection, SocketServer, answering, response
from stream_runtime.aws import chosen
from stream_runtime.aws import clients as aws_clients
from stream_runtime.aws.connections import MAX_IDLE_S
from two_clients import Outcome, client_of, environment, outcome_of

TABLES = b'{"TableNames": ["t"]}'
FOUND = Outcome(value="['t']")


@pytest.fixture
def server() -> Iterator[SocketServer]:
    play = answering(lambda _: response(TABLES))
    with SocketServer(play) as server, environment(AWS_ENDPOINT_URL=server.url):
        yield server


def tables(client: Any) -> Outcome:
    return outcome_of(lambda: client.list_tables()["TableNames"])


# Mocks, hooks and tracers


class Wrapper:
    """As wrapt wraps a function, for X-Ray and OpenTelemetry: its attributes are those of the function."""

    def __init__(self, wrapped: Callable[..., Any]) -> None:
        self.__wrapped__ = wrapped

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__wrapped__, name)

    def __call__(self, *_: Any, **__: Any) -> Any:
        return {"TableNames": ["traced"]}


@wraps(BaseClient._make_api_call)
def patched(*_: Any, **__: Any) -> Any:
    return {"TableNames": ["traced"]}


@pytest.mark.parametrize("patch", [Wrapper(BaseClient._make_api_call), patched], ids=["wrapt", "functools"])
def test_a_patch_that_looks_like_the_function_is_seen(patch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BaseClient, "_make_api_call", patch)

    with environment(AWS_LAMBDA_FUNCTION_NAME="function"):
        assert "patched" in str(chosen.refusal())


@pytest.mark.parametrize("name", ["botocore.client", "botocore.handlers"])
def test_a_module_that_another_thread_is_importing_patches_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen.interception() is None
    monkeypatch.setitem(sys.modules, name, ModuleType(name))

    assert chosen.interception() is None


@pytest.mark.parametrize("patch", [Wrapper(BaseClient._make_api_call), patched], ids=["wrapt", "functools"])
def test_a_patch_of_botocore_gets_the_calls_of_a_client_that_is_older(
    patch: Any, server: SocketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of("lean", "dynamodb")
    assert tables(client) == FOUND

    with monkeypatch.context() as patching:
        patching.setattr(BaseClient, "_make_api_call", patch)
        assert tables(client) == Outcome(value="['traced']")

    assert tables(client) == FOUND
    assert len(server.requests) == 2


def test_moto_gets_the_calls_of_a_client_that_is_older_than_its_mock(server: SocketServer) -> None:
    with environment():
        client = client_of("lean", "dynamodb")
        with mock_aws():
            key = {"pk": {"S": "1"}}
            client.create_table(
                TableName="mocked",
                KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )
            client.put_item(TableName="mocked", Item=key)
            assert client.get_item(TableName="mocked", Key=key)["Item"] == key


def test_hooks_on_the_client_get_its_calls(server: SocketServer) -> None:
    client = client_of("lean", "dynamodb")
    tables(client)
    seen = []

    client.meta.events.register("before-call.dynamodb", lambda model, **_: seen.append(model.name))
    tables(client)

    assert seen == ["ListTables"]


def test_a_stubber_answers_in_place_of_the_service(server: SocketServer) -> None:
    client = client_of("lean", "dynamodb")

    with Stubber(client) as stubber:
        stubber.add_response("list_tables", {"TableNames": ["stubbed"]})
        assert tables(client) == Outcome(value="['stubbed']")

    assert server.requests == []


# Errors


def test_errors_of_paginators_have_the_classes_of_the_client(server: SocketServer) -> None:
    error = b'{"__type": "com.amazonaws#ResourceNotFoundException", "message": "no"}'
    server.play = answering(lambda _: response(error, 400))
    client = client_of("lean", "dynamodb")

    with pytest.raises(client.exceptions.ResourceNotFoundException):
        list(client.get_paginator("scan").paginate(TableName="t"))
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.scan(TableName="t")
    assert client.meta.region_name  # from now on boto3's client makes the calls
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.scan(TableName="t")


# Threads


def test_threads_whose_calls_go_to_boto3_at_once_make_one_client(
    server: SocketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """boto3's default session may not make clients in several threads at once."""
    making = threading.Lock()
    together = threading.Barrier(8)
    made = []
    build = boto3.client

    def counted(*arguments: Any, **options: Any) -> Any:
        assert making.acquire(blocking=False), "two threads use the default session at once"
        try:
            made.append(arguments)
            time.sleep(0)  # another thread may run
            return build(*arguments, **options)
        finally:
            making.release()

    monkeypatch.setattr(boto3, "client", counted)
    clients = [client_of("lean", "dynamodb"), client_of("lean", "kinesis")]

    def unusual(number: int) -> Outcome:
        together.wait(10)
        client = clients[number % 2]
        return outcome_of(lambda: client.meta.service_model.service_name)

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(unusual, range(8)))

    assert found == [Outcome(value="'dynamodb'"), Outcome(value="'kinesis'")] * 4
    assert sorted(made) == [("dynamodb",), ("kinesis",)]


# Signals and age


class Alarm(BaseException):
    """What a handler of a signal raises."""


def test_after_a_signal_within_a_response_the_rest_of_it_answers_nobody(server: SocketServer) -> None:
    main = threading.main_thread().ident
    assert main is not None

    def play(connection: Connection) -> None:
        connection.receive()
        connection.respond(TABLES)
        if connection.number == 0:
            connection.receive()
            other = response(b'{"TableNames": ["of somebody else"]}')
            connection.send(other[:-10])
            signal.pthread_kill(main, signal.SIGUSR1)
            connection.receive()  # the next request, if it comes through this connection
            connection.send(other[-10:] + other)

    def handler(*_: Any) -> None:
        raise Alarm

    server.play = play
    client = client_of("lean", "dynamodb")
    assert tables(client) == FOUND
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with pytest.raises(Alarm):
            client.list_tables()
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert tables(client) == FOUND
    assert server.connections == 2


@pytest.mark.parametrize("clock", ["monotonic", "time"])
def test_a_connection_that_one_clock_calls_old_is_not_used(
    clock: str, server: SocketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a function is frozen, one of them may stand still."""
    client = client_of("lean", "dynamodb")
    assert tables(client) == FOUND
    read = getattr(time, clock)

    monkeypatch.setattr(time, clock, lambda: read() + MAX_IDLE_S)

    assert tables(client) == FOUND
    assert server.connections == 2


def test_no_more_connections_are_kept_than_the_client_may(
    server: SocketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = threading.Barrier(4)

    def answer(_: Any) -> bytes:
        together.wait(10)
        return response(TABLES)

    monkeypatch.setattr(aws_clients, "POOL_CONNECTIONS", 2)
    server.play = answering(answer)
    client = client_of("lean", "dynamodb")
    with ThreadPoolExecutor(4) as threads:
        for _ in range(2):
            assert list(threads.map(lambda _: tables(client), range(4))) == [FOUND] * 4

    assert server.connections == 6
