"""What ministack asks about each value of an item, several times for a write, is answered without a generator.

Levels, sizes and errors are those of ministack's own functions, which a test compares; rare kinds of values are left to
these.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

INTERNALS = {
    "ministack.services.dynamodb": (
        *("_nesting_level", "_attribute_value_size", "_attribute_value_error", "_item_size_bytes"),
    ),
}


def patch() -> None:
    """Walk over values so."""
    from ministack.services import dynamodb

    dynamodb._nesting_level = nesting_level
    size = dynamodb._attribute_value_size = sizes(dynamodb._attribute_value_size)
    dynamodb._item_size_bytes = lambda item: item_size(item, size)
    dynamodb._attribute_value_error = errors(dynamodb._attribute_value_error)


def nesting_level(value: Any, depth: int = 1) -> int:
    """The level of the deepest leaf; the attribute itself is at level ``depth``."""
    children = _children(value)
    deepest = depth
    for child in children:
        level = nesting_level(child, depth + 1)
        if level > deepest:
            deepest = level
    return deepest


def sizes(others: Callable[[Any], int]) -> Callable[[Any], int]:
    """How many bytes a value counts for; ``others`` knows it for values that are no text and no map."""

    def size(value: Any) -> int:
        if type(value) is dict and len(value) == 1:
            for kind, inner in value.items():
                if kind == "S" and type(inner) is str:
                    return len(inner) if inner.isascii() else len(inner.encode())
                if kind == "M" and type(inner) is dict:
                    total = 3 + len(inner)
                    for name, child in inner.items():
                        total += len(name) if name.isascii() else len(name.encode())
                        total += size(child)
                    return total
        return others(value)

    return size


def item_size(item: Any, size: Callable[[Any], int]) -> int:
    """How many bytes an item counts for."""
    total = 0
    if isinstance(item, dict):
        for name, value in item.items():
            total += len(name) if name.isascii() else len(name.encode())
            total += size(value)
    return total


def errors(others: Callable[[Any], str | None]) -> Callable[[Any], str | None]:
    """The first bad number or member of a set in a value; ``others`` finds it in values that are no text and no map."""

    def error(value: Any) -> str | None:
        if isinstance(value, dict) and len(value) == 1:
            ((kind, inner),) = value.items()
            if kind == "S":
                return None
            if kind == "M" and isinstance(inner, dict):
                for child in inner.values():
                    if (found := error(child)) is not None:
                        return found
                return None
        return others(value)

    return error


def _children(value: Any) -> Any:
    if isinstance(value, dict) and len(value) == 1:
        ((kind, inner),) = value.items()
        if kind == "M" and isinstance(inner, dict):
            return inner.values()
        if kind == "L" and isinstance(inner, list):
            return inner
    return ()
