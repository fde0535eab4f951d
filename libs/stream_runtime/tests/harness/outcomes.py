"""What has to come of the records of a history: the effects of each in each rule, and what an effect tells."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from failures import Effect
from histories import EVALUATING, SENDING, WANTED, History, Item
from played_records import correlation_of
from rules_on_events import RELATIVES

Slot = tuple[str, int]
"""An effect of a record in a rule: what, and which of several."""

OF_SEVERAL_RECORDS = {*EVALUATING, "buffered", "compacting", "grouped", "chunked", "related", "job"}
"""Rules for which a failure of one record, or of a key, is the failure of several."""
CONDITIONAL = ("guarded", "fallback", "index", "compacting")
"""Rules with a condition on the time: what is stale has no effect."""
COMPACTING = ("compacting", "latest")
"""Rules of which only the last record of a key has its effect."""
TORN = ("buffered", "compacting", "grouped", "chunked")
"""Rules that take several records as one, so that they fail together."""


def expected(history: History, item: Item, pipeline: str) -> set[Slot] | None:
    """The effects that a good record must have in a rule; None where the rule does not want it."""
    if item.bad:
        return None
    if pipeline in WANTED:
        if item.type not in WANTED[pipeline]:
            return None
        return set() if _is_stale(history, item, pipeline) else _expected_of_event(item, pipeline)
    if pipeline in EVALUATING:
        return _expected_of_stored(history, item, pipeline) if item.row in ("collected", "correlated") else None
    wanted = {
        "cdc": item.row == "entity",
        "correlate": item.row == "collected",
        "expired": item.row == "ttl",
        "rowview": item.row in ("entity", "latched"),
        "outbox": item.row == "outbox",
    }[pipeline]
    if not wanted:
        return None
    if pipeline == "outbox":
        return {("sent", 0), ("row", 0)}
    return {("row" if pipeline in ("correlate", "rowview") else "bus", 0)}


def _is_stale(history: History, item: Item, pipeline: str) -> bool:
    """Whether a condition does not hold, since an earlier record of the same key is newer."""
    return pipeline in CONDITIONAL and any(
        each.timestamp > item.timestamp and each.type in WANTED[pipeline] and not each.bad and not fails(each, pipeline)
        for each in history.items[: item.n]
        if each.key == item.key
    )


def _expected_of_event(item: Item, pipeline: str) -> set[Slot]:
    slots: set[Slot] = {
        "split": {("row", part) for part in range(item.parts)},
        "work": {("executed", 0), ("bus", 0), ("bus", 1)},
        "workers": {("executed", 0), ("bus", 0)},
        "limited": {("executed", 0), ("bus", 0)},
        "large": {("bus", 0)},
        "grouped": {("bus", 0)},
        "chunked": {("bus", 0)},
        "job": {("bus", 0)},
        "custom": {("custom", 0)},
        "direct": {("row", 0), ("after", 0)},
        "buffered": {("buffered", 0)},
        "index": {("indexed", 0)},
        "shareddocument": {("indexed", 0)},
        "object": {("object", 0)},
        "sharedobject": {("object", 0)},
        "several": {("sent", 0), ("sent", 1)},
        "mirror": {("object" if item.type == "a" else "no object", 0)},
        "function": {("invoked", 0), ("bus", 0)},
        "measure": {("measured", 0)},
        "transform": {("transformed", 0)},
        "related": {("row", number) for number in range(RELATIVES)},
        **{name: {("sent", 0)} for name in SENDING},
    }.get(pipeline, {("row", 0)})
    return slots


def _expected_of_stored(history: History, item: Item, pipeline: str) -> set[Slot]:
    """A stored event emits if it triggers; with `once`, if it is the first of its correlation that does."""
    if pipeline != "once":
        return {("bus", 0)} if pipeline == "each" or triggers(history, item) else set()
    able = [each for each in members_of(history, item) if triggers(history, each) and not fails(each, pipeline)]
    return {("bus", 0)} if able and item is able[0] else set()


def triggers(history: History, item: Item) -> bool:
    """Whether a stored event finds an a and a b: among collected events up to itself, among all correlated ones.

    Correlated rows are in the table from the start; collected events are filed as they arrive.
    """
    members = members_of(history, item)
    return {each.type for each in members if each.n <= item.n or item.row == "correlated"} >= {"a", "b"}


def lane_of(item: Item, pipeline: str) -> str:
    """The key whose order a rule keeps, and by which it compacts."""
    return correlation_of(item) if pipeline in EVALUATING else item.key


def members_of(history: History, item: Item) -> list[Item]:
    """The records of the same correlation."""
    wanted = item.row, correlation_of(item)
    return [each for each in history.items if (each.row, correlation_of(each)) == wanted]


def fails(item: Item, pipeline: str) -> bool:
    """Whether a wanted record is poison for a rule."""
    if pipeline == "split" and not item.parts:
        return False
    if pipeline in item.poison and pipeline != "expired":
        return True
    takes_anything = ("workers", "limited", "custom", "buffered", "grouped", "chunked", "transform")
    keeps_pointer = pipeline == "collect" and item.claim
    return item.refused and pipeline in WANTED and pipeline not in takes_anything and not keeps_pointer


def before_failure(item: Item, pipeline: str) -> set[Slot]:
    """Effects that a poisoned record may have had before the step that it fails in."""
    if pipeline in item.poison:
        return {("row", 0)} if pipeline == "direct" and not item.refused else set()
    return {("executed", 0)} if pipeline == "work" else set()


# What effects tell


def slots_of(effect: Effect) -> Iterator[tuple[str, int, Slot]]:
    """Which rule did what for which records; nothing for faults and what no record stands for."""
    content, pipeline = effect.content, effect.pipeline.removesuffix("-rows")
    if isinstance(content, Mapping) and content.get("type") == "fault":
        return
    if pipeline in ("grouped", "chunked"):
        for member in content["members"]:
            yield pipeline, int(member[1:]), ("bus", 0)
        return
    is_once = pipeline == "once" and effect.target == "bus"  # under the id of its correlation
    found = re.search(r"\be(\d+)\b", content["triggers"][0]["id"] if is_once else effect.cause)
    if found is None or (pipeline in EVALUATING and effect.target != "bus"):
        return
    n = int(found[1])
    if effect.target == "bus":
        is_second = pipeline == "work" and effect.cause.endswith(".work.1")
        yield pipeline, n, ("bus", int(is_second))
    elif effect.target == "sent" or effect.target.startswith("row "):
        part = re.search(r"/(\d+)$", effect.cause)
        which = int(part[1]) if part and pipeline in ("split", "related", "several") else 0
        yield pipeline, n, (effect.target.partition(" ")[0], which)
    elif effect.target.startswith(("object ", "no object ")):
        yield pipeline, n, (effect.target.rpartition(" ")[0], 0)
    else:
        yield pipeline, n, (effect.target, 0)


def done_by(effects: Iterable[Effect]) -> dict[tuple[str, int], set[Slot]]:
    """What was done, by rule and record."""
    done: dict[tuple[str, int], set[Slot]] = {}
    for effect in effects:
        for pipeline, n, slot in slots_of(effect):
            done.setdefault((pipeline, n), set()).add(slot)
    return done


def covered_by(effects: Iterable[Effect]) -> set[tuple[str, int]]:
    """The records that faults stand for, by rule ("undefined" for all)."""
    return {
        (effect.pipeline, n)
        for effect in effects
        if effect.target == "bus" and effect.content["type"] == "fault"
        for n in numbers_of(effect.content)
    }


def numbers_of(fault: Mapping[str, Any]) -> Sequence[int]:
    """The places of the records that a fault event holds."""
    return [_number(single["record"]) for single in fault["uow"].get("batch") or [fault["uow"]]]


def _number(record: Mapping[str, Any]) -> int:
    if "messageId" in record:
        return int(str(record["messageId"])[1:])
    if "recordId" in record:
        return int(record["recordId"][1:])
    if "Sns" in record:
        return int(json.loads(record["Sns"]["Message"])["id"][1:])
    return int(str(record["eventID"])[1:])
