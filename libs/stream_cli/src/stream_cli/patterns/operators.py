"""The comparison operators of patterns, as tests of single values."""

from __future__ import annotations

import ipaddress
import operator as comparing
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from .errors import InvalidPattern, shown
from .matching import Test

NUMERIC_LIMIT = 5_000_000_000
"""`numeric` compares values from -5.0e9 to 5.0e9 only (EventBridge user guide)."""

NAMES = (
    "prefix", "suffix", "equals-ignore-case", "wildcard", "anything-but", "numeric", "exists", "cidr", "exactly",
)  # fmt: skip
_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": comparing.eq, "<": comparing.lt, "<=": comparing.le, ">": comparing.gt, ">=": comparing.ge,
}  # fmt: skip
_IPV4 = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20}){3}\Z")
_IPV6 = re.compile(r"[0-9a-fA-F:]+\Z")


def compile_operator(operator: str, operand: Any, place: str) -> Test:
    """The test of an operator other than `exists`.

    Raises:
        InvalidPattern: operator or operand is unknown.
    """
    here = f"{place}.{operator}"
    if operator == "exactly":
        return equal_to_any(frozenset({_string(operand, here)}), frozenset(), ())
    if operator in {"prefix", "suffix"}:
        if isinstance(operand, Mapping):
            inner, folded = only_item(operand, here)
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
    raise InvalidPattern(place, f"unknown operator {operator!r}", f"one of {', '.join(NAMES)}")


def only_item(condition: Mapping[str, Any], place: str) -> tuple[str, Any]:
    """Operator and operand of a condition.

    Raises:
        InvalidPattern: there is not exactly one operator.
    """
    if len(condition) != 1:
        problem = "no operator" if not condition else f"{len(condition)} operators in one object"
        raise InvalidPattern(place, problem, f"exactly one of {', '.join(NAMES)}")
    return next(iter(condition.items()))


def _anything_but(operand: Any, place: str) -> Test:
    if isinstance(operand, Mapping):
        inner, inner_operand = only_item(operand, place)
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
                raise InvalidPattern(where, f"{shown(text)} is not a string", "a string or a list of strings")
            if not text and inner in {"prefix", "suffix"}:
                raise InvalidPattern(where, f"an empty {inner}", "a string of at least one character")
        return _none_of([compile_operator(inner, text, place) for text in texts])
    values = operand if isinstance(operand, (list, tuple)) else [operand]
    if not values:
        raise InvalidPattern(place, "the array is empty", "a string, a number or a list of either")
    strings = frozenset(value for value in values if isinstance(value, str))
    numbers = frozenset(value for value in values if is_number(value))
    for index, value in enumerate(values):
        if not isinstance(value, str) and not is_number(value):
            where = f"{place}[{index}]" if values is operand else place
            raise InvalidPattern(where, f"{shown(value)} in anything-but", "strings or numbers")
    if strings and numbers:
        raise InvalidPattern(place, "strings and numbers mixed", "only strings or only numbers")
    return _none_of([equal_to_any(strings, numbers, ())])


def _numeric(operand: Any, place: str) -> Test:
    shape = '["=", 5] or [">=", 0, "<", 5]'
    if not isinstance(operand, (list, tuple)):
        raise InvalidPattern(place, f"{shown(operand)} is not an array", shape)
    if len(operand) not in {2, 4}:
        raise InvalidPattern(place, f"{len(operand)} elements", shape)
    comparisons = list(zip(operand[::2], operand[1::2], strict=True))
    for index, (comparison, bound) in enumerate(comparisons):
        here = f"{place}[{2 * index}]"
        allowed = ("<", "<=") if index else ((">", ">=") if len(comparisons) == 2 else ("=", "<", "<=", ">", ">="))
        if not isinstance(comparison, str) or comparison not in allowed:
            raise InvalidPattern(here, f"{shown(comparison)} as comparison", f"one of {', '.join(allowed)}")
        if not is_number(bound):
            raise InvalidPattern(f"{place}[{2 * index + 1}]", f"{shown(bound)} is not a number", "a number")
        if abs(bound) > NUMERIC_LIMIT:
            raise InvalidPattern(
                f"{place}[{2 * index + 1}]", f"{shown(bound)} is out of range", "a number from -5.0e9 to 5.0e9"
            )
    if len(comparisons) == 2 and not comparisons[0][1] < comparisons[1][1]:
        raise InvalidPattern(place, f"{shown(list(operand))} is an empty range", "a lower bound below the upper one")
    return lambda value: (
        is_number(value)
        and abs(value) <= NUMERIC_LIMIT
        and all(_COMPARISONS[comparison](value, bound) for comparison, bound in comparisons)
    )


def _cidr(text: str, place: str) -> Test:
    address, slash, bits = text.partition("/")
    if not slash or not re.fullmatch(r"[0-9]{1,9}", bits):
        raise InvalidPattern(place, f"{text!r} is not an address block", "address/bits, as in 10.0.0.0/24")
    parsed = _address(address)
    if parsed is None:
        raise InvalidPattern(place, f"{address!r} is not an IP address", "address/bits, as in 10.0.0.0/24")
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
        return equal_to_any(frozenset(parts), frozenset(), ())
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
    """The literal texts between the asterisks."""
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
    """Match each character of the operand in either case on its own, as EventBridge does ("ß" also matches "SS")."""
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


def equal_to_any(strings: frozenset[str], numbers: frozenset[Any], singletons: tuple[Any, ...]) -> Test:
    """A test for equality with any of the values; `singletons` are true, false and null."""

    def equal(value: Any) -> bool:
        if isinstance(value, str):
            return value in strings
        if value is None or isinstance(value, bool):
            return any(value is singleton for singleton in singletons)
        return is_number(value) and value in numbers

    return equal


def _none_of(tests: Sequence[Test]) -> Test:
    return lambda value: not any(test(value) for test in tests)


def is_number(value: Any) -> bool:
    """Whether a value is a JSON number."""
    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)


def _string(value: Any, place: str) -> str:
    if not isinstance(value, str):
        raise InvalidPattern(place, f"{shown(value)} is not a string", "a string")
    return value
