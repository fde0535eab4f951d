"""materialize_s3: keeps an object up to date from the events of other services."""

from collections.abc import Mapping
from typing import Annotated, Any, NotRequired

from stream_runtime.engine.flow import Operator, compose
from stream_runtime.engine.operators import rx_filter
from stream_runtime.engine.records import R, UnitOfWork
from stream_runtime.options import with_options
from stream_runtime.rules.debug_lines import ended
from stream_runtime.rules.fields import (
    BaseRule,
    BucketName,
    CallFields,
    Compact,
    Doc,
    PutObject,
    Request,
    Rule,
    SplitFields,
    ToRequest,
    flavor,
)
from stream_runtime.rules.filters import out_source_is_self
from stream_runtime.rules.steps import opening, to_request
from stream_runtime.sinks.s3 import put_object_to_s3

__all__ = ["MaterializeS3Rule", "MaterializeS3Uow", "materialize_s3"]


class MaterializeS3Rule(BaseRule, CallFields, SplitFields, total=False):
    to_put_request: PutObject
    to_delete_request: Annotated[ToRequest, Doc('makes the DeleteObject request, `{"Key"}`')]
    compact: Compact
    bucket_name: BucketName


class MaterializeS3Uow(UnitOfWork[R]):
    put_request: NotRequired[Request]
    put_response: NotRequired[Mapping[str, Any]]
    delete_request: NotRequired[Request]
    delete_response: NotRequired[Mapping[str, Any]]


@flavor(MaterializeS3Rule, one_of=("to_put_request", "to_delete_request"))
def materialize_s3(rule: Rule) -> Operator:
    """Put or delete an object for each event, in parallel and in order for each partition key.

    Events that the service published itself are left out. S3 has no condition on an event's time: use this flavor with
    streams and FIFO queues, which keep the order.
    """
    return compose(
        opening(rule, rx_filter(out_source_is_self)),
        to_request(rule, "to_put_request", "put_request"),
        to_request(rule, "to_delete_request", "delete_request"),
        with_options(put_object_to_s3, rule),
        ended(rule),
    )
