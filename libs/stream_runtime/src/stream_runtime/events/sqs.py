"""SQS queues: a body holds an event as JSON, or what SNS, S3 or EventBridge sent to the queue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from stream_runtime.engine.records import Uow
from stream_runtime.payload import codec

from .envelope import Uows, invalid, records_of
from .wrapped import uows_of_text

__all__ = ["from_sqs", "to_sqs_records"]


def from_sqs(event: Mapping[str, Any]) -> Sequence[Uow]:
    """The units of work ``{"record", "event"}`` of an SQS invocation.

    A body holds an event, an SNS notification, an S3 notification (one unit of work for each object) or an
    EventBridge event, also nested: S3 in SNS in SQS. Each unit of work keeps the SQS record, and the message is
    retried if any of its units of work is unfinished. An event without an ``id`` gets the messageId.

    Raises:
        UnsupportedEvent: this is not an SQS invocation.
    """
    return Uows(records_of(event, "SQS"), _uows)


def _uows(records: Iterable[Any]) -> Iterator[Uow]:
    for record in records:
        try:
            body = record["body"]
        except (KeyError, TypeError):
            yield invalid(record, None, "not an SQS record: it has no 'body'")
            continue
        yield from uows_of_text(record, record.get("messageId"), body)


def to_sqs_records(messages: Iterable[Any], *, queue_name: str = "events") -> dict[str, Any]:
    """An invocation event with an SQS record for each message, for tests.

    A message is an event, or ``{"body": <text or value>, "timestamp"? (ms), "group"?, "attributes"?}``. With a queue
    name that ends in ``.fifo``, a message without a group gets the event's partition key as its group.
    """
    is_fifo = queue_name.endswith(".fifo")
    return {"Records": [_to_record(message, number, queue_name, is_fifo) for number, message in enumerate(messages)]}


def _to_record(message: Any, number: int, queue_name: str, is_fifo: bool) -> dict[str, Any]:
    is_event = not isinstance(message, Mapping) or "type" in message or "body" not in message
    given = {"body": message} if is_event else message
    body = given["body"]
    sent = str(given.get("timestamp", 1767225600000))
    key = body.get("partition_key") if isinstance(body, Mapping) else None
    group = {
        "MessageGroupId": str(given.get("group", key or "group")),
        "SequenceNumber": f"{number:020}",
        "MessageDeduplicationId": str(number),
    }
    return {
        "messageId": f"00000000-0000-0000-0000-{number:012}",
        "receiptHandle": f"receipt-{number}",
        "body": body if isinstance(body, str) else codec.encode(body),
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": sent,
            "SenderId": "123456789012",
            "ApproximateFirstReceiveTimestamp": sent,
            **(group if is_fifo else {}),
        },
        "messageAttributes": given.get("attributes") or {},
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:us-west-2:123456789012:{queue_name}",
        "awsRegion": "us-west-2",
    }
