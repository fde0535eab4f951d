"""evaluate: decides over the events of a correlation, and emits a higher-order event."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, NotRequired, Required

from stream_runtime.clock import timestamp_of
from stream_runtime.engine.flow import Operator, compose
from stream_runtime.engine.operators import rx_filter, rx_map, rx_shared
from stream_runtime.engine.records import R, UnitOfWork
from stream_runtime.faults import faulty
from stream_runtime.ids import derived_id
from stream_runtime.options import emitted, with_options
from stream_runtime.queries.dynamodb import query_dynamodb
from stream_runtime.rules.callables import with_rule
from stream_runtime.rules.correlations import (
    claims_of_correlated,
    correlated_event_type,
    events_of,
    filed_row,
    marker_row,
    redeemed,
    to_stored_event,
)
from stream_runtime.rules.debug_lines import ended
from stream_runtime.rules.fields import (
    BaseRule,
    Doc,
    Emit,
    Flag,
    Key,
    OfUow,
    PublishFields,
    Rule,
    TableName,
    Text,
    flavor,
)
from stream_runtime.rules.filters import Routed, on_event_type
from stream_runtime.rules.steps import opening
from stream_runtime.tags import inherited_tags

__all__ = ["EvaluateRule", "EvaluateUow", "evaluate"]

INDEX_REFUSED = (
    "an index is eventually consistent: of two events that arrive together, each may be evaluated without the other. "
    "Delete the field; collected events are found without an index. Events of another key need a rule with `correlate`"
)


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
    compact: Annotated[
        Key,
        Doc("of the events of a batch that trigger with one key only the last emits; True: the correlation"),
    ]
    once: Annotated[
        Flag,
        Doc("publish once for a correlation: what the first event that triggers emits, under one id", "`False`"),
    ]
    table_name: TableName


class EvaluateUow(UnitOfWork[R]):
    """The event is the stored one; ``meta`` holds the data of its row."""

    meta: Mapping[str, Any]
    correlated: Sequence[Mapping[str, Any]]
    triggers: Sequence[Mapping[str, Any]]
    emit: NotRequired[Mapping[str, Any]]
    publish_response: NotRequired[Mapping[str, Any]]


@flavor(EvaluateRule, refused={"index": INDEX_REFUSED}, needs={"table_name": ("expression", "once")})
def evaluate(rule: Rule) -> Operator:
    """Emit a higher-order event for each stored event that triggers.

    With an ``expression``, the events of its correlation decide whether it triggers. Reads are consistent, and those of
    a batch that are equal are made once. Events in correlated rows are read by their key, with those that have arrived
    since, so an expression must go on holding when more arrive: compare with ``>=``, not ``==``. Collected rows are
    kept under their event's id, so this flavor first files all of them under their correlation key, ``{"pk":
    "DATA#<key>", "sk": "<region>#<number>", "discriminator": "FILED", "event"}``, and evaluates each with those that
    were filed before it: whatever batches they come in and however often, of two events the second one is evaluated
    with both.

    With ``once``, a row ``{"pk": <key>, "sk": "ONCE#<rule>", "discriminator": "ONCE", "record"}`` is put, under the
    condition that there is none, when the events to emit are made and before they are published. It marks the record
    that may publish. Records that find another's marker publish nothing. A record that finds its own has come again,
    after a crash or a failure, and publishes again, under the same ids; no other record publishes in its place. If its
    retries run out, it publishes when it is redriven. If its events cannot be published at all, it becomes a fault, and
    publishes when that is resubmitted. In a global table each region has its own markers, so each publishes once.
    """
    return compose(
        rx_filter(on_rows(rule)),
        rx_map(faulty(to_stored_event)),
        rx_filter(on_correlation_key_suffix(rule)),
        rx_map(in_order_of_correlation),
        filed(rule) if files(rule) else None,
        opening({**rule, "compact": None}),
        correlated(rule) if rule.get("expression") else rx_map(lambda uow: {**uow, "triggers": [uow["event"]]}),
        compacted_triggers(rule) if rule.get("compact") else None,
        emitted(rule, to_template, claimed(rule) if rule.get("once") else None),
        ended(rule),
    )


def on_rows(rule: Rule) -> Callable[[Any], bool]:
    """The predicate that a row was inserted whose event the rule may want, or has to file."""
    if files(rule) or callable(rule.get("event_type")):
        return Routed(correlated_event_type, lambda type_: type_ is not None)
    return on_event_type(rule, correlated_event_type)


def files(rule: Rule) -> bool:
    """Whether a rule decides over collected rows; correlations with a suffix have none."""
    return bool(rule.get("expression") and not rule.get("correlation_key_suffix"))


def on_correlation_key_suffix(rule: Rule) -> Callable[[Any], bool]:
    """The predicate that a row has the rule's suffix, or that neither has one."""
    wanted = rule.get("correlation_key_suffix") or None
    return lambda uow: (uow["meta"]["suffix"] or None) == wanted


