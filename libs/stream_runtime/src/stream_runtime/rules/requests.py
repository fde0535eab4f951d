"""The requests that functions of a rule make for a sink or a query."""

from __future__ import annotations

from stream_runtime.engine.flow import Operator
from stream_runtime.engine.operators import rx_map
from stream_runtime.faults import faulty

from .callables import with_rule
from .fields import Rule


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
