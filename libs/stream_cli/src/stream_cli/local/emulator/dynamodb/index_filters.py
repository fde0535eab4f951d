"""A filter of an index sees what the index has; ministack filters by all attributes of the table.

DynamoDB API reference, "Query": queries of a global secondary index cannot fetch attributes from the table.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Mapping
from typing import Any

INTERNALS = {"ministack.services.dynamodb": ("_evaluate_condition", "_apply_index_projection")}

# The table and the index that the request at hand reads.
_index: contextvars.ContextVar[tuple[Mapping[str, Any], str] | None] = contextvars.ContextVar("index", default=None)


def patch() -> None:
    """Filter what the index has."""
    from ministack.services import dynamodb

    evaluate = dynamodb._evaluate_condition

    def evaluated(text: str, item: Any, values: Any, names: Any, slot: str = "ConditionExpression") -> Any:
        read = _index.get()
        if slot == "FilterExpression" and read is not None:
            item = dynamodb._apply_index_projection(item, *read)
        return evaluate(text, item, values, names, slot)

    dynamodb._evaluate_condition = evaluated


def reading(table: Mapping[str, Any] | None, index: Any, handle: Callable[[], Any]) -> Any:
    """The response to a request that reads an index, or a table if there is none."""
    if table is None or not index:
        return handle()
    token = _index.set((table, index))
    try:
        return handle()
    finally:
        _index.reset(token)
