"""Clients of the simulated AWS: direct ones, which cost little, and boto3's own with their HTTP exchange answered.

boto3's clients serialise, sign and parse every request; direct ones take boto3's requests and give its responses.
Histories give the same effects with either, as a test shows.
"""

from __future__ import annotations

import io
import json
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import urllib3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from failures import ProcessDied
from refusals import Refusal
from simulated_aws import SimulatedAws
from stream_runtime import clients
from stream_runtime.aws import signed_requests as opensearch

SERVICES = ("dynamodb", "events", "s3", "sns", "sqs", "kinesis", "firehose")
DIRECT = (*SERVICES, "lambda", "cloudwatch")


def serve(aws: SimulatedAws, *, over_http: bool = False, others: Mapping[str, Any] | None = None) -> None:
    """Answer the runtime's clients from now on; over HTTP all but Lambda and CloudWatch are boto3's own.

    Args:
        aws: what answers.
        over_http: whether clients are boto3's.
        others: clients by service that are used in place of these.
    """
    global _serving
    _serving = aws
    real = {service: _client(service) for service in SERVICES} if over_http else others or {}
    for service in DIRECT:
        clients.use(service, real.get(service, _direct))
    opensearch._shared["pool"] = _Pool()  # where real answers come in: what they mean is still read from them


_serving: SimulatedAws | None = None
_clients: dict[str, Any] = {}


class _Direct:
    """A client of every service: a method for each operation."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        operation = name.title().replace("_", "")

        def method(**request: Any) -> Any:
            assert _serving is not None
            try:
                return _serving.call(operation, request)
            except Refusal as error:
                raise error.as_client_error(operation) from None

        setattr(self, name, method)
        return method


_direct = _Direct()


# OpenSearch


class _Answer(NamedTuple):
    status: int
    data: bytes


class _Pool:
    """The connections to an OpenSearch domain."""

    def request(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> _Answer:
        """What whoever serves at the time answers to a bulk request."""
        assert _serving is not None
        lines = [json.loads(line) for line in body.splitlines()]
        kind, answer = _serving.bulk(list(zip(lines[::2], lines[1::2], strict=True)))
        if kind is None:
            return _Answer(200, json.dumps(answer).encode())
        if kind in ("died-before", "died-after"):
            raise ProcessDied
        if kind == "unreachable":
            raise urllib3.exceptions.ProtocolError("connection reset")
        if kind == "answer-lost":
            raise urllib3.exceptions.ReadTimeoutError(None, "/_bulk", "read timed out")  # type: ignore[arg-type]
        return _Answer({"denied": 403, "throttled": 429, "unavailable": 503}.get(kind, 500), b"no")


# boto3's clients


def _client(service: str) -> Any:
    """The runtime's own client of a service, its requests answered by whoever serves at the time."""
    if service not in _clients:
        clients.reset()
        built = clients.client(service)
        built.meta.events.register_first("before-send", _answer)
        _clients[service] = built
    return _clients[service]


def _answer(request: AWSPreparedRequest, event_name: str, **_: Any) -> AWSResponse:
    assert _serving is not None
    operation = event_name.rpartition(".")[2]
    try:
        return _response(request, operation, _serving.call(operation, _read(operation, request)))
    except Refusal as error:
        return _refusal(request, error)


def _read(operation: str, request: AWSPreparedRequest) -> dict[str, Any]:
    """What boto3 was called with, as far as it matters here."""
    raw: Any = request.body
    if hasattr(raw, "read"):
        raw = raw.read()
    content: bytes = raw.encode() if isinstance(raw, str) else raw or b""
    if operation in ("PutObject", "GetObject", "DeleteObject"):
        bucket, key = _object_name(request.url)
        if "aws-chunked" in str(request.headers.get("content-encoding")):
            content = _without_chunks(content)
        owner = request.headers.get("x-amz-expected-bucket-owner", b"")
        object_ = {"Bucket": bucket, "Key": key, "ExpectedBucketOwner": owner.decode()}
        return {**object_, "Body": content} if operation == "PutObject" else object_
    if operation == "PublishBatch":
        return _publish_batch({name: values[0] for name, values in parse_qs(content.decode()).items()})
    body: dict[str, Any] = json.loads(content or b"{}")
    if operation in ("PutRecords", "PutRecordBatch"):
        body["Records"] = [{**entry, "Data": b64decode(entry["Data"])} for entry in body["Records"]]
    return body


