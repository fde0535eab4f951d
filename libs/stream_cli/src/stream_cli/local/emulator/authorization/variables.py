"""Variables in policies, and the ARN of the role that a session is of, which ministack leaves out.

``${aws:PrincipalAccount}`` in a resource or in a value of a condition stands for the value of the key; with
``${key, 'default'}``, where the request has no such key, for the default. A statement with a variable that has no value
does not apply. IAM user guide, "IAM policy elements: Variables and tags".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

INTERNALS = {
    "ministack.core.iam_evaluator": ("ParsedStatement", "_first_match", "_resolve_condition_key"),
    "ministack.services.iam": ("_roles",),
}

_VARIABLE = re.compile(r"\$\{([^{},]+)(?:, *'([^']*)')?\}")
_LITERAL = {"*": "*", "?": "?", "$": "$"}


class _NoValue(Exception):
    """A variable has no value in the request."""


def patch() -> None:
    """Put the values of variables into statements before they are matched."""
    from ministack.core import iam_evaluator

    first_match, resolve = iam_evaluator._first_match, iam_evaluator._resolve_condition_key

    def first(request: Any, statements: list[Any], effect: str) -> Any:
        for statement in _with_values(request, statements, effect):
            if first_match(request, [statement], effect):
                return statement
        return None

    def resolved(key: str, request: Any) -> Any:
        if request.principal_type == "Service" and key.lower() in {"aws:principalarn", "aws:principalaccount"}:
            return None  # of users and roles alone
        if key.lower() == "aws:principalarn" and ":assumed-role/" in request.principal_arn:
            return _role_of(request.principal_arn)
        return resolve(key, request)

    iam_evaluator._first_match, iam_evaluator._resolve_condition_key = first, resolved


def names_in(text: str) -> Iterator[str]:
    """The keys that the variables in a text name, in lower case."""
    return (found[1].strip().lower() for found in _VARIABLE.finditer(text))


def _with_values(request: Any, statements: list[Any], effect: str) -> Iterator[Any]:
    for statement in statements:
        if statement.effect != effect:
            continue
        if not _has_variables(statement):
            yield statement
            continue
        try:
            yield replace(
                statement,
                resources=[_put(request, each) for each in statement.resources],
                not_resources=[_put(request, each) for each in statement.not_resources],
                conditions={
                    operator: {key: _expected(request, key, values) for key, values in keys.items()}
                    for operator, keys in statement.conditions.items()
                },
            )
        except _NoValue:
            continue


def _has_variables(statement: Any) -> bool:
    texts = [*statement.resources, *statement.not_resources]
    return any("${" in each for each in texts) or "${" in str(statement.conditions or "")


def _expected(request: Any, key: str, values: Any) -> Any:
    """The values that a condition names. Where the request does not have the key, they do not matter."""
    from ministack.core import iam_evaluator

    if iam_evaluator._resolve_condition_key(key, request) is None:
        return values
    if isinstance(values, list):
        return [_put(request, each) if isinstance(each, str) else each for each in values]
    return _put(request, values) if isinstance(values, str) else values


def _put(request: Any, text: str) -> str:
    from ministack.core import iam_evaluator

    def value(found: re.Match[str]) -> str:
        name, default = found[1].strip(), found[2]
        if name in _LITERAL:
            return _LITERAL[name]
        given = iam_evaluator._resolve_condition_key(name, request)
        if given is None and default is None:
            raise _NoValue
        return str(default if given is None else given)

    return _VARIABLE.sub(value, text)


def _role_of(session: str) -> str:
    """The ARN of the role of a session."""
    from ministack.services import iam

    account, name = session.split(":")[4], session.split("/")[1]
    role: Mapping[str, Any] = iam._roles.get_scoped(account, None, name) or {}
    return str(role.get("Arn") or f"arn:aws:iam::{account}:role/{name}")
