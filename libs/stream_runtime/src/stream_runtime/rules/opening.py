"""The steps that flavors open with: the units of work that a rule wants, in the pieces in which it wants them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from stream_runtime.engine.flow import Operator, compose
from stream_runtime.engine.operators import rx_filter

from .debug_lines import started
from .fields import Rule
from .filters import event_type_of, on_content, on_event_type


def opening(rule: Rule, *then: Operator, route: Callable[[Any], Hashable] = event_type_of) -> Operator:
    """Filter by event type, take the flavor's own steps, log, apply ``filters``, then compact, group and split.

    Args:
        rule: the rule; a field that it does not have adds no step.
        then: the flavor's own steps; they come before the debug line.
        route: reads the event type of a unit of work.
    """
    return compose(
        rx_filter(on_event_type(rule, route)),
        *then,
        started(rule),
        rx_filter(on_content(rule)),
        *_pieces(rule),
    )


def _pieces(rule: Rule) -> list[Operator | None]:
    pieces: list[Operator | None] = []
    if rule.get("compact") or rule.get("group"):
        from .grouping import compacted, grouped  # a function without such rules starts without it

        pieces += [compacted(rule), grouped(rule)]
    if rule.get("split_on"):
        from .splitting import split_object

        pieces.append(split_object(rule))
    return pieces
