"""Tests events against compiled patterns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Test = Callable[[Any], bool]
Path = tuple[str, ...]
Membership = tuple[tuple[int, int], ...]
"""The array elements on the way to a value: the identity of each array, and the index of the element."""


class Field:
    """The condition that an alternative puts on the values at one path; `absence`: that there is none also matches."""

    __slots__ = ("absence", "path", "test")

    def __init__(self, path: Path, test: Test, absence: bool) -> None:
        self.path = path
        self.test = test
        self.absence = absence


class CompiledPattern:
    """A compiled pattern: call it with an event (a decoded JSON object) to test whether the event matches.

    Attributes:
        fields: the top-level names that the pattern constrains.
    """

    __slots__ = ("_alternatives", "fields")

    def __init__(self, alternatives: Sequence[Sequence[Field]]) -> None:
        self._alternatives = alternatives
        self.fields = frozenset(field.path[0] for fields in alternatives for field in fields)

    def __call__(self, event: Mapping[str, Any]) -> bool:
        return any(_alternative_matches(fields, event) for fields in self._alternatives)


def _alternative_matches(fields: Sequence[Field], event: Mapping[str, Any]) -> bool:
    candidates: list[tuple[Field, list[tuple[Any, Membership]], list[Membership]]] = []
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
    """Collect the scalars at `path`, each with the array elements on the way to it."""
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
    candidates: Sequence[tuple[Field, list[tuple[Any, Membership]], list[Membership]]],
    index: int,
    chosen: dict[int, int],
) -> bool:
    """Search for one value per field such that no array is entered through two different elements."""
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
