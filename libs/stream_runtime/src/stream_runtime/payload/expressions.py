"""DynamoDB expressions from plain data: updates, and conditions that make a write safe to repeat."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from decimal import Decimal
from functools import lru_cache
from typing import Any

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Change:
    """A change of an attribute other than setting it; made by `add` and `delete`."""

    __slots__ = ("clause", "value")

    def __init__(self, clause: str, value: Any) -> None:
        self.clause = clause
        self.value = value


def add(value: Set[Any] | float | Decimal) -> Change:
    """Add members to a set, or a number to a number. A missing attribute is created.

    Adding members again changes nothing. Adding a number again does: give such an update a condition.
    """
    if not isinstance(value, Set | int | float | Decimal) or isinstance(value, bool):
        raise TypeError(f"only members of a set or a number can be added, not a {type(value).__name__}: {value!r:.80}")
    return Change("ADD", value)


def delete(members: Set[Any]) -> Change:
    """Remove members from a set."""
    if not isinstance(members, Set):
        raise TypeError(f"only members of a set can be deleted, not a {type(members).__name__}: {members!r:.80}")
    return Change("DELETE", members)


def update_expression(item: Mapping[str, Any]) -> dict[str, Any]:
    """The UpdateItem parameters that set the attributes of an item, and remove those that are None.

    ``add({"x"})`` and ``delete({"x"})`` change the members of a set; without members they change nothing.

    Names become placeholders, so reserved words and any characters are allowed. ``{"a": 1, "b": None}`` gives
    ``{"UpdateExpression": "SET #a = :a REMOVE #b", "ExpressionAttributeNames": {...}, "ExpressionAttributeValues":
    {...}, "ReturnValues": "ALL_NEW"}``.

    Source: DynamoDB developer guide, "Update expressions" and "Expression attribute names".
    """
    names: dict[str, str] = {}
    values: dict[str, Any] = {}
    sets: list[str] = []
    removes: list[str] = []
    changes: dict[str, list[str]] = {}
    for name, value in item.items():
        name_token, value_token = _tokens(name, len(names))
        names[name_token] = name
        if value is None:
            removes.append(name_token)
        elif value.__class__ is Change:
            if isinstance(value.value, Set) and not value.value:
                del names[name_token]
                continue
            changes.setdefault(value.clause, []).append(name_token)
            values[value_token] = value.value
        else:
            sets.append(name_token)
            values[value_token] = value
    if not names:
        return {"ReturnValues": "ALL_NEW"}
    return {
        "ExpressionAttributeNames": names,
        **({"ExpressionAttributeValues": values} if values else {}),
        "UpdateExpression": _expression(
            tuple(sets), tuple(removes), tuple(changes.get("ADD", ())), tuple(changes.get("DELETE", ()))
        ),
        "ReturnValues": "ALL_NEW",
    }


def timestamp_condition(field_name: str = "timestamp") -> dict[str, str]:
    """The condition that only a newer event may write; the update sets the field to the event's timestamp."""
    return {"ConditionExpression": f"attribute_not_exists(#{field_name}) OR #{field_name} < :{field_name}"}


def pk_condition(field_name: str = "pk") -> dict[str, str]:
    """The condition that the item does not exist yet."""
    return {"ConditionExpression": f"attribute_not_exists({field_name})"}


# A batch holds thousands of requests with the same few names; they share these strings.


@lru_cache(maxsize=1024)
def _tokens(name: str, number: int) -> tuple[str, str]:
    """Placeholders of a name and its value: the name itself if possible, so that conditions can refer to it."""
    token = name if _PLAIN_NAME.fullmatch(name) else f"attribute_{number}"
    return f"#{token}", f":{token}"


@lru_cache(maxsize=1024)
def _expression(
    sets: tuple[str, ...], removes: tuple[str, ...], adds: tuple[str, ...], deletes: tuple[str, ...]
) -> str:
    """The update expression for the placeholders of names."""
    clauses = []
    if sets:
        clauses.append("SET " + ", ".join(f"{token} = :{token[1:]}" for token in sets))
    if removes:
        clauses.append("REMOVE " + ", ".join(removes))
    if adds:
        clauses.append("ADD " + ", ".join(f"{token} :{token[1:]}" for token in adds))
    if deletes:
        clauses.append("DELETE " + ", ".join(f"{token} :{token[1:]}" for token in deletes))
    return " ".join(clauses)
