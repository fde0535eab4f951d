"""DynamoDB's expressions from plain data: updates, and the conditions that make a write safe to repeat."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
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
    sets: list[str] = []
    removes: list[str] = []
    for name, value in item.items():
        name_token, value_token = _tokens(name, len(names))
        names[name_token] = name
        if value is None:
            removes.append(name_token)
        else:
            sets.append(name_token)
            values[value_token] = value
    return {
        "ExpressionAttributeNames": names,
        **({"ExpressionAttributeValues": values} if values else {}),
        "UpdateExpression": _expression(tuple(sets), tuple(removes)),
        "ReturnValues": "ALL_NEW",
    }


def timestamp_condition(field_name: str = "timestamp") -> dict[str, str]:
    """The condition that only a newer event may write: for an update that sets the field to the event's timestamp."""
    return {"ConditionExpression": f"attribute_not_exists(#{field_name}) OR #{field_name} < :{field_name}"}


def pk_condition(field_name: str = "pk") -> dict[str, str]:
    """The condition that the item must not exist yet."""
    return {"ConditionExpression": f"attribute_not_exists({field_name})"}


# A batch holds thousands of requests with the same few names at once: they share the text of them.


@lru_cache(maxsize=1024)
def _tokens(name: str, number: int) -> tuple[str, str]:
    """Placeholders of a name and its value: the name itself where that will do, so that conditions can refer to it."""
    token = name if _PLAIN_NAME.fullmatch(name) else f"attribute_{number}"
    return f"#{token}", f":{token}"


@lru_cache(maxsize=1024)
def _expression(sets: tuple[str, ...], removes: tuple[str, ...]) -> str:
    """The update expression for the placeholders of names."""
    clauses = []
    if sets:
        clauses.append("SET " + ", ".join(f"{token} = :{token[1:]}" for token in sets))
    if removes:
        clauses.append("REMOVE " + ", ".join(removes))
    return " ".join(clauses)
