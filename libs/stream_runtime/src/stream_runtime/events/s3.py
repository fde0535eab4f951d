"""Notifications of an S3 bucket: an event for each object that was created, removed or restored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote_plus, unquote_plus

from stream_runtime.engine.records import Uow
from stream_runtime.ids import derived_id

from .envelope import invalid, records_of

__all__ = ["from_s3", "to_s3_records"]

# Source: S3 user guide, "Event notification types and destinations"; notifications leave out the "s3:".
_TYPES = {
    "ObjectRemoved": "object-deleted",
    "LifecycleExpiration": "object-deleted",
    "ObjectCreated": "object-created",
    "ObjectRestore:Post": "object-restore-initiated",
    "ObjectRestore:Completed": "object-restored",
    "ObjectRestore:Delete": "object-restore-expired",
    "ObjectTagging:Put": "object-tagged",
    "ObjectTagging:Delete": "object-untagged",
    "ObjectAcl": "object-acl-updated",
    "ReducedRedundancyLostObject": "object-lost",
    "LifecycleTransition": "object-transitioned",
    "IntelligentTiering": "object-archived",
    "Replication:OperationFailedReplication": "object-replication-failed",
    "Replication:OperationMissedThreshold": "object-replication-late",
    "Replication:OperationReplicatedAfterThreshold": "object-replicated-late",
    "Replication:OperationNotTracked": "object-replication-untracked",
}


def from_s3(event: Mapping[str, Any]) -> list[Uow]:
    """The units of work ``{"record", "event"}`` of an S3 notification.

    The event is ``{"id", "type", "timestamp" (ms), "partition_key" (bucket/key), "tags": {"region"}, "s3"}``. The
    key in ``event["s3"]["object"]["key"]`` is decoded; the record keeps the URL-encoded key that S3 sent. The test
    notification that S3 sends when a bucket is configured gives no unit of work.

    Raises:
        UnsupportedEvent: this is not an S3 notification.
    """
    return [] if is_test_event(event) else of_notification(event)


def is_test_event(event: object) -> bool:
    """Whether this is the test notification that S3 sends to a new destination.

    Source: S3 user guide, "Event notification types and destinations".
    """
    return isinstance(event, Mapping) and event.get("Event") == "s3:TestEvent"


def of_notification(event: Mapping[str, Any]) -> list[Uow]:
    """The unit of work of each record of a notification."""
    return [_to_uow(record) for record in records_of(event, "S3")]


def _to_uow(record: Any) -> Uow:
    try:
        s3 = record["s3"]
        bucket = s3["bucket"]["name"]
        key = unquote_plus(s3["object"]["key"])
        event_name = record["eventName"].removeprefix("s3:")
        timestamp = _timestamp_ms(record.get("eventTime"))
        if not isinstance(bucket, str) or not bucket or not key:
            raise ValueError(f"bucket {bucket!r:.80} and key {key!r:.80} must be texts")
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        return invalid(record, None, f"not an S3 notification record: {type(error).__name__}: {error}")
    type_ = _TYPES.get(event_name) or _TYPES.get(event_name.partition(":")[0])
    version = s3["object"].get("versionId") or s3["object"].get("eTag") or ""
    event_id = derived_id(bucket, key, event_name, s3["object"].get("sequencer") or version)
    if type_ is None:
        return invalid(record, event_id, f"S3 has no event {event_name!r}")
    return {
        "record": record,
        "event": {
            "id": event_id,
            "type": type_,
            "timestamp": timestamp,
            "partition_key": f"{bucket}/{key}",
            "tags": {"region": record.get("awsRegion")},
            "s3": {**s3, "object": {**s3["object"], "key": key}},
        },
    }


def _timestamp_ms(event_time: str | None) -> int:
    return int(datetime.fromisoformat(event_time).timestamp() * 1000) if event_time else 0


def to_s3_records(notifications: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """An S3 notification with a record for each object, for tests.

    A notification is ``{"bucket": {"name"}, "object": {"key", ...}, "eventName"?}`` with a decoded key.
    """
    return {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "awsRegion": "us-west-2",
                "eventTime": notification.get("eventTime", "2026-01-01T00:00:00.000Z"),
                "eventName": notification.get("eventName", "ObjectCreated:Put"),
                "responseElements": {"x-amz-request-id": f"{number:016}"},
                "s3": {
                    "s3SchemaVersion": "1.0",
                    "bucket": notification.get("bucket"),
                    "object": {
                        "sequencer": f"{number:018X}",
                        **notification["object"],
                        "key": quote_plus(str(notification["object"]["key"]), safe="/"),
                    },
                },
            }
            for number, notification in enumerate(notifications)
        ]
    }
