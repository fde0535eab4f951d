"""What DynamoDB refuses in a condition, a filter or a key condition that its grammar allows."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from stream_cli.local.emulator.dynamodb.grammar import Call, Condition, ConditionTree, DocumentPath, Node, Value
from stream_cli.local.emulator.dynamodb.placeholders import (
    CONDITION_FUNCTIONS,
    TYPES,
    UPDATE_FUNCTIONS,
    Placeholders,
    Refusal,
    check_number_of_operands,
    check_types,
    shown_path,
    walk,
    wrong_type,
)

_ORDERED = frozenset({"<", "<=", ">", ">=", "BETWEEN"})
_WITH_ORDER = frozenset({"S", "N", "B"})


def check_condition(tree: ConditionTree, given: Placeholders) -> None:
    """Refuse a condition as DynamoDB does.

    Raises:
        Refusal: the message says why.
    """
    nodes = list(walk(tree.root))
    functions = [node for node in nodes if isinstance(node, Call)]
    if tree.redundant_parentheses:
        raise Refusal("The expression has redundant parentheses;")
    for function in functions:
        if function.name not in CONDITION_FUNCTIONS:
            known = function.name in UPDATE_FUNCTIONS
            problem = "The function is not allowed in a condition expression" if known else "Invalid function name"
            raise Refusal(f"{problem}; function: {function.name}")
    for function in _misused(tree.root):
        raise Refusal(f"The function is not allowed to be used this way in an expression; function: {function.name}")
    given.check_reserved(node for node in nodes if isinstance(node, DocumentPath))
    for node in nodes:
        if isinstance(node, DocumentPath | Value):
            given.check_defined(node)
    for function in functions:
        check_number_of_operands(function, CONDITION_FUNCTIONS[function.name])
    for node in nodes:
        _check_distinct(node, given)
    for node in nodes:
        if isinstance(node, Call):
            _check_condition_function(node, given)
        elif isinstance(node, Condition) and node.operator in _ORDERED:
            check_types(node.operator, node.arguments, _WITH_ORDER, given)
            if node.operator == "BETWEEN":
                _check_bounds(node, given)


def check_key_condition(root: Node, given: Placeholders, keys: Sequence[str]) -> None:
    """Refuse what a condition may say, but not a key condition. The message is a whole one.

    Args:
        keys: the partition key, and the sort key if there is one; empty if the table does not exist.

    Raises:
        Refusal: the message says why.
    """
    conditions: dict[str, str] = {}
    for node in _key_conditions(root):
        if isinstance(node, Call) and node.name == "size":
            raise Refusal("KeyConditionExpressions cannot contain nested operations")
        name = node.name if isinstance(node, Call) else node.operator
        if name not in {"=", "<", "<=", ">", ">=", "BETWEEN", "begins_with"}:
            raise Refusal(f"Invalid operator used in KeyConditionExpression: {name}")
        first = node.arguments[0]
        if name in {"BETWEEN", "begins_with"} and not isinstance(first, DocumentPath):
            raise Refusal(
                f"Invalid condition in KeyConditionExpression: {name} operator must have the key attribute as its "
                "first operand"
            )
        key = _key_of(node, given)
        if key in conditions:
            raise Refusal("KeyConditionExpressions must only contain one condition per key")
        conditions[key] = name
    if len(keys) not in {1, 2}:
        return
    missed = [key for key in keys[: len(conditions)] if key not in conditions]
    if missed:
        raise Refusal(f"Query condition missed key schema element: {missed[0]}")
    if len(conditions) > len(keys) or conditions[keys[0]] != "=":
        raise Refusal("Query key condition not supported")


def _misused(node: Node, within: Node | None = None) -> Iterator[Call]:
    """Functions where a value should stand, and ``size`` where a condition should."""
    if isinstance(node, Call):
        logical = within is None or (isinstance(within, Condition) and within.operator in {"AND", "OR", "NOT"})
        if logical is (node.name == "size"):
            yield node
    if isinstance(node, Call | Condition):
        for argument in node.arguments:
            yield from _misused(argument, node)


def _check_distinct(node: Node, given: Placeholders) -> None:
    name = node.name if isinstance(node, Call) else node.operator if isinstance(node, Condition) else None
    if name is None or not isinstance(node, Call | Condition) or len(node.arguments) != 2:
        return
    first, second = node.arguments
    if (
        isinstance(first, DocumentPath)
        and isinstance(second, DocumentPath)
        and given.resolved(first) == given.resolved(second)
    ):
        raise Refusal(
            "The first operand must be distinct from the remaining operands for this operator or function; "
            f"operator: {name}, first operand: {shown_path(given.resolved(first))}"
        )


def _check_condition_function(function: Call, given: Placeholders) -> None:
    name, arguments = function.name, function.arguments
    if name in {"attribute_exists", "attribute_not_exists"} and not isinstance(arguments[0], DocumentPath):
        raise Refusal(f"Operator or function requires a document path; operator or function: {name}")
    if name == "begins_with":
        check_types(name, arguments, {"S", "B"}, given)
    if name == "size":
        check_types(name, arguments, set(TYPES) - {"N", "BOOL", "NULL"}, given)
    if name == "attribute_type":
        kind = given.type_of(arguments[1])
        if kind != "S":
            shown = kind or "{NS,SS,L,BS,N,M,B,BOOL,NULL,S}"
            raise Refusal(wrong_type(name, shown))
        asked = given.values[arguments[1].name]["S"] if isinstance(arguments[1], Value) else None
        if asked not in TYPES:
            raise Refusal(
                f"Invalid attribute type name found; type: {asked}, valid types: {{B,NULL,SS,BOOL,L,BS,N,NS,S,M}}"
            )


def _check_bounds(between: Condition, given: Placeholders) -> None:
    low, high = between.arguments[1:]
    if not (isinstance(low, Value) and isinstance(high, Value)):
        return
    kinds = [given.type_of(bound) or "" for bound in (low, high)]
    bounds = [given.values[bound.name].get(kind) for bound, kind in zip((low, high), kinds, strict=True)]
    lower, upper = (f"AttributeValue: {{{kind}:{bound}}}" for kind, bound in zip(kinds, bounds, strict=True))
    shown = f"lower bound operand: {lower}, upper bound operand: {upper}"
    if kinds[0] != kinds[1]:
        raise Refusal(f"The BETWEEN operator requires same data type for lower and upper bounds; {shown}")
    if _is_greater(kinds[0], *bounds):
        raise Refusal(f"The BETWEEN operator requires upper bound to be greater than or equal to lower bound; {shown}")


def _is_greater(kind: str, one: Any, other: Any) -> bool:
    if kind == "S":
        return str(one) > str(other)
    if kind == "B":
        return _decoded(one) > _decoded(other)
    try:
        return kind == "N" and Decimal(one) > Decimal(other)
    except ArithmeticError:  # what is no number is refused later
        return False


def _decoded(binary: Any) -> bytes:
    """A binary value, which is base64 in JSON."""
    return binary if isinstance(binary, bytes) else base64.b64decode(binary)


def _key_conditions(node: Node) -> Iterator[Call | Condition]:
    """The conditions that AND joins."""
    if isinstance(node, Condition) and node.operator == "AND":
        for argument in node.arguments:
            yield from _key_conditions(argument)
    elif isinstance(node, Call | Condition):
        yield node


def _key_of(node: Call | Condition, given: Placeholders) -> str:
    found: DocumentPath | None = None
    for argument in node.arguments:
        if isinstance(argument, Call):
            raise Refusal("KeyConditionExpressions cannot contain nested operations")
        if isinstance(argument, DocumentPath):
            if found is not None:
                raise Refusal(
                    "Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition"
                )
            if len(argument.parts) > 1:
                raise Refusal("KeyConditionExpressions cannot have conditions on nested attributes")
            found = argument
    if found is None:
        raise Refusal("Invalid condition in KeyConditionExpression: No key attribute specified")
    return str(given.resolved(found)[0])
