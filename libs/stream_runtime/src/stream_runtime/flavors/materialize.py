"""materialize: keeps a row up to date from the events of other services (materialized view)."""

from collections.abc import Mapping
from typing import Annotated, Any, NotRequired, Required

from stream_runtime.engine.flow import Operator, compose
from stream_runtime.engine.operators import rx_filter
from stream_runtime.engine.records import R, UnitOfWork
from stream_runtime.options import with_options
from stream_runtime.rules.debug_lines import ended
from stream_runtime.rules.fields import (
    BaseRule,
    CallFields,
    Compact,
    Doc,
    Request,
    Rule,
    SplitFields,
    TableName,
    ToRequest,
    flavor,
)
from stream_runtime.rules.filters import out_source_is_self
from stream_runtime.rules.steps import opening, to_request
from stream_runtime.sinks.dynamodb import update_dynamodb

__all__ = ["MaterializeRule", "MaterializeUow", "materialize"]


class MaterializeRule(BaseRule, CallFields, SplitFields, total=False):
    to_update_request: Required[Annotated[ToRequest, Doc("makes the UpdateItem request")]]
    compact: Compact
    table_name: TableName


class MaterializeUow(UnitOfWork[R]):
    update_request: NotRequired[Request]
    update_response: NotRequired[Mapping[str, Any]]


@flavor(MaterializeRule)
def materialize(rule: Rule) -> Operator:
    """Update a row for each event, in parallel and in order for each partition key.

    Events that the service published itself are left out. Give requests a condition
    (`expressions.timestamp_condition`), so that a stale or repeated event overwrites nothing. A condition that does not
    hold is an outcome, not a failure.
    """
    return compose(
        opening(rule, rx_filter(out_source_is_self)),
        to_request(rule, "to_update_request", "update_request"),
        with_options(update_dynamodb, rule),
        ended(rule),
    )
