"""What a line can be found by: its terms, and the arrow of the map that it counts for.

Index and answers use the same functions, so that a line is found by exactly what is asked.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

Term = tuple[str, str]
"""A field and a value. Fields are those of the functions below."""

NAMING = ("id", "key", "number", "request", "by", "record")
"""The fields by which a line names an id or a key."""

_MOST_PARTS = 16
_MOST_ENTITIES = 32
_LONGEST_ID = 2048


class Count(NamedTuple):
    """What a line counts for, as in `questions.Traffic`; ``many`` is its ``count``."""

    kind: str
    start: str
    end: str
    many: int = 1
    failed: int = 0
    ms: int = 0


def terms_of(line: Mapping[str, Any]) -> list[Term]:
    """The terms of a line, each once. Raises nothing for a line that has other fields than it should."""
    kind = line["kind"]
    find = _TERMS.get(kind)
    if find is None:
        return []
    found: list[Term] = [("kind", kind)]
    with contextlib.suppress(KeyError, TypeError, AttributeError):
        found += find(line)
    if "by" in line:
        found.append(("by", line["by"]))
    return list(dict.fromkeys((name, value) for name, value in found if value.__class__ is str))


def counts_of(line: Mapping[str, Any]) -> list[Count]:
    """What a line counts for."""
    count = _COUNTS.get(line["kind"])
    try:
        found = list(count(line)) if count is not None else []
        if "by_function" in line and (written := _WRITTEN.get(line["kind"])) is not None:
            found.append(Count("write", line["by_function"], f"{line['kind']}/{line[written]}"))
    except (KeyError, TypeError, AttributeError):
        return []
    return [
        each
        for each in found
        if each.start.__class__ is str and each.end.__class__ is str and each.many.__class__ is each.ms.__class__ is int
    ]


# --- terms ---


def _of_event(line: Mapping[str, Any]) -> Iterator[Term]:
    yield "id", line["id"]
    yield "type", line["type"]
    yield "source", line["source"]
    if not line["rules"]:
        yield "unmatched", ""
    detail = line["detail"]
    if not isinstance(detail, dict):
        return
    for name, field in (("id", "id"), ("type", "type"), ("partition_key", "key")):
        if isinstance(value := detail.get(name), str):
            yield field, value
    yield from (("cause", cause) for cause in _causes_of(detail))
    entities = [value["id"] for value in detail.values() if isinstance(value, dict) and "id" in value]
    yield from (("key", entity) for entity in entities[:_MOST_ENTITIES])


def _causes_of(event: Mapping[str, Any]) -> Iterator[str]:
    """Ids of which the event's id is derived, ``<id>.<rule>`` and longer, and those of its triggers."""
    own, triggers = event.get("id"), event.get("triggers")
    if isinstance(own, str) and len(own) <= _LONGEST_ID:
        parts = own.split(".", _MOST_PARTS)
        for number in range(1, len(parts)):
            if cause := ".".join(parts[:number]):
                yield cause
    if isinstance(triggers, list):
        for trigger in triggers:
            if isinstance(trigger, dict) and isinstance(trigger.get("id"), str):
                yield trigger["id"]


def _of_stream(line: Mapping[str, Any]) -> Iterator[Term]:
    yield "number", line["number"]
    yield "stream", line["stream"]
    for name in ("id", "bus_id"):
        if name in line:
            yield "id", line[name]


def _of_change(line: Mapping[str, Any]) -> Iterator[Term]:
    yield "table", line["table"]
    if "number" in line:
        yield "number", line["number"]
    for value in line["keys"].values():
        for text in value.values():
            if isinstance(text, str):
                yield "key", text


def _of_call(line: Mapping[str, Any]) -> Iterator[Term]:
    yield "function", line["function"]
    yield "request", line["request"]
    if line["outcome"] != "ok" or line.get("reported"):
        yield "failed call", ""
        yield "failed call", line["function"]
    for record in line.get("records", ()):
        yield "record", record


def _of_message(line: Mapping[str, Any]) -> Iterator[Term]:
    yield "to", line["to"]
    yield "id", line["id"]
    if "event" in line:
        yield "event", line["event"]
        yield "id", line["event"]


def _of_object(line: Mapping[str, Any]) -> Iterator[Term]:
    yield "bucket", line["bucket"]
    yield "key", line["key"]
    for event in line.get("events", ()):
        yield "event", event
        yield "id", event


def _of_refused(line: Mapping[str, Any]) -> Iterator[Term]:
    yield "function", line["function"]


def _of_delivery(line: Mapping[str, Any]) -> Iterator[Term]:
    yield "id", line["id"]
    yield "bus", line["bus"]
    if "event" in line:
        yield "id", line["event"]


def _of_batch(line: Mapping[str, Any]) -> Iterator[Term]:
    yield "mapping", line["mapping"]
    for number in line["numbers"]:
        yield "number", number


def _of_attempt(line: Mapping[str, Any]) -> Iterator[Term]:
    yield from _of_batch(line)
    yield "function", line["function"]
    if "request" in line:
        yield "request", line["request"]
    if line["outcome"] != "ok":
        yield "failed attempt", ""
        yield "failed attempt", line["mapping"]


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


def _count_event(line: Mapping[str, Any]) -> Iterator[Count]:
    yield Count("event", line["source"], line["bus"])
    if not line["rules"]:
        yield Count("unmatched", line["bus"], line["type"])
    for rule in line["rules"]:
        for target in rule["targets"] or [""]:
            yield Count("rule", f"{line['bus']}/{rule['rule']}", target)


def _count_stream(line: Mapping[str, Any]) -> Iterator[Count]:
    yield Count("stream", line["shard"], line["stream"])


def _count_change(line: Mapping[str, Any]) -> Iterator[Count]:
    yield Count("change", line["table"], line.get("stream", ""))


def _count_call(line: Mapping[str, Any]) -> Iterator[Count]:
    failed = int(line["outcome"] != "ok")
    yield Count("call", line.get("source", ""), line["function"], 1, failed, line["end"] - line["start"])


def _count_message(line: Mapping[str, Any]) -> Iterator[Count]:
    yield Count("message", "", line["to"])


def _count_object(line: Mapping[str, Any]) -> Iterator[Count]:
    yield Count("object", line["bucket"], line["change"])


def _count_refused(line: Mapping[str, Any]) -> Iterator[Count]:
    yield Count("refused", line["function"], line["action"])


def _count_attempt(line: Mapping[str, Any]) -> Iterator[Count]:
    failed = int(line["outcome"] != "ok")
    lag = max(line["at"] - line["oldest"], 0) if "oldest" in line else 0
    yield Count("attempt", line["stream"], line["mapping"], line["done"], failed, lag)


def _count_delivery(line: Mapping[str, Any]) -> Iterator[Count]:
    yield Count("delivery", f"{line['bus']}/{line['rule']}", line["target"], int(line["outcome"] == "given_up"), 1)


def _count_batch(line: Mapping[str, Any]) -> Iterator[Count]:
    yield Count(line["kind"], line["stream"], line["mapping"], len(line["numbers"]))


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
