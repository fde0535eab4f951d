"""sqs: send messages to a queue for each event."""

from typing import Annotated, Any, Required

from stream_runtime.engine.flow import Operator, compose
from stream_runtime.engine.operators import rx_filter
from stream_runtime.rules.debug_lines import ended, started
from stream_runtime.rules.fields import BaseRule, CompactFields, Doc, OfUow, Rule, SplitFields, Text, flavor
from stream_runtime.rules.filters import on_content, on_event_type
from stream_runtime.rules.grouping import compacted
from stream_runtime.rules.splitting import split_object
from stream_runtime.sinks.messages import to_messages
from stream_runtime.sinks.sqs import send_to_sqs


class SqsRule(BaseRule, CompactFields, SplitFields, total=False):
    """The fields of an sqs rule."""

    to_sqs: Required[
        Annotated[
            OfUow[Any],
            Doc(
                'makes the message or messages, entries of SendMessageBatch: `{"MessageBody", "DelaySeconds"?, '
                '"MessageAttributes"?, "MessageGroupId"?, "QueueUrl"?}`; a `MessageBody` that is not text is sent as '
                "JSON"
            ),
        ]
    ]
    queue_url: Annotated[Text, Doc("for messages without `QueueUrl`", "`QUEUE_URL`")]


@flavor(SqsRule)
def sqs(rule: Rule) -> Operator:
    """Send messages in batches, in order for each partition key.

    For FIFO queues the message group is the event's partition key and the deduplication id is derived from event, rule
    and message, where the message has none of its own.
    """
    names = ("queue_url", "batch_size", "max_request_size", "parallel", "rate")
    options: dict[str, Any] = {name: rule.get(name) for name in names}
    return compose(
        rx_filter(on_event_type(rule)),
        started(rule),
        rx_filter(on_content(rule)),
        compacted(rule),
        split_object(rule),
        to_messages(rule, "to_sqs", "message"),
        send_to_sqs(**options),
        ended(rule),
    )