def _without_chunks(content: bytes) -> bytes:
    """A body that was sent as ``<length>\\r\\n<bytes>\\r\\n0\\r\\n<trailers>``."""
    body = b""
    while True:
        length, _, content = content.partition(b"\r\n")
        if not int(length, 16):
            return body
        body += content[: int(length, 16)]
        content = content[int(length, 16) + 2 :]


def _object_name(url: str) -> tuple[str, str]:
    """Bucket and key, from a virtual-hosted or a path-style address."""
    parts = urlsplit(url)
    path = unquote(parts.path).lstrip("/")
    if parts.netloc.startswith("s3."):
        bucket, _, key = path.partition("/")
        return bucket, key
    return parts.netloc.partition(".s3")[0], path


def _publish_batch(body: Mapping[str, str]) -> dict[str, Any]:
    entries: dict[int, dict[str, Any]] = {}
    for name, value in body.items():
        match = re.fullmatch(r"PublishBatchRequestEntries\.member\.(\d+)\.(.+)", name)
        if match:
            entries.setdefault(int(match[1]), {})[match[2]] = value
    return {
        "TopicArn": body["TopicArn"],
        "PublishBatchRequestEntries": [_with_attributes(entries[number]) for number in sorted(entries)],
    }


def _with_attributes(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry with ``MessageAttributes.entry.1.Name``, ``.Value.DataType`` and ``.Value.StringValue`` read."""
    attributes = {
        entry[name]: {
            member: entry[f"MessageAttributes.entry.{match[1]}.Value.{member}"]
            for member in ("DataType", "StringValue")
        }
        for name in entry
        if (match := re.fullmatch(r"MessageAttributes\.entry\.(\d+)\.Name", name))
    }
    plain = {name: value for name, value in entry.items() if "." not in name}
    return {**plain, "MessageAttributes": attributes} if attributes else plain


class _Raw(io.BytesIO):
    def stream(self, *_: Any, **__: Any) -> Iterable[bytes]:
        """The body, as urllib3 gives it."""
        yield self.read()


def _response(request: AWSPreparedRequest, operation: str, response: Mapping[str, Any]) -> AWSResponse:
    if operation == "GetObject":
        return _http(request, 200, response["Body"].read(), "application/octet-stream")
    if operation in ("PutObject", "DeleteObject"):
        return _http(request, 200, b"", "text/plain")
    if operation == "PublishBatch":
        return _http(request, 200, _published(response).encode(), "text/xml")
    return _http(request, 200, json.dumps(response, default=_as_base64).encode(), "application/x-amz-json-1.0")


def _as_base64(value: Any) -> str:
    return b64encode(value).decode()


def _published(response: Mapping[str, Any]) -> str:
    sent = "".join(
        f"<member><Id>{each['Id']}</Id><MessageId>{each['MessageId']}</MessageId></member>"
        for each in response["Successful"]
    )
    failed = "".join(
        f"<member><Id>{each['Id']}</Id><Code>{each['Code']}</Code><Message>{each['Message']}</Message>"
        f"<SenderFault>{str(each['SenderFault']).lower()}</SenderFault></member>"
        for each in response["Failed"]
    )
    return (
        '<PublishBatchResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishBatchResult>'
        f"<Successful>{sent}</Successful><Failed>{failed}</Failed></PublishBatchResult>"
        "<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></PublishBatchResponse>"
    )


def _refusal(request: AWSPreparedRequest, error: Refusal) -> AWSResponse:
    if ".s3." in request.url or "//s3." in request.url:
        text = f"<Error><Code>{error.code}</Code><Message>{error}</Message></Error>"
        return _http(request, error.status if error.code != "SlowDown" else 503, text.encode(), "application/xml")
    if "//sns." in request.url:
        text = f"<ErrorResponse><Error><Code>{error.code}</Code><Message>{error}</Message></Error></ErrorResponse>"
        return _http(request, error.status, text.encode(), "text/xml")
    body = {"__type": f"com.amazonaws#{error.code}", "message": str(error), **error.more}
    return _http(request, error.status, json.dumps(body).encode(), "application/x-amz-json-1.0")


def _http(request: AWSPreparedRequest, status: int, body: bytes, content_type: str) -> AWSResponse:
    headers = {"content-type": content_type, "content-length": str(len(body)), "x-amzn-requestid": "simulated"}
    return AWSResponse(request.url, status, headers, _Raw(body))
