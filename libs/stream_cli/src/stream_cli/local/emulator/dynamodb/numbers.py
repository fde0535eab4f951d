"""Numbers have one form in a request: ``1.0`` and ``1`` are the same key, and the same value.

ministack brings numbers of items into this form, but not those of keys and placeholders.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Canonical = Callable[[str], str | None]

# The fields of a request, or of an action of a transaction, with attribute values that are not an item's.
_FIELDS = ("Key", "ExpressionAttributeValues", "ExclusiveStartKey")


def normalize(request: dict[str, Any], canonical: Canonical) -> None:
    """Bring the numbers of a request into the form that ``canonical`` gives; those without one are refused later."""
    for name in _FIELDS:
        if isinstance(request.get(name), Mapping):
            request[name] = {key: _normalized(value, canonical) for key, value in request[name].items()}
    if isinstance(request.get("Keys"), list):
        request["Keys"] = [
            {name: _normalized(value, canonical) for name, value in key.items()} for key in request["Keys"]
        ]


def _normalized(value: Any, canonical: Canonical) -> Any:
    if not isinstance(value, Mapping) or len(value) != 1:
        return value
    ((kind, inner),) = value.items()
    if kind == "N" and isinstance(inner, str):
        return {"N": canonical(inner) or inner}
    if kind == "NS" and isinstance(inner, list):
        return {"NS": [canonical(each) or each if isinstance(each, str) else each for each in inner]}
    if kind == "L" and isinstance(inner, list):
        return {"L": [_normalized(each, canonical) for each in inner]}
    if kind == "M" and isinstance(inner, Mapping):
        return {"M": {name: _normalized(each, canonical) for name, each in inner.items()}}
    return value
