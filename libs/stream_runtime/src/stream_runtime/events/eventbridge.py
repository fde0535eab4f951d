"""EventBridge rules and schedules: one event an invocation."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from stream_runtime.engine.records import Uow
from stream_runtime.errors import UnsupportedEvent
from stream_runtime.payload import codec

from .envelope import invalid, typed

__all__ = ["from_eventbridge", "from_schedule", "to_eventbridge_event", "to_schedule_event"]

SCHEDULED = "Scheduled Event"
"""The event type of a schedule without a custom input."""


def from_eventbridge(event: Mapping[str, Any]) -> list[Uow]:
    """The unit of work ``{"record", "event"}`` of an EventBridge invocation.

    An event that `stream_runtime` published is the ``detail``. Any other one is ``{"id", "type" (detail-type),
    "timestamp" (ms), "partition_key" (its first resource, or its id), "tags": {"account", "region", "source"},
    "detail", "resources"}``. A target that gets only the detail (InputPath) works too.

    Raises:
        UnsupportedEvent: this is neither.
    """
    if is_envelope(event) or is_event(event):
        try:
            codec.check_value(event)
        except ValueError as error:
            return [invalid(event, event["id"] if isinstance(event.get("id"), str) else None, str(error))]
        return [to_uow(event, event) if is_envelope(event) else typed(event, None, dict(event))]
    seen = sorted(event) if isinstance(event, Mapping) else type(event).__name__
    raise UnsupportedEvent(
        f"not an event of EventBridge: expected a 'detail-type' with a 'detail', or an event with 'id' and 'type', "
        f"saw {seen}"
    )


def from_schedule(event: Mapping[str, Any]) -> list[Uow]:
    """The unit of work ``{"record", "event"}`` of a schedule: a rule with a rate or cron, or EventBridge Scheduler.

    Its type is ``Scheduled Event``, its partition key the ARN of the rule or schedule. A custom input is the event
    itself. Its ``id`` must be new for each execution and the same when Lambda retries one, such as Scheduler's
    ``<aws.scheduler.execution-id>``.

    Raises:
        UnsupportedEvent: this is not a schedule's event.
    """
    if is_envelope(event) and not is_schedule(event):
        raise UnsupportedEvent(
            f"not an event of a schedule: expected detail-type {SCHEDULED!r}, saw {event['detail-type']!r}"
        )
    if isinstance(event, Mapping) and isinstance(event.get("type"), str) and not event.get("id"):
        return [invalid(event, None, "the schedule's input has no id; give it <aws.scheduler.execution-id>")]
    return from_eventbridge(event)


def is_envelope(body: object) -> bool:
    """Whether a value is an EventBridge event with its envelope."""
    return isinstance(body, Mapping) and "detail-type" in body and "detail" in body and "source" in body


def is_schedule(envelope: Mapping[str, Any]) -> bool:
    """Whether an EventBridge event is a schedule's.

    Source: EventBridge user guide, "Creating a rule that runs on a schedule"; Scheduler user guide, "Templated
    targets".
    """
    return envelope.get("detail-type") == SCHEDULED and envelope.get("source") in ("aws.events", "aws.scheduler")


def is_event(body: object) -> bool:
    """Whether a value is an event as `stream_runtime` publishes it."""
    return isinstance(body, Mapping) and all(isinstance(body.get(name), str) and body[name] for name in ("id", "type"))


def to_uow(record: Any, envelope: Mapping[str, Any]) -> Uow:
    """The unit of work of an EventBridge event; in events that the runtime published, detail-type is the type."""
    detail = envelope["detail"]
    kind = envelope["detail-type"]
    if isinstance(detail, Mapping) and detail.get("type") == kind:
        return typed(record, envelope.get("id"), dict(detail))
    try:
        timestamp = int(datetime.fromisoformat(envelope["time"]).timestamp() * 1000)
        resources = envelope.get("resources") or []
        if not isinstance(resources, list):
            raise TypeError(f"resources is a {type(resources).__name__}; expected a list")
    except (ArithmeticError, KeyError, TypeError, ValueError) as error:
        return invalid(record, envelope.get("id"), f"not an EventBridge event: {type(error).__name__}: {error}")
    return typed(
        record,
        envelope.get("id"),
        {
            "id": envelope.get("id"),
            "type": kind,
            "timestamp": timestamp,
            "partition_key": str(resources[0] if resources else envelope.get("id")),
            "tags": {name: envelope.get(name) for name in ("account", "region", "source")},
            "detail": detail,
            "resources": resources,
        },
    )


def to_eventbridge_event(event: Mapping[str, Any], *, source: str = "custom") -> dict[str, Any]:
    """The invocation event that EventBridge makes of a published event, for tests."""
    timestamp = event.get("timestamp")
    return _envelope(str(event.get("type")), source, dict(event), timestamp if isinstance(timestamp, int) else 0, [])


def to_schedule_event(
    rule: str = "arn:aws:events:us-west-2:123456789012:rule/nightly", *, timestamp: int = 1767225600000
) -> dict[str, Any]:
    """The invocation event of a schedule that was due at a time (ms), for tests."""
    return _envelope(SCHEDULED, "aws.events", {}, timestamp, [rule])


def _envelope(kind: str, source: str, detail: Any, timestamp: int, resources: list[str]) -> dict[str, Any]:
    time = datetime.fromtimestamp(timestamp // 1000, UTC)
    return {
        "version": "0",
        "id": f"{timestamp:08x}-0000-0000-0000-000000000000",
        "detail-type": kind,
        "source": source,
        "account": "123456789012",
        "time": f"{time:%Y-%m-%dT%H:%M:%SZ}",
        "region": "us-west-2",
        "resources": resources,
        "detail": detail,
    }
