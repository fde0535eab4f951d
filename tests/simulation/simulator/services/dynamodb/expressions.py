"""The expressions of requests, read once and kept as functions of an item and the request's values.

What DynamoDB refuses in a text is decided by stream_cli's emulator, whose messages were recorded on AWS. What an
expression does to an item is decided here; rules that no page of AWS states are those that the tests of ScyllaDB's
Alternator found on AWS (test/alternator/test_condition_expression.py, test_returnvalues.py, test_item.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from refusals import Refusal
from stream_cli.local.emulator.dynamodb.grammar import (
    Action,
    Call,
    Condition,
    DocumentPath,
    Node,
    Sum,
    parse_condition,
    parse_projection,
    parse_update,
)
from stream_cli.local.emulator.dynamodb.grammar import (
    Value as Placeholder,
)
from stream_cli.local.emulator.dynamodb.placeholders import walk
from stream_cli.local.emulator.dynamodb.requests import TableKeys, expressions_problem

from simulator.services.dynamodb.values import Item, Value, invalid, is_less, kept, set_of, total

Values = Mapping[str, Value]
Names = Mapping[str, str]
Path = tuple[str, *tuple[str | int, ...]]
Operand = Callable[[Mapping[str, Any], Values], Any]
Test = Callable[[Mapping[str, Any], Values], bool]

_TEXTS = (
    *("ConditionExpression", "UpdateExpression", "KeyConditionExpression", "FilterExpression", "ProjectionExpression"),
)
_MOST = 4_096
_OPERAND = "An operand in the update expression has an incorrect data type"
_PATH = "The document path provided in the update expression is invalid for update"
_ABSENT = "The provided expression refers to an attribute that does not exist in the item"


@dataclass(frozen=True, slots=True)
class KeyCondition:
    """Which items a query reads.

    Attributes:
        partition: the placeholder of the partition key's value.
        operator: how the sort key compares with the values of `operands`; None if it does not matter.
    """

    partition: str
    operator: str | None
    operands: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Update:
    """What an update does.

    Attributes:
        apply: the item afterwards, from that before, or from its key if there is none.
        touched: the attributes, at the top of the item, that it is about.
        updated: those parts of an item that it is about, for ReturnValues UPDATED_OLD and UPDATED_NEW.
        creates: whether it makes an item where there is none: one that only takes away does not.
    """

    apply: Callable[[Item, Values], Item]
    touched: frozenset[str]
    updated: Callable[[Item], Item]
    creates: bool


@dataclass(frozen=True, slots=True)
class Expressions:
    """The expressions of a request; None for each that it does not have.

    Attributes:
        suspicious: whether AWS may refuse them for some values, although it takes others of the same types.
    """

    condition: Test | None
    update: Update | None
    key_condition: KeyCondition | None
    filter: Test | None
    projection: Callable[[Item], Item] | None
    suspicious: Callable[[Values], bool] | None


class Reader:
    """Reads the requests to one table or index.

    Args:
        keys: its key attributes.
        types: those of the key attributes of the table and of its indexes.
    """

    def __init__(self, keys: TableKeys, types: Mapping[str, str]) -> None:
        self._keys = keys
        self._types = types
        self._read: dict[Any, Expressions] = {}

    def read(self, request: Mapping[str, Any], *, single_write: bool = False) -> tuple[Expressions, dict[str, Value]]:
        """The expressions of a request or of an action of a transaction, and its values as they are kept.

        Raises:
            Refusal: an expression, a name or a value is not as it must be.
        """
        names, given = request.get("ExpressionAttributeNames"), request.get("ExpressionAttributeValues")
        texts = tuple([request.get(name) for name in _TEXTS])
        values: dict[str, Value] = {}
        kinds = []
        try:
            for name, value in (given or {}).items():
                values[name], _ = kept(value)
                kinds.append((name, next(iter(value))))
        except Refusal:
            self._check(request, single_write=single_write)
            raise
        key = (texts, None if names is None else tuple(names.items()), None if given is None else tuple(kinds))
        found = self._read.get(key)
        if found is None:
            self._check(request, single_write=single_write)
            if len(self._read) >= _MOST:
                self._read.clear()
            found = self._read[key] = self._compiled(request, values)
        elif found.suspicious is not None and found.suspicious(values):
            self._check(request, single_write=single_write)
        return found, values

    def _check(self, request: Mapping[str, Any], *, single_write: bool) -> None:
        if not any(request.get(name) is not None for name in _TEXTS):
            for name in ("ExpressionAttributeNames", "ExpressionAttributeValues"):
                if name in request:
                    raise invalid(f"{name} can only be specified when using expressions")
            return
        problem = expressions_problem(request, self._keys, single_write=single_write)
        if problem:
            raise invalid(problem)

    def _compiled(self, request: Mapping[str, Any], values: Values) -> Expressions:
        names = request.get("ExpressionAttributeNames") or {}
        condition, update, key_condition, filter_, projection = (request.get(name) for name in _TEXTS)
        conditions = [parse_condition(text).root for text in (condition, key_condition, filter_) if text]
        return Expressions(
            _condition(parse_condition(condition).root, names) if condition else None,
            _update(parse_update(update).actions, names) if update else None,
            self._key_condition(parse_condition(key_condition).root, names, values) if key_condition else None,
            _condition(parse_condition(filter_).root, names) if filter_ else None,
            projected([resolved(path, names) for path in parse_projection(projection)]) if projection else None,
            _suspicious(conditions),
        )

    def _key_condition(self, root: Node, names: Names, values: Values) -> KeyCondition:
        partition, sort = "", None
        operands: tuple[str, ...] = ()
        for node in _conjunction(root):
            name, operator, of_key = _comparison(node, names)
            for operand in of_key:
                ((kind, _),) = values[operand].items()
                if kind != self._types[name]:
                    raise invalid(
                        "One or more parameter values were invalid: Condition parameter type does not match schema type"
                    )
            if name == self._keys.read[0]:
                partition = of_key[0]
            else:
                sort, operands = operator, of_key
        return KeyCondition(partition, sort, operands)


def resolved(path: DocumentPath, names: Names) -> Path:
    """The path with the names that its placeholders stand for."""
    head, *rest = [names.get(part, part) if isinstance(part, str) else part for part in path.parts]
    return str(head), *rest


# --- conditions ---


def _condition(node: Node, names: Names) -> Test:
    if isinstance(node, Call):
        return _function(node, names)
    assert isinstance(node, Condition)
    operator = node.operator
    if operator in ("AND", "OR"):
        left, right = (_condition(each, names) for each in node.arguments)
        if operator == "AND":
            return lambda item, values: left(item, values) and right(item, values)
        return lambda item, values: left(item, values) or right(item, values)
    if operator == "NOT":
        inner = _condition(node.arguments[0], names)
        return lambda item, values: not inner(item, values)
    one, *others = (_operand(each, names) for each in node.arguments)
    if operator == "IN":
        return lambda item, values: any(_equal(one(item, values), other(item, values)) for other in others)
    if operator == "BETWEEN":
        low, high = others
        return lambda item, values: (
            is_less(low(item, values), one(item, values), or_equal=True)
            and is_less(one(item, values), high(item, values), or_equal=True)
        )
    return _compared(operator, one, others[0])


def _compared(operator: str, one: Operand, other: Operand) -> Test:
    """A comparison. What is not there is not equal to anything, not even to something else that is not there."""
    match operator:
        case "=":
            return lambda item, values: _equal(one(item, values), other(item, values))
        case "<>":
            return lambda item, values: not _equal(one(item, values), other(item, values))
        case "<":
            return lambda item, values: is_less(one(item, values), other(item, values))
        case "<=":
            return lambda item, values: is_less(one(item, values), other(item, values), or_equal=True)
        case ">":
            return lambda item, values: is_less(other(item, values), one(item, values))
    return lambda item, values: is_less(other(item, values), one(item, values), or_equal=True)


def _equal(one: Any, other: Any) -> bool:
    return one is not None and bool(one == other)


def _function(call: Call, names: Names) -> Test:
    one, *others = (_operand(each, names) for each in call.arguments)
    match call.name:
        case "attribute_exists":
            return lambda item, values: one(item, values) is not None
        case "attribute_not_exists":
            return lambda item, values: one(item, values) is None
        case "attribute_type":
            return lambda item, values: others[0](item, values)["S"] in (one(item, values) or ())
        case "begins_with":
            return lambda item, values: _begins_with(one(item, values) or {}, others[0](item, values) or {})
        case "contains":
            return lambda item, values: _contains(one(item, values) or {}, others[0](item, values) or {})
    raise AssertionError(f"{call.name} has passed the check of functions")


def _begins_with(whole: Value, prefix: Value) -> bool:
    return any(kind in whole and kind in prefix and whole[kind].startswith(prefix[kind]) for kind in ("S", "B"))


def _contains(whole: Value, part: Value) -> bool:
    """Whether a text or binary value has a part, a set a member, or a list an element."""
    if not whole or not part:
        return False
    ((kind, inner),) = part.items()
    if kind in ("S", "B") and kind in whole:
        return inner in whole[kind]
    return inner in whole.get(f"{kind}S", ()) or part in whole.get("L", ())


def _operand(node: Any, names: Names) -> Operand:
    if isinstance(node, Placeholder):
        name = node.name
        return lambda item, values: values[name]
    if isinstance(node, DocumentPath):
        head, *rest = resolved(node, names)
        if not rest:
            return lambda item, values: item.get(head)
        return lambda item, values: _at(item.get(head), rest)
    if isinstance(node, Sum):
        return _sum(node, names)
    assert isinstance(node, Call)
    arguments = [_operand(each, names) for each in node.arguments]
    match node.name:
        case "size":
            return lambda item, values: _size(arguments[0](item, values))
        case "if_not_exists":
            return lambda item, values: _or(arguments[0](item, values), arguments[1], item, values)
        case "list_append":
            return lambda item, values: _appended(*(each(item, values) for each in arguments))
    raise AssertionError(f"{node.name} has passed the check of functions")


def _at(value: Any, path: Sequence[str | int]) -> Any:
    """The value at a path in another one; None if there is none."""
    for part in path:
        if value is None:
            return None
        if isinstance(part, str):
            value = value.get("M", {}).get(part)
        else:
            elements = value.get("L", ())
            value = elements[part] if part < len(elements) else None
    return value


def _size(value: Any) -> Any:
    """Developer guide, "size (path)": characters (of Java), bytes, or members."""
    if value is None:
        return None
    ((kind, inner),) = value.items()
    if kind == "S":
        return {"N": str(len(inner.encode("utf-16-le")) // 2)}
    return {"N": str(len(inner))} if kind in ("B", "SS", "NS", "BS", "L", "M") else None


def _suspicious(conditions: Sequence[Node]) -> Callable[[Values], bool] | None:
    """Whether bounds of BETWEEN are in the wrong order, or there is a name of a type, which need another look."""
    nodes = [node for condition in conditions for node in walk(condition)]
    if any(isinstance(node, Call) and node.name == "attribute_type" for node in nodes):
        return lambda values: True
    bounds = [
        tuple(bound.name for bound in node.arguments[1:] if isinstance(bound, Placeholder))
        for node in nodes
        if isinstance(node, Condition) and node.operator == "BETWEEN"
    ]
    pairs = [pair for pair in bounds if len(pair) == 2]
    if not pairs:
        return None
    return lambda values: any(is_less(values[high], values[low]) for low, high in pairs)


# --- key conditions ---

_TURNED = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def _conjunction(node: Any) -> list[Any]:
    if isinstance(node, Condition) and node.operator == "AND":
        return [each for argument in node.arguments for each in _conjunction(argument)]
    return [node]


def _comparison(node: Any, names: Names) -> tuple[str, str, tuple[str, ...]]:
    """Key attribute, operator and the placeholders of values; `:v > sk` is as `sk < :v`."""
    operator = node.name if isinstance(node, Call) else node.operator
    first, *others = node.arguments
    if isinstance(first, Placeholder):
        first, others, operator = others[0], [first], _TURNED[operator]
    return resolved(first, names)[0], operator, tuple(each.name for each in others)


# --- updates ---


def _sum(node: Sum, names: Names) -> Operand:
    one, other = _operand(node.left, names), _operand(node.right, names)
    sign = 1 if node.operator == "+" else -1

    def added(item: Mapping[str, Any], values: Values) -> Any:
        left, right = _there(one(item, values)), _there(other(item, values))
        if "N" not in left or "N" not in right:
            raise invalid(_OPERAND)
        return total(left["N"], right["N"], sign)

    return added


def _or(value: Any, otherwise: Operand, item: Mapping[str, Any], values: Values) -> Any:
    return otherwise(item, values) if value is None else value


def _appended(one: Any, other: Any) -> Any:
    if "L" not in _there(one) or "L" not in _there(other):
        raise invalid(_OPERAND)
    return {"L": one["L"] + other["L"]}


def _there(value: Any) -> Any:
    if value is None:
        raise invalid(_ABSENT)
    return value


def _update(actions: Sequence[Action], names: Names) -> Update:
    """An update. Its operands are those of the item before it; elements of lists keep their numbers throughout it.

    Source: developer guide, "Update expressions".
    """
    planned = [(resolved(action.path, names), _result(action, names)) for action in actions]
    # What is put beyond the end of a list is added in the order of numbers, and elements go from the end.
    planned.sort(key=lambda plan: [part for part in plan[0] if isinstance(part, int)])

    def apply(item: Item, values: Values) -> Item:
        results = [(path, result(item, values)) for path, result in planned]
        changed = dict(item)
        for path, value in results:
            if value is not None:
                _put(changed, path, value)
        for path, value in reversed(results):
            if value is None:
                _remove(changed, path)
        return changed

    return Update(
        apply,
        frozenset(path[0] for path, _ in planned),
        projected([path for path, _ in planned]),
        creates=any(action.section in ("SET", "ADD") for action in actions),
    )


def _result(action: Action, names: Names) -> Operand:
    """What will be at the action's path; None if nothing will."""
    path = resolved(action.path, names)
    parent = _parent_check(path)
    operand = _operand(action.value, names) if action.value is not None else None
    head, *rest = path

    def result(item: Mapping[str, Any], values: Values) -> Any:
        value = operand(item, values) if operand is not None else None
        if parent is not None:
            parent(item)
        if action.section == "REMOVE":
            return None
        value = _there(value)
        if action.section == "SET":
            return value
        there = _at(item.get(head), rest)
        return _added(there, value) if action.section == "ADD" else _left(there, value)

    return result


