"""Every change of an item is on its table's stream: PartiQL statements and TTL removals make records, too.

ministack makes records for PutItem, UpdateItem, DeleteItem, BatchWriteItem and TransactWriteItems only. Beside that,

- a write that changes nothing but the order of a set makes no record, since sets have none;
- a record has its size;
- TTL removes an item only if its attribute is a number, at most five years old.

DynamoDB developer guide, "Change data capture for DynamoDB Streams" and "DynamoDB Streams and Time to Live".
"""

from __future__ import annotations

import contextvars
import copy
import threading
import time
from collections.abc import Callable
from typing import Any

INTERNALS = {
    "ministack.core.arn": ("parse_arn",),
    "ministack.core.responses": ("request_scope",),
    "ministack.services.dynamodb": (
        *("_partiql_insert", "_partiql_update", "_partiql_delete", "_execute_transaction", "_set_item", "_remove_item"),
        *("_emit_stream_event", "_build_change_record", "_item_size_bytes", "_ddb_equals", "_ttl_reaper"),
        *("_ttl_settings", "_stream_records"),
    ),
}

Item = dict[str, Any]

_REAPER = "dynamodb-ttl-reaper"
_FIVE_YEARS_S = 5 * 365.25 * 86_400
_TTL = {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}

# The changes that the PartiQL statement or transaction at hand has made so far: table, old item, new item.
_changes: contextvars.ContextVar[list[tuple[str, Item | None, Item | None]] | None] = contextvars.ContextVar(
    "changes", default=None
)
_expiring: contextvars.ContextVar[bool] = contextvars.ContextVar("expiring", default=False)


def patch() -> None:
    """Make the records that are missing."""
    from ministack.core import arn, responses
    from ministack.services import dynamodb

    set_item, remove_item = dynamodb._set_item, dynamodb._remove_item
    emit, build = dynamodb._emit_stream_event, dynamodb._build_change_record

    def stored(table: dict[str, Any], partition_key: Any, sort_key: Any, item: Item) -> Any:
        old = set_item(table, partition_key, sort_key, item)
        if (changes := _changes.get()) is not None:
            changes.append((table["TableName"], old, copy.deepcopy(item)))
        return old

    def removed(table: dict[str, Any], partition_key: Any, sort_key: Any) -> Any:
        if threading.current_thread().name == _REAPER:
            return expired(table, partition_key, sort_key)
        old = remove_item(table, partition_key, sort_key)
        if old is not None and (changes := _changes.get()) is not None:
            changes.append((table["TableName"], old, None))
        return old

    def expired(table: dict[str, Any], partition_key: Any, sort_key: Any) -> Any:
        owner = arn.parse_arn(table["TableArn"])  # the thread of the reaper has no account and region
        with responses.request_scope(owner.account_id, owner.region):
            item = table["items"][partition_key][sort_key]
            if not _is_expired(item.get(dynamodb._ttl_settings[table["TableName"]]["AttributeName"])):
                return None
            remove_item(table, partition_key, sort_key)
            token = _expiring.set(True)
            try:
                emit(table["TableName"], "REMOVE", item, None)
            finally:
                _expiring.reset(token)
            return item

    def emitted(table_name: str, event_name: str, old: Item | None, new: Item | None, replicate: bool = True) -> None:
        if event_name == "MODIFY" and dynamodb._ddb_equals({"M": old}, {"M": new}):
            new = old  # for which ministack makes no record
        emit(table_name, event_name, old, new, replicate)

    def built(table: dict[str, Any], event_name: str, old: Item | None, new: Item | None, view: str) -> Any:
        record = build(table, event_name, old, new, view)
        change = record["dynamodb"]
        images = (change.get(name) for name in ("Keys", "OldImage", "NewImage"))
        change["SizeBytes"] = sum(dynamodb._item_size_bytes(image) for image in images if image)
        if _expiring.get():
            record["userIdentity"] = _TTL
        return record

    def recorded(execute: Callable[..., Any]) -> Callable[..., Any]:
        def executed(*arguments: Any) -> Any:
            if _changes.get() is not None:  # a statement of a transaction, which makes the records if it succeeds
                return execute(*arguments)
            token = _changes.set([])
            try:
                response = execute(*arguments)
                changes = _changes.get() or []
            finally:
                _changes.reset(token)
            if response[0] == 200:
                for table, old, new in changes:
                    emitted(table, "REMOVE" if new is None else "MODIFY" if old else "INSERT", old, new)
            return response

        return executed

    dynamodb._set_item, dynamodb._remove_item = stored, removed
    dynamodb._emit_stream_event, dynamodb._build_change_record = emitted, built
    for name in ("_partiql_insert", "_partiql_update", "_partiql_delete", "_execute_transaction"):
        setattr(dynamodb, name, recorded(getattr(dynamodb, name)))


def _is_expired(attribute: Any) -> bool:
    if not isinstance(attribute, dict) or "N" not in attribute:
        return False
    age = time.time() - float(attribute["N"])
    return 0 <= age <= _FIVE_YEARS_S