def in_order_of_correlation(uow: Any) -> Any:
    return {**uow, "order_key": ("correlation", uow["meta"]["correlation_key"])}


def filed(rule: Rule) -> Operator:
    """File collected rows of any type, since all of a correlation's events decide, and add those up to the own one."""
    from stream_runtime.sinks.correlations import file_in_dynamodb

    def add(uow: Any) -> Any:
        return uow if uow["meta"]["correlation"] or not uow["meta"]["data"] else {**uow, "filing": filed_row(rule, uow)}

    return compose(rx_map(faulty(add)), with_options(file_in_dynamodb, rule, filed_field="correlated"))


def correlated(rule: Rule) -> Operator:
    return compose(
        rx_map(to_query_request),
        with_options(query_dynamodb, rule, query_response_field="correlated"),
        with_options(redeem_claims, rule),
        rx_map(faulty(newest_first)),
        _correlated_decrypted(rule),
        rx_map(to_triggers(rule)),
        rx_filter(lambda uow: uow["triggers"]),
    )


def _correlated_decrypted(rule: Rule) -> Operator | None:
    if not rule.get("decrypt"):
        return None
    from stream_runtime.rules.encryption import correlated_decrypted

    return rx_map(correlated_decrypted(rule))


def to_query_request(uow: Any) -> Any:
    """The unit of work with the query of its correlation; collected rows have been read when they were filed."""
    meta = uow["meta"]
    if not meta["correlation"]:
        return uow
    request = {
        "KeyConditionExpression": "#pk = :pk",
        "ExpressionAttributeNames": {"#pk": "pk"},
        "ExpressionAttributeValues": {":pk": meta["pk"]},
        "ConsistentRead": True,
    }
    return {**uow, "query_request": request}


def redeem_claims(parallel: int | None = None, rate: float | None = None) -> Operator:
    """An operator that reads the bodies of claim checks in correlated rows; equal ones of a batch are read once."""
    return rx_shared(redeemed, key=claims_of_correlated, field="claims", parallel=parallel, rate=rate)


def newest_first(uow: Any) -> Any:
    """The unit of work with the events of the rows that were found, the newest first.

    ``kept_until`` is the last ``ttl`` of these rows; None if one of them is kept for ever.
    """
    if "correlated" not in uow:
        raise ValueError(f"the collected row {uow['meta']['pk']!r} has no correlation key in `data`")
    rows = [row for row in uow["correlated"] if row.get("discriminator") in ("CORREL", "FILED")]
    events = events_of(rows, uow.get("claims") or {})
    return {
        **uow,
        "correlated": sorted(events, key=age, reverse=True),
        "kept_until": latest([uow["meta"]["ttl"], *(row.get("ttl") for row in rows)]),
    }


def age(event: Mapping[str, Any]) -> Any:
    """The event's time; without a good one it counts as the oldest, and is not the fault of those that find it."""
    try:
        return timestamp_of(event)
    except ValueError:
        return float("-inf")


def latest(ttls: Sequence[int | None]) -> int | None:
    """The last of some times; None, for ever, is behind all others."""
    known = [ttl for ttl in ttls if ttl is not None]
    return max(known) if len(known) == len(ttls) else None


def to_triggers(rule: Rule) -> Callable[[Any], Any]:
    """A function that adds, under ``triggers``, the events for which the expression holds."""
    expression = with_rule(rule["expression"], rule)

    def add(uow: Any) -> Any:
        result = expression(uow)
        if isinstance(result, Mapping):
            triggers = [result] if result else []
        elif isinstance(result, Iterable) and not isinstance(result, str):
            triggers = list(result)
        else:
            triggers = [uow["event"]] if result else []
        return {**uow, "expression": bool(triggers), "triggers": triggers}

    return faulty(add)


def compacted_triggers(rule: Rule) -> Operator | None:
    from stream_runtime.rules.grouping import compacted

    key = rule["compact"]
    return compacted({**rule, "compact": correlation_of if key is True else key})


def correlation_of(uow: Any) -> Any:
    return uow["meta"]["correlation_key"]


def claimed(rule: Rule) -> Operator:
    """Pass on the units of work whose records own the marker of their correlation and rule."""
    from stream_runtime.sinks.correlations import claim_in_dynamodb

    def add(uow: Any) -> Any:
        return {**uow, "marker": marker_row(rule, uow, uow.get("kept_until", uow["meta"]["ttl"]))}

    return compose(rx_map(add), with_options(claim_in_dynamodb, rule))


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
