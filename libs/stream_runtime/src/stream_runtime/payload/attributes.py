"""DynamoDB's attribute values to and from Python, without loss of precision.

``N`` becomes an int if it is one, else a Decimal. Floats are written in their shortest decimal form: 0.1 is 0.1. Sets,
binaries, lists and maps are as in the AWS SDK.
Source: DynamoDB API reference, "AttributeValue"; numbers have at most 38 significant digits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import Enum
from typing import Any

MOST_VALUES = 400 * 1024 // 2
"""An item has at most 400 KB, of which each value in it takes two bytes or more.

Source: DynamoDB developer guide, "DynamoDB item sizes and formats".
"""

Item = dict[str, Any]
AttributeValue = Mapping[str, Any]


def unmarshall(image: Mapping[str, AttributeValue]) -> Item:
    """A stream image or a response's item, ``{"name": {"S": "x"}}``, as plain values, ``{"name": "x"}``.

    Raises:
        ValueError: a value is not an attribute value, with its name.
    """
    item = {}
    for name, typed in image.items():
        try:
            ((kind, value),) = typed.items()
            item[name] = value if kind == "S" else _READERS[kind](value)
        except (AttributeError, KeyError, TypeError, ValueError, ArithmeticError) as error:
            raise ValueError(f"attribute {name!r} is not a DynamoDB attribute value: {typed!r:.200}") from error
        except RecursionError:
            raise ValueError(f"attribute {name!r} has too many levels; DynamoDB has at most 32") from None
    return item


def marshall(item: Mapping[str, object]) -> dict[str, AttributeValue]:
    """Plain values, ``{"name": "x"}``, as attribute values, ``{"name": {"S": "x"}}``.

    Raises:
        TypeError: DynamoDB has no type for a value (such as an empty set), or there are more values than an item can
            hold, which botocore would check for seconds; with its name.
    """
    typed = {}
    left = MOST_VALUES
    for name, value in item.items():
        try:
            if type(value) in _CONTAINERS:
                left = _left_after(value, left)
            typed[name] = to_attribute(value)
        except (TypeError, ValueError) as error:
            raise TypeError(f"attribute {name!r}: {error}") from None
    return typed


def to_attribute(value: Any) -> AttributeValue:
    """One plain value as an attribute value.

    Raises:
        TypeError: DynamoDB has no type for it.
        ValueError: a number it cannot hold.
    """
    writer = _WRITERS.get(type(value))
    if writer is not None:
        return writer(value)
    for kind, write in _WRITERS.items():
        if isinstance(value, kind):
            return write(value)
    if isinstance(value, Enum):
        return to_attribute(value.value)
    if isinstance(value, Mapping):
        return _write_map(value)
    raise TypeError(f"a value of type {type(value).__name__} cannot be stored: {value!r:.80}")


_CONTAINERS = frozenset({dict, list, tuple})


def _left_after(container: Any, left: int) -> int:
    """How many values an item may have besides those in a container."""
    containers = [container]
    while containers:
        container = containers.pop()
        left -= len(container)
        if left < 0:
            raise ValueError(f"more than {MOST_VALUES} values, which no item can hold")
        values = container.values() if type(container) is dict else container
        containers += [value for value in values if type(value) in _CONTAINERS]
    return left


_LARGEST_EXPONENT = 308
"""Of a float. DynamoDB's numbers end at 125; without an end, ten characters could make an int of a billion digits."""


def _read_number(text: str) -> int | Decimal:
    try:
        if len(text) <= _LARGEST_EXPONENT:
            return int(text)
    except ValueError:
        pass  # it has a fraction or an exponent
    number = Decimal(text)
    if not number.is_finite() or number.adjusted() > _LARGEST_EXPONENT:
        raise ValueError("it is larger than any number of DynamoDB")
    return number


def _read(typed: AttributeValue) -> Any:
    ((kind, value),) = typed.items()
    return value if kind == "S" else _READERS[kind](value)


def _read_binary(value: str | bytes) -> bytes:
    if isinstance(value, bytes):
        return value
    import base64

    return base64.b64decode(value, validate=True)


_READERS: dict[str, Any] = {
    "S": str,
    "N": _read_number,
    "BOOL": bool,
    "NULL": lambda _: None,
    "M": lambda value: {name: _read(typed) for name, typed in value.items()},
    "L": lambda value: [_read(typed) for typed in value],
    "SS": set,
    "NS": lambda value: {_read_number(text) for text in value},
    "B": _read_binary,
    "BS": lambda value: {_read_binary(part) for part in value},
}


def _write_float(value: float) -> AttributeValue:
    if not math.isfinite(value):
        raise ValueError(f"DynamoDB has no number {value!r}")
    return {"N": repr(value)}


def _write_decimal(value: Decimal) -> AttributeValue:
    if not value.is_finite():
        raise ValueError(f"DynamoDB has no number {value}")
    digits = value.as_tuple().digits
    if len(digits) > 38 and len(str(int("".join(map(str, digits)))).rstrip("0")) > 38:
        raise ValueError(f"DynamoDB keeps 38 significant digits, {value} has more")
    return {"N": str(value)}


def _write_set(value: set[Any] | frozenset[Any]) -> AttributeValue:
    if not value:
        raise TypeError("DynamoDB has no empty set; leave the attribute out, or set it to None to remove it")
    if all(isinstance(member, str) for member in value):
        return {"SS": sorted(value)}
    if all(isinstance(member, bytes | bytearray) for member in value):
        return {"BS": sorted(value)}
    if all(isinstance(member, int | float | Decimal) and not isinstance(member, bool) for member in value):
        return {"NS": [to_attribute(member)["N"] for member in sorted(value)]}
    raise TypeError(f"a set holds strings only, numbers only or bytes only: {value!r:.80}")


def _write_map(value: Mapping[Any, Any]) -> AttributeValue:
    return {"M": {str(name): to_attribute(member) for name, member in value.items()}}


_WRITERS: dict[type, Callable[[Any], AttributeValue]] = {
    str: lambda value: {"S": str.__str__(value)},
    bool: lambda value: {"BOOL": value},
    int: lambda value: {"N": str(int(value))},
    type(None): lambda _: {"NULL": True},
    dict: _write_map,
    list: lambda value: {"L": [to_attribute(member) for member in value]},
    tuple: lambda value: {"L": [to_attribute(member) for member in value]},
    float: _write_float,
    Decimal: _write_decimal,
    set: _write_set,
    frozenset: _write_set,
    bytes: lambda value: {"B": value},
    bytearray: lambda value: {"B": bytes(value)},
}
