"""Fields of nested data by dotted path, such as ``event.order.id``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any


def field_at(path: str) -> Callable[[Any], Any]:
    """A function that reads the field at a path; None if it is not there. Parts that are whole numbers index lists.

    A key that is equal to the whole path wins, as in ``{"order.id": 1}``.
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
