"""Evaluates a statement of an IAM policy for a request, with the condition operators that the templates use.

It follows the IAM user guide ("IAM JSON policy elements: Condition operators", "Set operators for multi-valued context
keys"): several operators and keys all have to match, several values of one key are alternatives, an operator on a key
that the request does not have fails unless it is negated or has IfExists, and ForAllValues is true for no values.
"""

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Context = Mapping[str, Sequence[str]]
"""The condition keys of a request, in lower case, each with its values."""

_COMPARISONS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda value, expected: value == expected,
    "StringEqualsIgnoreCase": lambda value, expected: value.lower() == expected.lower(),
    "StringLike": lambda value, expected: fnmatch.fnmatchcase(value, expected),
    "ArnEquals": lambda value, expected: fnmatch.fnmatchcase(value, expected),
    "ArnLike": lambda value, expected: fnmatch.fnmatchcase(value, expected),
}


def allows(statement: Mapping[str, Any], action: str, resource: str, principal: str, context: Context) -> bool:
    """Whether an Allow statement of a resource's policy, its references resolved, permits a request."""
    principals = _listed(statement["Principal"].get("AWS", statement["Principal"].get("Service", ())))
    return (
        statement["Effect"] == "Allow"
        and any(fnmatch.fnmatchcase(action.lower(), each.lower()) for each in _listed(statement["Action"]))
        and any(fnmatch.fnmatchcase(resource, each) for each in _listed(statement.get("Resource", resource)))
        and principal in principals
        and conditions_hold(statement.get("Condition", {}), context)
    )


def conditions_hold(conditions: Mapping[str, Mapping[str, Any]], context: Context) -> bool:
    """Whether a request fulfils all conditions of a statement."""
    return all(
        _holds(operator, _listed(expected), context.get(key.lower()))
        for operator, keys in conditions.items()
        for key, expected in keys.items()
    )


def _holds(operator: str, expected: list[str], values: Sequence[str] | None) -> bool:
    if operator == "Null":
        return (not values) == (expected == ["true"])
    quantifier, _, name = operator.rpartition(":")
    if name.endswith("IfExists"):
        if not values:
            return True
        name = name.removesuffix("IfExists")
    negated = "Not" in name
    compare = _COMPARISONS[name.replace("Not", "")]
    if not values:
        return quantifier == "ForAllValues" or negated
    if not quantifier and len(values) > 1:
        raise ValueError(f"{operator} on a key with several values: IAM leaves the outcome open")
    matched = [any(compare(value, each) for each in expected) != negated for value in values]
    return any(matched) if quantifier == "ForAnyValue" else all(matched)


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
