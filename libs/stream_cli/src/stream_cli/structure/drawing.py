"""Nodes and arrows of a stage, put together."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stream_cli.structure.arrows import ARROWS, Arrow, Names, Unknown, arrows_of, merged, of_mapping
from stream_cli.structure.nodes import KINDS, Node, full_name_of, id_of, kind_of, short_name
from stream_cli.structure.stacks import Resource, Stack, in_order, name_in
from stream_cli.structure.untold import why_not_told
from stream_cli.structure.writes import writes_of
from stream_cli.trace.deployed import DeployedMapping

MOST_NODES, MOST_ARROWS = 1_000, 4_000
_MOST_UNKNOWN = 50
_LONGEST = 200
_LOG_GROUP = "AWS::Logs::LogGroup"
_TAPS = ", for streamctl to "  # in the description of the rules of `stream_cli.local.taps`


@dataclass(frozen=True)
class Live:
    """What is deployed beside what stacks say.

    Attributes:
        rules: of each bus, as ListRules lists them.
    """

    mappings: Sequence[DeployedMapping]
    rules: Mapping[str, Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class Drawing:
    """The map without its figures.

    Attributes:
        left_out: how many resources of a type are not drawn.
        more: how many nodes and arrows are too many to be drawn.
        unknown: what cannot be told from the templates, for people.
        version: differs if anything differs.
    """

    stacks: Sequence[Stack]
    nodes: Sequence[Node]
    arrows: Sequence[Arrow]
    left_out: Mapping[str, int]
    more: Mapping[str, int]
    unknown: Sequence[str]
    version: str


def drawing_of(stacks: Sequence[Stack], live: Live, region: str, account: str, partition: str = "aws") -> Drawing:
    """The nodes and arrows of stacks."""
    nodes = {node.id: node for node in _nodes(stacks, live)}
    found, unknown = _arrows(stacks, live, list(nodes.values()), Names(account), f"{region}:{account}", partition)
    logs = {f"log:{each.physical_id}": each for each in in_order(stacks) if each.type == _LOG_GROUP}
    for id in dict.fromkeys(end for arrow in found for end in (arrow.start, arrow.end)):
        if id not in nodes:
            name, log = full_name_of(id), logs.get(id)
            nodes[id] = Node(id, kind_of(id), log.logical_id if log else name, name, log.stack if log else "")
    unknown += [f"The resources of {each.name} are not known: {each.problem}" for each in stacks if each.problem]
    shown = list(nodes.values())[:MOST_NODES]
    ids = {node.id for node in shown}
    arrows = [arrow for arrow in found if arrow.start in ids and arrow.end in ids][:MOST_ARROWS]
    more = {"nodes": len(nodes) - len(shown), "arrows": len(found) - len(arrows)}
    left_out = Counter(
        each.type for each in in_order(stacks) if not _is_drawn(each) and f"log:{each.physical_id}" not in nodes
    )
    states = [(each.name, each.status) for each in stacks]
    content = repr((shown, arrows, sorted(left_out.items()), more, unknown, states))
    version = hashlib.sha256(content.encode()).hexdigest()[:16]
    return Drawing(stacks, shown, arrows, dict(sorted(left_out.items())), more, unknown[:_MOST_UNKNOWN], version)


def _is_drawn(resource: Resource) -> bool:
    return id_of(resource) is not None or (resource.type in ARROWS and resource.type not in KINDS)


def _nodes(stacks: Sequence[Stack], live: Live) -> Iterator[Node]:
    known: set[str] = set()
    states = {f"rule:{bus}/{each['Name']}": each for bus, rules in live.rules.items() for each in rules}
    for resource in in_order(stacks):
        id = id_of(resource)
        if id is None or id in known:
            continue
        known.add(id)
        full_name, state = full_name_of(id), states.get(id)
        declared = str(resource.properties.get("State", "ENABLED"))
        is_gone = kind_of(id) == "rule" and state is None and full_name.rpartition("/")[0] in live.rules
        yield Node(
            id, kind_of(id), short_name(full_name, resource), full_name, resource.stack,
            "not there: it was deleted outside of its stack" if is_gone else _note(resource),
            disabled=is_gone or str(state.get("State") if state else declared) == "DISABLED",
        )  # fmt: skip
    for id, rule in states.items():
        if id not in known and rule.get("EventPattern") and not _is_of_a_service(rule):
            note = "made outside of the stacks; its targets are not drawn"
            yield Node(id, "rule", str(rule["Name"]), full_name_of(id), "", note, rule.get("State") == "DISABLED")


def _is_of_a_service(rule: Mapping[str, Any]) -> bool:
    """Whether AWS made a rule for itself, such as for an archive, or this command did."""
    return bool(rule.get("ManagedBy")) or _TAPS in str(rule.get("Description", ""))


def _note(resource: Resource) -> str:
    """What distinguishes a resource, in a few words."""
    given = resource.properties
    if expression := given.get("ScheduleExpression"):
        return str(expression)
    if pattern := given.get("EventPattern"):
        text = pattern if isinstance(pattern, str) else json.dumps(pattern)
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return str(given.get("Description") or "")[:_LONGEST]


def _arrows(
    stacks: Sequence[Stack], live: Live, nodes: Sequence[Node], names: Names, place: str, partition: str
) -> tuple[list[Arrow], list[str]]:
    found: list[Arrow] = []
    unknown: list[str] = []
    roles = {name: role for stack in stacks for name, role in stack.roles.items()}
    for stack in stacks:
        resources = list(stack.resources.values())
        for resource in resources:
            for each in arrows_of(resource, names, resources):
                if isinstance(each, Unknown):
                    where = f"{resource.logical_id} ({resource.type}) of {stack.name}"
                    unknown.append(f"{where} leads to {each.text[:_LONGEST]}: {why_not_told(each.text)}.")
                else:
                    found.append(each)
            if resource.type == "AWS::Lambda::Function":
                role = roles.get(name_in(str(resource.properties.get("Role", ""))))
                found += writes_of(resource, role, nodes, place, partition)
    for mapping in live.mappings:
        found += of_mapping(mapping, names.account)
    for node in nodes:
        if node.kind == "rule" and not node.stack:
            bus = node.full_name.rpartition("/")[0]
            found.append(Arrow(f"bus:{bus}", node.id, "match", flow=("rule", node.full_name, "")))
    failures = {(each.start, each.end) for each in found if each.kind == "failure"}
    kept = [each for each in merged(found) if each.kind != "write" or (each.start, each.end) not in failures]
    return [each for each in kept if each.start != each.end], [
        *dict.fromkeys(unknown),
        *(f"{full_name_of(each.start)} may invoke itself: {each.why}." for each in kept if each.start == each.end),
    ]
