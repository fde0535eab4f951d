"""Changes of DynamoDB items, old and new, whether or not their table has a stream."""

from __future__ import annotations

import threading
from typing import Any

from stream_cli.local.emulator.observation.observing import EmulatorJournal, safely

INTERNALS = {"ministack.services.dynamodb": ("_emit_stream_event", "_build_change_record", "_tables")}

Item = dict[str, Any]


class _Current(threading.local):
    """The stream record of the change at hand, with the table."""

    built: tuple[dict[str, Any], dict[str, Any]] | None = None


def patch(journal: EmulatorJournal) -> None:
    """Observe what is written and removed. The images are those of stream records, which do not change either."""
    from ministack.services import dynamodb

    emit, build, current = dynamodb._emit_stream_event, dynamodb._build_change_record, _Current()

    def emitted(table: str, change: str, old: Item | None, new: Item | None, replicate: bool = True) -> None:
        before, current.built = current.built, None
        try:
            emit(table, change, old, new, replicate)
        finally:
            built, current.built = current.built, before
            observe(table, change, old, new, built)

    def built_record(table: dict[str, Any], *change: Any) -> dict[str, Any]:
        record: dict[str, Any] = build(table, *change)
        if current.built is None:
            current.built = table, record
        return record

    @safely
    def observe(
        name: str,
        change: str,
        old: Item | None,
        new: Item | None,
        built: tuple[dict[str, Any], dict[str, Any]] | None,
    ) -> None:
        table, record = built or (dynamodb._tables.get(name), None)
        if not table or (record is None and old == new):  # a write that changes nothing
            return
        line = {"kind": "change", "at": journal.now(), "table": name, "change": change}
        if record is None:
            line["keys"] = _keys(table, new or old)
        else:
            stream = record["dynamodb"]
            line["keys"] = stream["Keys"]
            if (table.get("StreamSpecification") or {}).get("StreamEnabled"):
                line["stream"], line["number"] = record["eventSourceARN"], stream["SequenceNumber"]
            if "userIdentity" in record:
                line["expired"] = True
        if old is not None:
            line["old"] = old
        if new is not None:
            line["new"] = new
        journal.observe(line)

    dynamodb._emit_stream_event, dynamodb._build_change_record = emitted, built_record


def _keys(table: dict[str, Any], item: Item | None) -> Item:
    item = item or {}
    return {key: item[key] for key in (table["pk_name"], table["sk_name"]) if key and key in item}
