"""Shared by all sources: the list of records, and units of work for records that cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

from stream_runtime.engine.records import Uow
from stream_runtime.errors import InvalidRecord, UnsupportedEvent
from stream_runtime.payload.compression import is_compressed

from .claim_check import is_pointer

TO_OPEN = "to_open"
"""The field of units of work with a claim check or compressed fields, which are opened for the rules that want them.

Its value is ``"event"``, or ``"row"`` if the event is the change of a row, and the claim check is in that.
"""


def records_of(event: Mapping[str, Any], source: str) -> Sequence[dict[str, Any]]:
    """The records of an invocation event.

    Raises:
        UnsupportedEvent: it has no list of records, so it does not come from that source.
    """
    records = event.get("Records") if isinstance(event, Mapping) else None
    if not isinstance(records, Sequence) or isinstance(records, str):
        seen = sorted(event) if isinstance(event, Mapping) else type(event).__name__
        raise UnsupportedEvent(f"not an event of {source}: expected a list under 'Records', saw {seen}")
    return records


class Uows(Sequence[Uow]):
    """The units of work of a batch, made one by one during iteration.

    An event that no rule wants is freed before the next is decoded, so a batch is never in memory twice. A record may
    give several units of work, or none. ``len`` and indexing make all of them.
    """

    def __init__(self, records: Sequence[Any], to_uows: Callable[[Sequence[Any]], Iterator[Uow]]) -> None:
        self.records = records
        self._to_uows = to_uows

    def __iter__(self) -> Iterator[Uow]:
        return self._to_uows(self.records)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @overload
    def __getitem__(self, index: int) -> Uow: ...

    @overload
    def __getitem__(self, index: slice) -> list[Uow]: ...

    def __getitem__(self, index: int | slice) -> Uow | list[Uow]:
        return list(self)[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Iterable) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Uows({list(self)!r})"


def invalid(record: Any, event_id: object, reason: str) -> Uow:
    """The unit of work of a record that no rule can read; it becomes a fault."""
    return {"record": record, "event": {"id": event_id, "type": None}, "invalid": InvalidRecord(reason)}


def typed(record: Any, event_id: object, event: Any) -> Uow:
    """The unit of work of a decoded event, or an invalid one if it is not an object or has no type.

    Compressed fields stay as they are until a rule wants the event.

    An event without an id gets the record's, which is the same at every attempt. Ids of events may be numbers.
    """
    if not isinstance(event, dict):
        return invalid(record, event_id, f"the event is a JSON {type(event).__name__}, not an object: {event!r:.100}")
    given = event.get("id") or event_id
    if not given or not isinstance(given, str | int | float):
        return invalid(record, None, f"neither the event nor its record has an id: {event!r:.200}")
    if not event.get("id"):
        event = {**event, "id": event_id}
    kind = event.get("type")
    if not isinstance(kind, str) or not kind:
        return {
            **invalid(record, event["id"], f"the event has no type: {event!r:.200}"),
            "event": {**event, "type": None},
        }
    return {
        "record": record,
        "event": event,
        **({TO_OPEN: "event"} if is_pointer(event) or is_compressed(event) else {}),
    }
