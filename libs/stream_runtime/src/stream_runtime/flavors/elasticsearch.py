"""elasticsearch: writes documents to OpenSearch."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, NotRequired, Required

from stream_runtime.clock import timestamp_of
from stream_runtime.engine.flow import Operator, compose
from stream_runtime.engine.operators import rx_map
from stream_runtime.engine.records import R, UnitOfWork
from stream_runtime.faults import faulty
from stream_runtime.options import with_options
from stream_runtime.rules.callables import with_rule
from stream_runtime.rules.debug_lines import ended
from stream_runtime.rules.fields import (
    BaseRule,
    BatchFields,
    Compact,
    Doc,
    Request,
    Rule,
    SplitFields,
    Text,
    ToRequest,
    flavor,
)
from stream_runtime.rules.steps import opening
from stream_runtime.sinks.opensearch import update_elasticsearch

__all__ = ["ElasticsearchRule", "ElasticsearchUow", "elasticsearch"]


class ElasticsearchRule(BaseRule, BatchFields, SplitFields, total=False):
    to_elasticsearch: Required[
        Annotated[
            ToRequest,
            Doc('makes the write, `{"index", "id", "data", "action"?, ...}` as `update_elasticsearch` takes it'),
        ]
    ]
    domain_host: Annotated[Text, Doc("host or URL of the domain", "`ES_DOMAIN_HOST`")]
    compact: Compact


class ElasticsearchUow(UnitOfWork[R]):
    update_request: NotRequired[Request]
    update_response: NotRequired[Mapping[str, Any]]


@flavor(ElasticsearchRule)
def elasticsearch(rule: Rule) -> Operator:
    """Write documents in bulk requests, in order for each partition key and document.

    A document that is indexed or deleted has the event's timestamp as its version, unless the write gives one: a stale
    or repeated event overwrites nothing. A version conflict is an outcome, not a failure.
    """
    return compose(
        opening(rule),
        rx_map(to_write(rule)),
        with_options(update_elasticsearch, rule, host=rule.get("domain_host")),
        ended(rule),
    )


def to_write(rule: Rule) -> Callable[[Any], Any]:
    own = with_rule(rule["to_elasticsearch"], rule)

    def add(uow: Any) -> Any:
        write = own(uow)
        event = uow["event"]
        timestamp = None if event.get("timestamp") is None else int(timestamp_of(event))
        return {**uow, "update_request": versioned(write, timestamp) if write else None}

    return faulty(add)


def versioned(write: Mapping[str, Any], timestamp: int | None) -> Mapping[str, Any]:
    """The write with the event's timestamp as its external version, for the actions that OpenSearch allows it for.

    Source: OpenSearch documentation, "Index document", version_type external_gte: an equal version is written again.
    """
    if timestamp is None or "version" in write or write.get("action", "index") not in ("index", "delete"):
        return write
    return {"version": timestamp, "version_type": "external_gte", **write}
