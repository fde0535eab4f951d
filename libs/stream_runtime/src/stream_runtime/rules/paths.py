"""Fields of nested data by dotted path, such as ``event.order.id``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_INDEX = re.compile(r"\[(\d+)\]")


def with_field_at(path: str) -> Callable[[Mapping[str, Any], Any], dict[str, Any]]:
    """A function of a mapping and a value that returns the mapping with the value at a path, in mappings of its own.

    The mapping stays as it is. What is not there on the way is made.
    """
    *way, last = path.split(".")

    def write(whole: Mapping[str, Any], value: Any) -> dict[str, Any]:
        if not way:
            return {**whole, last: value}
        result = dict(whole)
        inner = result
        for part in way:
            below = inner.get(part)
            if below is not None and not isinstance(below, Mapping):
                raise TypeError(f"nothing can be put at {path!r}: {part!r} is of type {type(below).__name__}")
            inner[part] = dict(below or {})
            inner = inner[part]
        inner[last] = value
        return result

    return write


def field_at(path: str) -> Callable[[Any], Any]:
    """A function that reads the field at a path; None if it is not there.

    Whole numbers index lists: ``items.0.id`` or ``items[0].id``. A key that is equal to the whole path wins, as in
    ``{"order.id": 1}``.
    """
    parts = _INDEX.sub(r".\1", path).split(".")

    def read(value: Any) -> Any:
        if isinstance(value, Mapping) and path in value:
            return value[path]
        for part in parts:
            if isinstance(value, Mapping):
                value = value.get(part)
            elif isinstance(value, Sequence) and not isinstance(value, str | bytes) and part.isdecimal():
                value = value[int(part)] if int(part) < len(value) else None
            else:
                return None
        return value

    return read
