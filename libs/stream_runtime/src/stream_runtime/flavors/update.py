"""update: changes rows that are related to an event."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NotRequired, Required

from stream_runtime.engine.flow import Operator, compose
from stream_runtime.engine.operators import rx_map
from stream_runtime.engine.records import R, UnitOfWork
from stream_runtime.faults import faulty
from stream_runtime.options import with_options
from stream_runtime.queries.dynamodb import batch_get_dynamodb, query_dynamodb
from stream_runtime.rules.correlations import own_or_collected_event, own_or_collected_event_type
from stream_runtime.rules.debug_lines import ended
from stream_runtime.rules.fields import (
    BaseRule,
    CallFields,
    Compact,
    Doc,
    Request,
    Rule,
    SplitOn,
    TableName,
    Text,
    ToRequest,
    flavor,
)
from stream_runtime.rules.splitting import split_object
from stream_runtime.rules.steps import opening, to_request
from stream_runtime.sinks.dynamodb import update_dynamodb

__all__ = ["UpdateRule", "UpdateUow", "update"]


class UpdateRule(BaseRule, CallFields, total=False):
    """Requests hold plain values."""

    to_update_request: Required[Annotated[ToRequest, Doc("makes the UpdateItem request")]]
    to_query_request: Annotated[ToRequest, Doc("makes the Query request; its items are in `query_response`")]
    split_on: Annotated[
        SplitOn,
        Doc("the list of which each member becomes a unit of work, or those units", "what the query found"),
    ]
    split_target_field: Annotated[Text, Doc("where a member of that list is put", "`query_response_field`")]
    to_get_request: Annotated[
        ToRequest,
        Doc(
            'makes the BatchGetItem request or its `{"Keys": [...]}`; '
            '`batch_get_response` is `{"Responses": {table: [items]}}`'
        ),
    ]
    to_fallback_update_request: Annotated[
        ToRequest, Doc("makes the UpdateItem request for where the first one's condition does not hold")
    ]
    query_request_field: Annotated[Text, Doc("where the Query request is put", "`query_request`")]
    query_response_field: Annotated[Text, Doc("where the items that it finds are put", "`query_response`")]
    batch_get_request_field: Annotated[Text, Doc("where the BatchGetItem request is put", "`batch_get_request`")]
    batch_get_response_field: Annotated[Text, Doc("where its response is put", "`batch_get_response`")]
    update_request_field: Annotated[Text, Doc("where the UpdateItem request is put", "`update_request`")]
    update_response_field: Annotated[Text, Doc("where the response of the update is put", "`update_response`")]
    fallback_update_request_field: Annotated[
        Text, Doc("where the request for a failed condition is put", "`fallback_update_request`")
    ]
    compact: Compact
    table_name: TableName


class UpdateUow(UnitOfWork[R]):
    query_response: Sequence[Mapping[str, Any]]
    batch_get_response: Mapping[str, Any]
    update_request: NotRequired[Request]
    update_response: NotRequired[Mapping[str, Any]]
    fallback_update_request: NotRequired[Request]


NEEDS = {
    "split_target_field": ("split_on", "to_query_request"),
    "query_request_field": ("to_query_request",),
    "query_response_field": ("to_query_request", "split_on"),
    "batch_get_request_field": ("to_get_request",),
    "batch_get_response_field": ("to_get_request",),
}


@flavor(UpdateRule, needs=NEEDS)
def update(rule: Rule) -> Operator:
    """Query, split, get and update, each if the rule has it, in order for each partition key.

    The event is that of the record, or that in a row that `collect` has just written. Equal queries of a batch are made
    once, and before its updates. So make no update of values that the rule itself changes, such as the next number:
    let DynamoDB do that (`expressions.add`), or give it a condition.
    """
    return compose(
        opening(unsplit(rule), rx_map(faulty(own_or_collected_event)), route=own_or_collected_event_type),
        to_request(rule, "to_query_request", rule.get("query_request_field") or "query_request"),
        with_options(query_dynamodb, rule) if rule.get("to_query_request") else None,
        split_object(with_default_split(rule), numbered=True),
        to_request(rule, "to_get_request", rule.get("batch_get_request_field") or "batch_get_request"),
        with_options(batch_get_dynamodb, rule) if rule.get("to_get_request") else None,
        to_request(rule, "to_update_request", rule.get("update_request_field") or "update_request"),
        to_request(
            rule,
            "to_fallback_update_request",
            rule.get("fallback_update_request_field") or "fallback_update_request",
        ),
        with_options(update_dynamodb, rule),
        ended(rule),
    )


def unsplit(rule: Rule) -> Rule:
    """The rule without its split, which comes after the query."""
    return {**rule, "split_on": None}


def with_default_split(rule: Rule) -> Rule:
    """The rule with its defaults: one that queries splits on what it finds, and a member replaces the whole."""
    found = rule.get("query_response_field") or "query_response"
    split_on = rule.get("split_on") or (found if rule.get("to_query_request") else None)
    return {**rule, "split_on": split_on, "split_target_field": rule.get("split_target_field") or found}