def _parent_check(path: Path) -> Callable[[Mapping[str, Any]], None] | None:
    head, *inner = path
    if not inner:
        return None
    *within, last = inner
    kind = "L" if isinstance(last, int) else "M"

    def check(item: Mapping[str, Any]) -> None:
        if kind not in (_at(item.get(head), within) or ()):
            raise invalid(_PATH)

    return check


def _added(there: Any, value: Value) -> Value:
    if there is None:
        return value
    ((kind, added),) = value.items()
    if kind not in there:
        raise invalid(_OPERAND)
    return total(there[kind], added, 1) if kind == "N" else set_of(kind, {*there[kind], *added})


def _left(there: Any, value: Value) -> Value | None:
    if there is None:
        return None
    ((kind, removed),) = value.items()
    if kind not in there:
        raise invalid(_OPERAND)
    left = [member for member in there[kind] if member not in removed]
    return {kind: left} if left else None


def _put(attributes: Any, path: Sequence[str | int], value: Value) -> None:
    """Put a value at a path into attributes or elements that nobody else has; what is on the way is copied."""
    head, *rest = path
    if rest:
        attributes[head] = inner = _copied(attributes[head])
        _put(next(iter(inner.values())), rest, value)
    elif isinstance(head, int) and head >= len(attributes):
        attributes.append(value)
    else:
        attributes[head] = value


