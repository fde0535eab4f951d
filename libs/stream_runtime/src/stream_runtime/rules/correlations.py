"""Rows with collected and correlated events: their correlation keys, and the events in records of their stream."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from decimal import Decimal
from typing import Any

from stream_runtime import settings
from stream_runtime.faults import faulty
from stream_runtime.payload.compression import compressed, decompressed

from .fields import Rule
from .filters import event_type_of
from .paths import field_at


def to_correlation_key(rule: Rule) -> Callable[[Any], Any]:
    """A function that adds the correlation key, and the rule's suffix, under ``key``.

    An event without the key is poison: it can never be correlated. So is one with an object or a list there.
    """
    wanted = rule.get("correlation_key", "partition_key")
    read = wanted if callable(wanted) else _in_event(wanted)
    suffix = rule.get("correlation_key_suffix")

    def add(uow: Any) -> Any:
        key = read(uow)
        if key is None or key == "":
            raise ValueError(f"rule {rule['id']!r}: the event has no correlation key at {wanted!r}")
        if not isinstance(key, str | int | float | Decimal):
            raise TypeError(f"rule {rule['id']!r}: a correlation key is a text or a number, not {key!r:.80}")
        return {**uow, "key": f"{key}.{suffix}" if suffix else str(key)}

    return faulty(add)


def _in_event(path: str) -> Callable[[Any], Any]:
    read = field_at(path)
    return lambda uow: read(uow["event"])


def collected_event_type(uow: Any) -> Hashable:
    """The type of the event in a collected row that was just inserted; None for any other record."""
    row = _inserted_row(uow)
    return _type_in(row) if row.get("sk") == "EVENT" else None


def correlated_event_type(uow: Any) -> Hashable:
    """The type of the event in a collected or correlated row that was just inserted; None for any other record."""
    row = _inserted_row(uow)
    return _type_in(row) if row.get("sk") == "EVENT" or row.get("discriminator") == "CORREL" else None


def _inserted_row(uow: Any) -> Mapping[str, Any]:
    if uow["record"].get("eventName") != "INSERT":
        return {}
    return uow["event"].get("raw", {}).get("new") or {}


def _type_in(row: Mapping[str, Any]) -> Hashable:
    return (row.get("event") or {}).get("type")


def own_or_collected_event_type(uow: Any) -> Hashable:
    """As `collected_event_type`, or else the type of the record's own event."""
    return collected_event_type(uow) or event_type_of(uow)


def own_or_collected_event(uow: Any) -> Any:
    """As `to_stored_event` for a collected row that was just inserted; any other unit of work as it is."""
    return to_stored_event(uow) if collected_event_type(uow) else uow


def to_stored_event(uow: Any) -> Any:
    """The unit of work with the event that the row holds, and the row's data under ``meta``.

    ``meta`` is ``{"id", "sequence_number", "ttl", "expire", "pk", "data", "correlation_key", "suffix",
    "correlation"}``; ``correlation`` is True for a correlated row and False for a collected one.
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
        "event": decompressed(row["event"], settings.MAX_EXPANDED_SIZE.read()),
    }


def filed_row(rule: Rule, uow: Any) -> dict[str, Any]:
    """The row, without its number, that files a collected event under its correlation key."""
    meta = uow["meta"]
    return {
        "pk": f"DATA#{meta['data']}",
        "discriminator": "FILED",
        "collected": meta["pk"],
        "timestamp": uow["event"]["timestamp"],
        "awsregion": settings.AWS_REGION.read(),
        "ttl": meta["ttl"],
        "event": to_stored(uow["event"], rule),
    }


def marker_row(rule: Rule, uow: Any, ttl: int | None) -> dict[str, Any]:
    """The row that marks which record publishes for a correlation and a rule."""
    meta = uow["meta"]
    return {
        "pk": meta["correlation_key"],
        "sk": f"ONCE#{rule['id']}",
        "discriminator": "ONCE",
        "record": meta["id"],
        "rule_id": rule["id"],
        "timestamp": uow["event"]["timestamp"],
        "awsregion": settings.AWS_REGION.read(),
        "ttl": ttl,
    }


def to_stored(event: Mapping[str, Any], rule: Rule) -> dict[str, Any]:
    """The event as a row keeps it; fields above the threshold of the rule or the environment are compressed."""
    return compressed(event, rule.get("compression_threshold") or settings.COMPRESSION_THRESHOLD.read())
