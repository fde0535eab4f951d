"""kinesis: put records into a data stream for each event."""

from typing import Annotated, Any, Required

from stream_runtime.engine.flow import Operator, compose
from stream_runtime.engine.operators import rx_filter
from stream_runtime.rules.debug_lines import ended, started
from stream_runtime.rules.fields import BaseRule, CompactFields, Doc, OfUow, Rule, SplitFields, Text, flavor
from stream_runtime.rules.filters import on_content, on_event_type
from stream_runtime.rules.grouping import compacted
from stream_runtime.rules.splitting import split_object
from stream_runtime.sinks.kinesis import put_records_to_kinesis
from stream_runtime.sinks.messages import to_messages


class KinesisRule(BaseRule, CompactFields, SplitFields, total=False):
    """The fields of a kinesis rule."""

    to_kinesis: Required[
        Annotated[
            OfUow[Any],
            Doc(
                'makes the record or records, `{"Data", "PartitionKey"?, "ExplicitHashKey"?, "StreamName"?}`; `Data` '
                "that is neither bytes nor text is sent as JSON; `PartitionKey` is the event's by default"
            ),
        ]
    ]
    stream_name: Annotated[Text, Doc("for records without `StreamName`", "`STREAM_NAME`")]


@flavor(KinesisRule)
def kinesis(rule: Rule) -> Operator:
    """Put records in batches, in order for each partition key."""
    names = ("stream_name", "batch_size", "max_request_size", "parallel", "rate")
    options: dict[str, Any] = {name: rule.get(name) for name in names}
    return compose(
        rx_filter(on_event_type(rule)),
        started(rule),
        rx_filter(on_content(rule)),
        compacted(rule),
        split_object(rule),
        to_messages(rule, "to_kinesis", "message"),
        put_records_to_kinesis(**options),
        ended(rule),
    )
