"""Attribute values: which of them DynamoDB takes, the one form in which they are kept, and their sizes.

In that form, equal values are equal in Python: numbers have one text, and sets have an order. Binary values are bytes.
Sources: DynamoDB developer guide, "Supported data types and naming rules" and "DynamoDB item sizes and formats".
Messages are those of AWS, as stream_cli's emulator and ministack have them.
"""

from __future__ import annotations

import base64
import functools
import operator
import re
from collections.abc import Mapping
from decimal import Context, Decimal
from typing import Any, NamedTuple

from refusals import Refusal

Value = Mapping[str, Any]
Item = dict[str, Any]

INVALID = "One or more parameter values were invalid: "
_DIGITS = 38
_LARGEST, _SMALLEST = 125, -130
_LEVELS = 32
_DEEP = frozenset({"B", "BS", "L", "M"})
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,18})?", re.ASCII)
_ARITHMETIC = Context(prec=_DIGITS)
_EMPTY_SETS = {"SS": "An string set  may not be empty", "NS": "An number set  may not be empty"}


def invalid(message: str) -> Refusal:
    """A ValidationException."""
    return Refusal(400, "ValidationException", message)


class Number(NamedTuple):
    """A number that DynamoDB takes: the text in which it is kept, its value, and its size in bytes."""

    text: str
    value: Decimal
    size: int


@functools.lru_cache(maxsize=65_536)
def number(text: str) -> Number:
    """Read a number.

    Raises:
        Refusal: it is none, too large or too small, or has more than 38 digits.
    """
    if text.isdigit() and text.isascii() and text[0] != "0" and len(text) <= _DIGITS:  # most are so
        zeros = len(text) - len(text.rstrip("0"))
        return Number(text, Decimal(text), 1 + (len(text) - zeros + zeros % 2 + 1) // 2)
    if not _NUMBER.fullmatch(text):
        raise invalid(f"The parameter cannot be converted to a numeric value: {text}")
    value = Decimal(text)
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    significant = "".join(map(str, digits)).strip("0")
    if not significant:
        return Number("0", Decimal(0), 1)
    if value.adjusted() > _LARGEST:
        raise invalid("Number overflow. Attempting to store a number with magnitude larger than supported range")
    if value.adjusted() < _SMALLEST:
        raise invalid("Number underflow. Attempting to store a number with magnitude smaller than supported range")
    if len(significant) > _DIGITS:
        raise invalid("Attempting to store more than 38 significant digits in a Number")
    value = value.normalize(_ARITHMETIC)
    exponent = int(value.as_tuple().exponent)
    # A byte holds two digits, counted from the decimal point.
    pairs = (len(significant) + exponent % 2 + 1) // 2
    return Number(format(value, "f"), value, 1 + pairs + sign)


def total(left: str, right: str, sign: int) -> Value:
    """The sum or difference of two numbers.

    Raises:
        Refusal: it is too large or too small.
    """
    one, other = number(left).value, number(right).value
    result = _ARITHMETIC.add(one, other) if sign > 0 else _ARITHMETIC.subtract(one, other)
    return {"N": number(str(result)).text}


def kept(value: Value, level: int = 1) -> tuple[Value, int]:
    """A value as it is kept, and its size in bytes.

    Raises:
        Refusal: it is no attribute value.
    """
    if len(value) != 1:
        number_of_types = "has more than one datatypes set" if value else "is empty"
        raise invalid(f"Supplied AttributeValue {number_of_types}, must contain exactly one of the supported datatypes")
    ((kind, inner),) = value.items()
    if kind == "S":
        return value, len(inner) if inner.isascii() else len(inner.encode())
    if kind == "N":
        text, _, size = number(inner)
        return value if text == inner else {"N": text}, size
    if level > _LEVELS:
        raise invalid(
            "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported "
            "limit"
        )
    if kind == "M":
        size = 3
        attributes = {}
        for name, child in inner.items():
            attributes[name], each = kept(child, level + 1)
            size += each + 1 + (len(name) if name.isascii() else len(name.encode()))
        return {"M": attributes}, size
    if kind == "L":
        elements = [kept(child, level + 1) for child in inner]
        return {"L": [each for each, _ in elements]}, 3 + sum(1 + size for _, size in elements)
    if kind == "BOOL":
        return value, 1
    if kind == "NULL":
        if inner is not True:
            raise invalid(f"{INVALID}Null attribute value types must have the value of true")
        return value, 1
    if kind == "B":
        return value if type(inner) is bytes else {"B": bytes(inner)}, len(inner)
    if kind in ("SS", "NS", "BS"):
        return _kept_set(kind, inner)
    raise invalid("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")


def _kept_set(kind: str, members: Any) -> tuple[Value, int]:
    if not members:
        raise invalid(INVALID + _EMPTY_SETS.get(kind, "Binary sets should not be empty"))
    kept_members = [kept({kind[0]: member}) for member in members]
    found = [each[kind[0]] for each, _ in kept_members]
    if len(set(found)) != len(found):
        listed = "" if kind == "NS" else f" [{', '.join(map(str, found))}]"
        raise invalid(f"{INVALID}Input collection{listed} contains duplicates.")
    return set_of(kind, found), sum(size for _, size in kept_members)


def set_of(kind: str, members: Any) -> Value:
    """Members that are kept as values, as a set."""
    return {kind: sorted(members, key=_by_number if kind == "NS" else None)}


def _by_number(text: str) -> Decimal:
    return number(text).value


def kept_item(item: Mapping[str, Value]) -> tuple[Item, int]:
    """An item, or a key, as it is kept, and its size in bytes.

    Raises:
        Refusal: a value is no attribute value.
    """
    size = 0
    attributes = {}
    for name, value in item.items():
        attributes[name], each = kept(value)
        size += each + (len(name) if name.isascii() else len(name.encode()))
    return attributes, size


def size_of(value: Value) -> int:
    """The size in bytes of a value as it is kept."""
    return kept(value)[1]


def plain(value: Value) -> Any:
    """A value that may be a key as Python compares it: text, Decimal or bytes."""
    ((kind, inner),) = value.items()
    return number(inner).value if kind == "N" else inner


def is_less(one: Value | None, other: Value | None, *, or_equal: bool = False) -> bool:
    """Whether a value comes before another one: texts by their bytes in UTF-8, numbers and binary values.

    It is false for values of two types, of any other type, and for one that is not there.
    """
    if one is None or other is None:
        return False
    ((kind, left),) = one.items()
    right = other.get(kind)
    if right is None or kind not in ("S", "N", "B"):
        return False
    if kind == "N":
        left, right = number(left).value, number(right).value
    return bool(left < right or (or_equal and left == right))


def in_json(item: Item) -> Item:
    """An item as it is in JSON; the item itself if it has no binary values."""
    changed = {}
    for name, value in item.items():
        if not _DEEP.isdisjoint(value):
            each = _in_json(value)
            if each is not value:
                changed[name] = each
    return {**item, **changed} if changed else item


def _in_json(value: Any) -> Any:
    ((kind, inner),) = value.items()
    if kind == "B":
        return {"B": base64.b64encode(inner).decode()}
    if kind == "BS":
        return {"BS": [base64.b64encode(member).decode() for member in inner]}
    if kind == "L":
        elements = [element if _DEEP.isdisjoint(element) else _in_json(element) for element in inner]
        return value if all(map(operator.is_, elements, inner)) else {"L": elements}
    attributes = in_json(inner)
    return value if attributes is inner else {"M": attributes}
