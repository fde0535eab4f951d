"""The elements of a list keep their numbers throughout an update, as on AWS.

ministack takes one action after the other, so what follows the removal of an element would mean its neighbor. Source:
DynamoDB developer guide, "Update expressions": "Removing elements from a list", "Adding elements to a list".
"""

from __future__ import annotations

from stream_cli.local.emulator.dynamodb.grammar import Action, Call, DocumentPath, Node, Sum, UpdateTree, Value


def in_order_of_elements(tree: UpdateTree) -> str:
    """The update as text: elements are removed from the end of their list, and added in the order of their numbers."""
    sections = []
    for section in tree.sections:
        actions = [action for action in tree.actions if action.section == section]
        actions.sort(key=_numbers, reverse=section == "REMOVE")
        sections.append(f"{section} {', '.join(map(_written, actions))}")
    return " ".join(sections)


def _numbers(action: Action) -> list[int]:
    return [part for part in action.path.parts if isinstance(part, int)]


def _written(node: Action | Node) -> str:
    match node:
        case Action(section, path, value):
            sign = " = " if section == "SET" else " "
            return _written(path) + (sign + _written(value) if value is not None else "")
        case DocumentPath(parts):
            return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)[1:]
        case Value(name):
            return name
        case Sum(operator, left, right):
            return f"{_written(left)} {operator} {_written(right)}"
        case Call(name, arguments):
            return f"{name}({', '.join(map(_written, arguments))})"
    raise TypeError(f"{node} is not of an update")
