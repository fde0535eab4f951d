"""Splitting a unit of work into several, one for each member of a list in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stream_runtime.engine.flow import Operator, compose
from stream_runtime.engine.operators import rx_map, split_buffer
from stream_runtime.faults import faulty

from .callables import with_rule
from .paths import field_at


def split_object(rule: Mapping[str, Any]) -> Operator | None:
    """The operator of a rule's ``split_on``: a path to a list in the uow, or a function of it that gives new uows.

    Each member goes on in a unit of work of its own, under ``split_target_field`` (``split`` by default). None where
    the rule does not split.
    """
    split_on = rule.get("split_on")
    if not split_on:
        return None
    if callable(split_on):
        own = with_rule(split_on, rule)
        return compose(rx_map(faulty(lambda uow: list(own(uow) or ()))), split_buffer())
    target = rule.get("split_target_field") or "split"
    read = field_at(split_on)

    def to_parts(uow: Any) -> list[Any]:
        members = read(uow)
        if members is None:
            return []
        if not isinstance(members, list | tuple):
            raise TypeError(
                f"split_on {split_on!r} is a {type(members).__name__} in this unit of work; expected a list"
            )
        return [{**uow, target: member} for member in members]

    return compose(rx_map(faulty(to_parts)), split_buffer())
