"""Functions that users write in rules, called with as much as they ask for."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any


def with_rule(function: Callable[..., Any], rule: Any) -> Callable[[Any], Any]:
    """A rule's function of ``(uow)`` or ``(uow, rule)`` as a function of the unit of work alone."""
    if _positional_count(function) >= 2:
        return lambda uow: function(uow, rule)
    return function


def _positional_count(function: Callable[..., Any]) -> int:
    code = getattr(function, "__code__", None)
    if code is not None and not code.co_flags & inspect.CO_VARARGS and not hasattr(function, "__self__"):
        return int(code.co_argcount) - len(function.__defaults__ or ())
    return _inspected_count(function)


@lru_cache(maxsize=1024)
def _inspected_count(function: Callable[..., Any]) -> int:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some functions written in C have no signature
        return 1
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return 2
    return sum(
        parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        and parameter.default is parameter.empty
        for parameter in parameters
    )
