"""Functions that users write in rules, called with as many arguments as they need."""

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any


def with_rule(
    function: Callable[..., Any], rule: Any, template: Callable[[Any], Any] | None = None
) -> Callable[[Any], Any]:
    """A rule's function of ``(uow)`` or ``(uow, rule)`` as a function of the unit of work alone.

    With a ``template`` the function may also be one of ``(uow, rule, template)``; it gets ``template(uow)``.
    """
    needed = _needed_arguments(function)
    if needed > 2 and template is not None:
        return lambda uow: function(uow, rule, template(uow))
    if needed >= 2:
        return lambda uow: function(uow, rule)
    return function


def _needed_arguments(function: Callable[..., Any]) -> int:
    """How many positional arguments a function needs: 2 with ``*args``, 1 where Python cannot tell."""
    code = getattr(function, "__code__", None)
    if code is not None and not code.co_flags & inspect.CO_VARARGS and not hasattr(function, "__self__"):
        return int(code.co_argcount) - len(function.__defaults__ or ())
    return _inspected(function)


@lru_cache(maxsize=1024)
def _inspected(function: Callable[..., Any]) -> int:
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