def _remove(attributes: Any, path: Sequence[str | int]) -> None:
    head, *rest = path
    if isinstance(head, int) and head >= len(attributes):
        return
    if rest:
        attributes[head] = inner = _copied(attributes[head])
        _remove(next(iter(inner.values())), rest)
    elif isinstance(head, int):
        del attributes[head]
    else:
        attributes.pop(head, None)


def _copied(value: Any) -> Any:
    return {kind: inner.copy() for kind, inner in value.items()}


# --- projections ---


def projected(paths: Sequence[Path]) -> Callable[[Item], Item]:
    """The function that takes these parts of an item; elements of a list move together."""
    wanted: dict[Any, Any] = {}
    for path in paths:
        parts: list[str | int] = list(path)
        last = parts.pop()
        within = wanted
        for part in parts:
            within = within.setdefault(part, {})
        within[last] = None
    return lambda item: _members(item, wanted)


def _members(attributes: Item, wanted: Mapping[Any, Any]) -> Item:
    found = {}
    for name, inner in wanted.items():
        value = attributes.get(name)
        if value is not None and inner is not None:
            value = _part(value, inner)
        if value is not None:
            found[name] = value
    return found


def _part(value: Value, wanted: Mapping[Any, Any]) -> Value | None:
    ((kind, inner),) = value.items()
    if kind == "M":
        members = _members(inner, wanted)
        return {"M": members} if members else None
    if kind == "L":
        places = sorted(place for place in wanted if isinstance(place, int) and place < len(inner))
        within = ((inner[place], wanted[place]) for place in places)
        elements = [each if deeper is None else _part(each, deeper) for each, deeper in within]
        elements = [each for each in elements if each is not None]
        return {"L": elements} if elements else None
    return None
