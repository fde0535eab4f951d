"""Rows with collected and correlated events: their correlation keys, and the events in records of their stream."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from stream_runtime import settings
from stream_runtime.errors import InvalidRecord
from stream_runtime.events import claim_check
from stream_runtime.faults import faulty
from stream_runtime.payload import codec
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

    Under ``stored`` the event is as the row has it: compressed, or as a claim check.
    ``meta`` is ``{"id", "sequence_number", "ttl", "expire", "pk", "data", "correlation_key", "suffix",
    "correlation"}``; ``correlation`` is True for a correlated row and False for a collected one.
    """
    row = uow["event"]["raw"]["new"]
    received = uow.get("received")
    stored = row["event"] if received is None else received["raw"]["new"]["event"]
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
        "stored": stored,
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
        "event": stored_again(uow, rule),
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


def stored_as_collected(uow: Any, event: Mapping[str, Any], rule: Rule) -> dict[str, Any]:
    """The event of a unit of work as a row of `collect` keeps it.

    An event that came as a claim check is kept as one, and so is one that is too large for a row, if there is a bucket.

    Args:
        uow: the unit of work.
        event: its event, with or without ``raw``.
        rule: the rule, whose ``compression_threshold`` counts.
    """
    received = uow.get("received")
    if received is not None and claim_check.is_pointer(received):
        return claim_check.for_row(received, with_raw="raw" in event)
    record = uow["record"]
    data = record["kinesis"]["data"] if "kinesis" in record else record.get("body")
    is_small = received is None and isinstance(data, str) and len(data) <= _MOST_IN_ROW
    return _fitting(event, uow.get("undecrypted") or uow["event"], rule, is_small=is_small)


def stored_again(uow: Any, rule: Rule) -> dict[str, Any]:
    """The event that `to_stored_event` has taken out of a row, as another row keeps it: a claim check stays one."""
    stored = uow["stored"]
    if claim_check.is_pointer(stored):
        return claim_check.for_row(stored)
    event = uow.get("undecrypted") or uow["event"]
    return _fitting(event, event, rule, is_small=stored is event)


def _fitting(event: Mapping[str, Any], whole: Mapping[str, Any], rule: Rule, *, is_small: bool) -> dict[str, Any]:
    """An event with large fields compressed; if it still is too large for a row, its claim check."""
    stored = compressed(event, rule.get("compression_threshold") or settings.COMPRESSION_THRESHOLD.read())
    if is_small or not settings.CLAIMCHECK_BUCKET_NAME.read() or len(codec.encode(stored).encode()) <= _MOST_IN_ROW:
        return stored
    return claim_check.for_row(claim_check.check_in(whole, codec.encode(whole)), with_raw="raw" in event)


_MOST_IN_ROW = 256 * 1024
"""Bytes of JSON that surely fit into a row of 400 KB: a number of one digit takes 2 bytes in a list, and 3 in a row.

Source: DynamoDB developer guide, "DynamoDB item sizes and formats".
"""


def claims_of_correlated(uow: Any) -> str | None:
    """What tells apart the claim checks among the rows under ``correlated``; None if there are none."""
    return codec.canonical(sorted(pointers)) if (pointers := _pointers(uow)) else None


def _pointers(uow: Any) -> dict[str, Mapping[str, Any]]:
    """The claim checks among the rows under ``correlated``, by their places."""
    stored = (row.get("event") for row in uow.get("correlated") or ())
    pointers = (event for event in stored if isinstance(event, Mapping) and claim_check.is_pointer(event))
    return {_place_of(pointer): pointer for pointer in pointers}


def _place_of(pointer: Mapping[str, Any]) -> str:
    return codec.canonical(claim_check.claim_of(pointer))


def redeemed(uow: Any) -> dict[str, Any]:
    """The events of the claim checks among the rows under ``correlated``; together at most MAX_EXPANDED_SIZE bytes.

    Raises:
        InvalidRecord: they are larger, or cannot be read.
        Exception: what S3 answered at the last attempt, where that is not about the object.
    """
    left = most = settings.MAX_EXPANDED_SIZE.read()
    events = {}
    for place, pointer in _pointers(uow).items():
        body = claim_check.fetched(pointer, lambda _: True)
        if body is None or len(body) > left:
            raise InvalidRecord(f"the events of this correlation have more than {most} bytes (MAX_EXPANDED_SIZE)")
        left -= len(body)
        events[place] = decompressed(claim_check.event_in(body, pointer), most)
    return events


def events_of(rows: Iterable[Mapping[str, Any]], claims: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The events of rows.

    Args:
        rows: rows with ``event``.
        claims: what `redeemed` has found.
    """
    most = settings.MAX_EXPANDED_SIZE.read()
    return [
        claims[_place_of(row["event"])] if claim_check.is_pointer(row["event"]) else decompressed(row["event"], most)
        for row in rows
    ]
