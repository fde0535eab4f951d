"""EventBridge event patterns: what bus rules and the filters of event source mappings are written in.

The grammar and its answers are those of AWS (Amazon EventBridge user guide, "Comparison operators for use in event
patterns"; AWS Lambda developer guide, "Control which events Lambda sends to your function"):

    pattern   := {name: [condition, ...] | pattern, ..., "$or": [pattern, pattern, ...]}
    condition := string | number | true | false | null
               | {"prefix": string | {"equals-ignore-case": string}}
               | {"suffix": string | {"equals-ignore-case": string}}
               | {"equals-ignore-case": string}
               | {"wildcard": string}                    "*" stands for any characters, "\\*" and "\\\\" for themselves
               | {"exactly": string}
               | {"anything-but": string | number | [string, ...] | [number, ...]
                                  | {"prefix" | "suffix" | "equals-ignore-case" | "wildcard": string | [string, ...]}}
               | {"numeric": ["=" | "<" | "<=" | ">" | ">=", number] | [">" | ">=", number, "<" | "<=", number]}
               | {"exists": true | false}
               | {"cidr": "address/bits"}

All names of a pattern must match, and of each name any condition. Where the event has an array, any of its elements
may match; elements that are objects are taken one by one: two names below an array never match in different elements.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NoReturn

__all__ = ["CompiledPattern", "InvalidPattern", "compile_pattern", "matches", "parse_pattern"]

MAX_COMBINATIONS = 1000
"""How many combinations the `$or` of one pattern may multiply to (EventBridge quota)."""

NUMERIC_LIMIT = 5_000_000_000
"""`numeric` compares values from -5.0e9 to 5.0e9 only (EventBridge user guide)."""

_MAX_DEPTH = 100

_OPERATORS = (
    "prefix", "suffix", "equals-ignore-case", "wildcard", "anything-but", "numeric", "exists", "cidr", "exactly",
)  # fmt: skip
_RESERVED_IN_OR = frozenset(
    {*_OPERATORS, "=", "<", "<=", ">", ">=", "regex", "not-wildcard", "not-equals-ignore-case", "date-after",
     "date-on-or-after", "date-before", "date-on-or-before", "in-date-range", "ip-address-in-range",
     "ip-address-not-in-range"}
)  # fmt: skip
_IPV4 = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20}){3}\Z")
_IPV6 = re.compile(r"[0-9a-fA-F:]+\Z")

Test = Callable[[Any], bool]
Path = tuple[str, ...]
Membership = tuple[tuple[int, int], ...]
"""Through which element of which array (its identity and the index) a value was reached."""


class InvalidPattern(ValueError):
    """A pattern that AWS refuses.

    `path` is the place of the mistake (`detail.state[0].prefix`; `$` is the pattern itself), `problem` what is wrong
    there and `expected` what may stand there instead.
    """

    def __init__(self, path: str, problem: str, expected: str) -> None:
        """Say where, what, and what instead."""
        super().__init__(f"{path}: {problem}; expected {expected}")
        self.path = path
        self.problem = problem
        self.expected = expected


class CompiledPattern:
    """A pattern made ready: call it with an event (a decoded JSON object) to learn whether the event matches.

    `fields` are the top-level names that the pattern looks at.
    """

    __slots__ = ("_alternatives", "fields")

    def __init__(self, alternatives: Sequence[Sequence[_Field]]) -> None:
        """Take the alternatives into which `compile_pattern` has resolved the pattern."""
        self._alternatives = alternatives
        self.fields = frozenset(field.path[0] for fields in alternatives for field in fields)

    def __call__(self, event: Mapping[str, Any]) -> bool:
        """Tell whether `event` matches."""
        return any(_alternative_matches(fields, event) for fields in self._alternatives)


def matches(pattern: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    """Tell whether `event` matches `pattern`, both decoded JSON objects.

    Raises `InvalidPattern` when AWS would refuse the pattern. To match many events use `compile_pattern` once.

    >>> matches({"detail": {"state": [{"prefix": "run"}]}}, {"detail": {"state": "running"}})
    True
    """
    return compile_pattern(pattern)(event)


def parse_pattern(text: str) -> dict[str, Any]:
    """Decode a pattern from its JSON text (the `Pattern` of a filter, the `EventPattern` of a rule).

    Raises `InvalidPattern` when the text is no JSON object. The pattern itself is checked by `compile_pattern`.
    """

    def refuse(constant: str) -> NoReturn:
        raise InvalidPattern("$", f"{constant} is not JSON", "a JSON object")

    try:
        pattern = json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise InvalidPattern(
            "$", f"not JSON ({error.msg} in line {error.lineno}, column {error.colno})", "a JSON object"
        ) from error
    if not isinstance(pattern, dict):
        raise InvalidPattern("$", f"{_shown(pattern)} is no object", "a JSON object")
    return pattern


def compile_pattern(pattern: Mapping[str, Any]) -> CompiledPattern:
    """Check `pattern` and make it ready for matching many events.

    `$or` multiplies the pattern into alternatives, as EventBridge does it; a name that is constrained beside a `$or`
    and again inside of it keeps only the constraint that comes last. Raises `InvalidPattern`.
    """
    if not isinstance(pattern, Mapping):
        raise InvalidPattern("$", f"{_shown(pattern)} is no object", "a JSON object")
    alternatives: list[dict[Path, _Field]] = [{}]
    alternatives = _expand(pattern, (), "$", alternatives, inside_or=False)
    return CompiledPattern(
        tuple(tuple(sorted(fields.values(), key=lambda field: ".".join(field.path))) for fields in alternatives)
    )


class _Field:
    """What an alternative asks of the values under one path."""

    __slots__ = ("absence", "path", "test")

    def __init__(self, path: Path, test: Test, absence: bool) -> None:
        self.path = path
        self.test = test
        self.absence = absence


# --- matching ---------------------------------------------------------------------------------------------------------


def _alternative_matches(fields: Sequence[_Field], event: Mapping[str, Any]) -> bool:
    candidates: list[tuple[_Field, list[tuple[Any, Membership]], list[Membership]]] = []
    through_arrays = False
    for field in fields:
        leaves: list[tuple[Any, Membership]] = []
        _collect(event, field.path, 0, (), leaves)
        test = field.test
        passing = [membership for value, membership in leaves if test(value)]
        if not passing and not field.absence:
            return False
        if any(membership for _, membership in leaves):
            through_arrays = True
        elif not passing and leaves:
            return False
        candidates.append((field, leaves, passing))
    return not through_arrays or _consistent(candidates, 0, {})


def _collect(node: Any, path: Path, depth: int, membership: Membership, leaves: list[tuple[Any, Membership]]) -> None:
    """Gather the scalars under `path`, each with the array elements through which it was reached."""
    while depth < len(path):
        if isinstance(node, Mapping):
            if path[depth] not in node:
                return
            node = node[path[depth]]
            depth += 1
        elif isinstance(node, (list, tuple)):
            for index, element in enumerate(node):
                if isinstance(element, (Mapping, list, tuple)):
                    _collect(element, path, depth, (*membership, (id(node), index)), leaves)
            return
        else:
            return
    if isinstance(node, (list, tuple)):
        for index, element in enumerate(node):
            if isinstance(element, (list, tuple)):
                _collect(element, path, depth, (*membership, (id(node), index)), leaves)
            elif not isinstance(element, Mapping):
                leaves.append((element, membership))
    elif not isinstance(node, Mapping):
        leaves.append((node, membership))


def _consistent(
    candidates: Sequence[tuple[_Field, list[tuple[Any, Membership]], list[Membership]]],
    index: int,
    chosen: dict[int, int],
) -> bool:
    """Look for one value a field such that no array had to be entered through two elements at once."""
    if index == len(candidates):
        return True
    field, leaves, passing = candidates[index]
    for membership in passing:
        if all(chosen.get(array, element) == element for array, element in membership) and _consistent(
            candidates, index + 1, {**chosen, **dict(membership)}
        ):
            return True
    if field.absence:
        reachable = any(
            all(chosen.get(array, element) == element for array, element in membership) for _, membership in leaves
        )
        return not reachable and _consistent(candidates, index + 1, chosen)
    return False


# --- checking and compiling -------------------------------------------------------------------------------------------


def _expand(
    pattern: Mapping[str, Any], path: Path, place: str, alternatives: list[dict[Path, _Field]], *, inside_or: bool
) -> list[dict[Path, _Field]]:
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
        if isinstance(value, Mapping):
            alternatives = _expand(value, (*path, name), here, alternatives, inside_or=inside_or)
        elif isinstance(value, (list, tuple)):
            field = _conditions((*path, name), value, here)
            for fields in alternatives:
                fields[field.path] = field
        else:
            shown = _shown(value)
            raise InvalidPattern(here, f"{shown} stands alone", f"an array, as in [{shown}], or an object")
    return alternatives


def _is_or(value: Any) -> bool:
    """Tell the operator `$or` from a field that happens to be called so (EventBridge goes by its content)."""
    return (
        isinstance(value, (list, tuple))
        and len(value) >= 2
        and all(isinstance(branch, Mapping) and not (_RESERVED_IN_OR & branch.keys()) for branch in value)
    )


def _refuse_or(value: Sequence[Any], place: str) -> None:
    """Explain a `$or` that is not even readable as conditions on a field of that name."""
    for index, branch in enumerate(value):
        if isinstance(branch, Mapping) and not (_RESERVED_IN_OR & branch.keys()):
            if len(value) < 2:
                raise InvalidPattern(place, "$or has a single alternative", "at least two patterns")
            others = [other for other in value if not isinstance(other, Mapping)]
            if others:
                raise InvalidPattern(place, f"{_shown(others[0])} among the alternatives", "patterns only")
            raise InvalidPattern(
                f"{place}[{index}]", "alternatives of $or beside an operator", "either patterns or operators"
            )


def _conditions(path: Path, conditions: Sequence[Any], place: str) -> _Field:
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
            operator, operand = _only_item(condition, here)
            if operator == "exists":
                if not isinstance(operand, bool):
                    raise InvalidPattern(f"{here}.exists", f"{_shown(operand)} is no boolean", "true or false")
                if operand:
                    tests.append(_anything)
                else:
                    absence = True
            else:
                tests.append(_operator(operator, operand, here))
        elif isinstance(condition, str):
            strings.add(condition)
        elif condition is None or isinstance(condition, bool):
            singletons.append(condition)
        elif _is_number(condition):
            numbers.add(condition)
        else:
            raise InvalidPattern(
                here, f"{_shown(condition)} inside the array", "a string, number, true, false, null or an operator"
            )
    if strings or numbers or singletons:
        tests.insert(0, _equal_to_any(frozenset(strings), frozenset(numbers), tuple(singletons)))
    return _Field(path, _any_of(tests), absence)


def _only_item(condition: Mapping[str, Any], place: str) -> tuple[str, Any]:
    if len(condition) != 1:
        problem = "no operator" if not condition else f"{len(condition)} operators in one object"
        raise InvalidPattern(place, problem, f"exactly one of {', '.join(_OPERATORS)}")
    return next(iter(condition.items()))


def _operator(operator: str, operand: Any, place: str) -> Test:
    here = f"{place}.{operator}"
    if operator == "exactly":
        return _equal_to_any(frozenset({_string(operand, here)}), frozenset(), ())
    if operator in {"prefix", "suffix"}:
        if isinstance(operand, Mapping):
            inner, folded = _only_item(operand, here)
            if inner != "equals-ignore-case":
                raise InvalidPattern(f"{here}.{inner}", f"{inner!r} inside {operator}", "equals-ignore-case")
            return _ignoring_case(_string(folded, f"{here}.{inner}"), operator)
        return _affix(operator, _string(operand, here))
    if operator == "equals-ignore-case":
        return _ignoring_case(_string(operand, here), "whole")
    if operator == "wildcard":
        return _wildcard(_string(operand, here), here)
    if operator == "anything-but":
        return _anything_but(operand, here)
    if operator == "numeric":
        return _numeric(operand, here)
    if operator == "cidr":
        return _cidr(_string(operand, here), here)
    raise InvalidPattern(place, f"unknown operator {operator!r}", f"one of {', '.join(_OPERATORS)}")


def _anything_but(operand: Any, place: str) -> Test:
    if isinstance(operand, Mapping):
        inner, inner_operand = _only_item(operand, place)
        if inner not in {"prefix", "suffix", "equals-ignore-case", "wildcard"}:
            raise InvalidPattern(
                f"{place}.{inner}", f"{inner!r} inside anything-but", "prefix, suffix, equals-ignore-case or wildcard"
            )
        here = f"{place}.{inner}"
        texts = inner_operand if isinstance(inner_operand, (list, tuple)) else [inner_operand]
        if not texts:
            raise InvalidPattern(here, "the array is empty", "a string or a list of strings")
        for index, text in enumerate(texts):
            where = f"{here}[{index}]" if texts is inner_operand else here
            if not isinstance(text, str):
                raise InvalidPattern(where, f"{_shown(text)} is no string", "a string or a list of strings")
            if not text and inner in {"prefix", "suffix"}:
                raise InvalidPattern(where, f"an empty {inner}", "a string of at least one character")
        return _none_of([_operator(inner, text, place) for text in texts])
    values = operand if isinstance(operand, (list, tuple)) else [operand]
    if not values:
        raise InvalidPattern(place, "the array is empty", "a string, a number or a list of either")
    strings = frozenset(value for value in values if isinstance(value, str))
    numbers = frozenset(value for value in values if _is_number(value))
    for index, value in enumerate(values):
        if not isinstance(value, str) and not _is_number(value):
            where = f"{place}[{index}]" if values is operand else place
            raise InvalidPattern(where, f"{_shown(value)} in anything-but", "strings or numbers")
    if strings and numbers:
        raise InvalidPattern(place, "strings and numbers mixed", "only strings or only numbers")
    return _none_of([_equal_to_any(strings, numbers, ())])


def _numeric(operand: Any, place: str) -> Test:
    shape = '["=", 5] or [">=", 0, "<", 5]'
    if not isinstance(operand, (list, tuple)):
        raise InvalidPattern(place, f"{_shown(operand)} is no array", shape)
    if len(operand) not in {2, 4}:
        raise InvalidPattern(place, f"{len(operand)} elements", shape)
    comparisons = list(zip(operand[::2], operand[1::2], strict=True))
    for index, (comparison, bound) in enumerate(comparisons):
        here = f"{place}[{2 * index}]"
        allowed = ("<", "<=") if index else ((">", ">=") if len(comparisons) == 2 else ("=", "<", "<=", ">", ">="))
        if not isinstance(comparison, str) or comparison not in allowed:
            raise InvalidPattern(here, f"{_shown(comparison)} as comparison", f"one of {', '.join(allowed)}")
        if not _is_number(bound):
            raise InvalidPattern(f"{place}[{2 * index + 1}]", f"{_shown(bound)} is no number", "a number")
        if abs(bound) > NUMERIC_LIMIT:
            raise InvalidPattern(
                f"{place}[{2 * index + 1}]", f"{_shown(bound)} is out of range", "a number from -5.0e9 to 5.0e9"
            )
    if len(comparisons) == 2 and not comparisons[0][1] < comparisons[1][1]:
        raise InvalidPattern(place, f"{_shown(list(operand))} is an empty range", "a lower bound below the upper one")
    return _comparing(comparisons)


def _cidr(text: str, place: str) -> Test:
    address, slash, bits = text.partition("/")
    if not slash or not re.fullmatch(r"[0-9]{1,9}", bits):
        raise InvalidPattern(place, f"{text!r} is no address block", "address/bits, as in 10.0.0.0/24")
    parsed = _address(address)
    if parsed is None:
        raise InvalidPattern(place, f"{address!r} is no IP address", "address/bits, as in 10.0.0.0/24")
    if int(bits) >= parsed.max_prefixlen:
        raise InvalidPattern(place, f"{bits} bits", f"fewer than {parsed.max_prefixlen} bits")
    network = ipaddress.ip_network(f"{parsed}/{int(bits)}", strict=False)

    def inside(value: Any) -> bool:
        found = _address(value) if isinstance(value, str) else None
        return found is not None and found.version == network.version and found in network

    return inside


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    if _IPV4.match(text):
        text = ".".join(str(int(part)) for part in text.split("."))
    elif ":" not in text or not _IPV6.match(text):
        return None
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _wildcard(text: str, place: str) -> Test:
    parts = _wildcard_parts(text, place)
    if len(parts) == 1:
        return _equal_to_any(frozenset(parts), frozenset(), ())
    first, last, between = parts[0], parts[-1], parts[1:-1]
    shortest = sum(len(part) for part in parts)

    def like(value: Any) -> bool:
        if not isinstance(value, str) or len(value) < shortest:
            return False
        if not value.startswith(first) or not value.endswith(last):
            return False
        position, end = len(first), len(value) - len(last)
        for part in between:
            found = value.find(part, position, end)
            if found < 0:
                return False
            position = found + len(part)
        return True

    return like


def _wildcard_parts(text: str, place: str) -> list[str]:
    """Split at the asterisks; what stands between them is literal."""
    parts = [""]
    index = 0
    previous_was_star = False
    while index < len(text):
        character = text[index]
        if character == "*":
            if previous_was_star:
                raise InvalidPattern(place, f"consecutive asterisks at character {index}", "single asterisks")
            parts.append("")
            previous_was_star = True
            index += 1
            continue
        previous_was_star = False
        if character == "\\":
            escaped = text[index + 1 : index + 2]
            if escaped not in {"*", "\\"}:
                raise InvalidPattern(place, f"a backslash before {escaped!r} at character {index}", r"\* or \\")
            parts[-1] += escaped
            index += 2
        else:
            parts[-1] += character
            index += 1
    return parts


def _ignoring_case(text: str, where: str) -> Test:
    """Accept each character of the operand in either case, one by one, as EventBridge does it ("ß" also as "SS")."""
    forms = [dict.fromkeys((character, character.lower(), character.upper())) for character in text]
    expression = "".join(f"(?:{'|'.join(re.escape(form) for form in either)})" for either in forms)
    if where == "suffix":
        search = re.compile(expression + r"\Z").search
        return lambda value: isinstance(value, str) and search(value) is not None
    match = re.compile(expression + (r"\Z" if where == "whole" else "")).match
    return lambda value: isinstance(value, str) and match(value) is not None


def _affix(operator: str, text: str) -> Test:
    if operator == "prefix":
        return lambda value: isinstance(value, str) and value.startswith(text)
    return lambda value: isinstance(value, str) and value.endswith(text)


def _comparing(comparisons: Sequence[tuple[str, Any]]) -> Test:
    def compare(value: Any) -> bool:
        if not _is_number(value) or abs(value) > NUMERIC_LIMIT:
            return False
        for comparison, bound in comparisons:
            if comparison == "=":
                holds = value == bound
            elif comparison == "<":
                holds = value < bound
            elif comparison == "<=":
                holds = value <= bound
            elif comparison == ">":
                holds = value > bound
            else:
                holds = value >= bound
            if not holds:
                return False
        return True

    return compare


def _equal_to_any(strings: frozenset[str], numbers: frozenset[Any], singletons: tuple[Any, ...]) -> Test:
    def equal(value: Any) -> bool:
        if isinstance(value, str):
            return value in strings
        if value is None or isinstance(value, bool):
            return any(value is singleton for singleton in singletons)
        return _is_number(value) and value in numbers

    return equal


def _any_of(tests: Sequence[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]
    return lambda value: any(test(value) for test in tests)


def _none_of(tests: Sequence[Test]) -> Test:
    return lambda value: not any(test(value) for test in tests)


def _anything(_: Any) -> bool:
    return True


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)


def _string(value: Any, place: str) -> str:
    if not isinstance(value, str):
        raise InvalidPattern(place, f"{_shown(value)} is no string", "a string")
    return value


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
