"""Unwraps messages: an event, or an event inside the envelopes that other services put around it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stream_runtime.engine.records import Uow
from stream_runtime.payload import codec

from .envelope import invalid, typed
from .eventbridge import is_envelope, to_uow
from .s3 import is_test_event, of_notification


def uows_of_text(record: Any, message_id: object, text: Any) -> Iterator[Uow]:
    """The units of work of a message's text. Each keeps the message's own record, by which the message is retried.

    The text is the JSON of an event, an SNS notification, an S3 notification (several records, or none in S3's test
    notification), an EventBridge event, or one of these inside another.

    Sources: SNS developer guide, "Amazon SNS message formats" (HTTP/HTTPS notification JSON format, which SQS gets
    without raw message delivery); S3 user guide, "Event message structure"; EventBridge user guide, "Events".
    """
    try:
        body = codec.decode(text)
    except (TypeError, ValueError) as error:
        yield invalid(record, message_id, f"the message is not JSON: {error}")
        return
    if not isinstance(body, Mapping):
        yield typed(record, message_id, body)
    elif body.get("Type") == "Notification" and "TopicArn" in body and "Message" in body:
        yield from uows_of_text(record, body.get("MessageId") or message_id, body["Message"])
    elif is_test_event(body):
        return
    elif _is_s3_notification(body):
        for uow in of_notification(body):
            yield {**uow, "record": record}
    elif is_envelope(body):
        yield to_uow(record, body)
    else:
        yield typed(record, message_id, body)


def _is_s3_notification(body: Mapping[str, Any]) -> bool:
    records = body.get("Records")
    return (
        isinstance(records, list)
        and bool(records)
        and all(isinstance(record, Mapping) and record.get("eventSource") == "aws:s3" for record in records)
    )
