"""Records of a DynamoDB stream: an event for each insertion, modification and removal of a row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from stream_runtime import settings
from stream_runtime.engine.records import Uow
from stream_runtime.payload.attributes import marshall, unmarshall

from .claim_check import pointer_of_row
from .envelope import TO_OPEN, Uows, invalid, records_of

__all__ = ["from_dynamodb", "to_dynamodb_records"]

_SUFFIXES = {"INSERT": "created", "MODIFY": "updated", "REMOVE": "deleted"}


def from_dynamodb(
    event: Mapping[str, Any],
    pk_fn: str = "pk",
    sk_fn: str = "sk",
    discriminator_fn: str = "discriminator",
    event_type_prefix: str | None = None,
    ignore_replicas: bool = True,
) -> Sequence[Uow]:
    """The units of work ``{"record", "event"}`` of a DynamoDB stream invocation, in the order of the stream.

    The event is ``{"id", "type", "partition_key", "timestamp" (ms), "tags": {"region"}, "raw": {"new", "old"}}`` with
    plain values in the images. Its type is the discriminator's value (the sort key's where there is none, or a prefix
    given) and ``-created``, ``-updated`` or ``-deleted``; a row whose ``deleted`` turns true is deleted, one whose
    ``deleted`` turns false again is undeleted. Its timestamp is the row's own, or else the stream's.

    Args:
        event: the invocation event.
        pk_fn: name of the partition key.
        sk_fn: name of the sort key.
        discriminator_fn: name of the attribute that tells what kind of row it is.
        event_type_prefix: the prefix of all types, for tables with one kind of row.
        ignore_replicas: leave out rows whose ``awsregion`` is another region's, which that region processes.

    Raises:
        UnsupportedEvent: this is not a DynamoDB stream invocation.
    """
    region = settings.AWS_REGION.read() if ignore_replicas else "undefined"

    def uows(records: Iterable[Any]) -> Iterator[Uow]:
        for record in records:
            try:
                uow = _to_uow(record, pk_fn, sk_fn, discriminator_fn, event_type_prefix)
            except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
                event_id = record.get("eventID") if isinstance(record, Mapping) else None
                yield invalid(record, event_id, f"not a DynamoDB stream record: {type(error).__name__}: {error}")
                continue
            if region == "undefined" or not _is_replica(uow, region):
                yield uow

    return Uows(records_of(event, "DynamoDB streams"), uows)


def _to_uow(record: Any, pk_fn: str, sk_fn: str, discriminator_fn: str, event_type_prefix: str | None) -> Uow:
    change, event_id = record["dynamodb"], record["eventID"]
    if not isinstance(event_id, str) or not event_id:
        raise ValueError(f"its eventID is no text: {event_id!r:.80}")
    keys = unmarshall(change.get("Keys") or {})
    new = unmarshall(change["NewImage"]) if change.get("NewImage") else None
    old = unmarshall(change["OldImage"]) if change.get("OldImage") else None
    image = new or old
    if image is None and event_type_prefix is None:
        return invalid(
            record,
            record.get("eventID"),
            "the record has no images, so it has no type; set the stream's view type to NEW_AND_OLD_IMAGES "
            "or give from_dynamodb an event_type_prefix",
        )
    if pk_fn not in keys:
        return invalid(
            record, record.get("eventID"), f"the keys {sorted(keys)} have no {pk_fn!r}; give from_dynamodb its pk_fn"
        )
    row = image or {}
    prefix = event_type_prefix or row.get(discriminator_fn) or keys.get(sk_fn) or row.get(sk_fn)
    if not prefix:
        return invalid(
            record,
            record.get("eventID"),
            f"the row has neither {discriminator_fn!r} nor {sk_fn!r}, so it has no type",
        )
    event = {
        "id": event_id,
        "type": f"{prefix}-{_suffix(record['eventName'], new, old)}",
        "partition_key": str(keys[pk_fn]),
        "timestamp": _timestamp(change, new, old),
        "tags": {"region": record.get("awsRegion")},
        "raw": {"new": new, "old": old},
    }
    return {"record": record, "event": event, **({} if pointer_of_row(event) is None else {TO_OPEN: "row"})}


def _suffix(event_name: str, new: Mapping[str, Any] | None, old: Mapping[str, Any] | None) -> str:
    if event_name != "REMOVE":
        if new and new.get("deleted") is True:
            return "deleted"
        if old and old.get("deleted") is True:
            return "undeleted"
    return _SUFFIXES[event_name]


def _timestamp(change: Mapping[str, Any], new: Mapping[str, Any] | None, old: Mapping[str, Any] | None) -> int:
    for image in (new, old):
        if image and isinstance(image.get("timestamp"), int):
            return int(image["timestamp"])
    return int(float(change.get("ApproximateCreationDateTime") or 0) * 1000)


def _is_replica(uow: Uow, region: str) -> bool:
    raw = uow["event"].get("raw") or {}
    written_in = (raw.get("new") or raw.get("old") or {}).get("awsregion")
    return written_in is not None and written_in != region


def to_dynamodb_records(changes: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """An invocation event with a DynamoDB stream record for each change, for tests.

    A change is ``{"keys", "newImage"?, "oldImage"?, "timestamp"? (s), "ttl_removal"?}`` with plain values
    (``new_image`` and ``old_image`` are understood, too). Without an old image it is an INSERT, without a new one a
    REMOVE; with ``ttl_removal`` true, one that DynamoDB made itself.
    """
    records = []
    for number, change in enumerate(changes):
        new = change.get("newImage", change.get("new_image"))
        old = change.get("oldImage", change.get("old_image"))
        images = {name: marshall(image) for name, image in (("NewImage", new), ("OldImage", old)) if image is not None}
        records.append(
            {
                "eventID": f"{number}",
                "eventName": "INSERT" if old is None else "REMOVE" if new is None else "MODIFY",
                "eventVersion": "1.1",
                "eventSource": "aws:dynamodb",
                "awsRegion": "us-west-2",
                "dynamodb": {
                    "ApproximateCreationDateTime": change.get("timestamp", 0),
                    "Keys": marshall(change.get("keys") or {}),
                    **images,
                    "SequenceNumber": f"{number}",
                    "SizeBytes": 0,
                    "StreamViewType": "NEW_AND_OLD_IMAGES",
                },
                "eventSourceARN": (
                    "arn:aws:dynamodb:us-west-2:123456789012:table/entities/stream/2026-01-01T00:00:00.000"
                ),
                **(
                    {"userIdentity": {"type": "Service", "principalId": "dynamodb.amazonaws.com"}}
                    if change.get("ttl_removal")
                    else {}
                ),
            }
        )
    return {"Records": records}
