"""Data classes from the JSON of what they hold."""

from __future__ import annotations

from typing import TypeVar

MOST_TOLD = 3
T = TypeVar("T")


def read(kind: type[T], text: str) -> T:
    """An object of a data class from JSON, with every field that has no default, and no others.

    Raises:
        ValueError: it is not that; says where and why.
    """
    from pydantic import TypeAdapter, ValidationError  # takes its time, and only a history that is given needs it

    try:
        return TypeAdapter(kind).validate_json(text, strict=True, extra="forbid")
    except ValidationError as error:
        told = [": ".join(filter(None, (".".join(map(str, each["loc"])), each["msg"]))) for each in error.errors()]
        raise ValueError("; ".join(told[:MOST_TOLD])) from None
