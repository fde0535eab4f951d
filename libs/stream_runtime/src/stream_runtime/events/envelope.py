"""What all sources share: the list of records, and units of work for records that cannot be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stream_runtime.errors import InvalidRecord, UnsupportedEvent
from stream_runtime.records import Uow


def records_of(event: Mapping[str, Any], source: str) -> Sequence[dict[str, Any]]:
    """The records of an invocation event.

    Raises:
        UnsupportedEvent: it has no list of records, so it cannot come from that source.
    """
    records = event.get("Records") if isinstance(event, Mapping) else None
    if not isinstance(records, Sequence) or isinstance(records, str):
        seen = sorted(event) if isinstance(event, Mapping) else type(event).__name__
        raise UnsupportedEvent(f"not an event of {source}: expected a list under 'Records', saw {seen}")
    return records


def invalid(record: Any, event_id: object, reason: str) -> Uow:
    """The unit of work of a record that no rule can read; the engine makes a fault of it."""
    return {"record": record, "event": {"id": event_id, "type": None}, "invalid": InvalidRecord(reason)}


def typed(record: Any, event_id: object, event: Any) -> Uow:
    """The unit of work of a decoded event, or an invalid one where it is no object or has no type.

    The event gets the record's id where it has none of its own, so that it has the same id at every attempt.
    """
    if not isinstance(event, dict):
        return invalid(record, event_id, f"the event is a JSON {type(event).__name__}, not an object: {event!r:.100}")
    if not event.get("id"):
        event["id"] = event_id
    kind = event.get("type")
    if not isinstance(kind, str) or not kind:
        return {
            **invalid(record, event["id"], f"the event has no type: {event!r:.200}"),
            "event": {**event, "type": None},
        }
    return {"record": record, "event": event}
