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
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

from stream_cli.errors import CommandError
from stream_cli.local.endpoint import ACCESS_KEY, LocalEndpoint

_COMPLETE = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE"})
BUCKET = "ServerlessDeploymentBucket"
_META_HEADER = "x-amz-meta-"
# A function becomes active a moment after it was made.
_PASSING = ("LastUpdateStatus", "State")
_REQUEST_ID = re.compile(r"<RequestId>[^<]*</RequestId>")
_NAMESPACE = re.compile(r' xmlns="[^"]*"')
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


def crc32_of(content: bytes) -> str:
    """The checksum of an object or of a part, as S3 writes it."""
    return base64.b64encode(zlib.crc32(content).to_bytes(4, "big")).decode()


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
        listed = self._query("ListStackResources", {"StackName": name}, missing=http.client.BAD_REQUEST)
        if listed is None:
            return None
        resources = {
            text_of(each, "LogicalResourceId"): (text_of(each, "ResourceType"), text_of(each, "PhysicalResourceId"))
            for each in listed.iter("member")
        }
        names = {physical for kind, physical in resources.values() if kind == "AWS::Lambda::Function"}
        functions = [each for each in self.functions() if each["FunctionName"] in names]
        content = [
            ElementTree.tostring(described, encoding="unicode"),
            sorted((name, *each) for name, each in resources.items()),
            [_lasting(each) for each in functions],
        ]
        return Stack(
            hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest(),
            resources.get(BUCKET, ("", None))[1],
            outputs_in(described),
            text_of(described, "StackStatus") in _COMPLETE,
            {each["FunctionName"]: each["CodeSha256"] for each in functions},
        )

    def described(self, name: str) -> ElementTree.Element | None:
        """The description of a stack, or None when there is none."""
        answer = self._query("DescribeStacks", {"StackName": name}, missing=http.client.BAD_REQUEST)
        return None if answer is None else answer.find(".//Stacks/member")

    def cloudformation(self, action: str, request: Mapping[str, str]) -> ElementTree.Element:
        """The answer of CloudFormation to an action.

        Raises:
            CommandError: it refused.
        """
        answer = self._query(action, request)
        if answer is None:
            raise CommandError(f"CloudFormation gave no answer to {action}.")
        return answer

    def stacks(self) -> list[dict[str, Any]]:
        """All stacks, as DescribeStacks describes them."""
        return self._listed("DescribeStacks", {}, "Stacks")

    def resources(self, stack: str) -> list[dict[str, Any]]:
        """The resources of a stack, as ListStackResources lists them."""
        return self._listed("ListStackResources", {"StackName": stack}, "StackResourceSummaries")

    def template(self, stack: str) -> str:
        """The text of a stack's template, after its transforms."""
        return text_of(self.cloudformation("GetTemplate", {"StackName": stack}), ".//TemplateBody")

    def get(self, bucket: str, key: str) -> bytes | None:
        """The content of an object, or None when there is none."""
        return self._request("s3", "GET", f"/{bucket}/{urllib.parse.quote(key)}", missing=http.client.NOT_FOUND)

    def described_object(self, bucket: str, key: str) -> tuple[str, dict[str, str]] | None:
        """The content type and the metadata of an object, or None when there is none."""
        answer = self._exchange("s3", "HEAD", f"/{bucket}/{urllib.parse.quote(key)}", missing=http.client.NOT_FOUND)
        if answer is None:
            return None
        headers = {name.lower(): value for name, value in answer[0].items()}
        metadata = {name.removeprefix(_META_HEADER): headers[name] for name in headers if name.startswith(_META_HEADER)}
        return headers["content-type"], metadata

    def keys(self, bucket: str, prefix: str) -> Iterator[str]:
        """The keys of a bucket's objects that begin with a prefix."""
        query = {"list-type": "2", "prefix": prefix}
        while True:
            answer = self._request("s3", "GET", f"/{bucket}?{urllib.parse.urlencode(query)}")
            page = _parsed(answer or b"")
            yield from (text_of(each, "Key") for each in page.iter("Contents"))
            if text_of(page, "IsTruncated") != "true":
                return
            query["continuation-token"] = text_of(page, "NextContinuationToken")

    def put(self, bucket: str, key: str, content: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Write an object."""
        self._request("s3", "PUT", f"/{bucket}/{urllib.parse.quote(key)}", content, headers=headers)

    def put_in_parts(self, bucket: str, key: str, parts: Iterable[bytes], headers: Mapping[str, str]) -> None:
        """Write an object by a multipart upload whose parts have checksums."""
        path = f"/{bucket}/{urllib.parse.quote(key)}"
        begun = self._request("s3", "POST", f"{path}?uploads", headers={**headers, "x-amz-checksum-algorithm": "CRC32"})
        upload = urllib.parse.quote(text_of(_parsed(begun or b""), "UploadId"))
        written = ElementTree.Element("CompleteMultipartUpload")
        for number, part in enumerate(parts, 1):
            crc = crc32_of(part)
            of_part = {"x-amz-checksum-crc32": crc}
            answer = self._exchange("s3", "PUT", f"{path}?partNumber={number}&uploadId={upload}", part, headers=of_part)
            told = {"PartNumber": str(number), "ETag": answer[0]["ETag"] if answer else "", "ChecksumCRC32": crc}
            element = ElementTree.SubElement(written, "Part")
            for name, text in told.items():
                ElementTree.SubElement(element, name).text = text
        self._request("s3", "POST", f"{path}?uploadId={upload}", ElementTree.tostring(written))

    def update_code(self, function: str, zipped: bytes) -> None:
        """Give a function another zip file."""
        body = json.dumps({"ZipFile": base64.b64encode(zipped).decode()}).encode()
        self._request("lambda", "PUT", f"/2015-03-31/functions/{function}/code", body)

    def functions(self) -> list[dict[str, Any]]:
        """The configurations of all functions."""
        return self._pages("/2015-03-31/functions/", "Functions")

    def mappings(self) -> list[dict[str, Any]]:
        """All event source mappings."""
        return self._pages("/2015-03-31/event-source-mappings/", "EventSourceMappings")

    def code(self, function: str) -> bytes:
        """The zip file of a function."""
        described = json.loads(self._request("lambda", "GET", f"/2015-03-31/functions/{function}") or b"{}")
        place = urllib.parse.urlsplit(described["Code"]["Location"])
        return self._request("lambda", "GET", f"{place.path}?{place.query}") or b""

    def bus_rules(self, bus: str) -> list[dict[str, Any]]:
        """The rules of a bus."""
        headers = {"X-Amz-Target": "AWSEvents.ListRules", "Content-Type": "application/x-amz-json-1.1"}
        rules: list[dict[str, Any]] = []
        token: dict[str, str] = {}
        while True:
            body = json.dumps({"EventBusName": bus, **token}).encode()
            page = json.loads(self._request("events", "POST", "/", body, headers=headers) or b"{}")
            rules += page["Rules"]
            if not page.get("NextToken"):
                return rules
            token = {"NextToken": page["NextToken"]}

    def _pages(self, path: str, name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        marker = ""
        while True:
            query = urllib.parse.urlencode({"Marker": marker} if marker else {})
            page = json.loads(self._request("lambda", "GET", f"{path}?{query}") or b"{}")
            found += page[name]
            marker = page.get("NextMarker") or ""
            if not marker:
                return found

    def _listed(self, action: str, request: Mapping[str, str], name: str) -> list[dict[str, Any]]:
        """The members of a list of CloudFormation, of all its pages."""
        found: list[dict[str, Any]] = []
        token: dict[str, str] = {}
        while True:
            page = self.cloudformation(action, {**request, **token})
            found += [_content_of(each) for each in page.findall(f".//{name}/member")]
            if not (following := text_of(page, ".//NextToken")):
                return found
            token = {"NextToken": following}

    def _query(
        self, action: str, request: Mapping[str, str], *, missing: int | None = None
    ) -> ElementTree.Element | None:
        body = urllib.parse.urlencode({"Action": action, "Version": "2010-05-15", **request})
        answer = self._request("cloudformation", "POST", "/", body.encode(), missing=missing)
        return None if answer is None else _parsed(answer)

    def _request(
        self,
        service: str,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        missing: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes | None:
        answer = self._exchange(service, method, path, body, missing=missing, headers=headers)
        return None if answer is None else answer[1]

    def _exchange(
        self,
        service: str,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        missing: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[http.client.HTTPMessage, bytes] | None:
        """The headers and the content of an answer; None where its status is ``missing``."""
        scope = f"{ACCESS_KEY}/{datetime.now(UTC):%Y%m%d}/{self._endpoint.region}/{service}/aws4_request"
        sent = {
            "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=none",
            **({"Content-Type": "application/x-www-form-urlencoded"} if service == "cloudformation" else {}),
            **(headers or {}),
        }
        connection = self._connection()
        try:
            connection.request(method, path, body, sent)
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
        return answer.headers, content

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
    return {text_of(each, "OutputKey"): text_of(each, "OutputValue") for each in stack.findall("Outputs/member")}


def text_of(element: ElementTree.Element, path: str) -> str:
    """The text of the first element at a path below another; empty where there is none."""
    return element.findtext(path) or ""


def _content_of(element: ElementTree.Element) -> Any:
    """What boto3 makes of an element without knowing its type: a list, a dictionary or a text."""
    if any(each.tag == "member" for each in element):
        return [_content_of(each) for each in element]
    return {each.tag: _content_of(each) for each in element} if len(element) else element.text or ""


def _parsed(answer: bytes) -> ElementTree.Element:
    return ElementTree.fromstring(_NAMESPACE.sub("", _REQUEST_ID.sub("", answer.decode())))
