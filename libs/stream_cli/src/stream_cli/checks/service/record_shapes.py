"""What is known about the records that a rule handles, and whether a filter lets them through.

A rule's event type determines part of the record: `data.type` of a Kinesis record; event name and discriminator of a
DynamoDB record. A filter lets the rule's events through if there may be a record with these values that it matches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stream_cli.patterns import matches

from .handlers import ProbedRule
from .resources import DYNAMODB, KINESIS

ABSENT = object()
"""The value of a field that the record is known not to have."""
Record = Mapping[str, Any]

_EVENT_NAMES = {
    "created": ("INSERT",),
    "updated": ("MODIFY",),
    "deleted": ("REMOVE", "MODIFY"),
    "undeleted": ("MODIFY",),
}
_IMAGES = {"INSERT": ("NewImage",), "MODIFY": ("NewImage", "OldImage"), "REMOVE": ("OldImage",)}
_TTL = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}


def admits(pattern: Mapping[str, Any], known: Record) -> bool:
    """Whether a record of which only the fields in `known` are known may match the pattern.

    Conditions on fields that are not in `known` are assumed to hold.

    >>> admits({"data": {"type": ["a"], "size": [{"numeric": [">", 3]}]}}, {"data": {"type": "a"}})
    True
    """
    for name, condition in pattern.items():
        if name == "$or" and isinstance(condition, list) and all(isinstance(each, Mapping) for each in condition):
            if not any(admits(each, known) for each in condition):
                return False
        elif name in known:
            value = known[name]
            if value is ABSENT:
                if not matches({name: condition}, {}):
                    return False
            elif isinstance(condition, Mapping):
                if isinstance(value, Mapping) and not admits(condition, value):
                    return False
                if not isinstance(value, Mapping) and not matches({name: condition}, {name: value}):
                    return False
            elif not matches({name: condition}, {name: value}):
                return False
    return True


def values_at(pattern: Mapping[str, Any], path: Sequence[str]) -> Iterator[Any]:
    """The conditions that a pattern, or an alternative of its `$or`, puts on the field at `path`."""
    for alternative in pattern.get("$or", ()) if isinstance(pattern.get("$or"), list) else ():
        if isinstance(alternative, Mapping):
            yield from values_at(alternative, path)
    head, *rest = path
    inner = pattern.get(head)
    if rest and isinstance(inner, Mapping):
        yield from values_at(inner, rest)
    elif not rest and isinstance(inner, list):
        yield from inner


TYPE_PATH = {KINESIS: ("data", "type"), DYNAMODB: ("eventName",)}
"""Where a record shows its event type; a DynamoDB record shows it only in part."""


def literal_types(patterns: Sequence[Mapping[str, Any]], kind: str) -> list[str]:
    """The event types (Kinesis) that patterns name literally, each once, in their order."""
    found = (value for pattern in patterns for value in values_at(pattern, TYPE_PATH[kind]) if isinstance(value, str))
    return list(dict.fromkeys(found))


def records_of(rule: ProbedRule, event_type: str | None, kind: str, options: Mapping[str, str | None]) -> list[Record]:
    """What is known about the records that carry an event type to a rule; a filter must let one of them through.

    The list is empty if nothing is known: any record may carry it. `event_type` is None for rules without a type.
    """
    if kind == KINESIS:
        return [] if event_type is None else [{"data": {"type": event_type}}]
    if not rule.known_flavor:
        return []
    if rule.flavor == "expired":
        return [{"eventName": "REMOVE", "userIdentity": _TTL}]
    if rule.flavor in ("correlate", "evaluate"):
        inner = {} if event_type is None else {"event": {"M": {"type": {"S": event_type}}}}
        kinds = ("EVENT",) if rule.flavor == "correlate" else ("CORREL", "EVENT")
        return [
            {"eventName": "INSERT", "dynamodb": {"NewImage": {"discriminator": {"S": each}, **inner}}} for each in kinds
        ]
    if event_type is None:
        return []
    prefix, _, suffix = event_type.rpartition("-")
    if not prefix or suffix not in _EVENT_NAMES:
        return []
    discriminator, sort_key = options.get("discriminator_fn") or "discriminator", options.get("sk_fn") or "sk"
    rows = ({discriminator: {"S": prefix}}, {discriminator: ABSENT, sort_key: {"S": prefix}})
    known: list[Record] = []
    for event_name in _EVENT_NAMES[suffix]:
        if options.get("event_type_prefix"):
            known.append({"eventName": event_name})
            continue
        for row in rows:
            known.append({"eventName": event_name, "dynamodb": dict.fromkeys(_IMAGES[event_name], row)})
    return known


def types_of(rule: ProbedRule) -> Sequence[str | None]:
    """The literal event types of a rule, or a single None for a rule whose flavor needs no type."""
    return rule.types or ((None,) if rule.enumerable else ())
