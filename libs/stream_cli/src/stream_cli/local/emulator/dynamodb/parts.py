"""UPDATED_OLD and UPDATED_NEW show the parts that an update is about, and filters of an index see what it has.

ministack shows a whole list for one of its elements, and filters by all attributes of the table. Recorded on AWS by
ScyllaDB's test/alternator/test_returnvalues.py, test_update_item_returnvalues_nested; DynamoDB API reference, "Query":
queries of a global secondary index cannot fetch attributes from the table.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterable, Mapping
from typing import Any

INTERNALS = {
    "ministack.services.dynamodb": (
        *("_diff_attributes", "_evaluate_condition", "_apply_index_projection"),
        *("_project_one", "_merge_projection", "_compact_projection"),
    ),
}

# The table and the index that the request at hand reads.
_index: contextvars.ContextVar[tuple[Mapping[str, Any], str] | None] = contextvars.ContextVar("index", default=None)


def patch() -> None:
    """Show and filter so."""
    from ministack.services import dynamodb

    evaluate = dynamodb._evaluate_condition

    def evaluated(text: str, item: Any, values: Any, names: Any, slot: str = "ConditionExpression") -> Any:
        read = _index.get()
        if slot == "FilterExpression" and read is not None:
            item = dynamodb._apply_index_projection(item, *read)
        return evaluate(text, item, values, names, slot)

    def shown(old: Any, new: Any, updated: Iterable[Any], return_old: bool = True) -> dict[str, Any]:
        item = old if return_old else new
        found: dict[str, Any] = {}
        for path in updated:
            head, *rest = (path,) if isinstance(path, str) else path
            steps = [("index" if isinstance(part, int) else "name", part) for part in rest]
            part = dynamodb._project_one(item[head], steps) if head in item else None
            if part is not None:
                found[head] = dynamodb._merge_projection(found.get(head), part)
        return {name: dynamodb._compact_projection(part) for name, part in found.items()}

    dynamodb._evaluate_condition, dynamodb._diff_attributes = evaluated, shown


def reading(table: Mapping[str, Any] | None, index: Any, handle: Callable[[], Any]) -> Any:
    """The response to a request that reads an index, or a table if there is none."""
    if table is None or not index:
        return handle()
    token = _index.set((table, index))
    try:
        return handle()
    finally:
        _index.reset(token)
