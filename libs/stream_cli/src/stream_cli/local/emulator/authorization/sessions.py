"""Sessions of roles for the services of this cloud that run in other processes: deliveries and the mapping engine.

``GET /_streamctl/sessions?role=ARN&service=events.amazonaws.com&name=NAME&source=ARN`` answers with the keys of the
session, ``{"key": ..., "secret": ..., "token": ...}``; with 403 and a message if the role does not trust the service;
and with an empty object if policies are not enforced. No API of AWS gives these sessions of services away.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

from stream_cli.local.emulator.authorization.services import NotTrusted, assumed
from stream_cli.local.emulator.fault_injection import App, Receive, Scope, Send

INTERNALS = {"ministack.app": ("AUTH",), "ministack.services.sts": ("_sessions",)}

SESSIONS_PATH = "/_streamctl/sessions"


class Sessions:
    """ASGI layer that answers at `SESSIONS_PATH`."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != SESSIONS_PATH:
            await self._app(scope, receive, send)
            return
        status, answer = _answer(dict(parse_qsl(scope["query_string"].decode("latin-1"))))
        body = json.dumps(answer).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _answer(asked: dict[str, str]) -> tuple[int, dict[str, Any]]:
    from ministack import app
    from ministack.services import sts

    if not app.AUTH:
        return 200, {}
    source = asked.get("source", "")
    keys = {"aws:SourceArn": source, "aws:SourceAccount": [*source.split(":"), *[""] * 5][4]}
    try:
        caller = assumed(asked.get("role", ""), asked.get("service", ""), asked.get("name", ""), keys)
    except NotTrusted as problem:
        return 403, {"__type": "AccessDenied", "message": str(problem)}
    session = sts._sessions[caller.key]
    return 200, {"key": caller.key, "secret": session["SecretAccessKey"], "token": session["SessionToken"]}
