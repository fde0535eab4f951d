"""Changes of DynamoDB items, old and new, whether or not their table has a stream."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from stream_cli.local.emulator.observation.observing import EmulatorJournal, safely

INTERNALS = {"ministack.services.dynamodb": ("_emit_stream_event", "_build_change_record", "_tables")}

Item = dict[str, Any]

_built: ContextVar[list[dict[str, Any]] | None] = ContextVar("built", default=None)
"""Takes the stream records of the change at hand."""


def patch(observer: EmulatorJournal) -> None:
    """Observe what is written and removed."""
    from ministack.services import dynamodb

    emit, build = dynamodb._emit_stream_event, dynamodb._build_change_record

    def emitted(table: str, change: str, old: Item | None, new: Item | None, replicate: bool = True) -> None:
        built = list[dict[str, Any]]()
        token = _built.set(built)
        try:
            emit(table, change, old, new, replicate)
        finally:
            _built.reset(token)
            observe(table, change, old, new, built)

    def built_record(*arguments: Any) -> dict[str, Any]:
        record: dict[str, Any] = build(*arguments)
        if (built := _built.get()) is not None:
            built.append(record)
        return record

    @safely
    def observe(name: str, change: str, old: Item | None, new: Item | None, built: list[dict[str, Any]]) -> None:
        table = dynamodb._tables.get(name)
        if not table or (not built and old == new):  # a write that changes nothing
            return
        item = new or old or {}
        keys = {key: item[key] for key in (table["pk_name"], table["sk_name"]) if key and key in item}
        has_stream = (table.get("StreamSpecification") or {}).get("StreamEnabled")
        record = built[0] if built and has_stream else {}
        observer.observe(
            "change",
            observer.now(),
            table=name,
            change=change,
            keys=keys,
            old=old,
            new=new,
            stream=record.get("eventSourceARN"),
            number=record["dynamodb"]["SequenceNumber"] if record else None,
            expired=True if "userIdentity" in record else None,
        )

    dynamodb._emit_stream_event, dynamodb._build_change_record = emitted, built_record
