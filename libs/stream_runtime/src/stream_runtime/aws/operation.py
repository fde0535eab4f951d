"""One operation of a service: from a call's parameters to its response, by way of a signed request."""

from __future__ import annotations

import json
import os
import re
import sys
import time
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from . import endpoints, failures
from .connections import Connections, Response
from .shapes import Unusual, check
from .sigv4 import Credentials, authorization

if TYPE_CHECKING:
    from .lean import LeanClient

_KNOWN_TRAITS = frozenset(
    {
        *("name", "http", "input", "output", "errors", "documentation", "documentationUrl"),
        *("deprecated", "deprecatedMessage", "idempotent", "readonly"),
        *("staticContextParams", "operationContextParams", "endpointdiscovery"),
    }
)
_POST = {"method": "POST", "requestUri": "/"}
HOOKED = frozenset({"machinelearning.Predict"})
"""Operations for which botocore has code of its own, which is not here."""
_VISIBLE = re.compile(r"[!-~]+")
_UNQUOTED = re.compile(r"[A-Za-z0-9_.~=;:+&\[\]{}\"',-]*")
_MOST_ADDRESSES = 1000


class Operation:
    """Calls an operation. What is unusual goes to boto3, before anything is sent.

    Raises:
        Unusual: every call of this operation is.
    """

    def __init__(self, client: LeanClient, method: str, name: str) -> None:
        model = client.model
        operation = model.operations[name]
        unknown = operation.keys() - _KNOWN_TRAITS
        if unknown or operation["http"] != _POST:
            raise Unusual(f"the operation has traits that are unknown: {', '.join(sorted(unknown))}")
        if f"{model.service}.{name}" in HOOKED:
            raise Unusual("botocore has code of its own for it")
        if operation.get("endpointdiscovery", {}).get("required"):
            raise Unusual("another operation says where this one goes")
        shapes = [operation[part]["shape"] for part in ("input", "output") if part in operation]
        check(model.shapes, *shapes)
        given = model.shapes[operation["input"]["shape"]] if "input" in operation else {}
        members = given.get("members", {})
        self.method = method
        self.name = name
        self._client = client
        self._serialise = client.serialisers.of(operation["input"]["shape"]) if "input" in operation else None
        self._parse = client.parsers.of(operation["output"]["shape"]) if "output" in operation else None
        self.tokens = [member for member, each in members.items() if each.get("idempotencyToken")]
        self._parameters = endpoints.parameters_of(operation, given)
        self._addresses: dict[Any, Connections] = {}
        self._checks_crc32 = model.service == "dynamodb"
        self._content_type = f"application/x-amz-json-{model.metadata['jsonVersion']}"
        self._target = f"{model.metadata['targetPrefix']}.{name}"
        self._query_mode = "awsQueryCompatible" in model.metadata

    def __call__(self, *arguments: Any, **request: Any) -> Any:
        try:
            self._client.check_that_nobody_else_answers()
            if arguments:
                raise Unusual("it has arguments without names")
            for token in self.tokens:
                if token not in request:
                    request[token] = random_uuid()
            members = self._serialise(request) if self._serialise else {}
            connections = self._where(request)
            credentials = self._client.credentials or credentials_now()
            body = json.dumps(members).encode()
            signed_at = self._client.now()
            data = self.signed(connections, credentials, body, signed_at)
        except Unusual as unusual:
            self._client.say(self.method, str(unusual))
            return self._client.through_boto3(self.method, arguments, request)
        response = self._sent(connections, data)
        if response.status >= 300:
            answer = failures.answer_of(response, self._client.model, self._client.parsers)
            if not self._corrects_clock(answer, response, signed_at):
                raise self._client.exceptions.of_answer(answer, self.name)
            response = self._sent(connections, self.signed(connections, credentials, body, self._client.now()))
            if response.status >= 300:
                answer = failures.answer_of(response, self._client.model, self._client.parsers)
                raise self._client.exceptions.of_answer(answer, self.name)
        return self._parsed(response, connections)

    def signed(self, connections: Connections, credentials: Credentials, body: bytes, now: float) -> bytes:
        """The request as it is sent, signed for this second."""
        amz_date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        headers = [("content-type", self._content_type), ("host", connections.host), ("x-amz-date", amz_date)]
        if credentials.token:
            headers.append(("x-amz-security-token", credentials.token))
        headers.append(("x-amz-target", self._target))
        if self._query_mode:
            headers.append(("x-amzn-query-mode", "true"))
        signature = authorization(
            credentials,
            self._client.region,
            self._client.model.signing_name,
            method="POST",
            path="/",
            query="",
            headers=headers,
            body=body,
            amz_date=amz_date,
        )
        headers += [
            ("authorization", signature),
            ("accept-encoding", "identity"),
            ("user-agent", _user_agent()),
            ("amz-sdk-invocation-id", random_uuid()),
            ("amz-sdk-request", "attempt=1"),
            *_trace(),
            ("content-length", str(len(body))),
        ]
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
        return f"POST / HTTP/1.1\r\n{lines}\r\n".encode("ascii") + body

    def _where(self, request: Mapping[str, Any]) -> Connections:
        parameters = self._parameters(request)
        key = tuple(parameters.values())
        found = self._addresses.get(key)
        if found is None:
            found = self._client.connections(self._client.address(parameters))
            if len(self._addresses) >= _MOST_ADDRESSES:
                self._addresses.clear()
            self._addresses[key] = found
        return found

    def _sent(self, connections: Connections, data: bytes) -> Response:
        """The response to a request, an error or not, as it was when DynamoDB computed its checksum."""
        response = connections.send(data)
        expected = response.headers.get("x-amz-crc32") if self._checks_crc32 else None
        if expected is not None and expected != str(zlib.crc32(response.body)):
            raise failures.wrong_checksum(expected, zlib.crc32(response.body))
        return response

    def _corrects_clock(self, answer: Mapping[str, Any], response: Response, signed_at: float) -> bool:
        """Whether the signature was refused because of its time; from now on requests have that of the answer."""
        now = failures.time_of_refusal(answer, response, signed_at)
        if now is None:
            return False
        self._client.clock_offset_s = now - time.time()
        return True

    def _parsed(self, response: Response, connections: Connections) -> Any:
        body = response.body
        parsed: dict[str, Any] = {}
        if self._parse is not None and body:
            try:
                parsed = self._parse(json.loads(body.decode()))
            except (ValueError, AttributeError, TypeError, RecursionError) as error:
                raise failures.unreadable(connections.url, error) from error
        parsed["ResponseMetadata"] = failures.metadata_of(response)
        return parsed


