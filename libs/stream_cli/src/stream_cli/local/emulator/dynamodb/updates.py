"""What DynamoDB refuses in an update or a projection that its grammar allows."""

from __future__ import annotations

from collections.abc import Sequence

from stream_cli.local.emulator.dynamodb.grammar import Action, Call, DocumentPath, Sum, UpdateTree, Value
from stream_cli.local.emulator.dynamodb.placeholders import (
    CONDITION_FUNCTIONS,
    UPDATE_FUNCTIONS,
    Placeholders,
    Refusal,
    check_apart,
    check_number_of_operands,
    check_types,
    walk,
)

_NAMES_OF_TYPES = {
    "S": "STRING",
    "N": "NUMBER",
    "B": "BINARY",
    "NULL": "NULL",
    "BOOL": "BOOLEAN",
    "L": "LIST",
    "M": "MAP",
}


def check_update(tree: UpdateTree, given: Placeholders) -> None:
    """Refuse an update as DynamoDB does.

    Raises:
        Refusal: the message says why.
    """
    nodes = [node for action in tree.actions for node in (action.path, *walk(action.value))]
    functions = [node for node in nodes if isinstance(node, Call)]
    given.check_reserved(node for node in nodes if isinstance(node, DocumentPath))
    for function in functions:
        if function.name not in UPDATE_FUNCTIONS:
            known = function.name in CONDITION_FUNCTIONS
            problem = "The function is not allowed in an update expression" if known else "Invalid function name"
            raise Refusal(f"{problem}; function: {function.name}")
    for section in tree.sections:
        if tree.sections.count(section) > 1:
            raise Refusal(f'The "{section}" section can only be used once in an update expression;')
    for kind in (DocumentPath, Value):
        for node in nodes:
            if isinstance(node, kind):
                given.check_defined(node)
    check_apart([given.resolved(action.path) for action in tree.actions])
    for action in tree.actions:
        _check_operand(action, given)
    for node in nodes:
        if isinstance(node, Call):
            _check_update_function(node, given)
        elif isinstance(node, Sum):
            check_types(node.operator, (node.left, node.right), {"N"}, given)


def check_projection(paths: Sequence[DocumentPath], given: Placeholders) -> None:
    """Refuse a projection as DynamoDB does.

    Raises:
        Refusal: the message says why.
    """
    given.check_reserved(paths)
    for path in paths:
        given.check_defined(path)
    check_apart([given.resolved(path) for path in paths])


def _check_update_function(function: Call, given: Placeholders) -> None:
    check_number_of_operands(function, UPDATE_FUNCTIONS[function.name])
    if function.name == "if_not_exists" and not isinstance(function.arguments[0], DocumentPath):
        raise Refusal("Operator or function requires a document path; operator or function: if_not_exists")
    if function.name == "list_append":
        check_types("list_append", function.arguments, {"L"}, given)


def _check_operand(action: Action, given: Placeholders) -> None:
    """ADD takes numbers and sets, DELETE takes sets."""
    kind = given.type_of(action.value)
    if action.section in {"ADD", "DELETE"} and kind in _NAMES_OF_TYPES and (action.section, kind) != ("ADD", "N"):
        raise Refusal(
            f"Incorrect operand type for operator or function; operator: {action.section}, "
            f"operand type: {_NAMES_OF_TYPES[kind]}, typeSet: ALLOWED_FOR_ADD_OPERAND"
        )
