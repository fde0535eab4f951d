"""firehose: puts records into a Firehose delivery stream."""

from collections.abc import Mapping
from typing import Annotated, Any, NotRequired, Required

from stream_runtime.engine.flow import Operator, compose
from stream_runtime.engine.records import R, UnitOfWork
from stream_runtime.options import with_options
from stream_runtime.rules.debug_lines import ended
from stream_runtime.rules.fields import BaseRule, BatchFields, Compact, Doc, OfUow, Rule, SplitFields, Text, flavor
from stream_runtime.rules.steps import opening
from stream_runtime.sinks.firehose import put_records_to_firehose
from stream_runtime.sinks.messages import to_messages

__all__ = ["FirehoseRule", "FirehoseUow", "firehose"]


class FirehoseRule(BaseRule, BatchFields, SplitFields, total=False):
    to_firehose: Required[
        Annotated[
            OfUow,
            Doc(
                'makes the record or records, `{"Data", "DeliveryStreamName"?}`; `Data` that is neither bytes nor text '
                "is sent as a line of JSON"
            ),
        ]
    ]
    delivery_stream_name: Annotated[Text, Doc("for records without `DeliveryStreamName`", "`DELIVERY_STREAM_NAME`")]
    compact: Compact


class FirehoseUow(UnitOfWork[R]):
    message: NotRequired[Mapping[str, Any]]
    put_response: NotRequired[Mapping[str, Any]]


@flavor(FirehoseRule)
def firehose(rule: Rule) -> Operator:
    """Put records in batches, in order for each partition key."""
    return compose(
        opening(rule),
        to_messages(rule, "to_firehose", "message"),
        with_options(put_records_to_firehose, rule),
        ended(rule),
    )
