"""The runtime's JSON codec: orjson if it is installed, else the standard library.

Both read and write the same documents: numbers as int or float, Decimal written as a number, sets as sorted lists,
datetimes as ISO 8601, bytes as base64, enumerations as their value. They differ where JSON leaves it open: orjson reads
integers beyond 64 bits as floats and writes NaN as null; the standard library keeps the first exact and refuses the
second.
"""

from __future__ import annotations

import base64
import json
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any

try:
    import orjson
except ImportError:
    orjson = None  # type: ignore[assignment,unused-ignore]


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
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, BaseException):
        return repr(value)
    raise TypeError(f"a value of type {type(value).__name__} has no JSON form: {value!r:.80}")


def _encode_with_json(value: object, *, sort_keys: bool = False) -> str:
    return json.dumps(
        value, default=plain, ensure_ascii=False, separators=(",", ":"), allow_nan=False, sort_keys=sort_keys
    )


if orjson is not None:

    def encode(value: object) -> str:
        """A value as compact JSON.

        Raises:
            TypeError: part of it has no JSON form.
        """
        try:
            return str(orjson.dumps(value, default=plain, option=orjson.OPT_NON_STR_KEYS), "utf-8")
        except TypeError:
            return _encode_with_json(value)

    def decode(data: str | bytes) -> Any:
        """The value of a JSON text.

        Raises:
            ValueError: it is not JSON.
        """
        return orjson.loads(data)

else:
    encode = _encode_with_json
    decode = json.loads


def canonical(value: object) -> str:
    """A value as JSON that is the same for equal values, whatever the order of their keys."""
    return _encode_with_json(value, sort_keys=True)
