"""Finds the rules of a handler."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any


def rules_in(function: Any, module: ModuleType) -> list[Mapping[str, Any]] | None:
    """The rules of a handler that `stream_handler` returned, else all lists of rules in the handler's module."""
    own: Any = getattr(function, "rules", None)
    if _are_rules(own):
        return list(own)
    found = [value for value in vars(module).values() if _are_rules(value)]
    distinct = {id(rules): rules for rules in found}
    return [rule for rules in distinct.values() for rule in rules] if found else None


def _are_rules(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and bool(value)
        and all(isinstance(each, Mapping) and "id" in each and callable(each.get("flavor")) for each in value)
    )
