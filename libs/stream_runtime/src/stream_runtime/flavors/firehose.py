"""firehose: put records into a delivery stream for each event."""

from typing import Annotated, Any, Required

from stream_runtime.engine.flow import Operator, compose
from stream_runtime.engine.operators import rx_filter
from stream_runtime.rules.debug_lines import ended, started
from stream_runtime.rules.fields import BaseRule, CompactFields, Doc, OfUow, Rule, SplitFields, Text, flavor
from stream_runtime.rules.filters import on_content, on_event_type
from stream_runtime.rules.grouping import compacted
from stream_runtime.rules.splitting import split_object
from stream_runtime.sinks.firehose import put_records_to_firehose
from stream_runtime.sinks.messages import to_messages


class FirehoseRule(BaseRule, CompactFields, SplitFields, total=False):
    """The fields of a firehose rule."""

    to_firehose: Required[
        Annotated[
            OfUow[Any],
            Doc(
                'makes the record or records, `{"Data", "DeliveryStreamName"?}`; `Data` that is neither bytes nor text '
                "is sent as a line of JSON"
            ),
        ]
    ]
    delivery_stream_name: Annotated[Text, Doc("for records without `DeliveryStreamName`", "`DELIVERY_STREAM_NAME`")]


@flavor(FirehoseRule)
def firehose(rule: Rule) -> Operator:
    """Put records in batches, in order for each partition key."""
    names = ("delivery_stream_name", "batch_size", "max_request_size", "parallel", "rate")
    options: dict[str, Any] = {name: rule.get(name) for name in names}
    return compose(
        rx_filter(on_event_type(rule)),
        started(rule),
        rx_filter(on_content(rule)),
        compacted(rule),
        split_object(rule),
        to_messages(rule, "to_firehose", "message"),
        put_records_to_firehose(**options),
        ended(rule),
    )
