"""Publishing messages to SNS topics, in as few PublishBatch calls as number and size allow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stream_runtime import settings
from stream_runtime.aws.clients import client
from stream_runtime.engine.batching import rx_batched
from stream_runtime.engine.flow import Operator

from .entries import outcomes_by_id
from .limits import PUBLISH_BATCH
from .messages import message_call


def publish_to_sns(
    topic_arn: str | None = None,
    message_field: str = "message",
    publish_response_field: str = "publish_response",
    batch_size: int | None = None,
    max_request_size: int | None = None,
    parallel: int | None = None,
    rate: float | None = None,
) -> Operator:
    """An operator that publishes the message in a field of each unit of work; units without one pass.

    A message is an entry of PublishBatch, ``{"Message", "Subject"?, "MessageAttributes"?, ...}``; what is not text in
    ``Message`` is written as JSON. Messages to FIFO topics without a group or deduplication id get one.

    Args:
        topic_arn: the topic of messages without a ``TopicArn``; TOPIC_ARN by default.
        message_field: where the message is.
        publish_response_field: where ``{"MessageId", "SequenceNumber"?}`` is put.
        batch_size: messages in a call, at most 10.
        max_request_size: bytes of a call; 256 KiB by default, at most 1 MiB. Where the topic has a MaximumMessageSize,
            give that.
        parallel: calls at once, in order for each partition key and group.
        rate: messages a second.

    Source: SNS API reference, "PublishBatch".
    """

    def publish_batch(topic: str, entries: Sequence[dict[str, Any]]) -> Sequence[Any]:
        response = client("sns").publish_batch(TopicArn=topic, PublishBatchRequestEntries=entries)
        return outcomes_by_id(len(entries), response, "PublishBatch")

    return rx_batched(
        message_call(
            publish_batch,
            message_field=message_field,
            body_name="Message",
            target_name="TopicArn",
            target=lambda: topic_arn or settings.required(settings.TOPIC_ARN),
            response_field=publish_response_field,
            limits=PUBLISH_BATCH,
        ),
        batch_size=batch_size,
        max_request_size=max_request_size,
        parallel=parallel,
        rate=rate,
    )
