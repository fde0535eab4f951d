"""Where the nodes and arrows of the map lead: a page of the console, what it is of, and its query."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stream_cli.structure.arrows import Arrow
from stream_cli.structure.nodes import Node, full_name_of, kind_of

if TYPE_CHECKING:
    from stream_cli.structure.drawing import Drawing

Lead = dict[str, Any]
_FAULT = "fault"


def of_node(node: Node, drawing: Drawing) -> Lead:
    """The page of a node. What has none leads to what is known of it, beside the map."""
    match node.kind:
        case "function":
            return _lead("functions", node.full_name)
        case "table":
            return _lead("items", node.full_name)
        case "stream":
            return _lead("shards")
        case "rule" if only_type(node) == _FAULT:
            return _lead("faults")
        case "rule" if (type := only_type(node)) is not None:
            return _lead("events", type=type)
        case "delivery" | "bucket" if any(_is_fed(node, arrow) for arrow in drawing.arrows):
            return _lead("faults" if _has_faults(node, drawing) else "lake")
        case "api" | "schedule" | "bucket":
            called = (each.end for each in drawing.arrows if each.start == node.id and each.kind == "invoke")
            return next((_lead("functions", full_name_of(each)) for each in called), _lead("map", node.id))
        case "bus" | "rule":
            return _lead("events")
        case _:
            return _lead("map", node.id)


def of_arrow(arrow: Arrow) -> Lead:
    """The page of an arrow: of the mapping that it is, else of what it leads to."""
    if arrow.mapping:
        return _lead("shards", arrow.mapping)
    for end in (arrow.end, arrow.start):
        if kind_of(end) == "table":
            return _lead("items", full_name_of(end))
    if kind_of(arrow.end) == "function":
        return _lead("functions", full_name_of(arrow.end))
    if arrow.kind == "deliver" and kind_of(arrow.end) == "bucket":
        return _lead("lake")
    if kind_of(arrow.start) == "function" and arrow.kind == "failure":
        return _lead("functions", full_name_of(arrow.start))
    for end in (arrow.end, arrow.start):
        if kind_of(end) in ("queue", "topic", "log"):
            return _lead("map", end)
    return _lead("events")


def only_type(node: Node) -> str | None:
    """The one detail-type that a rule takes; None if it takes others, too."""
    try:
        wanted: Any = json.loads(node.note)
    except ValueError:
        return None
    types = wanted.get("detail-type") if isinstance(wanted, Mapping) else None
    return types[0] if isinstance(types, list) and len(types) == 1 and isinstance(types[0], str) else None


def _is_fed(node: Node, arrow: Arrow) -> bool:
    return node.kind == "delivery" or (arrow.end == node.id and kind_of(arrow.start) == "delivery")


def _has_faults(node: Node, drawing: Drawing) -> bool:
    """Whether what comes there are faults, by the rule before it."""
    nodes = {each.id: each for each in drawing.nodes}
    before = {node.id, *(each.start for each in drawing.arrows if each.end == node.id)}
    rules = [nodes[each.start] for each in drawing.arrows if each.end in before and kind_of(each.start) == "rule"]
    return any(only_type(each) == _FAULT for each in rules)


def _lead(page: str, what: str = "", **query: str) -> Lead:
    return {"page": page, "what": what, "query": query}
