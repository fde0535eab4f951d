"""DynamoDB's expressions from plain data: updates, and the conditions that make a write safe to repeat."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def update_expression(item: Mapping[str, Any]) -> dict[str, Any]:
    """The UpdateItem parameters that set the attributes of an item; those that are None are removed.

    Names become placeholders, so reserved words and any characters will do. ``{"a": 1, "b": None}`` gives
    ``{"UpdateExpression": "SET #a = :a REMOVE #b", "ExpressionAttributeNames": {...}, "ExpressionAttributeValues":
    {...}, "ReturnValues": "ALL_NEW"}``.

    Source: DynamoDB developer guide, "Update expressions" and "Expression attribute names".
    """
    names: dict[str, str] = {}
    values: dict[str, Any] = {}
    clauses: dict[str, list[str]] = {"SET": [], "REMOVE": []}
    for name, value in item.items():
        token = _token(name, len(names))
        names[f"#{token}"] = name
        if value is None:
            clauses["REMOVE"].append(f"#{token}")
        else:
            clauses["SET"].append(f"#{token} = :{token}")
            values[f":{token}"] = value
    return {
        "ExpressionAttributeNames": names,
        **({"ExpressionAttributeValues": values} if values else {}),
        "UpdateExpression": " ".join(f"{clause} {', '.join(parts)}" for clause, parts in clauses.items() if parts),
        "ReturnValues": "ALL_NEW",
    }


def timestamp_condition(field_name: str = "timestamp") -> dict[str, str]:
    """The condition that only a newer event may write: for an update that sets the field to the event's timestamp."""
    return {"ConditionExpression": f"attribute_not_exists(#{field_name}) OR #{field_name} < :{field_name}"}


def pk_condition(field_name: str = "pk") -> dict[str, str]:
    """The condition that the item must not exist yet."""
    return {"ConditionExpression": f"attribute_not_exists({field_name})"}


def _token(name: str, number: int) -> str:
    """The name itself where a placeholder may have it, so that conditions can refer to it."""
    return name if _PLAIN_NAME.fullmatch(name) else f"attribute_{number}"
