"""The runtime's real clients over connections that the simulated AWS answers: boto3's, and the lean one.

What they send is built and signed, and what they get is parsed, as always. boto3's requests are taken as they were
given to the client, since each protocol writes them differently; the lean client's are read from its bytes.
"""

from __future__ import annotations

import functools
import io
import json
import os
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

import boto3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError
from botocore.loaders import Loader
from greenlet import getcurrent
from moto.core.model import ServiceModel
from moto.core.serialize import get_serializer_class
from refusals import Refusal
from stream_runtime import clients
from stream_runtime.aws import clients as built
from stream_runtime.aws.connections import Connections, Response
from urllib3.exceptions import ProtocolError

from simulator.aws import AnswerLost, BodyBroken, SimulatedAws, Unreachable

OVER_HTTP = ("dynamodb", "events", "s3", "sns", "sqs", "kinesis", "firehose", "lambda")
"""All but CloudWatch, whose protocol has no serializer here."""

_ENVIRONMENT = {
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "simulated",
    "AWS_SECRET_ACCESS_KEY": "simulated",
    "AWS_LAMBDA_FUNCTION_NAME": "simulated",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
_TARGETS = {
    "DynamoDB_20120810": "dynamodb",
    "AWSEvents": "events",
    "Kinesis_20131202": "kinesis",
    "Firehose_20150804": "firehose",
    "AmazonSQS": "sqs",
}
_serving: SimulatedAws | None = None


@contextmanager
def served(aws: SimulatedAws, kind: str) -> Iterator[Mapping[str, Any]]:
    """The clients of a kind by service, `boto3` or `lean`; `aws` answers them."""
    global _serving
    _serving, send = aws, Connections.send
    Connections.send = _send  # type: ignore[method-assign]
    try:
        with mock.patch.object(boto3, "DEFAULT_SESSION", None):  # another test's, with which nothing would be lean
            yield _made(kind)
    finally:
        Connections.send = send  # type: ignore[method-assign]
        _serving = None


@functools.cache
def _made(kind: str) -> Mapping[str, Any]:
    """The clients as the runtime makes them in a function, once for all histories."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update({**_ENVIRONMENT, "AWS_CLIENT": kind})
    try:
        clients.reset()
        made = {service: clients.client(service) for service in OVER_HTTP}
        for service, client in made.items():
            if type(client).__module__ == "botocore.client":
                _answered(client)
            else:
                client._through_boto3 = functools.partial(_answered_boto3, service)
        return made
    finally:
        built._clients.clear()
        built._lean.clear()
        os.environ.clear()
        os.environ.update(before)


def _answered_boto3(service: str) -> Any:
    return _answered(built._boto3_client(service))


def _call(service: str, operation: str, request: Mapping[str, Any], url: str) -> Mapping[str, Any]:
    assert _serving is not None
    try:
        return _serving.call(service, operation, request)
    except Unreachable:
        raise ConnectTimeoutError(endpoint_url=url) from None
    except AnswerLost:
        raise ReadTimeoutError(endpoint_url=url) from None


# --- boto3 ---


def _answered(client: Any) -> Any:
    events = client.meta.events
    events.register_last("before-parameter-build", _note)
    events.register_first("before-send", functools.partial(_answer, client))
    return client


def _note(params: Mapping[str, Any], **_: Any) -> None:
    getcurrent().asked = dict(params)


def _answer(client: Any, request: AWSPreparedRequest, event_name: str, **_: Any) -> AWSResponse:
    model = client.meta.service_model
    service, operation = model.service_name, event_name.rpartition(".")[2]
    asked = getcurrent().asked
    try:
        answer = _call(service, operation, asked, request.url)
    except Refusal as refusal:
        return _refused(request.url, model.protocol, service, refusal)
    except BodyBroken as broken:
        return _succeeded(request.url, service, operation, broken.response, is_broken=True)
    return _succeeded(request.url, service, operation, answer)


class _Raw(io.BytesIO):
    """A body, as urllib3 gives it."""

    def stream(self, *_: Any, **__: Any) -> Iterable[bytes]:
        yield self.read()


class _Broken(_Raw):
    """A body whose connection is lost behind what there is."""

    def read(self, size: int | None = -1) -> bytes:
        found = super().read(size)
        if not found or size in (None, -1):
            raise ProtocolError("Connection broken")
        return found


@functools.cache
def _model(service: str) -> ServiceModel:
    return ServiceModel(Loader().load_service_model(service, "service-2"), service)


def _succeeded(
    url: str, service: str, operation: str, answer: Mapping[str, Any], *, is_broken: bool = False
) -> AWSResponse:
    assert _serving is not None
    with _serving.whole():
        model = _model(service)
        written = get_serializer_class(service, model.protocol)(model.operation_model(operation)).serialize(answer)
    body = written["body"]
    content = body.encode() if isinstance(body, str) else bytes(body or b"")
    headers = {**written["headers"], "content-length": str(len(content)), "x-amzn-requestid": "simulated"}
    raw = _Broken(content[: len(content) // 2]) if is_broken else _Raw(content)
    return AWSResponse(url, written["status_code"], {name.lower(): value for name, value in headers.items()}, raw)


def _refused(url: str, protocol: str, service: str, refusal: Refusal) -> AWSResponse:
    if protocol in ("query", "rest-xml"):
        error = f"<Error><Code>{refusal.code}</Code><Message>{refusal}</Message></Error>"
        content, kind = (error if service == "s3" else f"<ErrorResponse>{error}</ErrorResponse>").encode(), "text/xml"
    else:
        content, kind = _error(refusal), "application/x-amz-json-1.0"
    headers = {"content-type": kind, "content-length": str(len(content)), "x-amzn-errortype": refusal.code}
    return AWSResponse(url, refusal.status, headers, _Raw(content))


def _error(refusal: Refusal) -> bytes:
    body = {"__type": f"com.amazonaws#{refusal.code}", "message": str(refusal), **refusal.more}
    return json.dumps(body, default=_as_base64).encode()


def _as_base64(value: bytes) -> str:
    return b64encode(value).decode()


# --- the lean client ---


def _send(connections: Connections, request: bytes) -> Response:
    """In place of `Connections.send`: the services with AWS's JSON protocols."""
    head, _, body = request.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode("ascii").split("\r\n")[1:])
    prefix, _, operation = headers["x-amz-target"].partition(".")
    service = _TARGETS[prefix]
    try:
        answer = _call(service, operation, _read(operation, json.loads(body)), connections.url)
    except Refusal as refusal:
        return Response(refusal.status, {"content-type": "application/x-amz-json-1.0"}, _error(refusal))
    return Response(200, {"x-amzn-requestid": "simulated"}, json.dumps(answer, default=_as_base64).encode())


_READ: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "PutRecord": lambda body: {**body, "Data": b64decode(body["Data"])},
    "PutRecords": lambda body: {
        **body,
        "Records": [{**each, "Data": b64decode(each["Data"])} for each in body["Records"]],
    },
}
"""Members that are bytes; no item of these services has a binary attribute."""
_READ = {**_READ, "PutRecordBatch": _READ["PutRecords"]}


def _read(operation: str, body: dict[str, Any]) -> dict[str, Any]:
    return _READ[operation](body) if operation in _READ else body
