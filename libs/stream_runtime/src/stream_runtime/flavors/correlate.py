"""correlate: files collected events under further correlation keys."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, NotRequired, Required

from stream_runtime import settings
from stream_runtime.clock import ttl_of
from stream_runtime.engine.flow import Operator, compose
from stream_runtime.engine.operators import rx_map
from stream_runtime.engine.records import R, UnitOfWork
from stream_runtime.faults import faulty
from stream_runtime.options import with_options
from stream_runtime.rules.correlations import (
    collected_event_type,
    stored_again,
    to_correlation_key,
    to_stored_event,
)
from stream_runtime.rules.debug_lines import ended
from stream_runtime.rules.fields import (
    BaseRule,
    BatchFields,
    CompressionFields,
    CorrelationKey,
    Doc,
    Expire,
    Request,
    Rule,
    TableName,
    Text,
    Ttl,
    flavor,
)
from stream_runtime.rules.steps import opening
from stream_runtime.sinks.dynamodb import batch_put_dynamodb

__all__ = ["CorrelateRule", "CorrelateUow", "correlate"]


class CorrelateRule(BaseRule, BatchFields, CompressionFields, total=False):
    correlation_key: Required[Annotated[CorrelationKey, Doc("the key that events of one correlation share")]]
    correlation_key_suffix: Annotated[Text, Doc("tells correlations with the same key apart")]
    ttl: Annotated[Ttl, Doc("how long the row is kept", "as long as the collected row")]
    expire: Annotated[Expire, Doc("publish an event, of this type, when the row's time to live ends", "`False`")]
    table_name: TableName


class CorrelateUow(UnitOfWork[R]):
    """The event is the collected one; ``meta`` holds the data of its row."""

    meta: Mapping[str, Any]
    key: NotRequired[str]
    put_request: NotRequired[Request]
    put_response: NotRequired[Mapping[str, Any]]


@flavor(CorrelateRule)
def correlate(rule: Rule) -> Operator:
    """For each collected event put ``{"pk": <key>[.suffix], "sk": <event id>, "discriminator": "CORREL", "event"}``.

    Reads the stream of the table that `collect` writes.
    """
    return compose(
        opening(rule, rx_map(faulty(to_stored_event)), route=collected_event_type),
        rx_map(to_correlation_key(rule)),
        rx_map(to_put_request(rule)),
        with_options(batch_put_dynamodb, rule),
        ended(rule),
    )


def to_put_request(rule: Rule) -> Callable[[Any], Any]:

    def add(uow: Any) -> Any:
        event = uow["event"]
        item = {
            "pk": uow["key"],
            "sk": event["id"],
            "discriminator": "CORREL",
            "timestamp": event["timestamp"],
            "awsregion": settings.AWS_REGION.read(),
            "sequence_number": uow["meta"]["sequence_number"],
            "ttl": ttl_of(rule, uow) if rule.get("ttl") else uow["meta"]["ttl"],
            "expire": rule.get("expire"),
            "suffix": rule.get("correlation_key_suffix"),
            "rule_id": rule["id"],
            "event": stored_again(uow, rule),
        }
        return {**uow, "put_request": {"Item": item}}

    return faulty(add)
