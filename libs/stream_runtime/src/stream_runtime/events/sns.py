"""SNS topics: a message holds an event as JSON, or what S3 or EventBridge published there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from stream_runtime.engine.records import Uow
from stream_runtime.payload import codec

from .envelope import Uows, invalid, records_of
from .wrapped import uows_of_text

__all__ = ["from_sns", "to_sns_records"]


def from_sns(event: Mapping[str, Any]) -> Sequence[Uow]:
    """The units of work ``{"record", "event"}`` of an SNS invocation.

    A message holds an event, an S3 notification (one unit of work for each object) or an EventBridge event. An event
    without an ``id`` gets the MessageId. SNS takes no partial response: if something is left for retry, the invocation
    fails and Lambda repeats it.

    Raises:
        UnsupportedEvent: this is not an SNS invocation.
    """
    return Uows(records_of(event, "SNS"), _uows)


def _uows(records: Iterable[Any]) -> Iterator[Uow]:
    for record in records:
        try:
            message = record["Sns"]
            text = message["Message"]
        except (KeyError, TypeError):
            yield invalid(record, None, "not an SNS record: it has no 'Sns.Message'")
            continue
        yield from uows_of_text(record, message.get("MessageId"), text)


def to_sns_records(messages: Iterable[Any]) -> dict[str, Any]:
    """An invocation event with an SNS record for each message, for tests.

    A message is an event, or ``{"msg": <text or value>, "subject"?, "attributes"?, "timestamp"? (ISO 8601)}``.
    """
    return {"Records": [_to_record(message, number) for number, message in enumerate(messages)]}


def _to_record(message: Any, number: int) -> dict[str, Any]:
    is_event = not isinstance(message, Mapping) or "type" in message or "msg" not in message
    given = {"msg": message} if is_event else message
    text = given["msg"]
    topic = "arn:aws:sns:us-west-2:123456789012:events"
    return {
        "EventSource": "aws:sns",
        "EventVersion": "1.0",
        "EventSubscriptionArn": f"{topic}:21be56ed-a058-49f5-8c98-aedd2564c486",
        "Sns": {
            "Type": "Notification",
            "MessageId": f"00000000-0000-0000-0000-{number:012}",
            "TopicArn": topic,
            "Subject": given.get("subject"),
            "Message": text if isinstance(text, str) else codec.encode(text),
            "Timestamp": given.get("timestamp", "2026-01-01T00:00:00.000Z"),
            "MessageAttributes": given.get("attributes") or {},
        },
    }
