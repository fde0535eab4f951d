"""Writes a pattern of Python as one of JavaScript, for a scanner that reads those; and makes texts from its parts."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from itertools import pairwise
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

CATEGORIES = {
    sre.CATEGORY_DIGIT: r"\d",
    sre.CATEGORY_NOT_DIGIT: r"\D",
    sre.CATEGORY_SPACE: r"\s",
    sre.CATEGORY_NOT_SPACE: r"\S",
    sre.CATEGORY_WORD: r"\w",
    sre.CATEGORY_NOT_WORD: r"\W",
}
PLACES = {
    sre.AT_BEGINNING: "^",
    sre.AT_BEGINNING_STRING: "^",
    sre.AT_END: "$",
    sre.AT_END_STRING: "$",
    sre.AT_BOUNDARY: r"\b",
    sre.AT_NON_BOUNDARY: r"\B",
}
EXAMPLES = {
    sre.CATEGORY_DIGIT: "0",
    sre.CATEGORY_NOT_DIGIT: "a",
    sre.CATEGORY_SPACE: " ",
    sre.CATEGORY_NOT_SPACE: "a",
    sre.CATEGORY_WORD: "a",
    sre.CATEGORY_NOT_WORD: " ",
}
REPEATS = (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT)
OF_ONE_CHARACTER = (sre.LITERAL, sre.NOT_LITERAL, sre.ANY, sre.IN)
FEW = 16  # as often something may be repeated without counting as a repeat without end


def parsed(text: str, flags: int) -> Any:
    """The syntax tree of a pattern."""
    return _parser.parse(text, flags)


def never_goes_back(tree: Any) -> bool:
    """Whether a pattern has possessive repeats or atomic groups, which JavaScript lacks."""
    return any(op in (sre.POSSESSIVE_REPEAT, sre.ATOMIC_GROUP) for op, _ in _nodes(tree))


def takes_at_most_a_square(text: str, flags: int, methods: frozenset[str]) -> bool:
    """Whether the form of a pattern alone shows that its time does not grow faster than the square of a text's length.

    A repeat of single characters ends in as many ways as the text has characters; so many are the places where a search
    begins. With at most two of both nothing can grow faster. Repeats of anything longer can: they are not looked into.
    """
    return _growing(parsed(text, flags)) + (not methods <= {"match", "fullmatch"}) <= 2


def _growing(tree: Any) -> float:
    """How many parts of a pattern can end in ever more ways, the longer the text; infinite where it is not known."""
    return sum(_growing_of(op, value) for op, value in tree)


def _growing_of(op: Any, value: Any) -> float:
    if op in REPEATS:
        _, most, body = value
        if len(body) == 1 and body[0][0] in OF_ONE_CHARACTER:
            return most is sre.MAXREPEAT or most > FEW
        return _growing(body) if most == 1 else math.inf
    if op in (sre.GROUPREF, sre.GROUPREF_EXISTS):
        return math.inf
    return sum(_growing(below) for below in _below(op, value))


def as_javascript(text: str, flags: int, methods: frozenset[str]) -> tuple[str, str]:
    """Source and flags; what Python only matches at the beginning, or as a whole, gets anchors."""
    tree = parsed(text, flags)
    source = _source(tree)
    if methods <= {"fullmatch"}:
        source = f"^(?:{source})$"
    elif methods <= {"match", "fullmatch"}:
        source = f"^(?:{source})"
    given = tree.state.flags
    names = ((re.IGNORECASE, "i"), (re.MULTILINE, "m"), (re.DOTALL, "s"))
    return source, "".join(name for flag, name in names if given & flag)


def pumped(text: str, flags: int) -> Iterator[tuple[str, str]]:
    """Beginnings, and texts to repeat behind them: what the repeats of a pattern match, alone and two together."""
    tree = parsed(text, flags)
    yield "", _example(tree) or "a"
    bodies = []
    for before, body in _repeats(tree, ""):
        bodies.append(body)
        yield before, body
        yield "", body
    for first, second in pairwise(bodies):
        yield "", first + second


def _repeats(tree: Any, before: str) -> Iterator[tuple[str, str]]:
    """What stands before each repeat, and what it repeats."""
    for op, value in tree:
        if op in REPEATS:
            yield before, _example(value[2]) or "a"
            yield from _repeats(value[2], before)
        else:
            for below in _below(op, value):
                yield from _repeats(below, before)
        before += _example([(op, value)])


def _nodes(tree: Any) -> Iterator[tuple[Any, Any]]:
    for op, value in tree:
        yield op, value
        for below in _below(op, value):
            yield from _nodes(below)


def _below(op: Any, value: Any) -> list[Any]:
    if op in REPEATS:
        return [value[2]]
    if op is sre.SUBPATTERN:
        return [value[3]]
    if op is sre.BRANCH:
        return list(value[1])
    if op is sre.ATOMIC_GROUP:
        return [value]
    if op in (sre.ASSERT, sre.ASSERT_NOT):
        return [value[1]]
    return []


def _source(tree: Any) -> str:
    return "".join(_one(op, value) for op, value in tree)


def _one(op: Any, value: Any) -> str:
    if op is sre.LITERAL:
        return _escaped(value)
    if op is sre.NOT_LITERAL:
        return f"[^{_escaped(value)}]"
    if op is sre.ANY:
        return "."
    if op is sre.AT:
        return PLACES[value]
    if op is sre.IN:
        return f"[{''.join(_member(*each) for each in value)}]"
    if op is sre.BRANCH:
        return f"(?:{'|'.join(map(_source, value[1]))})"
    if op is sre.SUBPATTERN:
        group, _, _, below = value
        return f"({'?:' if group is None else ''}{_source(below)})"
    if op is sre.ATOMIC_GROUP:
        return f"(?:{_source(value)})"
    if op in REPEATS:
        least, most, below = value
        bounds = f"{{{least},{'' if most is sre.MAXREPEAT else most}}}"
        return f"(?:{_source(below)}){bounds}{'?' if op is sre.MIN_REPEAT else ''}"
    if op in (sre.ASSERT, sre.ASSERT_NOT):
        direction, below = value
        return f"(?{'<' if direction < 0 else ''}{'=' if op is sre.ASSERT else '!'}{_source(below)})"
    if op is sre.GROUPREF:
        return f"(?:\\{value})"
    # No regex of the repository has another operator. The first that does fails the test, and is translated here.
    raise NotImplementedError(f"{op} of a regular expression")


def _member(op: Any, value: Any) -> str:
    if op is sre.NEGATE:
        return "^"
    if op is sre.RANGE:
        return f"{_escaped(value[0])}-{_escaped(value[1])}"
    return CATEGORIES[value] if op is sre.CATEGORY else _escaped(value)


def _escaped(code: int) -> str:
    character = chr(code)
    if character.isalnum() and character.isascii():
        return character
    return f"\\u{min(code, 0xFFFF):04x}"


def _example(tree: Any) -> str:
    """A short text that a part of a pattern matches, without regard to what is around it."""
    found = ""
    for op, value in tree:
        if op is sre.LITERAL:
            found += chr(value)
        elif op is sre.NOT_LITERAL:
            found += "a" if value != ord("a") else "b"
        elif op is sre.ANY:
            found += "a"
        elif op is sre.IN:
            found += _example_of(value)
        elif op in REPEATS:
            found += _example(value[2]) * max(1, min(value[0], 64))
        elif op is sre.BRANCH:
            found += _example(value[1][0])
        elif op not in (sre.ASSERT, sre.ASSERT_NOT):
            for below in _below(op, value):
                found += _example(below)
    return found


def _example_of(members: Any) -> str:
    if members[0][0] is sre.NEGATE:
        refused = re.compile(_one(sre.IN, members))
        return next((each for each in "a0 .-_:/'\"{}\n\\" if refused.match(each)), "é")
    op, value = members[0]
    return EXAMPLES[value] if op is sre.CATEGORY else chr(value[0] if op is sre.RANGE else value)
