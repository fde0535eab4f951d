"""TLS is verified as botocore verifies it, and what can fail at a socket can fail behind TLS, too."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from certificates import Authority, trusted
from compared_calls import names_on_loopback
from socket_server import Connection, Play, SocketServer, answering, response
from stream_runtime.aws import clients as aws_clients
from two_clients import WAYS, Outcome, Way, client_of, environment, outcome_of

TABLES = b'{"TableNames": ["t"]}'
FOUND = Outcome(value="['t']")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


def tables(way: Way, server: SocketServer) -> Outcome:
    with names_on_loopback(), environment(AWS_ENDPOINT_URL=server.url):
        client = client_of(way, "dynamodb")
        return outcome_of(lambda: client.list_tables()["TableNames"])


def serving(**server: Any) -> SocketServer:
    return SocketServer(answering(lambda _: response(TABLES)), host="aws.localhost", **server)


@pytest.mark.parametrize("way", WAYS)
def test_a_certificate_of_a_trusted_authority_with_the_right_name_is_accepted(way: Way, authority: Authority) -> None:
    with trusted(authority), serving(tls=authority.server("aws.localhost")) as server:
        assert tables(way, server) == FOUND


@pytest.mark.parametrize(
    "certificate",
    [
        lambda authority: authority.server("other.localhost"),
        lambda authority: authority.server("aws.localhost.example.com"),
        lambda authority: authority.server("*.aws.localhost"),
        lambda authority: authority.server("aws.localhost", expired=True),
        lambda authority: authority.server("aws.localhost", self_signed=True),
    ],
    ids=["another name", "a longer name", "a name below it", "expired", "self-signed"],
)
@pytest.mark.parametrize("way", WAYS)
def test_a_certificate_that_is_wrong_is_refused(
    way: Way, certificate: Callable[[Authority], Any], authority: Authority
) -> None:
    with trusted(authority), serving(tls=certificate(authority)) as server:
        outcome = tables(way, server)

        assert (outcome.error[0], outcome.kind) == ("SSLError", "transient")
        assert server.requests == []


@pytest.mark.parametrize("way", WAYS)
def test_an_authority_that_nobody_knows_is_refused(way: Way, authority: Authority) -> None:
    with serving(tls=authority.server("aws.localhost")) as server:
        outcome = tables(way, server)

        assert (outcome.error[0], outcome.kind) == ("SSLError", "transient")
        assert server.requests == []


@pytest.mark.parametrize("way", WAYS)
def test_a_server_without_tls_is_refused(way: Way, authority: Authority) -> None:
    with trusted(authority), SocketServer(host="aws.localhost", play=lambda connection: connection.respond()) as server:
        server.url = server.url.replace("http:", "https:")
        outcome = tables(way, server)

        assert (outcome.error[0], outcome.kind) == ("SSLError", "transient")


@pytest.mark.parametrize("way", WAYS)
def test_a_server_that_never_shakes_hands_is_given_up_in_time(
    way: Way, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws_clients, "CONNECT_TIMEOUT_S", 0.1)
    monkeypatch.setattr(aws_clients, "READ_TIMEOUT_S", 0.1)

    def silent(connection: Connection) -> None:
        connection.server.is_over.wait()

    with trusted(authority), SocketServer(silent, host="aws.localhost") as server:
        server.url = server.url.replace("http:", "https:")
        outcome = tables(way, server)

    assert outcome.error[0] in ("ReadTimeoutError", "ConnectTimeoutError")
    assert outcome.kind == "transient"


@pytest.mark.parametrize("way", WAYS)
def test_http_1_1_is_asked_for_where_a_server_speaks_http_2_too(way: Way, authority: Authority) -> None:
    context = authority.server("aws.localhost")
    context.set_alpn_protocols(["h2", "http/1.1"])
    spoken: list[str | None] = []

    def play(connection: Connection) -> None:
        while connection.receive() is not None:
            spoken.append(connection.protocol)
            connection.send(response(TABLES))

    with trusted(authority), SocketServer(play, context, "aws.localhost") as server:
        assert tables(way, server) == FOUND

    assert spoken == ["http/1.1"]


def reset(connection: Connection) -> None:
    connection.receive()
    connection.reset()


def half(connection: Connection) -> None:
    connection.receive()
    connection.send(response(TABLES)[:-5])


@pytest.mark.parametrize("play", [reset, half])
@pytest.mark.parametrize("way", WAYS)
def test_a_connection_that_is_lost_behind_tls_is_transient(way: Way, play: Play, authority: Authority) -> None:
    with trusted(authority), SocketServer(play, authority.server("aws.localhost"), "aws.localhost") as server:
        outcome = tables(way, server)

        assert outcome.kind == "transient"
        assert len(server.requests) == 1


POISON = response(b'{"TableNames": ["of somebody else"]}')


@pytest.mark.parametrize("parts", [(response(TABLES) + POISON,), (response(TABLES), POISON)], ids=["one", "two"])
@pytest.mark.parametrize("way", WAYS)
def test_what_follows_a_response_behind_tls_never_answers_the_next_request(
    way: Way, parts: tuple[bytes, ...], authority: Authority
) -> None:
    sent = threading.Semaphore(0)

    def play(connection: Connection) -> None:
        while connection.receive() is not None:
            for part in parts:
                connection.send(part)
            sent.release()

    with (
        trusted(authority),
        SocketServer(play, authority.server("aws.localhost"), "aws.localhost") as server,
        names_on_loopback(),
        environment(AWS_ENDPOINT_URL=server.url),
    ):
        client = client_of(way, "dynamodb")
        for number in range(4):
            assert outcome_of(lambda: client.list_tables()["TableNames"]) == FOUND
            assert sent.acquire(timeout=10)
            assert len(server.requests) == number + 1
