"""Requests that the functions of a rule make of a unit of work, for the sink or query that stands behind them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stream_runtime.engine.flow import Operator
from stream_runtime.engine.operators import rx_map
from stream_runtime.faults import faulty

from .callables import with_rule


def to_request(rule: Mapping[str, Any], field: str, request_field: str) -> Operator | None:
    """The operator that puts the request which a rule's function makes into a field; None where the rule has none."""
    if not rule.get(field):
        return None
    own = with_rule(rule[field], rule)
    return rx_map(faulty(lambda uow: {**uow, request_field: own(uow)}))
