"""What a line can be found by: its terms, and the arrow of the map that it counts for.

Index and answers use the same functions, so that a line is found by exactly what is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Term = tuple[str, str]
"""A field and a value. Fields are those of the functions below."""

NAMING = ("id", "key", "number", "request", "by", "record")
"""The fields by which a line names an id or a key."""

GROUPING = frozenset({
    "kind", "type", "source", "bus", "stream", "mapping", "function", "table", "bucket", "to", "unmatched",
    "failed call", "failed attempt",
})  # fmt: skip
"""The fields in which many lines have the same value."""

_MOST_PARTS = 16
_MOST_ENTITIES = 32
_LONGEST_ID = 2048

Count = tuple[str, str, str, int, int, int]
"""What a line counts for: kind, start, end, count, failed and ms of `questions.Traffic`."""

_Add = Callable[[tuple[str, Any]], None]


def terms_of(line: Mapping[str, Any]) -> list[Term]:
    """The terms of a line, each once. Raises nothing for a line that has other fields than it should."""
    return list(dict.fromkeys(term for term in each_term(line) if term[1].__class__ is str))


def each_term(line: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The terms of a line. Some may be there twice, and some, of a line that is not ours, may have no text."""
    kind = line["kind"]
    find = _TERMS.get(kind)
    if find is None:
        return []
    found: list[tuple[str, Any]] = [("kind", kind)]
    if "by" in line:
        found.append(("by", line["by"]))
    try:
        find(line, found.append)
    except (KeyError, TypeError, AttributeError):
        return found  # with what stands before the field that is missing or something else
    return found


def counts_of(line: Mapping[str, Any]) -> list[Count]:
    """What a line counts for; nothing for a line that has other fields than it should."""
    kind = line["kind"]
    count = _COUNTS.get(kind)
    try:
        found = count(line) if count is not None else []
        if "by_function" in line and (written := _WRITTEN.get(kind)) is not None:
            found.append(("write", line["by_function"], f"{kind}/{line[written]}", 1, 0, 0))
    except (KeyError, TypeError, AttributeError):
        return []
    return found


# --- terms ---


def _of_event(line: Mapping[str, Any], add: _Add) -> None:
    add(("id", line["id"]))
    add(("type", line["type"]))
    add(("source", line["source"]))
    if not line["rules"]:
        add(("unmatched", ""))
    detail = line["detail"]
    if not isinstance(detail, dict):
        return
    own = detail.get("id")
    if isinstance(own, str):
        add(("id", own))
        if "." in own:
            _add_causes(own, add)
    if (of_event := detail.get("type")) != line["type"]:
        add(("type", of_event))
    if "partition_key" in detail:
        add(("key", detail["partition_key"]))
    if isinstance(triggers := detail.get("triggers"), list):
        for trigger in triggers:
            if isinstance(trigger, dict) and "id" in trigger:
                add(("cause", trigger["id"]))
    entities = 0
    for value in detail.values():
        if isinstance(value, dict) and "id" in value and entities < _MOST_ENTITIES:
            add(("key", value["id"]))
            entities += 1


def _add_causes(own: str, add: _Add) -> None:
    """Ids of which the event's id is derived: ``<id>.<rule>`` and longer."""
    if len(own) <= _LONGEST_ID:
        parts = own.split(".", _MOST_PARTS)
        for number in range(1, len(parts)):
            if cause := ".".join(parts[:number]):
                add(("cause", cause))


def _of_stream(line: Mapping[str, Any], add: _Add) -> None:
    add(("number", line["number"]))
    add(("stream", line["stream"]))
    if "id" in line:
        add(("id", line["id"]))
    if "bus_id" in line:
        add(("id", line["bus_id"]))


def _of_change(line: Mapping[str, Any], add: _Add) -> None:
    add(("table", line["table"]))
    if "number" in line:
        add(("number", line["number"]))
    for value in line["keys"].values():
        for text in value.values():
            add(("key", text))


def _of_call(line: Mapping[str, Any], add: _Add) -> None:
    add(("function", line["function"]))
    add(("request", line["request"]))
    if line["outcome"] != "ok" or line.get("reported"):
        add(("failed call", ""))
        add(("failed call", line["function"]))
    for record in line.get("records", ()):
        add(("record", record))


