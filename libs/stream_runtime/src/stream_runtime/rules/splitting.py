"""One unit of work into several."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from stream_runtime.engine.flow import Operator, compose
from stream_runtime.engine.operators import rx_map, split_buffer
from stream_runtime.faults import faulty

from .callables import with_rule
from .fields import Rule
from .paths import field_at


def split_object(rule: Rule, *, numbered: bool = False) -> Operator:
    """The operator of a rule's ``split_on``; it passes everything on if the rule has none.

    Each member of the list at that path goes on in a unit of work of its own, under ``split_target_field``. A function
    gives the new units of work itself. For ``numbered`` see `split_into`.
    """
    split_on = rule.get("split_on")
    if not split_on:
        return compose()
    if callable(split_on):
        own = with_rule(split_on, rule)
        return split_into(lambda uow: own(uow) or (), numbered=numbered)
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

    return split_into(to_parts, numbered=numbered)


def split_into(to_uows: Callable[[Any], Iterable[Any]], *, numbered: bool = True) -> Operator:
    """The operator that replaces each unit of work by those that a function makes of it.

    If there are several and they are ``numbered``, each has its place among them under ``split_path``; ids of their
    faults are derived from it.
    """

    def to_parts(uow: Any) -> list[Any]:
        parts = list(to_uows(uow))
        if len(parts) < 2 or not numbered:
            return parts
        whole = uow.get("split_path", ())
        return [{**part, "split_path": (*whole, number)} for number, part in enumerate(parts)]

    return compose(rx_map(faulty(to_parts)), split_buffer())


def listed(made: Any) -> list[Any]:
    """What a function of a rule made, which may be None, a dict, or several dicts, as a list."""
    return [] if made is None else [made] if isinstance(made, Mapping) else list(made)
