"""Checks patterns and compiles them: names into paths, `$or` into alternatives, conditions into tests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from .complexity import refuse_complex
from .errors import InvalidPattern, shown
from .matching import CompiledPattern, Field, Path, Test
from .operators import NAMES, compile_operator, equal_to_any, is_number, only_item

MAX_COMBINATIONS = 1000
"""How many combinations the `$or` of one pattern may multiply to (EventBridge quota)."""

_MAX_DEPTH = 100

_RESERVED_IN_OR = frozenset(
    {*NAMES, "=", "<", "<=", ">", ">=", "regex", "not-wildcard", "not-equals-ignore-case", "date-after",
     "date-on-or-after", "date-before", "date-on-or-before", "in-date-range", "ip-address-in-range",
     "ip-address-not-in-range"}
)  # fmt: skip


def matches(pattern: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    """Whether `event` matches `pattern`; both are decoded JSON objects. Use `compile_pattern` to test many events.

    Raises:
        InvalidPattern: AWS refuses the pattern.

    >>> matches({"detail": {"state": [{"prefix": "run"}]}}, {"detail": {"state": "running"}})
    True
    """
    return compile_pattern(pattern)(event)


def parse_pattern(text: str) -> dict[str, Any]:
    """Decode the JSON text of a pattern: the `Pattern` of a filter, the `EventPattern` of a rule.

    Raises:
        InvalidPattern: the text is not a JSON object. The pattern itself is checked by `compile_pattern`.
    """

    def refuse(constant: str) -> NoReturn:
        raise InvalidPattern("$", f"{constant} is not JSON", "a JSON object")

    try:
        pattern = json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise InvalidPattern(
            "$", f"not JSON ({error.msg} in line {error.lineno}, column {error.colno})", "a JSON object"
        ) from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; thousands of levels
        raise InvalidPattern("$", f"not JSON that can be read ({error})", "a JSON object") from error
    if not isinstance(pattern, dict):
        raise InvalidPattern("$", f"{shown(pattern)} is not an object", "a JSON object")
    return pattern


def compile_pattern(pattern: Mapping[str, Any]) -> CompiledPattern:
    """Check a pattern and compile it.

    `$or` multiplies the pattern into alternatives, as in EventBridge. If a name is constrained both beside a `$or` and
    inside it, the last constraint replaces the others.

    Raises:
        InvalidPattern: AWS refuses the pattern.
    """
    if not isinstance(pattern, Mapping):
        raise InvalidPattern("$", f"{shown(pattern)} is not an object", "a JSON object")
    alternatives: list[dict[Path, Field]] = [{}]
    alternatives = _expand(pattern, (), "$", alternatives, inside_or=False)
    refuse_complex([{path: field.conditions for path, field in fields.items()} for fields in alternatives])
    return CompiledPattern(
        tuple(tuple(sorted(fields.values(), key=lambda field: ".".join(field.path))) for fields in alternatives)
    )


def _expand(
    pattern: Mapping[str, Any], path: Path, place: str, alternatives: list[dict[Path, Field]], *, inside_or: bool
) -> list[dict[Path, Field]]:
    if not pattern:
        raise InvalidPattern(place, "the object is empty", "at least one name with its conditions")
    if len(path) > _MAX_DEPTH:
        raise InvalidPattern(place, f"nested deeper than {_MAX_DEPTH} levels", "a flatter pattern")
    for name, value in pattern.items():
        here = name if place == "$" else f"{place}.{name}"
        if name == "$or" and _is_or(value):
            alternatives = [
                grown
                for index, branch in enumerate(value)
                for grown in _expand(branch, path, f"{here}[{index}]", [dict(a) for a in alternatives], inside_or=True)
            ]
            if len(alternatives) > MAX_COMBINATIONS:
                raise InvalidPattern(
                    here, f"$or multiplies to {len(alternatives)} combinations", f"at most {MAX_COMBINATIONS}"
                )
            continue
        if name == "$or" and isinstance(value, list):
            _refuse_or(value, here)
        if inside_or and name in _RESERVED_IN_OR:
            raise InvalidPattern(here, f"{name!r} is reserved inside $or", "the name of a field of the event")
        inner = (*path, *name.split("."))
        if isinstance(value, Mapping):
            alternatives = _expand(value, inner, here, alternatives, inside_or=inside_or)
        elif isinstance(value, (list, tuple)):
            field = _conditions(inner, value, here)
            for fields in alternatives:
                fields[field.path] = field
        else:
            raise InvalidPattern(
                here, f"{shown(value)} is not in an array", f"an array, as in [{shown(value)}], or an object"
            )
    return alternatives


def nested(pattern: Mapping[str, Any]) -> dict[str, Any]:
    """The same pattern with an object for each dot in its names: `{"a": {"b": [1]}}` for `{"a.b": [1]}`.

    A dotted name stays where the name before its dot is also a field with conditions.
    """
    grown: dict[str, Any] = {}
    for name, value in pattern.items():
        if name == "$or" and _is_or(value):
            grown[name] = [nested(branch) for branch in value]
            continue
        inner = nested(value) if isinstance(value, Mapping) else value
        head, dot, rest = name.partition(".")
        if dot and isinstance(grown.get(head, {}), Mapping) and isinstance(pattern.get(head, {}), Mapping):
            inner = nested({rest: inner})
        else:
            head = name
        known = grown.get(head)
        grown[head] = nested({**known, **inner}) if isinstance(known, dict) and isinstance(inner, dict) else inner
    return grown


def _is_or(value: Any) -> bool:
    """Whether `$or` is the operator, not a field of that name; EventBridge decides by its content."""
    return (
        isinstance(value, (list, tuple))
        and len(value) >= 2
        and all(isinstance(branch, Mapping) and not (_RESERVED_IN_OR & branch.keys()) for branch in value)
    )


def _refuse_or(value: Sequence[Any], place: str) -> None:
    """Raise the error for a `$or` that is neither the operator nor conditions on a field of that name."""
    for index, branch in enumerate(value):
        if isinstance(branch, Mapping) and not (_RESERVED_IN_OR & branch.keys()):
            if len(value) < 2:
                raise InvalidPattern(place, "$or has a single alternative", "at least two patterns")
            others = [other for other in value if not isinstance(other, Mapping)]
            if others:
                raise InvalidPattern(place, f"{shown(others[0])} among the alternatives", "patterns only")
            raise InvalidPattern(
                f"{place}[{index}]", "alternatives of $or beside an operator", "either patterns or operators"
            )


def _conditions(path: Path, conditions: Sequence[Any], place: str) -> Field:
    if not conditions:
        raise InvalidPattern(place, "the array is empty", "at least one value or operator")
    strings: set[str] = set()
    numbers: set[Any] = set()
    singletons: list[Any] = []
    tests: list[Test] = []
    absence = False
    for index, condition in enumerate(conditions):
        here = f"{place}[{index}]"
        if isinstance(condition, Mapping):
            operator, operand = only_item(condition, here)
            if operator == "exists":
                if not isinstance(operand, bool):
                    raise InvalidPattern(f"{here}.exists", f"{shown(operand)} is not a boolean", "true or false")
                if operand:
                    tests.append(_anything)
                else:
                    absence = True
            else:
                tests.append(compile_operator(operator, operand, here))
        elif isinstance(condition, str):
            strings.add(condition)
        elif condition is None or isinstance(condition, bool):
            singletons.append(condition)
        elif is_number(condition):
            numbers.add(condition)
        else:
            raise InvalidPattern(
                here, f"{shown(condition)} inside the array", "a string, number, true, false, null or an operator"
            )
    if strings or numbers or singletons:
        tests.insert(0, equal_to_any(frozenset(strings), frozenset(numbers), tuple(singletons)))
    return Field(path, conditions, _any_of(tests), absence)


def _any_of(tests: Sequence[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]
    return lambda value: any(test(value) for test in tests)


def _anything(_: Any) -> bool:
    return True
