"""PartiQL statements are refused as PutItem and UpdateItem are: for keys that do not fit, and for changed keys.

ministack stores what a statement gives, under whatever key that has.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

INTERNALS = {
    "ministack.services.dynamodb": (
        *("_partiql_insert", "_partiql_update", "_partiql_key_target", "_set_item", "_validate_item"),
        *("_key_type_mismatch_reason", "_validate_index_key_values", "error_response_json"),
    ),
}

Table = dict[str, Any]
Statement = Mapping[str, Any]

_INVALID = "One or more parameter values were invalid: "


def patch() -> None:
    """Check what an INSERT or UPDATE stores."""
    from ministack.services import dynamodb

    insert, update = dynamodb._partiql_insert, dynamodb._partiql_update

    def refused(problem: str) -> Any:
        return dynamodb.error_response_json("ValidationException", problem, 400)

    def problem_of(table: Table, item: dict[str, Any]) -> Any:
        for key in _keys(table):
            if key not in item:
                return refused(f"{_INVALID}Missing the key {key} in the item")
        mismatch = dynamodb._key_type_mismatch_reason(table, item)
        return (
            dynamodb._validate_item(item, table["pk_name"], table["sk_name"])
            or (refused(mismatch) if mismatch else None)
            or dynamodb._validate_index_key_values(table, item)
        )

    def inserted(table: Table, statement: Statement) -> Any:
        item = statement.get("item", {})
        item = item["M"] if set(item) == {"M"} else item
        return (problem_of(table, item) if item else None) or insert(table, statement)

    def updated(table: Table, statement: Statement, *more: Any) -> Any:
        paths = [path for path, _ in statement.get("assignments") or ()] + list(statement.get("removes") or ())
        for key in _keys(table):
            if any(path[0] == key for path in paths):
                return refused(f"{_INVALID}Cannot update attribute {key}. This attribute is part of the key")
        return _undone_if(problem_of, dynamodb, table, statement, lambda: update(table, statement, *more))

    dynamodb._partiql_insert, dynamodb._partiql_update = inserted, updated


def _undone_if(
    problem_of: Callable[[Table, dict[str, Any]], Any],
    dynamodb: Any,
    table: Table,
    statement: Statement,
    execute: Callable[[], Any],
) -> Any:
    """The response of an update, unless there is a problem with the item that it leaves: then the item is as before."""
    partition_key, sort_key, _, unclear = dynamodb._partiql_key_target(table, statement)
    before = None if unclear else copy.deepcopy(table["items"].get(partition_key, {}).get(sort_key))
    response = execute()
    if response[0] != 200 or before is None:
        return response
    problem = problem_of(table, table["items"][partition_key][sort_key])
    if problem:
        dynamodb._set_item(table, partition_key, sort_key, before)
    return problem or response


def _keys(table: Table) -> list[str]:
    return [key for key in (table["pk_name"], table["sk_name"]) if key]
