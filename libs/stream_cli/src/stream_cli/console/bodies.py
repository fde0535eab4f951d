"""The bodies of requests: small, JSON, and what the answer takes, or refused before they are read further."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from starlette.requests import ClientDisconnect, Request
from stream_runtime.payload import codec

from stream_cli.console.refusals import Refusal

MOST_BYTES = 64 * 1024
_READ_WITHIN_S = 20.0
_MEDIA_TYPE = "application/json"
_NAMES = {str: "a text", bool: "true or false", list: "a list of texts"}


async def json_body(request: Request) -> dict[str, Any]:
    """The JSON object in a request.

    Raises:
        Refusal: it is too large (the rest is not read), comes too slowly, or has another type: the forms of a browser
            have only such as need no permission.
        ValueError: it is no JSON object.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != _MEDIA_TYPE:
        raise Refusal(415, f"Content-Type must be {_MEDIA_TYPE}.")
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal() or len(announced) > len(str(MOST_BYTES)) or int(announced) > MOST_BYTES:
        raise _too_large()
    try:
        async with asyncio.timeout(_READ_WITHIN_S):
            content = await _read(request)
    except TimeoutError:
        raise Refusal(408, f"The body did not come within {_READ_WITHIN_S:g} s.") from None
    except ClientDisconnect:
        raise Refusal(400, "The body ended early.") from None
    try:
        found = codec.decode(content)
    except ValueError as error:
        raise ValueError(f"The body is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError("The body is no JSON object.")
    return found


async def _read(request: Request) -> bytes:
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > MOST_BYTES:
            raise _too_large()
    return bytes(content)


def _too_large() -> Refusal:
    return Refusal(413, f"A body has at most {MOST_BYTES // 1024} KiB.")


def fields(body: Mapping[str, Any], kinds: Mapping[str, type]) -> dict[str, Any]:
    """The fields of a body; those that it does not have are left out.

    Args:
        kinds: of each field that there may be: ``str``, ``bool``, or ``list`` for texts.

    Raises:
        ValueError: a field is unknown, or of another kind.
    """
    if unknown := sorted(body.keys() - kinds.keys()):
        names = ", ".join(map(ascii, unknown))[:200]
        raise ValueError(f"Unknown: {names}. There may be: {', '.join(kinds) or 'nothing'}.")
    for name, value in body.items():
        if not isinstance(value, kinds[name]) or (isinstance(value, list) and not all(map(_is_text, value))):
            raise ValueError(f"{name} must be {_NAMES[kinds[name]]}.")
    return dict(body)


def _is_text(value: object) -> bool:
    return isinstance(value, str)
