"""Fields of nested data by their dotted path, ``event.order.id``; what is not there is None."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any


def field_at(path: str) -> Callable[[Any], Any]:
    """A function that reads the field at a path; parts that are whole numbers index lists.

    A dotted name that is itself a key wins over the path through it, as ``{"order.id": 1}`` may be meant.
    """
    parts = path.split(".")

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
