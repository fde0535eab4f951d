"""Events that follow from an event: their template, and one unit of work for each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stream_runtime.clock import now_ms
from stream_runtime.engine.flow import Operator, compose
from stream_runtime.engine.operators import rx_map, split_buffer
from stream_runtime.faults import faulty
from stream_runtime.ids import derived_id

Rule = Mapping[str, Any]


def to_emitted(rule: Rule, template_of: Callable[[Rule, Any], dict[str, Any]] | None = None) -> Operator:
    """The operator that gives one unit of work, with the event under ``emit``, for each event a rule emits.

    A rule's ``emit`` is an event type, a list of types, or ``(uow, rule, template) -> event | list of events | None``.
    Ids are derived from what caused the event: all events of one unit of work that came out with the template's id
    are numbered apart.
    """
    emit = rule["emit"]
    make = template_of or template_from_event

    def to_uows(uow: Any) -> list[Any]:
        template = make(rule, uow)
        if callable(emit):
            emitted = emit(uow, rule, template)
        elif isinstance(emit, str):
            emitted = {**template, "type": emit}
        else:
            emitted = [{**template, "type": type_} for type_ in emit]
        events = [] if emitted is None else [emitted] if isinstance(emitted, Mapping) else list(emitted)
        return [{**uow, "emit": event} for event in numbered(events, template["id"])]

    return compose(rx_map(faulty(to_uows)), split_buffer())


def template_from_event(rule: Rule, uow: Any) -> dict[str, Any]:
    """``{"id", "type": None, "timestamp" (ms), "partition_key"}`` of an event that the unit of work's event causes."""
    event = uow["event"]
    return {
        "id": derived_id(event["id"], rule["id"]),
        "type": None,
        "timestamp": now_ms(),
        "partition_key": event.get("partition_key") or event["id"],
    }


def numbered(events: Sequence[Mapping[str, Any]], template_id: str) -> list[dict[str, Any]]:
    """Events with ids of their own, where several kept the template's or have none."""
    given = [dict(event) for event in events]
    unnamed = [event for event in given if event.get("id") in (None, template_id)]
    for number, event in enumerate(unnamed):
        event["id"] = template_id if number == 0 else derived_id(template_id, number)
    return given
