"""UPDATED_OLD and UPDATED_NEW show the parts that an update is about; ministack shows a whole list for one element.

Recorded on AWS by ScyllaDB's test/alternator/test_returnvalues.py, test_update_item_returnvalues_nested.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

INTERNALS = {
    "ministack.services.dynamodb": ("_diff_attributes", "_project_one", "_merge_projection", "_compact_projection"),
}


def patch() -> None:
    """Show these parts."""
    from ministack.services import dynamodb

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

    dynamodb._diff_attributes = shown
