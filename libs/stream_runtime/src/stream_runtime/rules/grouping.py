"""Units of work of a batch by key: the last of each key, or all of a key as one unit of work."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from decimal import Decimal
from typing import Any

from stream_runtime.clock import timestamp_of
from stream_runtime.engine.flow import GatherStep, Operator, extend
from stream_runtime.engine.records import order_key
from stream_runtime.engine.run import Run

from .fields import Rule
from .paths import field_at


def compacted(rule: Rule) -> Operator | None:
    """The operator of a rule's ``compact``; None if the rule has none.

    Of the units of work with one key, the one with the greatest ``event.timestamp`` goes on; of equal ones, the last.
    It has all of them under ``batch``: its success or failure is that of all their records. A unit of work without a
    key or without a timestamp is poison: nobody can tell what it replaces.
    """
    key = _key_of(rule.get("compact"))
    if key is None:
        return None

    def last_of(uows: list[Any]) -> Any:
        last = uows[0]
        for uow in uows[1:]:
            if timestamp_of(uow["event"]) >= timestamp_of(last["event"]):
                last = uow
        return last if len(uows) == 1 else {**last, "batch": uows}

    def key_of(uow: Any) -> Hashable:
        timestamp_of(uow["event"])
        found = key(uow)
        if found is None:
            raise ValueError("the event has no key to compact by")
        return found

    return _gathered(key_of, lambda uows: [last_of(uows)])


def grouped(rule: Rule) -> Operator | None:
    """The operator of a rule's ``group``; None if the rule has none.

    The units of work with one key go on as one, which has them under ``batch``, in order, and the event of the last.
    A rule's ``batch_size`` limits how many.
    """
    key = _key_of(rule.get("group"))
    if key is None:
        return None
    size = rule.get("batch_size")

    def parts(uows: list[Any]) -> list[Any]:
        step = size or len(uows)
        return [
            {**uows[start : start + step][-1], "batch": uows[start : start + step]}
            for start in range(0, len(uows), step)
        ]

    return _gathered(key, parts)


def _key_of(wanted: Any) -> Callable[[Any], Hashable] | None:
    if not wanted:
        return None
    if wanted is True:
        return lambda uow: uow["event"].get("partition_key") or order_key(uow)
    return wanted if callable(wanted) else field_at(wanted)


def _gathered(key: Callable[[Any], Hashable], combine: Callable[[list[Any]], list[Any]]) -> Operator:
    """The operator that combines the units of work of each key, in the order of the keys' last units of work."""

    def work(run: Run, uows: Sequence[Any]) -> Iterable[Any]:
        groups: dict[Hashable, list[Any]] = {}
        for uow in uows:
            try:
                name = _checked(key(uow))
                members = groups.pop(name, None) or []
            except Exception as error:
                run.fail(error, uow)
                continue
            members.append(uow)
            groups[name] = members
        return [combined for group in groups.values() for combined in combine(group)]

    return extend(GatherStep(work))


def _checked(key: Any) -> Hashable:
    """A key; what a function of a rule makes of several values may be a tuple.

    Raises:
        TypeError: it is no key, such as an object from an event.
    """
    if key is None or isinstance(key, str | int | float | Decimal | bytes):
        return key
    if isinstance(key, tuple):
        return tuple(_checked(part) for part in key)
    raise TypeError(f"a key is a text or a number, not a {type(key).__name__}: {key!r:.80}")
