"""Compression of large fields: a prefix, then the field's JSON as gzip in base64.

aws-lambda-stream uses the same prefix, so each side can read what the other wrote.
"""

from __future__ import annotations

import zlib
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from typing import Any

from . import codec

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


def decompressed(event: dict[str, Any]) -> dict[str, Any]:
    """Decompress the fields of an event; return the event itself if it has no compressed field.

    Raises:
        ValueError: a field is marked as compressed but cannot be read; with its name.
    """
    for value in event.values():
        if _is_compressed(value):
            return {name: _decompressed(name, value) for name, value in event.items()}
    return event


def _is_compressed(value: Any) -> bool:
    return value.__class__ is str and value.startswith(MARK)


def _decompressed(name: str, value: Any) -> Any:
    if not _is_compressed(value):
        return value
    try:
        return codec.decode(zlib.decompress(a2b_base64(value[len(PREFIX) :], strict_mode=True), wbits=_GZIP))
    except (ValueError, zlib.error) as error:
        raise ValueError(f"field {name!r} is marked as compressed and is not gzip of JSON: {error}") from error
