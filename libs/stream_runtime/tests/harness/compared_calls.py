"""Generated calls of AWS operations, each made by boto3's client and by the lean one before the same server."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from botocore.model import OperationModel
from generated_calls import Answer, Parameters, answer_to
from socket_server import SocketServer, answering, response
from two_clients import BothClients, Exchange, environment


class ComparedCalls:
    """Both clients, and a server that gives each of them the answer of a call."""

    def __init__(self, server: SocketServer) -> None:
        self.answer = Answer(200, b"{}")
        self.both = BothClients(server)
        server.play = answering(lambda _: response(self.answer.body, self.answer.status, self.answer.headers))

    def check(self, operation: OperationModel, seed: int) -> Exchange:
        """Make one call of an operation; each second seed has wrong parameters.

        Raises:
            AssertionError: requests, results or errors differ.
        """
        service = operation.service_model.service_name
        chance = random.Random(f"{service}/{operation.name}/{seed}")
        parameters = Parameters(chance, wrong=0.05 if seed % 2 else 0.0).of(operation.input_shape)
        self.answer = answer_to(operation, chance)
        return self.both.compare(service, operation.name, parameters, f"seed {seed}: {self.answer}")


@contextmanager
def compared_calls(**variables: str | None) -> Iterator[ComparedCalls]:
    """A server and both clients, in an environment in which the server's host may have any prefix."""
    with SocketServer() as server, names_on_loopback():
        url = f"http://aws.localhost:{server.port}"
        with environment(**{"AWS_ENDPOINT_URL": url, **variables}):
            yield ComparedCalls(server)


@contextmanager
def names_on_loopback() -> Iterator[None]:
    """Every name below ``localhost`` is an address of this machine, whatever its resolver thinks of it."""
    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, *arguments: Any, **more: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        return resolve("127.0.0.1" if name and name.endswith(".localhost") else host, *arguments, **more)

    with mock.patch("socket.getaddrinfo", getaddrinfo):
        yield
