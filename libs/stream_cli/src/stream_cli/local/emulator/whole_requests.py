"""A request is executed only if all of it has arrived, and if there is no doubt about where it ends.

hypercorn lets two kinds pass that could be taken for another request than the sender's. A request with a Content-Length
and in chunks is executed, and so is what a reader of the length takes for its body. A request whose client disconnects
in the middle of the body is executed with the part that has arrived.

Source: RFC 9112, section 6.3 (3) and section 8.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

App = Callable[..., Awaitable[None]]

_TWO_LENGTHS = {b"content-length", b"transfer-encoding"}
_REFUSAL = b"A request has a Content-Length or a Transfer-Encoding, not both.\n"


class _ClientGone(Exception):
    """The client has gone before it had sent the whole request."""


def whole_requests(app: App) -> App:
    """Wrap an application of hypercorn, so that it gets whole requests only."""

    async def checked(scope: Any, receive: Any, send: Any, *more: Any) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send, *more)
            return
        whole = False

        async def received() -> MutableMapping[str, Any]:
            nonlocal whole
            message: MutableMapping[str, Any] = await receive()
            if message["type"] == "http.disconnect" and not whole:
                raise _ClientGone
            whole = whole or not message.get("more_body", False)
            return message

        try:
            if {name for name, _ in scope["headers"]} >= _TWO_LENGTHS:
                await _refuse(received, send)
            else:
                await app(scope, received, send, *more)
        except _ClientGone:
            return  # nobody waits for an answer

    return checked


async def _refuse(receive: Any, send: Any) -> None:
    """Answer with 400, and end the connection: what else has come over it may be a part of this request."""
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-length", str(len(_REFUSAL)).encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 400, "headers": headers})
    await send({"type": "http.response.body", "body": _REFUSAL})
