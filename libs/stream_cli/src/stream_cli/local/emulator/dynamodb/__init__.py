"""DynamoDB refuses what it refuses on AWS: see ``requests``, ``operands`` and ``statements``.

ministack handles only what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Context, localcontext
from typing import Any

from stream_cli.local.emulator.dynamodb import (
    absent,
    copies,
    evaluation,
    index_filters,
    parts,
    remembered,
    statements,
    walks,
)
from stream_cli.local.emulator.dynamodb.grammar import parse_update
from stream_cli.local.emulator.dynamodb.numbers import normalize
from stream_cli.local.emulator.dynamodb.operands import check_fits
from stream_cli.local.emulator.dynamodb.order import in_order_of_elements
from stream_cli.local.emulator.dynamodb.placeholders import Placeholders
from stream_cli.local.emulator.dynamodb.requests import TableKeys, expressions_problem, key_problem, updated_key

INTERNALS = {
    "ministack.services._dynamodb_keywords": ("AWS_KEYWORDS",),
    "ministack.services.dynamodb": (
        *("_put_item", "_update_item", "_delete_item", "_get_item", "_query", "_scan"),
        *("_batch_write_item", "_batch_get_item", "_transact_write_items", "_transact_get_items"),
        *("_tables", "_normalize_table_name", "_apply_update_expression", "_get_attr_type"),
        *("_transact_validation_cancel_response", "_empty_key_value_error", "error_response_json"),
        *("_ddb_canonicalize_number", *statements.INTERNALS["ministack.services.dynamodb"]),
        *absent.INTERNALS["ministack.services.dynamodb"],
        *evaluation.INTERNALS["ministack.services.dynamodb"],
        *index_filters.INTERNALS["ministack.services.dynamodb"],
        *parts.INTERNALS["ministack.services.dynamodb"],
        *remembered.INTERNALS["ministack.services.dynamodb"],
        *copies.INTERNALS["ministack.services.dynamodb"],
        *walks.INTERNALS["ministack.services.dynamodb"],
    ),
}

Response = Any
Handler = Callable[[dict[str, Any]], Response]

# Numbers have 38 digits, ten more than those of Python's own context.
_SUMS = Context(prec=38)
_SINGLE_WRITES = ("_put_item", "_update_item", "_delete_item")
_REQUIRED = {
    "Put": ("Item",),
    "Delete": ("Key",),
    "Update": ("Key", "UpdateExpression"),
    "ConditionCheck": ("Key", "ConditionExpression"),
}
# BatchWriteItem gives this for a member that is neither or both of PutRequest and DeleteRequest.
_ONE_REQUEST = (
    "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes"
)


def patch() -> None:
    """Check each request before ministack handles it."""
    from ministack.services import dynamodb

    remembered.patch()
    copies.patch()
    walks.patch()
    absent.patch()
    index_filters.patch()
    parts.patch()
    canonical = dynamodb._ddb_canonicalize_number

    def table_of(request: Mapping[str, Any]) -> Any:
        name = request.get("TableName")
        return dynamodb._tables.get(dynamodb._normalize_table_name(name)) if isinstance(name, str) else None

    def keys_of(request: Mapping[str, Any]) -> TableKeys | None:
        table = table_of(request)
        if table is None:
            return None
        indexes = (*(table.get("GlobalSecondaryIndexes") or ()), *(table.get("LocalSecondaryIndexes") or ()))
        of_indexes = {key["AttributeName"] for index in indexes for key in index["KeySchema"]}
        asked = request.get("IndexName")
        read = next((index for index in indexes if index["IndexName"] == asked), {}) if asked else table
        own = [name for name in (table["pk_name"], table["sk_name"]) if name]
        return TableKeys(
            types={name: dynamodb._get_attr_type(table, name) for name in own},
            of_indexes=of_indexes,
            read=[key["AttributeName"] for key in sorted(read.get("KeySchema", ()), key=lambda key: key["KeyType"])],
        )

    def refused(problem: str) -> Response:
        return dynamodb.error_response_json("ValidationException", problem, 400)

    def single(handle: Handler, *, write: bool) -> Handler:
        def handled(request: dict[str, Any]) -> Response:
            normalize(request, canonical)
            keys = keys_of(request)
            problem = expressions_problem(request, keys, single_write=write)
            problem = problem or (updated_key(request, keys.types) if keys else None)
            if problem:
                return refused(problem)
            if write:
                return absent.handled([request], lambda: handle(request))
            return index_filters.reading(table_of(request), request.get("IndexName"), lambda: handle(request))

        return handled

    def batch_get(handle: Handler) -> Handler:
        def handled(request: dict[str, Any]) -> Response:
            for asked in (request.get("RequestItems") or {}).values():
                normalize(asked, canonical)
                if problem := expressions_problem(asked, None):
                    return refused(problem)
            return handle(request)

        return handled

    def batch_write(handle: Handler) -> Handler:
        def handled(request: dict[str, Any]) -> Response:
            members = [member for asked in (request.get("RequestItems") or {}).values() for member in asked]
            if any(len(member) != 1 for member in members):
                return refused(_ONE_REQUEST)
            for member in members:
                normalize(member.get("DeleteRequest", {}), canonical)
            return handle(request)

        return handled

    def transaction(handle: Handler) -> Handler:
        def handled(request: dict[str, Any]) -> Response:
            members = request.get("TransactItems") or []
            for action in (action for member in members for action in member.values()):
                normalize(action, canonical)
            if problem := _actions_problem(members, keys_of):
                return refused(problem)
            for name, value in (pair for member in members for pair in _key_read(member).items()):
                if empty := dynamodb._empty_key_value_error(name, value):
                    return empty
            reasons = _key_reasons(members, keys_of)
            if reasons:
                return dynamodb._transact_validation_cancel_response(len(members), reasons)
            updates = [member["Update"] for member in members if "Update" in member]
            return absent.handled(updates, lambda: handle(request))

        return handled

    apply = dynamodb._apply_update_expression

    def applied(item: dict[str, Any], text: str, values: Any, names: Any, *more: Any) -> Any:
        tree, given = parse_update(text), Placeholders(names or {}, values or {}, ())
        check_fits(tree, item, given)
        with localcontext(_SUMS):
            return apply(item, in_order_of_elements(tree), given.values, given.names, *more)

    statements.patch()
    evaluation.patch()
    dynamodb._apply_update_expression = applied
    for name in ("_put_item", "_update_item", "_delete_item", "_get_item", "_query", "_scan"):
        setattr(dynamodb, name, single(getattr(dynamodb, name), write=name in _SINGLE_WRITES))
    dynamodb._batch_get_item = batch_get(dynamodb._batch_get_item)
    dynamodb._batch_write_item = batch_write(dynamodb._batch_write_item)
    dynamodb._transact_write_items = transaction(dynamodb._transact_write_items)
    dynamodb._transact_get_items = transaction(dynamodb._transact_get_items)


def _key_read(member: Mapping[str, Any]) -> Mapping[str, Any]:
    """The key that a member of TransactGetItems reads; ministack checks those of TransactWriteItems."""
    key = member.get("Get", {}).get("Key")
    return key if isinstance(key, Mapping) else {}


def _actions_problem(
    members: Sequence[Mapping[str, Any]], keys_of: Callable[[Mapping[str, Any]], TableKeys | None]
) -> str | None:
    """Why a transaction is refused before any table is read."""
    for number, member in enumerate(members, 1):
        if len(member) > 1:
            return "TransactItems can only contain one of Check, Put, Update or Delete"
        for kind, action in member.items():
            for name in _REQUIRED.get(kind, ()):
                if action.get(name) is None:
                    place = f"transactItems.{number}.member.{_camel(kind)}.{_camel(name)}"
                    return (
                        f"1 validation error detected: Value null at '{place}' failed to satisfy constraint: "
                        "Member must not be null"
                    )
            if problem := expressions_problem(action, keys_of(action)):
                return problem
    return None


def _key_reasons(
    members: Sequence[Mapping[str, Any]], keys_of: Callable[[Mapping[str, Any]], TableKeys | None]
) -> dict[int, str]:
    """By its place, why a member cancels its transaction because of its key; none if a table does not exist."""
    reasons: dict[int, str] = {}
    for place, member in enumerate(members):
        for kind, action in member.items():
            keys = keys_of(action)
            if keys is None:
                return {}
            if kind != "Put":
                problem = key_problem(action.get("Key"), keys.types) or updated_key(action, keys.types)
            else:
                missing = next((name for name in keys.types if name not in action["Item"]), None)
                problem = f"One or more parameter values were invalid: Missing the key {missing} in the item"
                problem = problem if missing else None
            if problem:
                reasons[place] = problem
    return reasons


def _camel(name: str) -> str:
    return name[0].lower() + name[1:]
