"""Steps that flavors share: those they open with, and requests that functions of a rule make."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from stream_runtime.engine.flow import Operator, compose
from stream_runtime.engine.operators import rx_filter, rx_map
from stream_runtime.faults import faulty

from .callables import with_rule
from .debug_lines import started
from .fields import Rule
from .filters import Routed, event_type_of, on_content, on_event_type


def opening(rule: Rule, *then: Operator, route: Callable[[Any], Hashable] = event_type_of) -> Operator:
    """Filter by event type, take the flavor's own steps, log, decrypt, apply ``filters``, compact, group and split.

    Args:
        rule: the rule; a field that it does not have adds no step.
        then: the flavor's own steps; they come before the debug line.
        route: reads the event type of a unit of work; None for one that the flavor does not want. A rule's own
            predicate of the unit of work is asked after the flavor's own steps, which put the event there.
    """
    own = callable(rule.get("event_type")) and route is not event_type_of
    return compose(
        rx_filter(Routed(route, is_known) if own else on_event_type(rule, route)),
        *then,
        rx_filter(on_event_type(rule)) if own else None,
        started(rule),
        decrypted(rule),
        rx_filter(on_content(rule)),
        *_pieces(rule),
    )


def decrypted(rule: Rule) -> Operator | None:
    """The operator that decrypts events; None unless the rule says so."""
    if not rule.get("decrypt"):
        return None
    from .encryption import to_decrypted  # a function without such rules starts without it

    return rx_map(to_decrypted(rule))


def is_known(event_type: Hashable) -> bool:
    """Whether there is an event type at all."""
    return event_type is not None


def _pieces(rule: Rule) -> list[Operator | None]:
    pieces: list[Operator | None] = []
    if rule.get("compact") or rule.get("group"):
        from .grouping import compacted, grouped  # a function without such rules starts without it

        pieces += [compacted(rule), grouped(rule)]
    if rule.get("split_on"):
        from .splitting import split_object

        pieces.append(split_object(rule, numbered=True))
    return pieces


def to_request(rule: Rule, field: str, request_field: str) -> Operator | None:
    """The operator that puts what a rule's function makes into a field of the unit of work; None without a function.

    Args:
        rule: the rule.
        field: the rule's field with the function.
        request_field: the field of the unit of work.
    """
    if not rule.get(field):
        return None
    own = with_rule(rule[field], rule)
    return rx_map(faulty(lambda uow: {**uow, request_field: own(uow)}))
