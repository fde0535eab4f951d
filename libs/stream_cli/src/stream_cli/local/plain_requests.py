"""Requests to a local cloud in plain HTTP: making boto3's clients takes longer than all that a deployment asks."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import re
import select
import threading
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

from stream_cli.errors import CommandError
from stream_cli.local.endpoint import ACCESS_KEY, LocalEndpoint

_COMPLETE = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE"})
_BUCKET = "ServerlessDeploymentBucket"
# A function becomes active a moment after it was made.
_PASSING = ("LastUpdateStatus", "State")
_REQUEST_ID = re.compile(r"<RequestId>[^<]*</RequestId>")
_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Stack:
    """A stack and its functions as they are now.

    Attributes:
        digest: of everything that changes when somebody changes the stack or a function of it.
        bucket: its deployment bucket, or None where it has none of its own.
        code: the hash of each function's code, by the function's name.
    """

    digest: str
    bucket: str | None
    outputs: Mapping[str, str]
    is_complete: bool
    code: Mapping[str, str]


class PlainRequests:
    """Requests to a local cloud. It asks for no signature, only for a scope that says region and service."""

    def __init__(self, endpoint: LocalEndpoint) -> None:
        self._endpoint = endpoint
        self._of_thread = threading.local()

    def stack(self, name: str) -> Stack | None:
        """A stack with its functions, or None when there is none."""
        described = self.described(name)
        if described is None:
            return None
        listed = self._query("ListStackResources", name)
        if listed is None:
            return None
        resources = {
            _text(each, "LogicalResourceId"): (_text(each, "ResourceType"), _text(each, "PhysicalResourceId"))
            for each in listed.iter("member")
        }
        names = {physical for kind, physical in resources.values() if kind == "AWS::Lambda::Function"}
        functions = [each for each in self._functions() if each["FunctionName"] in names]
        content = [
            ElementTree.tostring(described, encoding="unicode"),
            sorted((name, *each) for name, each in resources.items()),
            [_lasting(each) for each in functions],
        ]
        return Stack(
            hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest(),
            resources.get(_BUCKET, ("", None))[1],
            outputs_in(described),
            _text(described, "StackStatus") in _COMPLETE,
            {each["FunctionName"]: each["CodeSha256"] for each in functions},
        )

    def described(self, name: str) -> ElementTree.Element | None:
        """The description of a stack, or None when there is none."""
        answer = self._query("DescribeStacks", name)
        return None if answer is None else answer.find(".//Stacks/member")

    def get(self, bucket: str, key: str) -> bytes | None:
        """The content of an object, or None when there is none."""
        return self._request("s3", "GET", f"/{bucket}/{urllib.parse.quote(key)}", missing=http.client.NOT_FOUND)

    def put(self, bucket: str, key: str, content: bytes) -> None:
        """Write an object."""
        self._request("s3", "PUT", f"/{bucket}/{urllib.parse.quote(key)}", content)

    def update_code(self, function: str, zipped: bytes) -> None:
        """Give a function another zip file."""
        body = json.dumps({"ZipFile": base64.b64encode(zipped).decode()}).encode()
        self._request("lambda", "PUT", f"/2015-03-31/functions/{function}/code", body)

    def _functions(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        marker = ""
        while True:
            query = urllib.parse.urlencode({"Marker": marker} if marker else {})
            page = json.loads(self._request("lambda", "GET", f"/2015-03-31/functions/?{query}") or b"{}")
            found += page["Functions"]
            marker = page.get("NextMarker") or ""
            if not marker:
                return found

    def _query(self, action: str, stack: str) -> ElementTree.Element | None:
        body = urllib.parse.urlencode({"Action": action, "Version": "2010-05-15", "StackName": stack})
        answer = self._request("cloudformation", "POST", "/", body.encode(), missing=http.client.BAD_REQUEST)
        if answer is None:
            return None
        plain = re.sub(r' xmlns="[^"]*"', "", _REQUEST_ID.sub("", answer.decode()))
        return ElementTree.fromstring(plain)

    def _request(
        self, service: str, method: str, path: str, body: bytes | None = None, *, missing: int | None = None
    ) -> bytes | None:
        scope = f"{ACCESS_KEY}/{datetime.now(UTC):%Y%m%d}/{self._endpoint.region}/{service}/aws4_request"
        headers = {"Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=none"}
        if service == "cloudformation":
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection = self._connection()
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise CommandError(f"The local cloud at {self._endpoint.url} does not answer: {error}") from error
        if answer.status == missing:
            return None
        if answer.status != http.client.OK:
            raise CommandError(
                f"The local cloud answered {method} {path} of {service} with {answer.status}: "
                f"{content[:500].decode(errors='replace')}"
            )
        return content

    def _connection(self) -> http.client.HTTPConnection:
        if not hasattr(self._of_thread, "connection"):
            self._of_thread.connection = http.client.HTTPConnection(
                "127.0.0.1", self._endpoint.port, timeout=_TIMEOUT_S
            )
        connection: http.client.HTTPConnection = self._of_thread.connection
        # An idle connection that can be read from has ended: the cloud closes those that nobody uses for long.
        if connection.sock is not None:
            readable = select.poll()
            readable.register(connection.sock, select.POLLIN)
            if readable.poll(0):
                connection.close()
        return connection


def _lasting(function: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in function.items() if not name.startswith(_PASSING)}


def outputs_in(stack: ElementTree.Element) -> dict[str, str]:
    """The outputs in a stack's description."""
    return {_text(each, "OutputKey"): _text(each, "OutputValue") for each in stack.findall("Outputs/member")}


def _text(element: ElementTree.Element, name: str) -> str:
    return element.findtext(name) or ""