def _of_message(line: Mapping[str, Any], add: _Add) -> None:
    add(("to", line["to"]))
    add(("id", line["id"]))
    if "event" in line:
        add(("event", line["event"]))
        add(("id", line["event"]))


def _of_object(line: Mapping[str, Any], add: _Add) -> None:
    add(("bucket", line["bucket"]))
    add(("key", line["key"]))
    for event in line.get("events", ()):
        add(("event", event))
        add(("id", event))


def _of_refused(line: Mapping[str, Any], add: _Add) -> None:
    add(("function", line["function"]))


def _of_delivery(line: Mapping[str, Any], add: _Add) -> None:
    add(("id", line["id"]))
    add(("bus", line["bus"]))
    if "event" in line:
        add(("id", line["event"]))


def _of_batch(line: Mapping[str, Any], add: _Add) -> None:
    add(("mapping", line["mapping"]))
    for number in line["numbers"]:
        add(("number", number))


def _of_attempt(line: Mapping[str, Any], add: _Add) -> None:
    _of_batch(line, add)
    add(("function", line["function"]))
    if "request" in line:
        add(("request", line["request"]))
    if line["outcome"] != "ok":
        add(("failed attempt", ""))
        add(("failed attempt", line["mapping"]))


_TERMS = {
    "event": _of_event,
    "stream": _of_stream,
    "change": _of_change,
    "call": _of_call,
    "message": _of_message,
    "object": _of_object,
    "refused": _of_refused,
    "attempt": _of_attempt,
    "given_up": _of_batch,
    "filtered": _of_batch,
    "delivery": _of_delivery,
}


# --- counts ---


def _count_event(line: Mapping[str, Any]) -> list[Count]:
    bus = line["bus"]
    found = [("event", line["source"], bus, 1, 0, 0)]
    if not line["rules"]:
        found.append(("unmatched", bus, line["type"], 1, 0, 0))
    for rule in line["rules"]:
        start = f"{bus}/{rule['rule']}"
        found += [("rule", start, target, 1, 0, 0) for target in rule["targets"] or ("",)]
    return found


def _count_stream(line: Mapping[str, Any]) -> list[Count]:
    return [("stream", line["shard"], line["stream"], 1, 0, 0)]


def _count_change(line: Mapping[str, Any]) -> list[Count]:
    return [("change", line["table"], line.get("stream", ""), 1, 0, 0)]


def _count_call(line: Mapping[str, Any]) -> list[Count]:
    failed = int(line["outcome"] != "ok")
    return [("call", line.get("source", ""), line["function"], 1, failed, line["end"] - line["start"])]


def _count_message(line: Mapping[str, Any]) -> list[Count]:
    return [("message", "", line["to"], 1, 0, 0)]


def _count_object(line: Mapping[str, Any]) -> list[Count]:
    return [("object", line["bucket"], line["change"], 1, 0, 0)]


def _count_refused(line: Mapping[str, Any]) -> list[Count]:
    return [("refused", line["function"], line["action"], 1, 0, 0)]


def _count_attempt(line: Mapping[str, Any]) -> list[Count]:
    failed = int(line["outcome"] != "ok")
    lag = max(line["at"] - line["oldest"], 0) if "oldest" in line else 0
    return [("attempt", line["stream"], line["mapping"], line["done"], failed, lag)]


def _count_delivery(line: Mapping[str, Any]) -> list[Count]:
    start = f"{line['bus']}/{line['rule']}"
    return [("delivery", start, line["target"], int(line["outcome"] == "given_up"), 1, 0)]


def _count_batch(line: Mapping[str, Any]) -> list[Count]:
    return [(line["kind"], line["stream"], line["mapping"], len(line["numbers"]), 0, 0)]


_WRITTEN = {
    "event": "bus", "stream": "stream", "change": "table", "message": "to", "object": "bucket",
}  # fmt: skip
"""For each kind of line, the field with what a function wrote to."""

_COUNTS = {
    "event": _count_event,
    "stream": _count_stream,
    "change": _count_change,
    "call": _count_call,
    "message": _count_message,
    "object": _count_object,
    "refused": _count_refused,
    "attempt": _count_attempt,
    "given_up": _count_batch,
    "filtered": _count_batch,
    "delivery": _count_delivery,
}
