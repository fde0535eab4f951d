"""s3: writes an object."""

from collections.abc import Mapping
from typing import Any, NotRequired, Required

from stream_runtime.engine.flow import Operator, compose
from stream_runtime.engine.records import R, UnitOfWork
from stream_runtime.options import with_options
from stream_runtime.rules.debug_lines import ended
from stream_runtime.rules.fields import (
    BaseRule,
    BucketName,
    CallFields,
    Compact,
    PutObject,
    Request,
    Rule,
    SplitFields,
    flavor,
)
from stream_runtime.rules.steps import opening, to_request
from stream_runtime.sinks.s3 import put_object_to_s3

__all__ = ["S3Rule", "S3Uow", "s3"]


class S3Rule(BaseRule, CallFields, SplitFields, total=False):
    to_s3: Required[PutObject]
    compact: Compact
    bucket_name: BucketName


class S3Uow(UnitOfWork[R]):
    put_request: NotRequired[Request]
    put_response: NotRequired[Mapping[str, Any]]


@flavor(S3Rule)
def s3(rule: Rule) -> Operator:
    """Put an object into a bucket for each event, in parallel and in order for each partition key."""
    return compose(
        opening(rule),
        to_request(rule, "to_s3", "put_request"),
        with_options(put_object_to_s3, rule),
        ended(rule),
    )
