"""Refuses wildcards that are too complex, by the measure of EventBridge.

While a text is read, it may be in several wildcards at once, and in several places of each: `aa` is in three places of
`*a*b`, since it matches the beginnings `*`, `*a` and `*a*`. EventBridge refuses conditions for which some text is in
more than `LIMIT` places.

Sources: github.com/aws/event-ruler, class MachineComplexityEvaluator and its tests, for the measure. The limit is the
one under which AWS was seen to accept four wildcards `*.abc` (8 places), and to refuse `*:*:*:*:*:event-bus/*` (11).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .errors import InvalidPattern
from .matching import Path

LIMIT = 10

_MOST_SETS = 20_000
"""The search stops after so many sets of places; wildcards that have not exceeded the limit by then are accepted."""

_STAR = -1
_QUOTE = 34  # EventBridge matches the text of the JSON value, between its quotes.

Conditions = Sequence[Any]


def refuse_complex(alternatives: Sequence[Mapping[Path, Conditions]]) -> None:
    """Check the conditions of a pattern, given by path for each alternative of its `$or`.

    Raises:
        InvalidPattern: AWS refuses wildcards of this complexity.
    """
    if not any(wildcards_of(each) for fields in alternatives for conditions in fields.values() for each in conditions):
        return
    for path, wildcards in _wildcards_matched_together(alternatives):
        if complexity(wildcards) > LIMIT:
            raise InvalidPattern(
                ".".join(path),
                "Rule is too complex - try using fewer wildcard characters or fewer repeating character sequences "
                "after a wildcard character",
                "simpler wildcards",
            )


@dataclass
class _Step:
    """What EventBridge has to look at next, after the conditions on earlier paths have matched."""

    fields: dict[Path, _Field] = field(default_factory=dict)


@dataclass
class _Field:
    """The conditions on one path that are matched together, and the step that follows each of them."""

    wildcards: dict[str, Sequence[str]] = field(default_factory=dict)
    next: dict[str, _Step] = field(default_factory=dict)


def _wildcards_matched_together(
    alternatives: Iterable[Mapping[Path, Conditions]],
) -> Iterator[tuple[Path, list[Sequence[str]]]]:
    """The wildcards on each path. Those of several alternatives are matched together if what stands before is equal."""
    fields: list[tuple[Path, _Field]] = []
    root = _Step()
    for alternative in alternatives:
        steps = [root]
        for path in sorted(alternative, key=".".join):
            following: dict[int, _Step] = {}
            for step in steps:
                if path not in step.fields:
                    step.fields[path] = _Field()
                    fields.append((path, step.fields[path]))
                shared = None
                for condition in alternative[path]:
                    key = json.dumps(condition, sort_keys=True, default=str)
                    step.fields[path].wildcards[key] = wildcards_of(condition)
                    shared = step.fields[path].next.setdefault(key, shared or _Step())
                    following[id(shared)] = shared
            steps = list(following.values())
    for path, found in fields:
        yield path, [wildcards for wildcards in found.wildcards.values() if wildcards]


def wildcards_of(condition: Any) -> Sequence[str]:
    """The wildcards of a condition: one, or those of `anything-but`; mostly none."""
    if not isinstance(condition, Mapping):
        return ()
    inner = condition.get("anything-but")
    operand = inner.get("wildcard") if isinstance(inner, Mapping) else condition.get("wildcard")
    if operand is None:
        return ()
    return (operand,) if isinstance(operand, str) else tuple(operand)


def complexity(conditions: Iterable[Sequence[str]]) -> int:
    """The most places that a text can be in at once, up to the first number above `LIMIT`.

    Each condition is a sequence of wildcards: those of one `anything-but` share their places up to the first asterisk,
    and their ends.

    >>> complexity([["*aa"]]), complexity([["ab*cd"], ["ab*wx"]])
    (3, 4)
    """
    distinct = dict.fromkeys(map(tuple, conditions))
    texts = [(number, _tokens(text)) for number, texts in enumerate(distinct) for text in dict.fromkeys(texts)]
    alphabet = sorted({token for _, tokens in texts for token in tokens if token != _STAR})
    places = [[_place(number, index, tokens) for index in range(len(tokens) + 1)] for number, tokens in texts]
    start = frozenset((text, 0) for text in range(len(texts)))
    seen, pending, most = {start}, [start], 0
    while pending and len(seen) < _MOST_SETS:
        active = pending.pop()
        for byte in alphabet:
            reached = set()
            for text, index in active:
                tokens = texts[text][1]
                if index and tokens[index - 1] == _STAR:
                    reached.add((text, index))
                if index < len(tokens) and tokens[index] == byte:
                    reached.add((text, index + 1))
                    if index + 1 < len(tokens) and tokens[index + 1] == _STAR:
                        reached.add((text, index + 2))
            most = max(most, len({places[text][index] for text, index in reached}))
            if most > LIMIT:
                return most
            following = frozenset(reached)
            if following not in seen:
                seen.add(following)
                pending.append(following)
    return most


def _tokens(text: str) -> tuple[int, ...]:
    """The bytes of a valid wildcard between its quotes, `_STAR` for an asterisk that is not escaped."""
    tokens, escaped = [_QUOTE], False
    for byte in text.encode("utf-8", "surrogatepass"):
        character = chr(byte)
        if character == "\\" and not escaped:
            escaped = True
            continue
        tokens.append(_STAR if character == "*" and not escaped else byte)
        escaped = False
    return (*tokens, _QUOTE)


def _place(condition: int, index: int, tokens: tuple[int, ...]) -> tuple[Any, ...]:
    if index == len(tokens):
        return (condition, "end")
    if _STAR not in tokens[: index - 1]:
        return (condition, tokens[:index])
    return (condition, tokens, index)