def credentials_now() -> Credentials:
    """The credentials in the environment at this moment.

    Raises:
        Unusual: there are none, or they have characters that no header may have.
    """
    environment = os.environ
    found = Credentials(
        environment.get("AWS_ACCESS_KEY_ID", ""),
        environment.get("AWS_SECRET_ACCESS_KEY", ""),
        environment.get("AWS_SECURITY_TOKEN") or environment.get("AWS_SESSION_TOKEN") or "",  # in botocore's order
    )
    if not (_VISIBLE.fullmatch(found.access_key + found.token) and found.access_key and found.secret_key):
        raise Unusual("the environment has no credentials, or unusual ones")
    return found


def random_uuid() -> str:
    """A random UUID, version 4, without the import of uuid."""
    digits = os.urandom(16).hex()
    return (
        f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{'89ab'[int(digits[16], 16) & 3]}{digits[17:20]}-{digits[20:]}"
    )


def _trace() -> list[tuple[str, str]]:
    """The header by which Lambda recognises loops.

    Source: botocore's handlers.py, `add_recursion_detection_header`.
    """
    trace = os.environ.get("_X_AMZN_TRACE_ID")
    if not trace or "AWS_LAMBDA_FUNCTION_NAME" not in os.environ:
        return []
    if not _UNQUOTED.fullmatch(trace):
        from urllib.parse import quote

        trace = quote(trace, safe="-=;:+&[]{}\"',")
    return [("x-amzn-trace-id", trace)]


def _user_agent() -> str:
    environment = os.environ.get("AWS_EXECUTION_ENV", "")
    suffix = f" exec-env/{environment}" if _VISIBLE.fullmatch(environment) else ""
    return f"stream-runtime {_LANGUAGE}{suffix}"


_LANGUAGE = "lang/python#" + ".".join(map(str, sys.version_info[:3]))
