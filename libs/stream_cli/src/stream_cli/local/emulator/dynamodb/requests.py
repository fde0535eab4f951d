"""What DynamoDB refuses in a request before it looks at an item: placeholders, expressions, keys.

ministack reads an expression only as far as it needs for the item at hand: an unknown function is a path without a
value, and most mistakes in an update are ignored. Its transactions take any key.
"""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stream_cli.local.emulator.dynamodb.conditions import check_condition, check_key_condition
from stream_cli.local.emulator.dynamodb.grammar import SyntaxProblem, parse_condition, parse_projection, parse_update
from stream_cli.local.emulator.dynamodb.placeholders import TYPES, Placeholders, Refusal, paths_of
from stream_cli.local.emulator.dynamodb.updates import check_projection, check_update

Request = Mapping[str, Any]

# In the order in which DynamoDB reads them.
_EXPRESSIONS = (
    *("UpdateExpression", "ConditionExpression", "KeyConditionExpression", "FilterExpression", "ProjectionExpression"),
)
_READERS: dict[str, tuple[Callable[[str], Any], Callable[[Any, Placeholders], None]]] = {
    "UpdateExpression": (parse_update, check_update),
    "ConditionExpression": (parse_condition, check_condition),
    "KeyConditionExpression": (parse_condition, check_condition),
    "FilterExpression": (parse_condition, check_condition),
    "ProjectionExpression": (parse_projection, check_projection),
}
# PutItem, UpdateItem and DeleteItem count these among the errors of a request, other operations give them alone.
_COUNTED = {
    "ConditionExpression": ("An expression attribute", "can not be empty"),
    "UpdateExpression": ("can only be used once", "Two document paths", "can not be empty"),
}
_INVALID = "One or more parameter values were invalid: "
_EMPTY_SETS = {
    "SS": "An string set  may not be empty",
    "NS": "An number set  may not be empty",
    "BS": "Binary sets should not be empty",
}
_COUNT = "1 validation error detected: "
_LONGEST_REMEMBERED = 4_096


@dataclass(frozen=True)
class TableKeys:
    """The key attributes of a table.

    Attributes:
        types: those of the table itself, with their types.
        of_indexes: those of its indexes.
        read: those of the table or index that the request reads, partition keys first; none if there is no such index.
    """

    types: Mapping[str, str]
    of_indexes: Collection[str]
    read: Sequence[str]


def expressions_problem(request: Request, keys: TableKeys | None, *, single_write: bool = False) -> str | None:
    """Why DynamoDB refuses the expressions of a request or of one action of a transaction; None if it does not.

    Args:
        keys: of the request's table; None if it does not exist.
        single_write: whether it is PutItem, UpdateItem or DeleteItem.
    """
    texts = {name: request[name] for name in _EXPRESSIONS if isinstance(request.get(name), str)}
    if not texts:
        return None  # ministack refuses placeholders without an expression
    names = request.get("ExpressionAttributeNames")
    if "ExpressionAttributeValues" in request or not _is_plain([*texts.values(), *(names or {}).values()]):
        return _problem(texts, request, keys, single_write=single_write)
    return _remembered_problem(
        tuple(texts.items()),
        None if names is None else tuple(names.items()),
        None if keys is None else (tuple(keys.types.items()), frozenset(keys.of_indexes), tuple(keys.read)),
        single_write,
    )


def key_problem(key: Any, types: Mapping[str, str]) -> str | None:
    """Why a key that is not of the form of its table's is refused; None if it is."""
    fits = (
        isinstance(key, Mapping)
        and key.keys() == types.keys()
        and all(isinstance(value, Mapping) and set(value) == {types[name]} for name, value in key.items())
    )
    return None if fits else "The provided key element does not match the schema"


def updated_key(request: Request, types: Mapping[str, str]) -> str | None:
    """Why an update that is about a key attribute is refused; None if it is about others, or no update."""
    text = request.get("UpdateExpression")
    names = request.get("ExpressionAttributeNames") or {}
    heads = [action.path.parts[0] for action in parse_update(text).actions] if isinstance(text, str) else []
    for head in (names.get(head, head) for head in heads):
        if head in types:
            return f"{_INVALID}Cannot update attribute {head}. This attribute is part of the key"
    return None


def _problem(texts: Mapping[str, str], request: Request, keys: TableKeys | None, *, single_write: bool) -> str | None:
    return _placeholders_problem(request, single_write=single_write) or _texts_problem(
        texts, request, keys, single_write=single_write
    )


def _is_plain(texts: Sequence[Any]) -> bool:
    """Whether to remember what is wrong with these texts."""
    return all(isinstance(text, str) for text in texts) and sum(map(len, texts)) <= _LONGEST_REMEMBERED


