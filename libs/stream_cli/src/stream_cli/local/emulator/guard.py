"""No page in a browser reaches the local cloud: the control APIs run code, and answer to this machine's tools alone.

Every request passes `Guard` first. What it refuses has no effect, and is answered with 403 and the reason:

- A Host other than 127.0.0.1, localhost, ``*.localhost`` and [::1] with the port: a page reaches a foreign name by DNS
  rebinding. Names below ``localhost`` belong to no one, and browsers resolve them to this machine.
- An Origin, or a Sec-Fetch-Site, of another page than the emulator's own; a browser that says neither; and an address
  that a person opens, which may have been redirected, unless it is in ``READ_BY_PEOPLE``. Tools send none of these.
- A request line or protocol by which the host could be another than the Host header's.

Hosts of deployed APIs are open to every page, as on AWS: there the API's own CORS configuration says who may read, and
``api_hosts`` that nothing but the API is reached. Answers of control APIs carry no CORS headers, and what a service or
an object in S3 puts into them does not run as a script of the emulator's origin.

``GET /_streamctl/refused`` counts what was refused, by reason.
"""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import MutableMapping
from typing import Any

from stream_cli.local.emulator.api_hosts import is_api_host
from stream_cli.local.emulator.fault_injection import App, Receive, Scope, Send
from stream_cli.local.injected_faults import FAULTS_PATH

REFUSED_PATH = "/_streamctl/refused"
# What the emulator itself serves: these may run scripts, and a GET changes nothing.
OWN_PAGES = frozenset({FAULTS_PATH, REFUSED_PATH})
READ_BY_PEOPLE = OWN_PAGES | {"/_ministack/health", "/_ministack/ready", "/_localstack/health"}
_NOT_OF_APIS = ("/_streamctl", "/_ministack", "/_localstack")
# Of a WebSocket API; on AWS its callers sign their requests, which pages cannot.
_CONNECTIONS = "/@connections/"
_CONTROL_HOST = r"(?:127\.0\.0\.1|\[::1\]|(?:[a-z0-9_-]+\.)*localhost)"
_OWN_HOST = re.compile(r"(?:127\.0\.0\.1|\[::1\]|localhost)(?::[0-9]+)?")
_LOGGED_ONE_BY_ONE = 100
_LONGEST_SHOWN = 200

logger = logging.getLogger("stream_cli.guard")


class Guard:
    """ASGI layer in front of everything that the emulator serves."""

    def __init__(self, control: App, apis: App, port: int) -> None:
        """``apis`` gets the requests to hosts of APIs, ``control`` all others; ``port`` is the emulator's."""
        self._control = control
        self._apis = apis
        self._port = port
        port_of_host = rf"(?::{port})?" if port == 80 else rf":{port}"
        self._hosts = re.compile(rf"{_CONTROL_HOST}{port_of_host}", re.IGNORECASE)
        self._refused: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._control(scope, receive, send)
        elif refusal := self._refusal(scope):
            await self._refuse(scope, receive, send, *refusal)
        elif is_api_host(_values(scope, b"host")[0]):
            await self._apis(scope, receive, send)
        elif scope["type"] == "http" and scope["path"] == REFUSED_PATH:
            await _send_json(_without_cors(scope, send), "http.response", 200, dict(self._refused))
        else:
            await self._control(scope, receive, _without_cors(scope, send))

    def _refusal(self, scope: Scope) -> tuple[str, str] | None:
        """The kind of what is wrong with a request, and what to do; None when it may pass."""
        tools = f"Control APIs answer to tools on this machine, at http://127.0.0.1:{self._port}."
        if scope["http_version"] not in {"1.0", "1.1"} or not scope["raw_path"].startswith(b"/"):
            line = f"HTTP/{scope['http_version']} {_shown(scope['raw_path'])}"
            return "request line", f"{line} is not HTTP/1.1 with a path. {tools}"
        hosts = _values(scope, b"host")
        if len(hosts) != 1 or not self._hosts.fullmatch(hosts[0]):
            names = f"127.0.0.1:{self._port}, localhost:{self._port}, *.localhost:{self._port}"
            return "host", f"Host: {_shown(hosts)} is not the local cloud's. Use one of {names}."
        api = is_api_host(hosts[0])
        if api and scope["path"].startswith(_NOT_OF_APIS):
            return "path", f"{_shown(scope['path'])} is none of an API's paths. {tools}"
        if api and _CONNECTIONS not in scope["path"]:
            return None
        if from_page := _from_page(scope, None if api else hosts[0].lower()):
            kind, what = from_page
            return kind, f"{what} {tools}"
        return None

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, kind: str, reason: str) -> None:
        self._refused[kind] += 1
        count = self._refused.total()
        if count <= _LOGGED_ONE_BY_ONE or count % _LOGGED_ONE_BY_ONE == 0:
            method = scope.get("method", "WEBSOCKET")
            logger.warning("Refused request %d: %s %s: %s", count, method, _shown(scope["path"]), reason)
        body = {"__type": "RequestRefused", "message": f"The local cloud refused this request. {reason}"}
        if scope["type"] == "http":
            # Read to its end: closing the connection before would lose the answer.
            while (await receive()).get("more_body"):
                pass
            await _send_json(send, "http.response", 403, body)
        else:
            await _send_json(send, "websocket.http.response", 403, body)


async def _send_json(send: Send, message: str, status: int, content: Any) -> None:
    body = json.dumps(content).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": f"{message}.start", "status": status, "headers": headers})
    await send({"type": f"{message}.body", "body": body})


def _from_page(scope: Scope, host: str | None) -> tuple[str, str] | None:
    """What shows that a page asks which is not of ``host`` (None: any page), or a person: its kind, and in words."""
    own = [] if host is None else [f"http://{host}"]
    origins = _values(scope, b"origin")
    if any(origin.lower() not in own for origin in origins):
        at_api = "a page may call a deployed API at the API's own host, if its CORS configuration allows it."
        return "origin", f"Origin: {_shown(origins)} is that of a page elsewhere; {at_api}"
    sites = _values(scope, b"sec-fetch-site")
    if sites == ["none"] and _is_own(host) and scope["method"] in {"GET", "HEAD"} and scope["path"] in READ_BY_PEOPLE:
        return None
    if sites and (sites != ["same-origin"] or not own):
        return "site", f"Sec-Fetch-Site: {_shown(sites)}: a browser sends this for a page or a person."
    if not sites and not origins and any("mozilla/" in agent.lower() for agent in _values(scope, b"user-agent")):
        return "browser", "User-Agent is a browser's, and it does not say which page asks."
    return None


def _is_own(host: str | None) -> bool:
    """Whether a host is the emulator itself; at other names below localhost are the objects of a bucket."""
    return host is not None and _OWN_HOST.fullmatch(host) is not None


def _without_cors(scope: Scope, send: Send) -> Send:
    """Answers that no foreign page may read, and whose scripts do not run with the emulator's own origin."""
    own_page = _is_own(_values(scope, b"host")[0].lower()) and scope["path"] in OWN_PAGES
    policy = b"frame-ancestors 'none'" if own_page else b"sandbox; default-src 'none'; frame-ancestors 'none'"

    async def sent(message: MutableMapping[str, Any]) -> None:
        if "headers" in message:
            kept = [each for each in message["headers"] if not each[0].lower().startswith(b"access-control-")]
            message = {**message, "headers": [*kept, (b"content-security-policy", policy)]}
        await send(message)

    return sent


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _shown(value: object) -> str:
    """A part of a request for a message: in quotes, with control characters and all that is not ASCII escaped."""
    return ascii(value)[:_LONGEST_SHOWN]
