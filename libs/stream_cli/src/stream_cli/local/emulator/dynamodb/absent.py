"""An update that only takes away makes no item; ministack makes one of its key.

Recorded on AWS by ScyllaDB's test/alternator/test_returnvalues.py, test_update_item_returnvalues_all_new.
"""

from __future__ import annotations

import contextvars
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from stream_cli.local.emulator.dynamodb.grammar import parse_update

INTERNALS = {
    "ministack.services.dynamodb": (
        *("_set_item", "_emit_stream_event", "_tables", "_normalize_table_name", "_extract_key_val", "json_response"),
    ),
}

Place = tuple[str, Any, Any]

_TAKES = frozenset({"REMOVE", "DELETE"})
# Where the request at hand makes no item.
_absent: contextvars.ContextVar[frozenset[Place]] = contextvars.ContextVar("absent", default=frozenset())


def patch() -> None:
    """Store nothing there, and make no record of it."""
    from ministack.services import dynamodb

    set_item, emit = dynamodb._set_item, dynamodb._emit_stream_event

    def stored(table: dict[str, Any], partition_key: Any, sort_key: Any, item: Any) -> Any:
        if (table["TableName"], partition_key, sort_key) in _absent.get():
            return None
        return set_item(table, partition_key, sort_key, item)

    def emitted(table_name: str, event_name: str, old: Any, new: Any, *more: Any, **named: Any) -> None:
        if event_name != "INSERT" or _place(dynamodb._tables[table_name], new) not in _absent.get():
            emit(table_name, event_name, old, new, *more, **named)

    dynamodb._set_item, dynamodb._emit_stream_event = stored, emitted


def handled(updates: Iterable[Mapping[str, Any]], handle: Callable[[], Any]) -> Any:
    """The response to a request with these updates, which have been checked."""
    from ministack.services import dynamodb

    absent = frozenset(place for update in updates for place in _not_made(update))
    if not absent:
        return handle()
    token = _absent.set(absent)
    try:
        response = handle()
    finally:
        _absent.reset(token)
    answer = json.loads(response[2])
    if response[0] == 200 and answer.pop("Attributes", None) is not None:
        return dynamodb.json_response(answer)
    return response


def _not_made(update: Mapping[str, Any]) -> list[Place]:
    from ministack.services import dynamodb

    text = update.get("UpdateExpression")
    if not isinstance(text, str) or not _TAKES.issuperset(parse_update(text).sections):
        return []
    table = dynamodb._tables.get(dynamodb._normalize_table_name(update["TableName"]))
    if table is None or not isinstance(update.get("Key"), Mapping):
        return []
    place = _place(table, update["Key"])
    return [] if place[2] in table["items"].get(place[1], {}) else [place]


def _place(table: Mapping[str, Any], item: Mapping[str, Any]) -> Place:
    from ministack.services import dynamodb

    partition_key = dynamodb._extract_key_val(item.get(table["pk_name"]))
    sort_key = dynamodb._extract_key_val(item.get(table["sk_name"])) if table["sk_name"] else "__no_sort__"
    return table["TableName"], partition_key, sort_key