@functools.lru_cache(1024)
def _remembered_problem(
    texts: tuple[tuple[str, str], ...],
    names: tuple[tuple[str, str], ...] | None,
    keys: tuple[tuple[tuple[str, str], ...], frozenset[str], tuple[str, ...]] | None,
    single_write: bool,
) -> str | None:
    """`_problem` of a request without values, which comes again and again."""
    request = dict(texts) if names is None else {**dict(texts), "ExpressionAttributeNames": dict(names)}
    known = None if keys is None else TableKeys(dict(keys[0]), keys[1], keys[2])
    return _problem(dict(texts), request, known, single_write=single_write)


def _placeholders_problem(request: Request, *, single_write: bool) -> str | None:
    names, values = request.get("ExpressionAttributeNames"), request.get("ExpressionAttributeValues")
    for title, sign, given in (("ExpressionAttributeNames", "#", names), ("ExpressionAttributeValues", ":", values)):
        if given == {}:
            return f"{_COUNT if single_write else ''}{title} must not be empty"
        for name in given or {}:
            if not re.fullmatch(sign + "[0-9A-Za-z_]+", name):
                return f'{title} contains invalid key: Syntax error; key: "{name}"'
    for name, value in (values or {}).items():
        if problem := _value_problem(value):
            return f"ExpressionAttributeValues contains invalid value: {problem} for key {name}"
    return None


def _value_problem(value: Any) -> str | None:
    """Why a value has not the form of an attribute value. Its numbers and sets are ministack's to refuse."""
    known = [kind for kind in value if kind in TYPES] if isinstance(value, Mapping) else []
    if len(known) != 1:
        number = "has more than one datatypes set" if known else "is empty"
        return f"Supplied AttributeValue {number}, must contain exactly one of the supported datatypes"
    (kind,) = known
    inner = value[kind]
    if kind == "NULL" and inner is not True:
        return f"{_INVALID}Null attribute value types must have the value of true"
    if kind == "B" and not isinstance(inner, bytes) and not _is_base64(inner):
        return f"{_INVALID}A binary value is no base64"
    if kind in _EMPTY_SETS and not inner:
        return f"{_INVALID}{_EMPTY_SETS[kind]}"
    children = inner if kind == "L" else inner.values() if kind == "M" else ()
    return next((problem for child in children if (problem := _value_problem(child))), None)


def _is_base64(content: Any) -> bool:
    try:
        base64.b64decode(content, validate=True)
    except (TypeError, ValueError):
        return False
    return True


def _texts_problem(
    texts: Mapping[str, str], request: Request, keys: TableKeys | None, *, single_write: bool
) -> str | None:
    from ministack.services._dynamodb_keywords import AWS_KEYWORDS

    given = Placeholders(
        request.get("ExpressionAttributeNames") or {}, request.get("ExpressionAttributeValues") or {}, AWS_KEYWORDS
    )
    trees = {}
    for name, text in texts.items():
        parse, check = _READERS[name]
        try:
            if not text.strip():
                raise Refusal("The expression can not be empty;")
            trees[name] = tree = parse(text)
            check(tree, given)
        except (SyntaxProblem, Refusal) as error:
            counted = single_write and any(kind in str(error) for kind in _COUNTED.get(name, ()))
            return f"{_COUNT if counted else ''}Invalid {name}: {error}"
    for kind, defined in (("Names", given.names), ("Values", given.values)):
        if unused := given.unused(defined):
            return f"Value provided in ExpressionAttribute{kind} unused in expressions: keys: {{{unused}}}"
    try:
        if "KeyConditionExpression" in trees:
            check_key_condition(trees["KeyConditionExpression"].root, given, keys.read if keys else ())
        if keys is not None:
            _check_key_paths(trees, given, keys)
    except Refusal as error:
        return str(error)
    return None


def _check_key_paths(trees: Mapping[str, Any], given: Placeholders, keys: TableKeys) -> None:
    """Key attributes have no parts, and a query's filter is not about them."""
    for name in trees.keys() - {"KeyConditionExpression", "ProjectionExpression"}:
        for head, *parts in paths_of(trees[name], given):
            if name == "FilterExpression" and "KeyConditionExpression" in trees and head in keys.read:
                raise Refusal(
                    f"Filter Expression can only contain non-primary key attributes: Primary key attribute: {head}"
                )
            kind = "Key" if head in keys.types else "IndexKey" if head in keys.of_indexes else None
            # What an update does to a table's own key, ministack refuses itself.
            if parts and kind and (name, kind) != ("UpdateExpression", "Key"):
                raise Refusal(
                    "Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: "
                    f"{kind}: {head}"
                )
