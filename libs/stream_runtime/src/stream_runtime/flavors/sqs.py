"""sqs: sends messages to an SQS queue."""

from collections.abc import Mapping
from typing import Annotated, Any, NotRequired, Required

from stream_runtime.engine.flow import Operator, compose
from stream_runtime.engine.records import R, UnitOfWork
from stream_runtime.options import with_options
from stream_runtime.rules.debug_lines import ended
from stream_runtime.rules.fields import BaseRule, BatchFields, Compact, Doc, OfUow, Rule, SplitFields, Text, flavor
from stream_runtime.rules.steps import opening
from stream_runtime.sinks.messages import to_messages
from stream_runtime.sinks.sqs import send_to_sqs

__all__ = ["SqsRule", "SqsUow", "sqs"]


class SqsRule(BaseRule, BatchFields, SplitFields, total=False):
    to_sqs: Required[
        Annotated[
            OfUow,
            Doc(
                'makes the message or messages, entries of SendMessageBatch: `{"MessageBody", "DelaySeconds"?, '
                '"MessageAttributes"?, "MessageGroupId"?, "QueueUrl"?}`; a `MessageBody` that is not text is sent as '
                "JSON"
            ),
        ]
    ]
    queue_url: Annotated[Text, Doc("for messages without `QueueUrl`", "`QUEUE_URL`")]
    compact: Compact


class SqsUow(UnitOfWork[R]):
    message: NotRequired[Mapping[str, Any]]
    send_response: NotRequired[Mapping[str, Any]]


@flavor(SqsRule)
def sqs(rule: Rule) -> Operator:
    """Send messages in batches, in order for each partition key.

    For FIFO queues a message without its own gets the event's partition key as message group, and a deduplication id
    derived from event, rule and message.
    """
    return compose(
        opening(rule),
        to_messages(rule, "to_sqs", "message"),
        with_options(send_to_sqs, rule),
        ended(rule),
    )
