"""Which state a request may change, by its operation, and the answer that waits until that is kept."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import ContextVar
from typing import Any
from urllib.parse import unquote
from xml.sax.saxutils import escape

from stream_cli.local.emulator.fault_injection import App, Receive, Scope, Send
from stream_cli.local.emulator.kept.keeper import Keeper, NotKept
from stream_cli.local.emulator.kept.moving import touch_object

INTERNALS = {
    "ministack.app": ("SERVICE_HANDLERS",),
    "ministack.services.firehose": ("_streams", "_put_s3_object"),
    "ministack.services.s3": ("handle_request",),
}

_READS = re.compile(
    "BatchGet|Describe|Filter|Get|Head|List|Lookup|Query|Scan|Search|Select|Simulate|Test|TransactGet"
    "|Encrypt|Decrypt|GenerateDataKey|Sign|Verify"
)
# What these change is marked where it changes.
_MOVING = frozenset(
    {
        *("PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"),
        *("PutRecord", "PutRecords", "PutRecordBatch", "PutEvents", "PutMetricData"),
        *("CreateLogStream", "PutLogEvents"),
        *("SendMessage", "SendMessageBatch", "ReceiveMessage", "DeleteMessage", "DeleteMessageBatch", "PurgeQueue"),
        *("ChangeMessageVisibility", "ChangeMessageVisibilityBatch"),
        *("Publish", "PublishBatch"),
        *("AssumeRole", "AssumeRoleWithWebIdentity", "DecodeAuthorizationMessage"),
    }
)
# Operations that change something each time, beside what is marked.
_ALSO = {"PutMetricData": "cloudwatch"}
_INVOCATIONS = re.compile(r"/invocations/?$")
_ACTION = re.compile(rb"(?:^|&)Action=([A-Za-z]+)")
# They change what is not theirs.
_OF_ALL = frozenset({"cloudformation", "tagging", "cloudcontrol"})
_MODULES = {
    "events": "eventbridge", "logs": "cloudwatch_logs", "monitoring": "cloudwatch", "lambda": "lambda_svc",
    "apigateway": "apigateway", "apigatewayv2": "apigateway",
}  # fmt: skip

_putting: ContextVar[list[asyncio.Task[Any]] | None] = ContextVar("putting", default=None)
"""Takes the objects that a request has Firehose write."""

_handled: ContextVar[list[str] | None] = ContextVar("handled", default=None)
"""Takes the services whose operations have run for a request."""

_OF_FIREHOSE = frozenset({"firehose", "kinesis"})
_PUTS = ".Put"

Handler = Callable[..., Awaitable[Any]]


def patch_objects_of_firehose() -> None:
    """A record is acknowledged when its object is written; before other patches look at the objects."""
    from ministack.services import firehose, s3

    put = firehose._put_s3_object

    def put_object(bucket: str, key: str, body: bytes) -> None:
        putting = _putting.get()
        if putting is None or threading.current_thread() is not threading.main_thread():
            put(bucket, key, body)  # in a thread it is written when this returns
            return
        headers = {"content-type": "application/octet-stream", "content-length": str(len(body)), "host": "s3.localhost"}
        writing = s3.handle_request("PUT", f"/{bucket}/{key}", headers, body, {}, internal=True)
        putting.append(asyncio.get_running_loop().create_task(writing))

    firehose._put_s3_object = put_object


def patch(keeper: Keeper) -> None:
    """Mark what requests may change when their operations return."""
    from ministack import app

    for service, handler in app.SERVICE_HANDLERS.items():
        app.SERVICE_HANDLERS[service] = _marking(keeper, service, handler)


def _marking(keeper: Keeper, service: str, handle: Handler) -> Handler:
    async def handled(method: str, path: str, headers: dict[str, str], body: bytes, query: Any, **more: Any) -> Any:
        if (services := _handled.get()) is not None:
            services.append(service)
        try:
            if service in _OF_FIREHOSE and _PUTS in headers.get("x-amz-target", ""):
                return await _with_objects(handle, method, path, headers, body, query, **more)
            return await handle(method, path, headers, body, query, **more)
        finally:
            _mark(keeper, service, method, path, headers, body, query)

    return handled


async def _with_objects(handle: Handler, *request: Any, **more: Any) -> Any:
    from ministack.services import firehose

    putting = list[asyncio.Task[Any]]()
    token = _putting.set(putting)
    try:
        return await handle(*request, **more)
    finally:
        _putting.reset(token)
        if putting:
            await asyncio.gather(*putting)
        for stream in firehose._streams._data.values():
            for destination in stream["destinations"]:
                destination["records"].clear()  # they are in their objects; nobody reads these, and they grew for ever


def _mark(
    keeper: Keeper, service: str, method: str, path: str, headers: dict[str, str], body: bytes, query: Any
) -> None:
    operation = _operation(headers, body, query)
    if operation is None:
        if service == "s3":
            _mark_object(keeper, method, path, query)
        elif method not in {"GET", "HEAD"} and not _INVOCATIONS.search(path):
            keeper.settle_all(None if service in _OF_ALL else _MODULES.get(service, service))
        return
    if service in _OF_ALL:
        keeper.settle_all()
    elif operation in _ALSO:
        keeper.settle_all(_ALSO[operation])
    elif operation not in _MOVING and not _READS.match(operation):
        keeper.settle_all(_MODULES.get(service, service))


def _operation(headers: dict[str, str], body: bytes, query: Any) -> str | None:
    """The name of an operation of an API that has such; None for one of methods and paths."""
    target = headers.get("x-amz-target", "")
    if target:
        return target.rpartition(".")[2]
    if "Action" in query:
        given = query["Action"]
        return str(given[0] if isinstance(given, list) else given)
    if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        found = _ACTION.search(body)
        return found[1].decode() if found else None
    return None


def _mark_object(keeper: Keeper, method: str, path: str, query: Any) -> None:
    from ministack.core import responses

    if method in {"GET", "HEAD"}:
        return
    bucket, _, key = path.lstrip("/").partition("/")
    if not key:
        keeper.settle_all("s3")
        return
    upload = query.get("uploadId")
    upload = upload[0] if isinstance(upload, list) else upload
    touch_object((responses.get_account_id(), bucket), unquote(key), upload)


class Answers:
    """ASGI layer whose answers wait until all that they may tell of is kept."""

    def __init__(self, app: App, keeper: Keeper) -> None:
        self._app = app
        self._keeper = keeper

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refused, handled = False, list[str]()
        _handled.set(handled)

        async def sent(message: MutableMapping[str, Any]) -> None:
            nonlocal refused
            if message["type"] == "http.response.start":
                if not handled and scope["method"] not in {"GET", "HEAD", "OPTIONS"}:
                    self._keeper.settle_all()  # such as objects at a host of their bucket
                try:
                    await self._keeper.written()
                except NotKept as problem:
                    refused = True
                    await _unavailable(scope, send, str(problem))
            if not refused:
                await send(message)

        await self._app(scope, receive, sent)


async def _unavailable(scope: Scope, send: Send, problem: str) -> None:
    """Answer 503 in the protocol of the request: a client of SNS, SQS or S3 cannot read JSON."""
    given = dict(scope["headers"])
    kind = given.get(b"content-type", b"")
    if b"x-amz-target" in given or b"json" in kind or b"cbor" in kind:
        body = json.dumps({"__type": "ServiceUnavailableException", "message": problem})
        kind = b"application/json"
    else:
        body = f"<Error><Code>ServiceUnavailable</Code><Message>{escape(problem)}</Message></Error>"
        if b"/s3/aws4_request" not in given.get(b"authorization", b""):
            body = f"<ErrorResponse>{body}</ErrorResponse>"
        kind = b"text/xml"
    headers = [
        (b"content-type", kind),
        (b"content-length", str(len(body.encode())).encode()),
        (b"x-amzn-errortype", b"ServiceUnavailableException"),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body.encode()})
