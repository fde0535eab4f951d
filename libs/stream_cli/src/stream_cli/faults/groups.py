"""Faults by what failed: service, function, pipeline and error."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

REDACTED = "[redacted]"
# Names of fields whose values nobody needs to see to understand a fault.
_SECRET = re.compile(
    r"(?i)(passw|secret|token|authorization|cookie|credential|api[-_]?key|private[-_]?key|ssn|iban|card[-_]?number"
    r"|e?[-_]?mail|phone)"
)


class Group(NamedTuple):
    """What faults have in common."""

    service: str
    function: str
    pipeline: str
    error: str


@dataclass
class Summary:
    """The faults of a group.

    Attributes:
        ids: their ids, in the order in which they were stored, each once.
        first_ms: when the first one happened, in ms.
        last_ms: when the last one happened, in ms.
        message: the message of the last one.
    """

    ids: dict[str, None]
    first_ms: int
    last_ms: int
    message: str


def group_of(fault: Mapping[str, Any]) -> Group:
    """The group of a fault event; what it does not say is ``unknown``."""
    tags, err = _mapping(fault.get("tags")), _mapping(fault.get("err"))
    names = (tags.get("source"), tags.get("functionname"), tags.get("pipeline"), err.get("name"))
    return Group(*(str(name or "unknown") for name in names))


def summarized(faults: Iterable[Mapping[str, Any]]) -> dict[Group, Summary]:
    """The faults by group; one that was stored twice counts once."""
    groups: dict[Group, Summary] = {}
    for fault in faults:
        at, message = int(fault.get("timestamp") or 0), str(_mapping(fault.get("err")).get("message") or "")
        summary = groups.setdefault(group_of(fault), Summary({}, at, at, message))
        summary.ids[str(fault.get("id"))] = None
        summary.first_ms = min(summary.first_ms, at)
        if at >= summary.last_ms:
            summary.last_ms, summary.message = at, message
    return groups


def redacted(value: Any) -> Any:
    """A copy in which the values of fields that sound secret are hidden."""
    if isinstance(value, Mapping):
        return {name: REDACTED if _SECRET.search(str(name)) else redacted(each) for name, each in value.items()}
    if isinstance(value, list):
        return [redacted(each) for each in value]
    return value


def readable(uow: Mapping[str, Any]) -> Any:
    """A unit of work for people: a record's data decoded, then all of it redacted."""
    if isinstance(uow.get("batch"), list):
        return {"batch": [readable(each) for each in uow["batch"]]}
    record = uow.get("record")
    if isinstance(record, Mapping) and isinstance(record.get("kinesis"), Mapping):
        kinesis = {**record["kinesis"], "data": _decoded(record["kinesis"].get("data"))}
        uow = {**uow, "record": {**record, "kinesis": kinesis}}
    if isinstance(record, Mapping) and isinstance(record.get("body"), str):
        uow = {**uow, "record": {**record, "body": _parsed(record["body"])}}
    return redacted(uow)


def records_of(fault: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The original records of a fault, as the function got them.

    Raises:
        ValueError: the fault holds none, or was too large to hold them.
    """
    uow = _mapping(fault.get("uow"))
    uows = uow["batch"] if isinstance(uow.get("batch"), list) else [uow]
    records = []
    for each in uows:
        record = each.get("record") if isinstance(each, Mapping) else None
        if not isinstance(record, Mapping):
            raise ValueError("it holds no record")
        if each.get("trimmed"):
            raise ValueError(
                "its record was too large to be kept; read it back from its stream by "
                f"{record.get('eventSourceARN', 'its source')}, {record.get('identifier', record.get('eventID'))}"
            )
        records.append(record)
    return records


def _decoded(data: Any) -> Any:
    try:
        return _parsed(base64.b64decode(data, validate=True).decode())
    except (TypeError, ValueError):
        return data


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
