"""Frozen events, for tests: a rule that changes what pipelines share raises. Costs a copy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn


def _refuse(*_: object, **__: object) -> NoReturn:
    raise TypeError(
        "units of work and their events are shared by all pipelines: make a new dict instead of changing one"
    )


class FrozenDict(dict[Any, Any]):
    """A dict that can be read, copied and encoded, but not changed."""

    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = __ior__ = _refuse


class FrozenList(list[Any]):
    """A list that can be read, copied and encoded, but not changed."""

    __setitem__ = __delitem__ = append = clear = extend = insert = pop = remove = reverse = sort = _refuse
    __iadd__ = __imul__ = _refuse


def freeze(value: Any) -> Any:
    """A copy of a value in which no dict and no list can be changed."""
    if isinstance(value, Mapping):
        return FrozenDict({name: freeze(member) for name, member in value.items()})
    if isinstance(value, list | tuple):
        return FrozenList(freeze(member) for member in value)
    return value
