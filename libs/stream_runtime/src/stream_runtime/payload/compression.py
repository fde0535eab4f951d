"""Compression of large fields: a prefix, then the field's JSON as gzip in base64.

aws-lambda-stream uses the same prefix, so each side can read what the other wrote.
"""

from __future__ import annotations

import zlib
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from typing import Any

from . import codec

MOST_BYTES = 16_777_216
"""Bytes to which the compressed fields of an event may expand together, if a setting does not say otherwise."""

_GZIP = 31  # zlib's value for gzip with the largest window; importing the module gzip would slow every cold start

PREFIX = "COMPRESSED"

MARK = f"{PREFIX}H4sI"
"""The prefix and the first bytes of every gzip in base64; text that only starts with the word is left alone."""

KEPT = frozenset({"id", "type", "timestamp", "partition_key", "tags", "claim_check"})
"""Fields of an event that are never compressed, because buses, filters and indexes read them."""


def compressed(event: Mapping[str, Any], threshold: int | None) -> dict[str, Any]:
    """Compress the fields of an event that have more than ``threshold`` bytes of JSON, except those in `KEPT`.

    Args:
        event: the event; it is not changed.
        threshold: bytes; None compresses nothing.
    """
    if threshold is None:
        return dict(event)
    return {name: value if name in KEPT else _compressed(value, threshold) for name, value in event.items()}


def _compressed(value: Any, threshold: int) -> Any:
    if value is None or isinstance(value, bool | int | float) or _is_compressed(value):
        return value
    body = codec.encode(value).encode()
    if len(body) <= threshold:
        return value
    return PREFIX + b2a_base64(_gzip(body), newline=False).decode("ascii")


def _gzip(body: bytes) -> bytes:
    """Always the same bytes for the same body: zlib writes no time into the header."""
    packer = zlib.compressobj(wbits=_GZIP)
    return packer.compress(body) + packer.flush()


def is_compressed(event: Mapping[str, Any]) -> bool:
    """Whether an event has a compressed field."""
    return any(map(_is_compressed, event.values()))


def decompressed(event: dict[str, Any], most_bytes: int = MOST_BYTES) -> dict[str, Any]:
    """Decompress the fields of an event; return the event itself if it has no compressed field.

    Raises:
        ValueError: a field is marked as compressed but cannot be read, with its name; or all of them together expand to
            more than ``most_bytes``, or to more values than fit into them.
    """
    return expanded(event, most_bytes)[0]


def expanded(event: dict[str, Any], most_bytes: int) -> tuple[dict[str, Any], int]:
    """As `decompressed`, with the number of bytes to which the fields expanded."""
    if not is_compressed(event):
        return event, 0
    try:
        return _whole(event, most_bytes)
    except ValueError as error:
        reason = str(error)
    raise ValueError(reason)  # an error without the frames that hold what was expanded until then


def _whole(event: dict[str, Any], most_bytes: int) -> tuple[dict[str, Any], int]:
    bodies: dict[str, bytes] = {}
    whole = dict(event)
    left = most_bytes
    name = ""
    try:
        for name, value in event.items():
            if _is_compressed(value):
                bodies[name] = _expanded(value, left)
                left -= len(bodies[name])
        codec.check_values(bodies.values(), most_bytes)
        for name, body in bodies.items():
            whole[name] = codec.decode(body)
    except (ValueError, zlib.error) as error:
        raise ValueError(f"field {name!r} is marked as compressed and cannot be read: {error}") from error
    return whole, most_bytes - left


def _is_compressed(value: Any) -> bool:
    return value.__class__ is str and value.startswith(MARK)


def _expanded(value: str, most_bytes: int) -> bytes:
    unpacker = zlib.decompressobj(wbits=_GZIP)
    body = unpacker.decompress(a2b_base64(value[len(PREFIX) :], strict_mode=True), most_bytes + 1)
    if len(body) > most_bytes:
        raise ValueError("the event expands to more bytes than MAX_EXPANDED_SIZE")
    if not unpacker.eof:
        raise ValueError("it ends too soon")
    return body
