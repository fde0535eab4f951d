"""A request that names its operation goes straight to its service.

ministack asks some thirty handlers of special hosts and paths, each with its own regular expressions, before it looks
at the header X-Amz-Target. On the emulator's own host and the path ``/``, none of them wants a request for these
services. Then it finds out by the headers, one after the other, what the first of them has said.

Here the header says which service it is, and the rest is as in ministack: account and region of the credentials, what
the caller may do, a reset that goes on, types of content, what CloudTrail records, ids of the request. Headers for
pages in a browser are left out, since `guard` removes them. Requests with anything unusual about them are ministack's.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import re
import time
from base64 import b64encode
from email.utils import formatdate

from stream_cli.local.emulator.authorization import operations
from stream_cli.local.emulator.authorization.callers import Caller, caller_of, is_administrator
from stream_cli.local.emulator.fault_injection import App, Receive, Scope, Send
from stream_cli.local.emulator.observation.observing import request_from
from stream_cli.local.emulator.random_ids import random_id

INTERNALS = {
    "ministack.app": (
        *("AUTH", "SERVICE_HANDLERS", "_get_reset_lock", "_read_request_body", "_maybe_record_cloudtrail"),
        *("_RequestBodyDisconnected", "_IncompleteRequestBody"),
    ),
    "ministack.core.iam_evaluator": ("_request_caller_arn",),
    "ministack.core.responses": (
        *("set_request_account_id", "set_request_region", "set_request_client_ip"),
        *("fix_error_content_type", "fix_success_content_type"),
    ),
    "ministack.core.router": ("detect_service", "extract_access_key_id", "extract_region"),
}

_SERVICES = ("DynamoDB_", "DynamoDBStreams_", "Kinesis_", "Firehose_", "AWSEvents.", "AmazonSQS.", "Logs_")
_STREAMED = frozenset({"Logs_20140328.StartLiveTail", "Kinesis_20131202.SubscribeToShard"})
_OWN_HOST = re.compile(r"(?:127\.0\.0\.1|localhost)(?::[0-9]+)?")
_UNUSUAL = frozenset({"content-encoding", "transfer-encoding", "x-amz-decoded-content-length"})

logger = logging.getLogger("stream_cli.named_operations")


class NamedOperations:
    """ASGI layer that has services answer requests which name their operation, and gives ministack's app the others."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from ministack import app

        headers = named_operation(scope)
        if headers is None:
            await self._app(scope, receive, send)
            return
        key, region = _of_credentials(headers.get("authorization", "").partition(",")[0])
        who = _caller(key, headers) if app.AUTH else None
        if who is None and app.AUTH:
            await self._app(scope, receive, send)
        else:
            await _serve(scope, headers, receive, send, key, region, who)


def named_operation(scope: Scope) -> dict[str, str] | None:
    """The headers of a request about which the header X-Amz-Target says all that is to be known; None for others."""
    if scope["type"] != "http" or scope["path"] != "/" or scope["method"] != "POST" or scope["query_string"]:
        return None
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    target = headers.get("x-amz-target", "")
    if (
        not target.startswith(_SERVICES)
        or target in _STREAMED
        or _OWN_HOST.fullmatch(headers.get("host", "")) is None
        or len(headers) != len(scope["headers"])
        or not _UNUSUAL.isdisjoint(headers)
        or not all(map(str.isascii, headers.values()))
    ):
        return None
    return headers


def _caller(key: str, headers: dict[str, str]) -> str | Caller | None:
    """Who a request is from: the administrator by the key, or the session of a role; None if ministack is to see."""
    if not key:
        return None
    return key if is_administrator(key) else caller_of(key, headers.get("x-amz-security-token", ""))


async def _serve(
    scope: Scope,
    headers: dict[str, str],
    receive: Receive,
    send: Send,
    key: str,
    region: str,
    who: str | Caller | None,
) -> None:
    from ministack import app
    from ministack.core import responses

    responses.set_request_client_ip((scope.get("client") or ("127.0.0.1",))[0])
    async with app._get_reset_lock():
        pass
    responses.set_request_account_id(key)
    responses.set_request_region(region)
    request_from(headers)
    try:
        body = await app._read_request_body(receive, "POST", headers)
    except app._RequestBodyDisconnected:
        return
    except app._IncompleteRequestBody as error:
        body = error.body
    status, lines, content = await _answer(headers, body, region, who)
    lines += [(b"content-length", str(len(content)).encode()), (b"date", _date(int(time.time())))]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": content, "more_body": False})


async def _answer(
    headers: dict[str, str], body: bytes, region: str, who: str | Caller | None
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    from ministack import app
    from ministack.core import iam_evaluator, responses

    target = headers["x-amz-target"]
    service, request_id = _service_of(target), random_id()
    try:
        refused = (
            operations.refusal(who, service, headers, body, region, request_id) if isinstance(who, Caller) else None
        )
        if who is not None:
            iam_evaluator._request_caller_arn.set(who.arn if isinstance(who, Caller) else "")
        status, answered, content = refused or await app.SERVICE_HANDLERS[service]("POST", "/", headers, body, {})
    except Exception as error:
        logger.exception("%s failed", target)
        problem = {"__type": "InternalError", "message": str(error)}
        return 500, [(b"content-type", b"application/json")], json.dumps(problem).encode()
    responses.fix_error_content_type(service, status, answered)
    responses.fix_success_content_type(service, status, answered)
    app._maybe_record_cloudtrail(service, "POST", "/", headers, body, {}, request_id, region)
    lines = [(name.encode("latin-1"), str(value).encode()) for name, value in answered.items()]
    lines += [
        (b"x-amzn-requestid", request_id.encode()),
        (b"x-amz-request-id", request_id.encode()),
        (b"x-amz-id-2", b64encode(os.urandom(48))),
    ]
    return status, lines, content if isinstance(content, bytes) else content.encode()


@functools.lru_cache(256)
def _of_credentials(scope: str) -> tuple[str, str]:
    """The access key, if an account depends on it, and the region of the first part of a header Authorization."""
    from ministack.core import router

    headers = {"authorization": scope}
    return router.extract_access_key_id(headers) or "", router.extract_region(headers)


@functools.lru_cache(1024)
def _service_of(target: str) -> str:
    from ministack.core import router

    return str(router.detect_service("POST", "/", {"x-amz-target": target}, {}))


@functools.lru_cache(2)
def _date(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode()
