"""The runtime's JSON codec: orjson if it is installed, else the standard library.

orjson is imported when something is written, or read that is no JSON, or much has been read: see `AT_FIRST`.

Both read the same documents and refuse the same ones: at most `MOST_LEVELS` levels, strict UTF-8 without a byte order
mark, no lone surrogates, no NaN, no infinite number; integers beyond 64 bits are floats. Both write Decimal as a
number, sets as sorted lists, datetimes as ISO 8601, bytes as base64, enumerations as their value. They differ in one
thing: orjson writes NaN as null, the standard library refuses it.
"""

from __future__ import annotations

import json
import re
from binascii import b2a_base64
from collections.abc import Callable, Iterable
from datetime import date
from decimal import Decimal
from enum import Enum
from functools import cache
from itertools import accumulate
from typing import Any

AT_FIRST = 1000
"""Documents that a process reads without orjson: importing it takes as long as it saves on some two thousand."""

MOST_LEVELS = 200
"""Objects and lists inside each other that a document may have.

Whatever is done with such a value later (freezing, copying, storing, writing it) stays below Python's recursion limit
of 1000, with up to three frames a level.
"""

SHALLOW = 5 * MOST_LEVELS - 5
"""Bytes of a document that cannot have more levels if it has at most one list: an object takes five, a list two."""


def plain(value: object) -> object:
    """The JSON form of a value that JSON has no type for.

    Raises:
        TypeError: it has none.
    """
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes | bytearray):
        return b2a_base64(value, newline=False).decode("ascii")
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, BaseException):
        return repr(value)
    raise TypeError(f"a value of type {type(value).__name__} has no JSON form: {value!r:.80}")


def _encode_with_json(value: object, *, sort_keys: bool = False) -> str:
    try:
        return json.dumps(
            value, default=plain, ensure_ascii=False, separators=(",", ":"), allow_nan=False, sort_keys=sort_keys
        )
    except RecursionError:
        raise ValueError("the value has too many levels to be written as JSON") from None


def _read_integer(text: str) -> int | float:
    number = int(text) if len(text) <= _MOST_DIGITS else 1 << 64
    return number if -(1 << 63) <= number < 1 << 64 else _read_float(text)


def _read_float(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"a number is beyond what a float holds: {text:.40}")
    return number


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_MOST_DIGITS = 20  # of an integer of 64 bits, with its sign
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_decoder = json.JSONDecoder(parse_int=_read_integer, parse_float=_read_float, parse_constant=_refuse_constant)


def _decode_with_json(data: str | bytes) -> Any:
    text = data if isinstance(data, str) else data.decode()
    if not text.isascii():
        text.encode()  # refuses lone surrogates
    value = _decoder.decode(text)
    if _SURROGATE.search(text):
        _encode_with_json(value).encode()
    return value


@cache
def _orjson() -> Any:
    try:
        import orjson
    except ImportError:
        return None
    return orjson


def encode(value: object) -> str:
    """A value as compact JSON.

    Raises:
        TypeError: part of it has no JSON form.
        ValueError: it has too many levels.
    """
    orjson = _orjson()
    if orjson is None:
        return _encode_with_json(value)
    try:
        return str(orjson.dumps(value, default=plain, option=orjson.OPT_NON_STR_KEYS), "utf-8")
    except TypeError:
        return _encode_with_json(value)


def _decode_at_first(data: str | bytes) -> Any:
    global decode_shallow, _left
    if _left:
        _left -= 1
        try:
            return _decode_with_json(data)
        except ValueError:  # whose message shall not depend on what was read before
            _left = 0
    orjson = _orjson()
    decode_shallow = _decode_with_json if orjson is None else orjson.loads
    return decode_shallow(data)


_left = AT_FIRST
decode_shallow: Callable[[str | bytes], Any] = _decode_at_first
"""As `decode`, for text that cannot have more than `MOST_LEVELS` levels."""


def decode(data: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is not JSON, or has more than `MOST_LEVELS` levels.
        TypeError: it is neither text nor bytes.
    """
    text: Any = data
    if isinstance(data, bytes | bytearray):
        lists, objects = _IN_BYTES
    elif isinstance(data, str):
        lists, objects = _IN_TEXT
    else:
        raise TypeError(f"JSON is text or bytes, not a {type(data).__name__}")
    size, most = len(text), text.count(lists)
    # A short document with so many lists has bytes for so many levels; in others each bracket may be one.
    most = (size + 3 * most) // 5 if size <= SHALLOW else most + text.count(objects)
    if most > MOST_LEVELS:
        check_levels(data)
    return decode_shallow(data)


_IN_BYTES: Any = (b"[", b"{")
_IN_TEXT: Any = ("[", "{")


def check_levels(data: str | bytes) -> None:
    """Check that a JSON text has at most `MOST_LEVELS` levels, without decoding it.

    The innermost pairs of brackets are taken away a few times, after which hardly anything is left of most documents.

    Raises:
        ValueError: it has more.
    """
    brackets = outside_strings(data.encode() if isinstance(data, str) else data, b"{}[]")
    brackets = brackets.translate(bytes.maketrans(b"{}", b"[]"))
    taken = 0
    while taken < _MOST_TAKEN and len(outer := brackets.replace(b"[]", b"")) < len(brackets):
        brackets = outer
        taken += 1
    if brackets and taken + max(accumulate(map(_STEPS.__getitem__, brackets))) > MOST_LEVELS:
        raise ValueError(f"the document has more than {MOST_LEVELS} levels")


_MOST_TAKEN = 8
_STEPS = {ord("["): 1, ord("]"): -1}


def check_value(value: object) -> None:
    """Check that a value that Lambda decoded has at most `MOST_LEVELS` levels.

    Raises:
        ValueError: it has more.
    """
    level = [value]
    for _ in range(MOST_LEVELS + 1):
        members = (each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list))
        level = [member for group in members for member in group]
        if not level:
            return
    raise ValueError(f"the value has more than {MOST_LEVELS} levels")


def check_values(documents: Iterable[bytes], most_bytes: int) -> None:
    """Check that documents that came in a smaller form have at most one value for each 16 of ``most_bytes``.

    An empty object takes three bytes of JSON, and 70 of memory.

    Raises:
        ValueError: they have more.
    """
    left = most = max(1024, most_bytes // 16)
    for document in documents:
        values = sum(map(document.count, _SEPARATORS))
        if values > left:
            values = len(outside_strings(document, b"".join(_SEPARATORS)))
        left -= values
        if left < 0:
            raise ValueError(f"there are more than {most} values, one for each 16 bytes of MAX_EXPANDED_SIZE")


_SEPARATORS = (b"{", b"[", b",", b":")


def outside_strings(document: bytes, kept: bytes) -> bytes:
    """Those characters of a JSON text that are among ``kept`` and in none of its strings."""
    if b"\\" in document:
        document = document.replace(b"\\\\", b"").replace(b'\\"', b"")
    left = document.translate(None, bytes(set(range(256)) - set(kept + b'"')))
    return b"".join(left.replace(b'""', b"").split(b'"')[::2])


def canonical(value: object) -> str:
    """A value as JSON that is the same for equal values, whatever the order of their keys."""
    return _encode_with_json(value, sort_keys=True)
