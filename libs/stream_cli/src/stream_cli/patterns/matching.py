"""Tests events against compiled patterns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Test = Callable[[Any], bool]
Path = tuple[str, ...]
Steps = Sequence[Sequence[tuple[str, int]]]
Membership = tuple[tuple[int, int], ...]
"""The array elements on the way to a value: the identity of each array, and the index of the element."""


class Field:
    """The conditions that an alternative puts on the values at one path, and the test that they make together.

    Attributes:
        absence: whether it also matches that there is no value.
        steps: for each place in the path, the names that may stand there in an event, each with the place behind it.
            Paths are compared with dots between their names, so one name may cover several steps.
    """

    __slots__ = ("absence", "conditions", "path", "steps", "test")

    def __init__(self, path: Path, conditions: Sequence[Any], test: Test, absence: bool) -> None:
        self.path = path
        self.conditions = conditions
        self.test = test
        self.absence = absence
        self.steps = [
            [(".".join(path[place:end]), end) for end in range(place + 1, len(path) + 1)] for place in range(len(path))
        ]


class CompiledPattern:
    """A compiled pattern: call it with an event (a decoded JSON object) to test whether the event matches.

    Attributes:
        paths: the paths that the pattern constrains.
        fields: the top-level names of these paths.
    """

    __slots__ = ("_alternatives", "fields", "paths")

    def __init__(self, alternatives: Sequence[Sequence[Field]]) -> None:
        self._alternatives = alternatives
        self.paths = frozenset(field.path for fields in alternatives for field in fields)
        self.fields = frozenset(path[0] for path in self.paths)

    def __call__(self, event: Mapping[str, Any]) -> bool:
        return any(_alternative_matches(fields, event) for fields in self._alternatives)


def _alternative_matches(fields: Sequence[Field], event: Mapping[str, Any]) -> bool:
    candidates: list[tuple[Field, list[tuple[Any, Membership]], list[Membership]]] = []
    through_arrays = False
    for field in fields:
        leaves: list[tuple[Any, Membership]] = []
        _collect(event, field.steps, 0, (), leaves)
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


def _collect(node: Any, steps: Steps, place: int, membership: Membership, leaves: list[tuple[Any, Membership]]) -> None:
    """Collect the scalars at a path, each with the array elements on the way to it."""
    if isinstance(node, (list, tuple)):
        for index, element in enumerate(node):
            _collect(element, steps, place, (*membership, (id(node), index)), leaves)
    elif place < len(steps):
        if isinstance(node, Mapping):
            for name, behind in steps[place]:
                if name in node:
                    _collect(node[name], steps, behind, membership, leaves)
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
