"""Sending messages to SQS queues, in as few SendMessageBatch calls as number and size allow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stream_runtime import settings
from stream_runtime.aws.clients import client
from stream_runtime.engine.batching import rx_batched
from stream_runtime.engine.flow import Operator

from .entries import outcomes_by_id
from .limits import SEND_MESSAGE_BATCH
from .messages import message_call


def send_to_sqs(
    queue_url: str | None = None,
    message_field: str = "message",
    send_response_field: str = "send_response",
    batch_size: int | None = None,
    max_request_size: int | None = None,
    parallel: int | None = None,
    rate: float | None = None,
) -> Operator:
    """An operator that sends the message in a field of each unit of work; units without one pass.

    A message is an entry of SendMessageBatch, ``{"MessageBody", "DelaySeconds"?, "MessageAttributes"?, ...}``; what is
    not text in ``MessageBody`` is written as JSON. Messages to FIFO queues without a
    group or deduplication id get one.

    Args:
        queue_url: the queue of messages without a ``QueueUrl``; QUEUE_URL by default.
        message_field: where the message is.
        send_response_field: where ``{"MessageId", "MD5OfMessageBody", "SequenceNumber"?}`` is put.
        batch_size: messages in a call, at most 10.
        max_request_size: bytes of a call; 1 MiB by default, less for queues with a smaller MaximumMessageSize.
        parallel: calls at once, in order for each partition key and group.
        rate: messages a second.

    Source: SQS API reference, "SendMessageBatch".
    """

    def send_message_batch(queue: str, entries: Sequence[dict[str, Any]]) -> Sequence[Any]:
        response = client("sqs").send_message_batch(QueueUrl=queue, Entries=entries)
        return outcomes_by_id(len(entries), response, "SendMessageBatch")

    return rx_batched(
        message_call(
            send_message_batch,
            message_field=message_field,
            body_name="MessageBody",
            target_name="QueueUrl",
            target=lambda: queue_url or settings.required(settings.QUEUE_URL),
            response_field=send_response_field,
            limits=SEND_MESSAGE_BATCH,
        ),
        batch_size=batch_size,
        max_request_size=max_request_size,
        parallel=parallel,
        rate=rate,
    )
