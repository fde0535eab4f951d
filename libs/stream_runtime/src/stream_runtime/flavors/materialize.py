"""materialize: keep a view of other services' data up to date from their events."""

from collections.abc import Callable
from typing import Annotated, Any, Required

from stream_runtime.engine.flow import Operator, compose
from stream_runtime.engine.operators import rx_filter, rx_map
from stream_runtime.faults import faulty
from stream_runtime.rules.callables import with_rule
from stream_runtime.rules.debug_lines import ended, started
from stream_runtime.rules.fields import (
    BaseRule,
    CompactFields,
    Doc,
    OfUow,
    Request,
    Rule,
    SplitFields,
    TableFields,
    flavor,
)
from stream_runtime.rules.filters import on_content, on_event_type, out_source_is_self
from stream_runtime.rules.grouping import compacted
from stream_runtime.rules.splitting import split_object
from stream_runtime.sinks.dynamodb import update_dynamodb


class MaterializeRule(BaseRule, CompactFields, SplitFields, TableFields, total=False):
    """The fields of a materialize rule."""

    to_update_request: Required[Annotated[OfUow[Request], Doc("makes the UpdateItem request")]]


@flavor(MaterializeRule)
def materialize(rule: Rule) -> Operator:
    """Update a row for each event, in parallel and in order for each partition key.

    Events that the service published itself are left out.

    Requests should have a condition (`expressions.timestamp_condition`), so that neither a stale nor a repeated event
    overwrites anything; a condition that does not hold is an outcome.
    """
    return compose(
        rx_filter(on_event_type(rule)),
        rx_filter(out_source_is_self),
        started(rule),
        rx_filter(on_content(rule)),
        compacted(rule),
        split_object(rule),
        rx_map(to_update_request(rule)),
        update_dynamodb(table_name=rule.get("table_name"), parallel=rule.get("parallel"), rate=rule.get("rate")),
        ended(rule),
    )


def to_update_request(rule: Rule) -> Callable[[Any], Any]:
    """A function that adds the update request."""
    own = with_rule(rule["to_update_request"], rule)
    return faulty(lambda uow: {**uow, "update_request": own(uow)})
