"""Rows of DynamoDB for people: plain JSON without secrets, in which what is packed or binary says so."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any

from stream_runtime.payload.compression import MARK

from stream_cli.faults.redaction import readable, redacted

_MOST_EXACT = 1 << 53
"""Integers that a browser holds exactly; larger ones, and decimals that a float does not hold, stay text."""
_PREVIEWED = 6
_LONGEST_PREVIEWED = 120
_CLAIM_CHECK = "claim_check"
_DEEPEST = 40


def plain(item: Mapping[str, Any]) -> dict[str, Any]:
    """A row without the letters of types. Sets are lists; binary values are replaced by their size."""
    return {name: _plain(value) for name, value in item.items()}


def _plain(typed: Any) -> Any:
    if not isinstance(typed, Mapping) or len(typed) != 1:
        return typed
    ((kind, value),) = typed.items()
    match kind:
        case "M":
            return plain(value)
        case "L":
            return [_plain(each) for each in value]
        case "N":
            return _number(value)
        case "NS":
            return [_number(each) for each in value]
        case "B":
            return f"[binary, {_size(value):,} bytes]"
        case "BS":
            return [f"[binary, {_size(each):,} bytes]" for each in value]
        case "NULL":
            return None
        case _:
            return value


def _number(text: str) -> int | float | str:
    try:
        number = int(text)
    except ValueError:
        return float(text) if repr(float(text)) == text else text
    return number if abs(number) <= _MOST_EXACT else text


def _size(value: Any) -> int:
    """The bytes of a binary value, which boto3 gives as bytes and the journal has in base64."""
    if isinstance(value, bytes | bytearray):
        return len(value)
    try:
        return len(base64.b64decode(value))
    except (binascii.Error, TypeError, ValueError):
        return len(str(value))


def shown(values: Mapping[str, Any]) -> dict[str, Any]:
    """A plain row for display: what is compressed or encoded in it is decoded, secrets are hidden, long texts cut."""
    found: dict[str, Any] = readable({"uow": values}, whole=False)["uow"]
    return found


def notes(values: Mapping[str, Any], path: str = "", depth: int = 0) -> Iterator[dict[str, str]]:
    """Where something in a plain row is not what it looks like: ``path``, and ``what`` it is."""
    for name, value in values.items():
        place = f"{path}.{name}" if path else name
        if isinstance(value, str) and value.startswith(MARK):
            yield {"path": place, "what": f"compressed, {len(value):,} characters; shown as it is within"}
        elif isinstance(value, Mapping) and name == _CLAIM_CHECK:
            object_of = redacted({each: str(value.get(each, "?")) for each in ("bucket", "key")})
            yield {"path": place, "what": f"its body is in s3://{object_of['bucket']}/{object_of['key']}"}
        elif isinstance(value, Mapping) and depth < _DEEPEST:
            yield from notes(value, place, depth + 1)


def preview(values: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    """Some attributes of a plain row, beside its keys, on one line. What is large has its size alone."""
    chosen = [name for name in sorted(values) if name not in keys][:_PREVIEWED]
    small = {name: values[name] for name in chosen if _is_small(values[name])}
    hidden = redacted(small)
    return " · ".join(f"{name}: {_briefly(hidden.get(name, values[name]))}" for name in chosen)


def _is_small(value: Any) -> bool:
    return not isinstance(value, Mapping | list) and len(str(value)) <= _LONGEST_PREVIEWED


def _briefly(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{{len(value)}}}"
    if isinstance(value, list):
        return f"[{len(value)}]"
    return str(value) if _is_small(value) else f"{len(str(value)):,} characters"
