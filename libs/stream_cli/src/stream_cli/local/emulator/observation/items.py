"""Changes of DynamoDB items, old and new, whether or not their table has a stream."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from stream_cli.local.emulator.observation.observing import EmulatorJournal, safely

INTERNALS = {"ministack.services.dynamodb": ("_emit_stream_event", "_build_change_record", "_tables")}

Item = dict[str, Any]

_built: ContextVar[list[tuple[dict[str, Any], dict[str, Any]]] | None] = ContextVar("built", default=None)
"""Takes the stream records of the change at hand, each with the table."""


def patch(journal: EmulatorJournal) -> None:
    """Observe what is written and removed."""
    from ministack.services import dynamodb

    emit, build = dynamodb._emit_stream_event, dynamodb._build_change_record

    def emitted(table: str, change: str, old: Item | None, new: Item | None, replicate: bool = True) -> None:
        built = list[tuple[dict[str, Any], dict[str, Any]]]()
        token = _built.set(built)
        try:
            emit(table, change, old, new, replicate)
        finally:
            _built.reset(token)
            observe(table, change, old, new, built)

    def built_record(table: dict[str, Any], *change: Any) -> dict[str, Any]:
        record: dict[str, Any] = build(table, *change)
        if (built := _built.get()) is not None:
            built.append((table, record))
        return record

    @safely
    def observe(
        name: str, change: str, old: Item | None, new: Item | None, built: list[tuple[dict[str, Any], dict[str, Any]]]
    ) -> None:
        table, record = built[0] if built else (dynamodb._tables.get(name), {})
        if not table or (not built and old == new):  # a write that changes nothing
            return
        line = {
            "kind": "change",
            "at": journal.now(),
            "table": name,
            "change": change,
            "keys": _keys(table, new or old),
        }
        if old is not None:
            line["old"] = old
        if new is not None:
            line["new"] = new
        if record and (table.get("StreamSpecification") or {}).get("StreamEnabled"):
            line["stream"], line["number"] = record["eventSourceARN"], record["dynamodb"]["SequenceNumber"]
            if "userIdentity" in record:
                line["expired"] = True
        journal.observe(line)

    dynamodb._emit_stream_event, dynamodb._build_change_record = emitted, built_record


def _keys(table: dict[str, Any], item: Item | None) -> Item:
    item = item or {}
    return {key: item[key] for key in (table["pk_name"], table["sk_name"]) if key and key in item}
