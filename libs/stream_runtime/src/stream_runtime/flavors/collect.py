"""collect: store events under a correlation key, so that they can be evaluated together later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stream_runtime import settings
from stream_runtime.clock import ttl_of
from stream_runtime.engine.flow import Operator, compose
from stream_runtime.engine.operators import rx_filter, rx_map
from stream_runtime.faults import faulty
from stream_runtime.rules.callables import with_rule
from stream_runtime.rules.correlations import to_correlation_key, to_stored
from stream_runtime.rules.debug_lines import ended, started
from stream_runtime.rules.fields import BaseRule, Rule, flavor
from stream_runtime.rules.filters import on_content, on_event_type
from stream_runtime.sinks.dynamodb import batch_put_dynamodb, put_dynamodb


class CollectRule(BaseRule, total=False):
    """The fields of a collect rule.

    Attributes:
        correlation_key: a path in the event, or ``(uow) -> key``; the event's partition key by default.
        ttl: days that the row is kept, or ``(rule, uow) -> s``; the environment's TTL by default.
        default_ttl: days, where ``ttl`` is not given.
        expire: True or an event type: publish an event when the row is removed by TTL.
        include_raw: keep the event's ``raw`` images in the row.
        to_put_request: ``(uow, rule, template) -> PutItem request``, to write another row; the template is the request
            that collect would make. ``(uow, rule)`` and ``(uow)`` are called without it.
        table_name: the table; ENTITY_TABLE_NAME or EVENT_TABLE_NAME by default.
    """

    correlation_key: Any
    ttl: Any
    default_ttl: int
    expire: bool | str
    include_raw: bool
    to_put_request: Callable[..., Any]
    table_name: str


@flavor(CollectRule)
def collect(rule: Rule) -> Operator:
    """Put each event into the table as ``{"pk": <event id>, "sk": "EVENT", "data": <correlation key>, "event"}``.

    Writing the same event again writes the same row again.
    """
    return compose(
        rx_filter(on_event_type(rule)),
        started(rule),
        rx_filter(on_content(rule)),
        rx_map(to_correlation_key(rule)),
        rx_map(to_put_request(rule)),
        put(rule),
        ended(rule),
    )


def put(rule: Rule) -> Operator:
    """Batches of rows; one by one where the rule makes its own request, which may have a condition."""
    write = put_dynamodb if rule.get("to_put_request") else batch_put_dynamodb
    return write(table_name=rule.get("table_name"), parallel=rule.get("parallel"), rate=rule.get("rate"))


def to_put_request(rule: Rule) -> Callable[[Any], Any]:
    """A function that adds the request which puts the row."""
    own = rule.get("to_put_request")

    def template(uow: Any) -> dict[str, Any]:
        return row_request(rule, uow)

    make = with_rule(own, rule, template) if own else template
    return faulty(lambda uow: {**uow, "put_request": make(uow)})


def row_request(rule: Rule, uow: Any) -> dict[str, Any]:
    """The PutItem request of an event's row."""
    event = uow["event"]
    kept = event if rule.get("include_raw") else {name: event[name] for name in event if name != "raw"}
    item = {
        "pk": event["id"],
        "sk": "EVENT",
        "discriminator": "EVENT",
        "timestamp": event["timestamp"],
        "awsregion": settings.AWS_REGION.read(),
        "sequence_number": sequence_number(uow),
        "ttl": ttl_of(rule, uow),
        "expire": rule.get("expire"),
        "data": uow["key"],
        "event": to_stored(kept, rule),
    }
    return {"Item": item}


def sequence_number(uow: Any) -> str | None:
    """The sequence number of the record in its stream or FIFO queue."""
    record = uow["record"]
    holder = record["kinesis"] if "kinesis" in record else record.get("attributes") or {}
    number: str | None = holder.get("sequenceNumber") or holder.get("SequenceNumber")
    return number
