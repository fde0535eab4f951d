"""Compression of large fields: text that stands for a field's JSON, gzip and base64 behind a prefix.

Other systems of this kind mark compressed fields with the same prefix, so that either side reads what the other wrote.
"""

from __future__ import annotations

import zlib
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from typing import Any

from . import codec

_GZIP = 31  # zlib's name for gzip with the largest window; the module gzip would cost every cold start its import

PREFIX = "COMPRESSED"

MARK = f"{PREFIX}H4sI"
"""The prefix and what every gzip begins with in base64; a text that merely starts with the word is left alone."""

KEPT = frozenset({"id", "type", "timestamp", "partition_key", "tags", "claim_check"})
"""Fields of an event that stay readable, because buses, filters and indexes read them."""


def compressed(event: Mapping[str, Any], threshold: int | None) -> dict[str, Any]:
    """An event whose fields with more than ``threshold`` bytes of JSON are compressed; what routing needs is not.

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
    """The same bytes for the same body: zlib writes no time into the header."""
    packer = zlib.compressobj(wbits=_GZIP)
    return packer.compress(body) + packer.flush()


def decompressed(event: dict[str, Any]) -> dict[str, Any]:
    """An event with its compressed fields as they were; the event itself where it has none.

    Raises:
        ValueError: a field is marked as compressed and cannot be read, with its name.
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
