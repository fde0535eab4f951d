"""Groups faults by service, function, pipeline and error."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from stream_cli.stored.history import timestamp_ms


class Group(NamedTuple):
    """What the faults of a group have in common."""

    service: str
    function: str
    pipeline: str
    error: str


@dataclass
class GroupSummary:
    """The faults of a group: their ids in the order in which they were stored, and the most recent fault."""

    ids: dict[str, None]
    first_ms: int
    last: Mapping[str, Any]


def group_of(fault: Mapping[str, Any]) -> Group:
    """The group of a fault event; missing names are ``unknown``."""
    tags, err = _mapping(fault.get("tags")), error_of(fault)
    names = (tags.get("source"), tags.get("functionname"), tags.get("pipeline"), err.get("name"))
    return Group(*(str(name or "unknown") for name in names))


def error_of(fault: Mapping[str, Any]) -> Mapping[str, Any]:
    """The error of a fault event, with name, message and stack; what is there instead is the message."""
    err = fault.get("err")
    return err if isinstance(err, Mapping) else {"message": err} if err else {}


def summarized(faults: Iterable[Mapping[str, Any]]) -> dict[Group, GroupSummary]:
    """The faults by group; a fault that was stored twice counts once."""
    groups: dict[Group, GroupSummary] = {}
    for fault in faults:
        summary = groups.setdefault(group_of(fault), GroupSummary({}, timestamp_ms(fault), fault))
        summary.ids[str(fault.get("id"))] = None
        summary.first_ms = min(summary.first_ms, timestamp_ms(fault))
        if timestamp_ms(fault) >= timestamp_ms(summary.last):
            summary.last = fault
    return groups


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
