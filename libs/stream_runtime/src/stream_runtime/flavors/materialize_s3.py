"""materialize_s3: keep objects that show other services' data up to date from their events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from stream_runtime.engine.flow import Operator, compose
from stream_runtime.engine.operators import rx_filter
from stream_runtime.rules.debug_lines import ended, started
from stream_runtime.rules.fields import PartsRule, Rule, flavor
from stream_runtime.rules.filters import on_content, on_event_type, out_source_is_self
from stream_runtime.rules.grouping import compacted
from stream_runtime.rules.requests import to_request
from stream_runtime.rules.splitting import split_object
from stream_runtime.sinks.s3 import put_object_to_s3


class MaterializeS3Rule(PartsRule, total=False):
    """The fields of a materialize_s3 rule; it has one of the two requests, or both.

    Attributes:
        to_put_request: ``(uow, rule) -> {"Key", "Body", ...}``, a PutObject request; a body that is neither text nor
            bytes is written as JSON; None writes nothing.
        to_delete_request: ``(uow, rule) -> {"Key"}``, a DeleteObject request; None deletes nothing.
        bucket_name: the bucket; BUCKET_NAME by default.
    """

    to_put_request: Callable[..., Mapping[str, Any] | None]
    to_delete_request: Callable[..., Mapping[str, Any] | None]
    bucket_name: str


@flavor(MaterializeS3Rule, one_of=("to_put_request", "to_delete_request"))
def materialize_s3(rule: Rule) -> Operator:
    """Put or delete an object for each event, in parallel and in order for each partition key.

    Events that the service published itself are left out. S3 has no condition on an event's time, so the order of the
    stream decides: use it behind streams and FIFO queues.
    """
    return compose(
        rx_filter(on_event_type(rule)),
        rx_filter(out_source_is_self),
        started(rule),
        rx_filter(on_content(rule)),
        compacted(rule),
        split_object(rule),
        to_request(rule, "to_put_request", "put_request"),
        to_request(rule, "to_delete_request", "delete_request"),
        put_object_to_s3(bucket_name=rule.get("bucket_name"), parallel=rule.get("parallel"), rate=rule.get("rate")),
        ended(rule),
    )
