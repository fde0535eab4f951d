"""collect: stores events under a correlation key, to be evaluated together."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Annotated, Any, NotRequired

from stream_runtime import settings
from stream_runtime.clock import ttl_of
from stream_runtime.engine.flow import Operator, compose
from stream_runtime.engine.operators import rx_map
from stream_runtime.engine.records import R, UnitOfWork
from stream_runtime.faults import faulty
from stream_runtime.options import with_options
from stream_runtime.rules.callables import with_rule
from stream_runtime.rules.correlations import stored_as_collected, to_correlation_key
from stream_runtime.rules.debug_lines import ended
from stream_runtime.rules.fields import (
    BaseRule,
    BatchFields,
    CompressionFields,
    CorrelationKey,
    Count,
    Doc,
    Expire,
    Flag,
    Request,
    Rule,
    TableName,
    Ttl,
    callable_values,
    flavor,
)
from stream_runtime.rules.steps import opening
from stream_runtime.sinks.dynamodb import batch_put_dynamodb, put_dynamodb

__all__ = ["CollectRule", "CollectUow", "collect"]


class CollectRule(BaseRule, BatchFields, CompressionFields, total=False):
    correlation_key: Annotated[CorrelationKey, Doc("the key that events of one correlation share", "`partition_key`")]
    ttl: Annotated[Ttl, Doc("how long the row is kept", "`default_ttl`")]
    default_ttl: Annotated[Count, Doc("days that the row is kept", "`TTL`")]
    expire: Annotated[Expire, Doc("publish an event, of this type, when the row's time to live ends", "`False`")]
    include_raw: Annotated[Flag, Doc("keep the event's `raw` images in the row", "`False`")]
    to_put_request: Annotated[
        Callable[[Any], Request] | Callable[[Any, Any], Request] | Callable[[Any, Any, Any], Request],
        callable_values("(uow)", "(uow, rule)", "(uow, rule, template)"),
        Doc("makes the PutItem request of another row; `template` is the request of this one"),
    ]
    table_name: TableName


class CollectUow(UnitOfWork[R]):
    """``key`` is the correlation key."""

    key: str
    put_request: NotRequired[Request]
    put_response: NotRequired[Mapping[str, Any]]


ONE_BY_ONE = (
    lambda rule: bool(rule.get("to_put_request")),
    "beside 'to_put_request', whose rows are put one by one",
)


@flavor(CollectRule, excludes=dict.fromkeys(("batch_size", "max_request_size"), ONE_BY_ONE))
def collect(rule: Rule) -> Operator:
    """Put each event into the table as ``{"pk": <event id>, "sk": "EVENT", "data": <correlation key>, "event"}``.

    An event that comes again writes the same row.
    """
    put = put_dynamodb if rule.get("to_put_request") else batch_put_dynamodb  # its own request may have a condition
    return compose(
        opening(rule),
        rx_map(to_correlation_key(rule)),
        rx_map(to_put_request(rule)),
        with_options(put, rule),
        ended(rule),
    )


def to_put_request(rule: Rule) -> Callable[[Any], Any]:
    own = rule.get("to_put_request")
    template = to_row_request(rule)
    make = with_rule(own, rule, template) if own else template
    return faulty(lambda uow: {**uow, "put_request": make(uow)})


def to_row_request(rule: Rule) -> Callable[[Any], dict[str, Any]]:
    """The function that makes the PutItem request of an event's row; settings are read once for a batch."""
    region, days = cache(settings.AWS_REGION.read), cache(settings.TTL_DAYS.read)

    def row_request(uow: Any) -> dict[str, Any]:
        event = uow.get("undecrypted") or uow["event"]
        kept = event if rule.get("include_raw") else {name: event[name] for name in event if name != "raw"}
        item = {
            "pk": event["id"],
            "sk": "EVENT",
            "discriminator": "EVENT",
            "timestamp": event["timestamp"],
            "awsregion": region(),
            "sequence_number": sequence_number(uow),
            "ttl": ttl_of(rule, uow, days),
            "expire": rule.get("expire"),
            "data": uow["key"],
            "event": stored_as_collected(uow, kept, rule),
        }
        return {"Item": item}

    return row_request


def sequence_number(uow: Any) -> str | None:
    """The sequence number of the record in its stream or FIFO queue."""
    record = uow["record"]
    holder = record["kinesis"] if "kinesis" in record else record.get("attributes") or {}
    number: str | None = holder.get("sequenceNumber") or holder.get("SequenceNumber")
    return number
