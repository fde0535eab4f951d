"""What DynamoDB refuses in an update when it sees the item: operands and paths that do not fit what is there.

ministack ignores a sum of something other than numbers, and writes into a text as if it were a map.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stream_cli.local.emulator.dynamodb.grammar import Action, Call, DocumentPath, Node, Sum, UpdateTree, Value
from stream_cli.local.emulator.dynamodb.placeholders import TYPES, Placeholders

_OPERAND = "An operand in the update expression has an incorrect data type"
_PATH = "The document path provided in the update expression is invalid for update"


def check_fits(tree: UpdateTree, item: Mapping[str, Any], given: Placeholders) -> None:
    """Refuse an update that the item does not allow.

    Raises:
        ValueError: the message says why.
    """
    for action in tree.actions:
        _type_of(action.value, item, given)
    for action in tree.actions:
        _check_parent(action, item, given)


def _type_of(node: Node | None, item: Mapping[str, Any], given: Placeholders) -> str | None:
    """The type that an operand has; None for a path that leads nowhere, which ministack refuses where AWS does."""
    if isinstance(node, Value):
        return given.type_of(node)
    if isinstance(node, DocumentPath):
        return _type_at(given.resolved(node), item)
    if isinstance(node, Sum):
        return _all_of("N", (node.left, node.right), item, given)
    if isinstance(node, Call) and node.name == "list_append":
        return _all_of("L", node.arguments, item, given)
    if isinstance(node, Call) and node.name == "if_not_exists":
        path, otherwise = node.arguments
        return _type_of(path, item, given) or _type_of(otherwise, item, given)
    return None


def _all_of(kind: str, operands: Sequence[Node], item: Mapping[str, Any], given: Placeholders) -> str:
    if any(_type_of(operand, item, given) not in {kind, None} for operand in operands):
        raise ValueError(_OPERAND)
    return kind


def _check_parent(action: Action, item: Mapping[str, Any], given: Placeholders) -> None:
    *parent, last = given.resolved(action.path)
    if parent and _type_at(parent, item) != ("L" if isinstance(last, int) else "M"):
        raise ValueError(_PATH)


def _type_at(path: Sequence[str | int], item: Mapping[str, Any]) -> str | None:
    value: Any = {"M": item}
    for part in path:
        inside = value.get("L" if isinstance(part, int) else "M", ())
        if (isinstance(part, int) and part < len(inside)) or (isinstance(inside, Mapping) and part in inside):
            value = inside[part]
        else:
            return None
    return next((kind for kind in TYPES if kind in value), None)
