"""The events that a rule emits: one unit of work for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stream_runtime.clock import now_ms
from stream_runtime.engine.flow import Operator, compose
from stream_runtime.engine.operators import rx_filter, rx_map
from stream_runtime.faults import faulty
from stream_runtime.ids import derived_id

from .fields import Rule
from .splitting import listed, split_into

TemplateOf = Callable[[Rule, Any], dict[str, Any]]


def to_emitted(rule: Rule, template_of: TemplateOf | None = None, allowed: Operator | None = None) -> Operator:
    """The operator that makes one unit of work, with the event under ``emit``, for each event that a rule emits.

    Events that have no id, or all have the template's, get ids of their own derived from it.

    Args:
        rule: the rule.
        template_of: makes the template of a unit of work.
        allowed: chooses the units of work whose events are emitted; it gets those that have any, under ``emit``.
    """
    emit = rule["emit"]
    make = template_of or template_from_event

    def to_events(uow: Any) -> Any:
        template = make(rule, uow)
        if callable(emit):
            emitted = emit(uow, rule, template)
        elif isinstance(emit, str):
            emitted = {**template, "type": emit}
        else:
            emitted = [{**template, "type": type_} for type_ in emit]
        return {**uow, "emit": numbered(listed(emitted), template["id"])}

    return compose(
        rx_map(faulty(to_events)),
        rx_filter(lambda uow: uow["emit"]),
        allowed,
        split_into(lambda uow: [{**uow, "emit": event} for event in uow["emit"]]),
    )


def template_from_event(rule: Rule, uow: Any) -> dict[str, Any]:
    """``{"id", "type": None, "timestamp" (ms), "partition_key"}``; the id is derived from the event and the rule."""
    event = uow["event"]
    return {
        "id": derived_id(event["id"], rule["id"]),
        "type": None,
        "timestamp": now_ms(),
        "partition_key": event.get("partition_key") or event["id"],
    }


def numbered(events: Sequence[Mapping[str, Any]], template_id: str) -> list[dict[str, Any]]:
    """The events; those that have no id or the template's are numbered, from the second on."""
    given = [dict(event) for event in events]
    unnamed = [event for event in given if event.get("id") in (None, template_id)]
    for number, event in enumerate(unnamed):
        event["id"] = template_id if number == 0 else derived_id(template_id, number)
    return given
