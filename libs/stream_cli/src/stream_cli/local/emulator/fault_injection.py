"""Requests can be made to fail: the emulator refuses chosen AWS requests, as the service would."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from stream_cli.local.injected_faults import FAULTS_PATH

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Texts = Annotated[list[str], BeforeValidator(lambda given: [given] if isinstance(given, str) else given)]


class InjectedFault(BaseModel):
    """Refuses requests for one AWS call.

    Attributes:
        target: the call, as in the request's X-Amz-Target; so it works for the services with JSON protocols: DynamoDB,
            Kinesis, EventBridge, SQS, Firehose, Step Functions, ...
        error: the error code to answer with.
        contains: a text that the body of the request must have, or a list of texts: all of them.
        times: how many requests to refuse; None for no limit, which is the default where there are ``seconds``.
        seconds: for how long to refuse them; None for no limit.
        status: the HTTP status to answer with, 4xx or 5xx.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    target: str
    error: str
    contains: Texts = Field(default_factory=list)
    times: int | None = Field(default=1, gt=0)
    seconds: float | None = Field(default=None, gt=0)
    status: int = 400
    message: str = "Injected by streamctl"
    id: str = Field(default_factory=lambda: str(uuid.uuid4()))
    fired: int = Field(default=0)

    _armed_at: float = PrivateAttr(default_factory=time.monotonic)

    @model_validator(mode="after")
    def _limited(self) -> InjectedFault:
        if "times" not in self.model_fields_set and self.seconds is not None:
            self.times = None
        if self.times is None and self.seconds is None:
            raise ValueError("times or seconds must limit the fault")
        return self

    @property
    def armed(self) -> bool:
        """Whether there are requests left to refuse, and time to do it."""
        in_time = self.seconds is None or time.monotonic() < self._armed_at + self.seconds
        return in_time and (self.times is None or self.fired < self.times)

    def applies_to(self, target: str, body: bytes) -> bool:
        """Whether to refuse this request."""
        return self.armed and target == self.target and all(text.encode() in body for text in self.contains)


class FaultInjection:
    """ASGI layer that refuses chosen AWS requests, as the service would, before the emulator sees them.

    ``POST /_streamctl/faults`` with the fields of `InjectedFault`, such as ``{"target":
    "DynamoDB_20120810.UpdateItem", "contains": "<text in the body>", "error":
    "ProvisionedThroughputExceededException"}``, arms a fault; GET lists them with how often each has ``fired``; DELETE
    removes all.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._faults: list[InjectedFault] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] == FAULTS_PATH:
            await _answer(send, *self._administer(scope["method"], await _read(receive)))
        else:
            target = _header(scope, b"x-amz-target") if self._faults else ""
            if any(fault.target == target and fault.armed for fault in self._faults):
                body = await _read(receive)
                for fault in self._faults:
                    if fault.applies_to(target, body):
                        fault.fired += 1
                        await _answer(send, fault.status, {"__type": fault.error, "message": fault.message})
                        return
                receive = _replay(body, receive)
            await self._app(scope, receive, send)

    def _administer(self, method: str, body: bytes) -> tuple[int, Any]:
        if method == "GET":
            return 200, [fault.model_dump() for fault in self._faults]
        if method == "DELETE":
            self._faults.clear()
            return 200, []
        if method == "POST":
            try:
                fault = InjectedFault.model_validate_json(body)
            except ValidationError as error:
                return 400, {"message": str(error)}
            self._faults.append(fault)
            return 201, fault.model_dump()
        return 405, {"message": "GET, POST or DELETE"}


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name), "")


async def _read(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body"):
            return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    pending = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> MutableMapping[str, Any]:
        return pending.pop() if pending else await receive()

    return again


async def _answer(send: Send, status: int, content: Any) -> None:
    body = json.dumps(content).encode()
    headers = [
        (b"content-type", b"application/x-amz-json-1.0"),
        (b"content-length", str(len(body)).encode()),
        (b"x-amzn-requestid", str(uuid.uuid4()).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
