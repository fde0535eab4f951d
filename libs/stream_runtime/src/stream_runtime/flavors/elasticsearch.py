"""elasticsearch: keep an OpenSearch index up to date from events."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, NotRequired, Required

from stream_runtime.engine.flow import Operator, compose
from stream_runtime.engine.operators import rx_map
from stream_runtime.engine.records import R, UnitOfWork
from stream_runtime.faults import faulty
from stream_runtime.options import with_options
from stream_runtime.rules.callables import with_rule
from stream_runtime.rules.debug_lines import ended
from stream_runtime.rules.fields import BaseRule, CompactFields, Doc, OfUow, Request, Rule, SplitFields, Text, flavor
from stream_runtime.rules.opening import opening
from stream_runtime.sinks.opensearch import update_elasticsearch

__all__ = ["ElasticsearchRule", "ElasticsearchUow", "elasticsearch"]


class ElasticsearchRule(BaseRule, CompactFields, SplitFields, total=False):
    to_elasticsearch: Required[
        Annotated[
            OfUow[Request],
            Doc('makes the write, `{"index", "id", "data", "action"?, ...}` as `update_elasticsearch` takes it'),
        ]
    ]
    domain_host: Annotated[Text, Doc("host or URL of the domain", "`ES_DOMAIN_HOST`")]


class ElasticsearchUow(UnitOfWork[R]):
    update_request: NotRequired[Request]
    update_response: NotRequired[Mapping[str, Any]]


@flavor(ElasticsearchRule)
def elasticsearch(rule: Rule) -> Operator:
    """Write documents in bulk requests, in order for each partition key and document.

    Documents that are indexed or deleted have the event's timestamp as their version where they have none of their
    own, so that neither a stale nor a repeated event overwrites anything; a version conflict is an outcome.
    """
    return compose(
        opening(rule),
        rx_map(to_write(rule)),
        with_options(update_elasticsearch, rule, host=rule.get("domain_host")),
        ended(rule),
    )


def to_write(rule: Rule) -> Callable[[Any], Any]:
    """A function that adds the write, with the event's timestamp as its version."""
    own = with_rule(rule["to_elasticsearch"], rule)

    def add(uow: Any) -> Any:
        write = own(uow)
        return {**uow, "update_request": versioned(write, uow["event"].get("timestamp")) if write else None}

    return faulty(add)


def versioned(write: Mapping[str, Any], timestamp: int | None) -> Mapping[str, Any]:
    """A write with an external version, which OpenSearch knows for the actions index and delete only.

    Source: OpenSearch documentation, "Index document", version_type external_gte: equal versions are written again.
    """
    if timestamp is None or "version" in write or write.get("action", "index") not in ("index", "delete"):
        return write
    return {"version": timestamp, "version_type": "external_gte", **write}
