"""The placeholders of a request, and what DynamoDB checks in every kind of expression.

Where an expression has several mistakes, DynamoDB reports the first of a fixed order of kinds, recorded on AWS by the
tests of https://github.com/architect/dynalite (test/query.js, test/updateItem.js).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stream_cli.local.emulator.dynamodb.grammar import (
    Call,
    Condition,
    ConditionTree,
    DocumentPath,
    Node,
    Sum,
    UpdateTree,
    Value,
)

AttributeValue = Mapping[str, Any]

TYPES = ("S", "N", "B", "NULL", "BOOL", "SS", "NS", "BS", "L", "M")
# The functions of conditions and of updates, with the number of their operands.
CONDITION_FUNCTIONS = {
    "attribute_exists": 1,
    "attribute_not_exists": 1,
    "attribute_type": 2,
    "begins_with": 2,
    "contains": 2,
    "size": 1,
}
UPDATE_FUNCTIONS = {"if_not_exists": 2, "list_append": 2}


class Refusal(ValueError):
    """An expression that DynamoDB does not take; the text is its message."""


@dataclass
class Placeholders:
    """ExpressionAttributeNames and -Values of a request, and which of them its expressions have used."""

    names: Mapping[str, str]
    values: Mapping[str, AttributeValue]
    reserved: Collection[str]
    used: set[str] = field(default_factory=set)

    def resolved(self, path: DocumentPath) -> tuple[str | int, ...]:
        """The path with the names that its aliases stand for."""
        return tuple(self.names.get(part, part) if isinstance(part, str) else part for part in path.parts)

    def type_of(self, node: Node | None) -> str | None:
        """The type of an operand, if it is known before an item is read."""
        if isinstance(node, Value):
            return next((kind for kind in TYPES if kind in self.values.get(node.name, {})), None)
        return "N" if isinstance(node, Call) and node.name == "size" else None

    def check_reserved(self, paths: Iterable[DocumentPath]) -> None:
        """Refuse a name that is a reserved word and has no alias."""
        for path in paths:
            for part in path.parts:
                if isinstance(part, str) and part.upper() in self.reserved:
                    raise Refusal(f"Attribute name is a reserved keyword; reserved keyword: {part}")

    def check_defined(self, node: DocumentPath | Value) -> None:
        """Refuse a placeholder that the request does not define."""
        if isinstance(node, Value):
            self.used.add(node.name)
            if node.name not in self.values:
                raise Refusal(
                    f"An expression attribute value used in expression is not defined; attribute value: {node.name}"
                )
            return
        for part in node.parts:
            if isinstance(part, str) and part.startswith("#"):
                self.used.add(part)
                if part not in self.names:
                    raise Refusal(
                        f"An expression attribute name used in the document path is not defined; attribute name: {part}"
                    )

    def unused(self, defined: Iterable[str]) -> str:
        """Those of the placeholders that no expression has used, as a message lists them."""
        return ", ".join(name for name in defined if name not in self.used)


def walk(node: Node | None) -> Iterator[Node]:
    if node is None:
        return
    yield node
    if isinstance(node, Call | Condition):
        for argument in node.arguments:
            yield from walk(argument)
    elif isinstance(node, Sum):
        yield from walk(node.left)
        yield from walk(node.right)


def check_apart(paths: Sequence[tuple[str | int, ...]]) -> None:
    """Refuse paths of which one contains another, and paths that take a part for a map and for a list.

    Raises:
        Refusal: the message names the first two.
    """
    if len({path[0] for path in paths}) == len(paths):
        return
    advice = "must remove or rewrite one of these paths"
    conflicts = []
    for later in range(len(paths)):
        for one, other in ((paths[earlier], paths[later]) for earlier in range(later)):
            differing = next(((a, b) for a, b in zip(one, other, strict=False) if a != b), None)
            named = f"path one: {shown_path(one)}, path two: {shown_path(other)}"
            if differing is None:
                raise Refusal(f"Two document paths overlap with each other; {advice}; {named}")
            if isinstance(differing[0], str) is not isinstance(differing[1], str):
                conflicts.append(f"Two document paths conflict with each other; {advice}; {named}")
    for conflict in conflicts:
        raise Refusal(conflict)


def check_number_of_operands(function: Call, number: int) -> None:
    if len(function.arguments) != number:
        raise Refusal(
            "Incorrect number of operands for operator or function; "
            f"operator or function: {function.name}, number of operands: {len(function.arguments)}"
        )


def check_types(name: str, operands: Iterable[Node], allowed: Collection[str], given: Placeholders) -> None:
    for operand in operands:
        kind = given.type_of(operand)
        if kind is not None and kind not in allowed:
            raise Refusal(wrong_type(name, kind))


def wrong_type(name: str, kind: str) -> str:
    return f"Incorrect operand type for operator or function; operator or function: {name}, operand type: {kind}"


def paths_of(tree: ConditionTree | UpdateTree, given: Placeholders) -> Iterator[tuple[str | int, ...]]:
    """Every path of an expression, with the names that its aliases stand for."""
    roots: Iterable[Node | None] = (
        [tree.root]
        if isinstance(tree, ConditionTree)
        else [node for action in tree.actions for node in (action.path, action.value)]
    )
    for root in roots:
        yield from (given.resolved(node) for node in walk(root) if isinstance(node, DocumentPath))


def shown_path(path: Sequence[str | int]) -> str:
    return "[" + ", ".join(f"[{part}]" if isinstance(part, int) else part for part in path) + "]"
