"""Who may ask the console: its own page, with the token of its address, on this machine.

`Guard` stands before everything else. It refuses, with 403 and the reason:

- any Host but 127.0.0.1 and localhost with the port: a page reaches a foreign name by DNS rebinding;
- any Origin but the console's own, and what a browser says was asked by another page (Sec-Fetch-Site);
- anything below /api without the token, in a header that no page elsewhere may send. There are no cookies: a browser
  sends these to every port of a host;
- methods other than GET and HEAD, and POST below /api; WebSockets; HTTP/2.

Every answer says what its page may do: run the console's own scripts, talk to the console, and nothing else.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN_HEADER = "x-console-token"
API = "/api/"
_LONGEST_SHOWN = 200


def content_policy(script_hashes: Sequence[str]) -> str:
    """The Content-Security-Policy of the console, with the hashes of the scripts within its page (the import map)."""
    scripts = " ".join(["'self'", *(f"'{each}'" for each in script_hashes)])
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )


class Guard:
    """ASGI layer in front of the console."""

    def __init__(self, app: ASGIApp, *, port: int, token: str, policy: str) -> None:
        self._app = app
        self._token = token.encode()
        self._hosts = tuple(f"{name}:{port}" for name in ("127.0.0.1", "localhost"))
        self._headers = [
            (b"content-security-policy", policy.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"x-frame-options", b"DENY"),
            (b"cross-origin-opener-policy", b"same-origin"),
            (b"cross-origin-resource-policy", b"same-origin"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif refusal := self._refusal(scope):
            await _refuse(scope, receive, self._with_headers(scope, send), *refusal)
        else:
            await self._app(scope, receive, self._with_headers(scope, send))

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Status and reason; None when the request may pass."""
        if scope["type"] != "http":
            return 403, "The console has no WebSockets."
        if scope["http_version"] not in ("1.0", "1.1") or not scope["raw_path"].startswith(b"/"):
            return 403, "The console answers HTTP/1.1 with a path."
        hosts = [each.lower() for each in _values(scope, b"host")]
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            return 403, f"Host: {_shown(hosts)} is not the console's: open http://{self._hosts[0]}."
        if any(origin.lower() != f"http://{hosts[0]}" for origin in _values(scope, b"origin")):
            return 403, "Origin is that of a page elsewhere."
        asked_by_person = scope["path"] == "/" and scope["method"] in ("GET", "HEAD")
        sites = _values(scope, b"sec-fetch-site")
        if sites and sites != ["same-origin"] and not (sites == ["none"] and asked_by_person):
            return 403, "Sec-Fetch-Site: this was asked by another page. Open the address that the terminal shows."
        is_api = scope["path"].startswith(API)
        if scope["method"] not in ("GET", "HEAD") and not (is_api and scope["method"] == "POST"):
            return 405, "The console answers GET, and POST below /api."
        if is_api and not self._has_token(scope):
            return 401, "The token is missing or another cloud's. `streamctl console` prints the address with it."
        return None

    def _has_token(self, scope: Scope) -> bool:
        found = [value for name, value in scope["headers"] if name == TOKEN_HEADER.encode()]
        return len(found) == 1 and hmac.compare_digest(found[0], self._token)

    def _with_headers(self, scope: Scope, send: Send) -> Send:
        kept = b"no-store" if scope.get("path", "").startswith(API) else b"no-cache"

        async def sent(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                own = [*self._headers, (b"cache-control", kept)]
                names = {name for name, _ in own}
                others = [each for each in message.get("headers", ()) if each[0].lower() not in names]
                message = {**message, "headers": [*others, *own]}
            await send(message)

        return sent


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, reason: str) -> None:
    body = json.dumps({"error": reason}).encode()
    kind = "http.response" if scope["type"] == "http" else "websocket.http.response"
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if scope["type"] == "http":
        headers.append((b"connection", b"close"))  # what else was sent is not read
    await send({"type": f"{kind}.start", "status": status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _shown(value: object) -> str:
    return ascii(value)[:_LONGEST_SHOWN]
