"""Checks against the contract of events: types that somebody publishes, and the fields that filters name."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from stream_cli.checks.registry import Issue, Severity, check
from stream_cli.checks.service.impossible_patterns import Pattern
from stream_cli.checks.service.packaged import Service
from stream_cli.checks.service.record_shapes import TYPE_PATH, values_at
from stream_cli.checks.service.resources import KINESIS, EventSourceMapping, Function
from stream_cli.checks.service.source_map import Location
from stream_cli.patterns import matches

CONTRACT = frozenset({"id", "partition_key", "tags", "timestamp", "triggers", "type"})
"""The fields that every event has, or that the runtime gives it (docs/design.md); the others are of its entity."""
TAGS = frozenset({"account", "app", "functionname", "pipeline", "region", "source", "stage"})
_NEAR_FIELD = 0.8


@check(
    "SM418",
    Severity.ERROR,
    title="The event type is misspelled",
    why="Nobody publishes this type, and somebody publishes one that differs by a letter or two.",
    fix="Correct the type. If another repository publishes it, list it in serverless.yml under "
    "`custom.publishedElsewhere`.",
)
def type_misspelled(service: Service) -> Iterator[Issue]:
    for function, rule, event_type, near in _unpublished(service):
        if near is not None:
            yield Issue(
                function,
                f"the rule {rule} wants {event_type}, which nobody publishes; did you mean {near}?",
                place=_place(service, rule, event_type),
            )


@check(
    "SM419",
    Severity.WARNING,
    title="Nobody publishes the event type",
    why="No service of this repository publishes it, so the rule never runs.",
    fix="If another repository publishes it, list it in serverless.yml under `custom.publishedElsewhere`: "
    "`publishedElsewhere: [thing-measured]`. If nobody does, remove the rule.",
)
def type_unpublished(service: Service) -> Iterator[Issue]:
    for function, rule, event_type, near in _unpublished(service):
        if near is None:
            yield Issue(
                function,
                f"the rule {rule} wants {event_type}, which no service of this repository publishes",
                place=_place(service, rule, event_type),
            )


def _unpublished(service: Service) -> Iterator[tuple[Function, str, str, str | None]]:
    """Each function and rule that wants a type from a Kinesis stream which nobody publishes, with the nearest type."""
    repository = service.repository
    if repository is None:
        return
    reading = {each.function_id for each in service.template.mappings if each.kind == KINESIS}
    for function in service.template.functions.values():
        for rule in service.rules_of(function) or () if function.logical_id in reading else ():
            for event_type in rule.types:
                if not repository.may_publish(event_type):
                    yield function, rule.id, event_type, repository.nearest(event_type)


def _place(service: Service, rule: str, event_type: str) -> Location | None:
    """The line of the literal, which a constant may hold, else that of the rule's field."""
    return service.places.of_text(f'"{event_type}"') or service.places.of_rule(rule, "event_type")


@check(
    "SM420",
    Severity.ERROR,
    title="The filter names a field that events do not have",
    why="A filter on a field that no event has lets nothing through; Lambda drops the records as processed.",
    fix="Correct the field. Events have id, type, timestamp, partition_key and tags, and their entity under its name.",
)
def unknown_field(service: Service) -> Iterator[Issue]:
    for mapping in service.template.mappings:
        if mapping.kind != KINESIS:
            continue
        known = _known_fields(service, mapping)
        for number, pattern in enumerate(service.patterns.get(mapping.logical_id, ()), start=1):
            for path, name, near in _misspelled(pattern.get("data"), known):
                yield Issue(
                    mapping,
                    f"filter pattern {number} names {path}.{name}, which no event has; did you mean {path}.{near}?",
                    "filterPatterns",
                )


def _misspelled(data: Any, known: Mapping[str, frozenset[str]]) -> Iterator[tuple[str, str, str]]:
    """Path, name and nearest field of each field of a pattern that is almost one of the contract."""
    for path, fields in (("data", data), ("data.tags", data.get("tags") if isinstance(data, Mapping) else None)):
        for name in _names(fields) if isinstance(fields, Mapping) else ():
            near = difflib.get_close_matches(name, sorted(known[path]), 1, _NEAR_FIELD)
            if name not in known[path] and near:
                yield path, name, near[0]


def _names(pattern: Pattern) -> Iterator[str]:
    """The fields of a pattern that must be there."""
    for name, condition in pattern.items():
        if name == "$or":
            for each in condition if isinstance(condition, list) else ():
                yield from _names(each)
        elif not matches({name: condition}, {}):
            yield name


def _known_fields(service: Service, mapping: EventSourceMapping) -> Mapping[str, frozenset[str]]:
    """The contract's fields, what the rules' entities may be called, and what the fixtures have."""
    function = service.template.function_of(mapping)
    types = [each for rule in service.rules_of(function) or () for each in rule.types]
    entities = {form for each in types for form in (each.rpartition("-")[0], each.rpartition("-")[0].replace("-", "_"))}
    events = service.fixture_events(function)
    tags = [each["tags"] for each in events if isinstance(each.get("tags"), Mapping)]
    return {
        "data": CONTRACT.union(entities, *events),
        "data.tags": TAGS.union(*tags),
    }


@check(
    "SM506",
    Severity.WARNING,
    title="Filter of a Kinesis stream without a type",
    why="The function is invoked, and billed, for events of every type that has the other fields.",
    fix="Name the types of the rules under `data.type`.",
)
def no_type_in_filter(service: Service) -> Iterator[Issue]:
    for mapping in service.template.mappings:
        rules = service.rules_of(service.template.function_of(mapping))
        if mapping.kind != KINESIS or not rules or not all(rule.enumerable and rule.types for rule in rules):
            continue
        for number, pattern in enumerate(service.patterns.get(mapping.logical_id, ()), start=1):
            if not list(values_at(pattern, TYPE_PATH[KINESIS])):
                yield Issue(mapping, f"filter pattern {number} has no data.type", "filterPatterns")
