"""Functions that users write in rules, called with as many arguments as they need."""

import math
from collections.abc import Callable, Hashable, Iterable
from functools import lru_cache
from typing import Any


def with_rule(
    function: Callable[..., Any], rule: Any, template: Callable[[Any], Any] | None = None
) -> Callable[[Any], Any]:
    """A rule's function of ``(uow)`` or ``(uow, rule)`` as a function of the unit of work alone.

    With a ``template`` the function may also be one of ``(uow, rule, template)``; it gets ``template(uow)``. A function
    with ``*args`` gets the rule; one without a signature, as some builtins are, gets the unit of work alone.
    """
    least, most = _arguments_of(function) or (1, 1)
    if most == math.inf:
        least = max(least, 2)
    if least > 2 and template is not None:
        return lambda uow: function(uow, rule, template(uow))
    if least >= 2:
        return lambda uow: function(uow, rule)
    return function


def takes(function: Callable[..., Any], counts: Iterable[int]) -> bool:
    """Whether a function can be called with one of these numbers of positional arguments; True if unknown."""
    arguments = _arguments_of(function)
    return arguments is None or any(arguments[0] <= count <= arguments[1] for count in counts)


def signature_of(function: Callable[..., Any]) -> str:
    """A function's parameters without annotations, such as ``(uow, rule=None)``."""
    import inspect  # only an error needs it

    signature = inspect.signature(function)
    parameters = [each.replace(annotation=each.empty) for each in signature.parameters.values()]
    return str(inspect.Signature(parameters))


def _arguments_of(function: Callable[..., Any]) -> tuple[int, float] | None:
    """The least and the most positional arguments of a function; None if it has no signature.

    A function that needs keyword arguments takes at most -1: it cannot be called with positional ones alone.
    """
    code = getattr(function, "__code__", None)
    if code is None or code.co_flags & _VARIADIC or code.co_kwonlyargcount or hasattr(function, "__self__"):
        return _inspected(function) if isinstance(function, Hashable) else _inspected.__wrapped__(function)
    return code.co_argcount - len(function.__defaults__ or ()), code.co_argcount


_VARIADIC = 4
"""`inspect.CO_VARARGS`: importing inspect takes longer than a function without ``*args`` is worth."""


@lru_cache(maxsize=1024)
def _inspected(function: Callable[..., Any]) -> tuple[int, float] | None:
    import inspect

    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some functions written in C
        return None
    needed = [each for each in parameters if each.default is each.empty]
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    least = sum(each.kind in positional for each in needed)
    if any(each.kind is each.KEYWORD_ONLY for each in needed):
        return least, -1
    if any(each.kind is each.VAR_POSITIONAL for each in parameters):
        return least, math.inf
    return least, sum(each.kind in positional for each in parameters)
