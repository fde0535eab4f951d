"""Several units of work as one: the last of each key only, or all of a key together."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

from stream_runtime.engine.flow import GatherStep, Operator, extend
from stream_runtime.engine.records import order_key
from stream_runtime.engine.run import Run

from .paths import field_at


def compacted(rule: Mapping[str, Any]) -> Operator | None:
    """The operator of a rule's ``compact``: of the units of work of a batch with one key only the last goes on.

    ``compact`` is True (for the partition key), a path in the unit of work, or a function of it. The last is the one
    with the greatest ``event.timestamp``, of equal ones the one that came last. It keeps all of its key under
    ``batch``, so that what becomes of it becomes of all their records. None where the rule does not compact.
    """
    key = _key_of(rule.get("compact"))
    if key is None:
        return None

    def last_of(uows: list[Any]) -> Any:
        last = uows[0]
        for uow in uows[1:]:
            if _timestamp(uow) >= _timestamp(last):
                last = uow
        return last if len(uows) == 1 else {**last, "batch": uows}

    return _gathered(key, lambda uows: [last_of(uows)])


def grouped(rule: Mapping[str, Any]) -> Operator | None:
    """The operator of a rule's ``group``: the units of work of a batch with one key go on together.

    ``group`` is True (for the partition key), a path in the unit of work, or a function of it. The units are under
    ``batch``, in order, at most ``batch_size`` of them where the rule has one; ``event`` is the last one's. None where
    the rule does not group.
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
    """Units of work by key; keys go on in the order in which their last units came."""

    def work(run: Run, uows: Sequence[Any]) -> Iterable[Any]:
        groups: dict[Hashable, list[Any]] = {}
        for uow in uows:
            try:
                name = key(uow)
                members = groups.pop(name, None) or []
            except Exception as error:
                run.fail(error, uow)
                continue
            members.append(uow)
            groups[name] = members
        return [combined for group in groups.values() for combined in combine(group)]

    return extend(GatherStep(work))


def _timestamp(uow: Any) -> int:
    return uow["event"].get("timestamp") or 0
