"""kinesis: puts records into a Kinesis data stream."""

from collections.abc import Mapping
from typing import Annotated, Any, NotRequired, Required

from stream_runtime.engine.flow import Operator, compose
from stream_runtime.engine.records import R, UnitOfWork
from stream_runtime.options import with_options
from stream_runtime.rules.debug_lines import ended
from stream_runtime.rules.fields import BaseRule, BatchFields, Compact, Doc, OfUow, Rule, SplitFields, Text, flavor
from stream_runtime.rules.steps import opening
from stream_runtime.sinks.kinesis import put_records_to_kinesis
from stream_runtime.sinks.messages import to_messages

__all__ = ["KinesisRule", "KinesisUow", "kinesis"]


class KinesisRule(BaseRule, BatchFields, SplitFields, total=False):
    to_kinesis: Required[
        Annotated[
            OfUow,
            Doc(
                'makes the record or records, `{"Data", "PartitionKey"?, "ExplicitHashKey"?, "StreamName"?}`; `Data` '
                "that is neither bytes nor text is sent as JSON; `PartitionKey` is the event's by default"
            ),
        ]
    ]
    stream_name: Annotated[Text, Doc("for records without `StreamName`", "`STREAM_NAME`")]
    compact: Compact


class KinesisUow(UnitOfWork[R]):
    message: NotRequired[Mapping[str, Any]]
    put_response: NotRequired[Mapping[str, Any]]


@flavor(KinesisRule)
def kinesis(rule: Rule) -> Operator:
    """Put records in batches, in order for each partition key."""
    return compose(
        opening(rule),
        to_messages(rule, "to_kinesis", "message"),
        with_options(put_records_to_kinesis, rule),
        ended(rule),
    )
