"""evaluate: decides over the events of a correlation, and emits a higher-order event."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, NotRequired, Required

from stream_runtime.engine.flow import GatherStep, Operator, compose, extend
from stream_runtime.engine.operators import rx_filter, rx_map
from stream_runtime.engine.records import R, UnitOfWork
from stream_runtime.engine.run import Run
from stream_runtime.faults import faulty
from stream_runtime.ids import derived_id
from stream_runtime.options import emitted, with_options
from stream_runtime.payload.compression import decompressed
from stream_runtime.queries.dynamodb import query_dynamodb
from stream_runtime.rules.callables import with_rule
from stream_runtime.rules.correlations import correlated_event_type, to_stored_event
from stream_runtime.rules.debug_lines import ended
from stream_runtime.rules.fields import BaseRule, Doc, Emit, Flag, OfUow, PublishFields, Rule, TableName, Text, flavor
from stream_runtime.rules.steps import opening
from stream_runtime.tags import inherited_tags

__all__ = ["EvaluateRule", "EvaluateUow", "evaluate"]


class EvaluateRule(BaseRule, PublishFields, total=False):
    emit: Required[Annotated[Emit, Doc("the higher-order event or events")]]
    expression: Annotated[
        OfUow,
        Doc(
            'decides over `uow["correlated"]`, the newest event first: True, or the event or events that trigger',
            "every event triggers",
        ),
    ]
    correlation_key_suffix: Annotated[Text, Doc("which correlations are evaluated", "those without a suffix")]
    index: Annotated[Text, Doc("the index that finds collected rows by `data`", "`DataIndex`")]
    once: Annotated[
        Flag,
        Doc("give all higher-order events of a correlation one id, so that duplicates can be recognised", "`False`"),
    ]
    table_name: TableName


class EvaluateUow(UnitOfWork[R]):
    """The event is the stored one; ``meta`` holds the data of its row."""

    meta: Mapping[str, Any]
    correlated: Sequence[Mapping[str, Any]]
    triggers: Sequence[Mapping[str, Any]]
    emit: NotRequired[Mapping[str, Any]]
    publish_response: NotRequired[Mapping[str, Any]]


@flavor(EvaluateRule)
def evaluate(rule: Rule) -> Operator:
    """For each stored event query the events of its correlation, and emit a higher-order event if they suffice.

    A batch often holds several events of one correlation. They are queried once, and the last one for which the
    expression holds emits: a batch gives one higher-order event for each correlation.
    """
    return compose(
        opening(
            rule,
            rx_map(faulty(to_stored_event)),
            rx_filter(on_correlation_key_suffix(rule)),
            route=correlated_event_type,
        ),
        correlated(rule) if rule.get("expression") else rx_map(lambda uow: {**uow, "triggers": [uow["event"]]}),
        emitted(rule, to_template),
        ended(rule),
    )


def correlated(rule: Rule) -> Operator:
    return compose(
        rx_map(to_query_request(rule)),
        with_options(query_dynamodb, rule, query_response_field="correlated"),
        rx_map(faulty(newest_first)),
        rx_map(to_triggers(rule)),
        rx_filter(lambda uow: uow["triggers"]),
        extend(GatherStep(last_of_each_correlation)),
    )


def on_correlation_key_suffix(rule: Rule) -> Callable[[Any], bool]:
    """The predicate that a row has the rule's suffix, or that neither has one."""
    wanted = rule.get("correlation_key_suffix") or None
    return lambda uow: (uow["meta"]["suffix"] or None) == wanted


def to_query_request(rule: Rule) -> Callable[[Any], Any]:
    """A function that adds the query: by primary key for correlated rows, by index for collected rows."""
    index = rule.get("index") or "DataIndex"

    def add(uow: Any) -> Any:
        meta = uow["meta"]
        request: dict[str, Any]
        if meta["correlation"]:
            request = {
                "KeyConditionExpression": "#pk = :pk",
                "ExpressionAttributeNames": {"#pk": "pk"},
                "ExpressionAttributeValues": {":pk": meta["pk"]},
                "ConsistentRead": True,
            }
        else:
            request = {
                "IndexName": index,
                "KeyConditionExpression": "#data = :data",
                "ExpressionAttributeNames": {"#data": "data"},
                "ExpressionAttributeValues": {":data": meta["data"]},
            }
        return {**uow, "query_request": request}

    return add


def newest_first(uow: Any) -> Any:
    """The unit of work with the events of the rows that were found, the newest first."""
    events = [decompressed(row["event"]) for row in uow["correlated"] if "event" in row]
    return {**uow, "correlated": sorted(events, key=lambda event: event.get("timestamp") or 0, reverse=True)}


def to_triggers(rule: Rule) -> Callable[[Any], Any]:
    """A function that adds, under ``triggers``, the events for which the expression holds."""
    expression = with_rule(rule["expression"], rule)

    def add(uow: Any) -> Any:
        result = expression(uow)
        if isinstance(result, Mapping):
            triggers = [result] if result else []
        elif isinstance(result, Sequence) and not isinstance(result, str):
            triggers = list(result)
        else:
            triggers = [uow["event"]] if result else []
        return {**uow, "expression": bool(triggers), "triggers": triggers}

    return faulty(add)


def last_of_each_correlation(run: Run, uows: Sequence[Any]) -> Iterable[Any]:
    """The last unit of work of each correlation, with all of them under ``batch``.

    Its success or failure is that of all their records: a fault holds every one of them.
    """
    members: dict[Any, list[Any]] = {}
    for uow in uows:
        members.setdefault((uow["meta"]["correlation_key"], uow["meta"]["suffix"]), []).append(uow)
    return [group[0] if len(group) == 1 else {**group[-1], "batch": group} for group in members.values()]


def to_template(rule: Rule, uow: Any) -> dict[str, Any]:
    """The higher-order event without its type: id, time, partition key, the triggers and their tags.

    If ``emit`` is an event type, it has the other fields of the stored event, too.
    """
    meta, triggers = uow["meta"], uow["triggers"]
    suffix = f".{meta['suffix']}" if meta["suffix"] else ""
    correlation_key = str(meta["correlation_key"])
    cause = (correlation_key, rule["id"]) if rule.get("once") else (meta["id"], rule["id"])
    inherited = {} if callable(rule["emit"]) else uow["event"]
    return {
        **inherited,
        "id": derived_id(*cause),
        "type": None,
        "timestamp": triggers[-1]["timestamp"],
        "partition_key": correlation_key.removesuffix(suffix),
        "tags": inherited_tags(*triggers),
        "triggers": [{name: trigger.get(name) for name in ("id", "type", "timestamp")} for trigger in triggers],
    }
