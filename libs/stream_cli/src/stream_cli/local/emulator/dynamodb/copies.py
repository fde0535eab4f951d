"""Items are copied as what they are, trees of JSON, in a fifth of the time that ``copy.deepcopy`` takes.

ministack copies an item three times for each update.
"""

from __future__ import annotations

import copy
from typing import Any

INTERNALS = {"ministack.services.dynamodb": ("copy",)}

_PLAIN = frozenset({str, int, float, bool, bytes, type(None)})


class Copy:
    """Stands for the module ``copy`` in ministack's DynamoDB."""

    def __getattr__(self, name: str) -> Any:
        return getattr(copy, name)

    @staticmethod
    def deepcopy(value: Any) -> Any:
        """As ``copy.deepcopy`` of a value in which nothing is there twice."""
        return copied(value)


def patch() -> None:
    """Copy items so."""
    from ministack.services import dynamodb

    dynamodb.copy = Copy()


def copied(value: Any) -> Any:
    """A copy with no dict or list of the value's own."""
    kind = type(value)
    if kind is dict:
        return {name: copied(each) for name, each in value.items()}
    if kind is list:
        return [copied(each) for each in value]
    return value if kind in _PLAIN else copy.deepcopy(value)
