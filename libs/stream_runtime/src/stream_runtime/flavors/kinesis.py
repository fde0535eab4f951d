"""kinesis: put records into a data stream for each event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Required

from stream_runtime.engine.flow import Operator, compose
from stream_runtime.engine.operators import rx_filter
from stream_runtime.rules.debug_lines import ended, started
from stream_runtime.rules.fields import PartsRule, Rule, flavor
from stream_runtime.rules.filters import on_content, on_event_type
from stream_runtime.rules.grouping import compacted
from stream_runtime.rules.splitting import split_object
from stream_runtime.sinks.kinesis import put_records_to_kinesis
from stream_runtime.sinks.messages import to_messages


class KinesisRule(PartsRule, total=False):
    """The fields of a kinesis rule.

    Attributes:
        to_kinesis: ``(uow, rule) -> record | records | None``; a record is ``{"Data", "PartitionKey"?,
            "ExplicitHashKey"?, "StreamName"?}``; data that is neither bytes nor text is written as JSON, the
            partition key is the event's where the record has none.
        stream_name: the stream of records without a ``StreamName``; STREAM_NAME by default.
    """

    to_kinesis: Required[Callable[..., Any]]
    stream_name: str


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
