"""sns: publishes messages to an SNS topic."""

from collections.abc import Mapping
from typing import Annotated, Any, NotRequired, Required

from stream_runtime.engine.flow import Operator, compose
from stream_runtime.engine.records import R, UnitOfWork
from stream_runtime.options import with_options
from stream_runtime.rules.debug_lines import ended
from stream_runtime.rules.fields import BaseRule, BatchFields, Compact, Doc, OfUow, Rule, SplitFields, Text, flavor
from stream_runtime.rules.steps import opening
from stream_runtime.sinks.messages import to_messages
from stream_runtime.sinks.sns import publish_to_sns

__all__ = ["SnsRule", "SnsUow", "sns"]


class SnsRule(BaseRule, BatchFields, SplitFields, total=False):
    to_sns: Required[
        Annotated[
            OfUow,
            Doc(
                'makes the message or messages, entries of PublishBatch: `{"Message", "Subject"?, '
                '"MessageAttributes"?, "MessageGroupId"?, "TopicArn"?}`; a `Message` that is not text is sent as JSON'
            ),
        ]
    ]
    topic_arn: Annotated[Text, Doc("for messages without `TopicArn`", "`TOPIC_ARN`")]
    compact: Compact


class SnsUow(UnitOfWork[R]):
    message: NotRequired[Mapping[str, Any]]
    publish_response: NotRequired[Mapping[str, Any]]


@flavor(SnsRule)
def sns(rule: Rule) -> Operator:
    """Publish messages in batches, in order for each partition key.

    For FIFO topics a message without its own gets the event's partition key as message group, and a deduplication id
    derived from event, rule and message.
    """
    return compose(
        opening(rule),
        to_messages(rule, "to_sns", "message"),
        with_options(publish_to_sns, rule),
        ended(rule),
    )
