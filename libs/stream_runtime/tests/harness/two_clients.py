"""The same call through boto3's client and through the runtime's lean one, and what came of each."""

from __future__ import annotations

import datetime
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal
from unittest import mock

import boto3
from botocore import xform_name
from botocore.exceptions import ClientError, HTTPClientError
from generated_calls import model_of
from socket_server import Received, SocketServer
from stream_runtime import clients
from stream_runtime.engine.retry import Kind, classify

Way = Literal["boto3", "lean", "auto"]
WAYS: tuple[Way, ...] = ("boto3", "lean")

MAY_DIFFER = ("amz-sdk-invocation-id", "user-agent")
"""Headers, none of them signed, that differ: a random identifier, and the name of the client."""


@dataclass(frozen=True)
class Outcome:
    """What a call came to.

    Attributes:
        value: the response as text, which tells 1 from 1.0 and from True; times without the class of their time zone.
        error: the class and its bases, by name.
        text: of the error; not of one about the connection, which tells of sockets.
        response: of a ClientError, as text.
        kind: how the runtime classifies the error.
    """

    value: str = ""
    error: tuple[str, ...] = ()
    text: str = ""
    response: str = ""
    kind: Kind | Literal[""] = ""


def outcome_of(call: Callable[[], Any]) -> Outcome:
    """Call, and say what came of it."""
    try:
        return Outcome(value=repr(_comparable(call())))
    except Exception as error:
        bases = tuple(base.__name__ for base in type(error).__mro__)
        response = repr(_comparable(error.response)) if isinstance(error, ClientError) else ""
        text = "" if isinstance(error, HTTPClientError) else str(error)
        return Outcome(error=bases, text=text, response=response, kind=classify(error))


def _comparable(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _comparable(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_comparable(member) for member in value]
    return value.isoformat() if isinstance(value, datetime.datetime) else value


_OF_CLIENTS = re.compile(r"AWS_|_X_AMZN|BOTO|REQUESTS_CA_BUNDLE$|SSL_CERT|(?i:\w+_proxy$)")


@contextmanager
def environment(**variables: str | None) -> Iterator[None]:
    """These variables alone of those that AWS clients read, and no session of boto3 that has read others.

    None removes a variable that is there otherwise.
    """
    kept = {name: value for name, value in os.environ.items() if not _OF_CLIENTS.match(name)}
    kept |= {
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret-key",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    for name, value in variables.items():
        kept.pop(name, None)
        if value is not None:
            kept[name] = value
    with mock.patch.dict(os.environ, kept, clear=True), mock.patch.object(boto3, "DEFAULT_SESSION", None):
        clients.reset()
        try:
            yield
        finally:
            clients.reset()


def client_of(way: Way, service: str, **variables: str | None) -> Any:
    """A new client of a service; to be used while `environment` holds."""
    with mock.patch.dict(os.environ, {"AWS_CLIENT": way}):
        clients.reset()
        return clients.client(service)


@dataclass(frozen=True)
class Exchange:
    """A call: what the server received, and what came of it."""

    requests: tuple[Received, ...]
    outcome: Outcome


class BothClients:
    """Both clients of services, before one server that the test plays."""

    def __init__(self, server: SocketServer) -> None:
        self.server = server
        self._clients = cache(client_of)

    def exchange(self, way: Way, service: str, operation: str, parameters: Mapping[str, Any]) -> Exchange:
        """Call one of them."""
        client = self._clients(way, service)
        method = getattr(client, xform_name(operation))
        first = len(self.server.requests)
        outcome = outcome_of(lambda: method(**parameters))
        return Exchange(tuple(self.server.requests[first:]), outcome)

    def compare(self, service: str, operation: str, parameters: Mapping[str, Any], note: str = "") -> Exchange:
        """Call both, boto3's at the time at which the other signed; return what came of the lean one.

        Args:
            service: as boto3 names it.
            operation: as the API names it.
            parameters: of the call.
            note: for the message of the error.

        Raises:
            AssertionError: they differ.
        """
        lean = self.exchange("lean", service, operation, parameters)
        sent = lean.requests[0] if lean.requests else None
        with at_time_of(sent):
            boto3 = self.exchange("boto3", service, operation, with_tokens(service, operation, parameters, sent))
        what = f"{service} {operation} {parameters!r} {note}"
        assert [*map(_as_signed, lean.requests)] == [*map(_as_signed, boto3.requests)], what
        if is_unreadable(boto3) and lean.outcome != boto3.outcome:
            is_read = bool(boto3.outcome.error) and not lean.outcome.error
            assert is_read or {"HTTPClientError", "ClientError"} & {*lean.outcome.error}, what
        else:
            assert lean.outcome == boto3.outcome, what
        return lean


def _as_signed(request: Received) -> dict[str, Any]:
    headers: dict[str, list[str]] = {}
    for name, value in request.headers:
        if name.lower() not in MAY_DIFFER:
            headers.setdefault(name.lower(), []).append(value)
    return {"line": request.line, **headers, "body": request.body}


@contextmanager
def at_time_of(request: Received | None) -> Iterator[None]:
    """botocore signs at the time at which this request was signed."""
    text = request.header("X-Amz-Date") if request else ""
    if not text:
        yield
        return
    signed_at = datetime.datetime.strptime(text, "%Y%m%dT%H%M%SZ")
    with mock.patch("botocore.auth.get_current_datetime", return_value=signed_at):
        yield


def with_tokens(
    service: str, operation: str, parameters: Mapping[str, Any], request: Received | None
) -> Mapping[str, Any]:
    """The parameters with the random tokens that the client of this request filled in."""
    if request is None:
        return parameters
    members = model_of(service).operation_model(operation).idempotent_members
    missing = [name for name in members if name not in parameters]
    if not missing:
        return parameters
    sent = json.loads(request.body)
    return {**parameters, **{name: sent[name] for name in missing if name in sent}}


def is_unreadable(exchange: Exchange) -> bool:
    """Whether boto3's client could make nothing of an answer: it took it for an empty one, or raised something else.

    The lean client raises a transient error then, or a ClientError; or it reads more than botocore does.
    """
    error = exchange.outcome.error
    is_empty = exchange.outcome.value.startswith(("{'ResponseMetadata'", "{'message'"))
    return bool(exchange.requests) and (is_empty or bool({"BotoCoreError", "ClientError"}.isdisjoint(error) and error))
