"""Rows of collected and correlated events: their keys, and how a stream's record of one is read."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

from stream_runtime import settings
from stream_runtime.faults import faulty
from stream_runtime.payload.compression import compressed, decompressed

from .filters import event_type_of
from .paths import field_at

Rule = Mapping[str, Any]


def to_correlation_key(rule: Rule) -> Callable[[Any], Any]:
    """A function that adds the correlation key under ``key``, with the rule's suffix where it has one.

    An event in which there is no such key is poison: it could never be correlated.
    """
    wanted = rule.get("correlation_key", "partition_key")
    read = wanted if callable(wanted) else _in_event(wanted)
    suffix = rule.get("correlation_key_suffix")

    def add(uow: Any) -> Any:
        key = read(uow)
        if key is None or key == "":
            raise ValueError(f"rule {rule['id']!r}: the event has no correlation key at {wanted!r}")
        return {**uow, "key": f"{key}.{suffix}" if suffix else str(key)}

    return faulty(add)


def _in_event(path: str) -> Callable[[Any], Any]:
    read = field_at(path)
    return lambda uow: read(uow["event"])


def _is_inserted(uow: Any) -> bool:
    return bool(uow["record"].get("eventName") == "INSERT" and uow["event"].get("raw", {}).get("new"))


def collected_event_type(uow: Any) -> Hashable:
    """The type of the event in a collected row that was just inserted; None for any other record."""
    if not _is_inserted(uow):
        return None
    row = uow["event"]["raw"]["new"]
    if row.get("sk") != "EVENT":
        return None
    return (row.get("event") or {}).get("type")


def correlated_event_type(uow: Any) -> Hashable:
    """The type of the event in a collected or correlated row that was just inserted; None for any other record."""
    if not _is_inserted(uow):
        return None
    row = uow["event"]["raw"]["new"]
    if row.get("sk") != "EVENT" and row.get("discriminator") != "CORREL":
        return None
    return (row.get("event") or {}).get("type")


def own_or_collected_event_type(uow: Any) -> Hashable:
    """The type of the event in a collected row that was just inserted, or else the type of the record's own event."""
    return collected_event_type(uow) or event_type_of(uow)


def own_or_collected_event(uow: Any) -> Any:
    """The unit of work with the event in a collected row that was just inserted, or else as it is."""
    return to_stored_event(uow) if collected_event_type(uow) else uow


def to_stored_event(uow: Any) -> Any:
    """The unit of work with the event that the row holds, and the row's own data under ``meta``.

    ``meta`` is ``{"id", "sequence_number", "ttl", "expire", "pk", "data", "correlation_key", "suffix",
    "correlation"}``; ``correlation`` tells a correlated row from a collected one.
    """
    row = uow["event"]["raw"]["new"]
    is_correlation = row.get("discriminator") == "CORREL"
    return {
        **uow,
        "meta": {
            "id": uow["event"]["id"],
            "sequence_number": row.get("sequence_number"),
            "ttl": row.get("ttl"),
            "expire": row.get("expire"),
            "pk": row.get("pk"),
            "data": row.get("data"),
            "correlation_key": row.get("pk") if is_correlation else row.get("data"),
            "suffix": row.get("suffix"),
            "correlation": is_correlation,
        },
        "event": decompressed(row["event"]),
    }


def to_stored(event: Mapping[str, Any], rule: Rule) -> dict[str, Any]:
    """An event as it is kept in a row, large fields compressed where the rule or the environment says so."""
    return compressed(event, rule.get("compression_threshold") or settings.COMPRESSION_THRESHOLD.read())
