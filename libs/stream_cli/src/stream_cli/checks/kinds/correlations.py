"""Checks of rules that work together through a table: `collect`, `correlate` and `evaluate`."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stream_cli.checks.registry import Issue, Severity, check
from stream_cli.checks.service.handlers import ProbedRule
from stream_cli.checks.service.needs import arn_of, table_of
from stream_cli.checks.service.packaged import Service
from stream_cli.checks.service.resources import DYNAMODB, Function
from stream_cli.checks.service.source_map import Location

_FLAVORS = ("collect", "correlate", "evaluate")
_KEYS = [("pk", "HASH"), ("sk", "RANGE")]


@dataclass(frozen=True)
class _Filed:
    """A rule that writes or reads the rows of correlations, and its table if that is known."""

    function: Function
    rule: ProbedRule
    table: str | None

    @property
    def suffix(self) -> str:
        return self.rule.text("correlation_key_suffix") or ""


@check(
    "SM414",
    Severity.ERROR,
    title="No rule files what this rule evaluates",
    why="`evaluate` looks at correlations with its suffix only. Where no rule with `correlate` writes that suffix for "
    "its event type, or none collects the type, it never emits.",
    fix="Give both rules the same correlation_key_suffix and event types.",
)
def evaluates_nothing(service: Service) -> Iterator[Issue]:
    if not _all_known(service):
        return
    for one in _filed(service, "evaluate"):
        filing = [each for each in _filed(service, "correlate") if _may_be_same(each.table, one.table)]
        with_suffix = [each for each in filing if each.suffix == one.suffix]
        if not one.suffix:
            with_suffix += [each for each in _filed(service, "collect") if _may_be_same(each.table, one.table)]
        if not with_suffix:
            yield Issue(one.function, _no_suffix(one, filing), place=_place(service, one, "correlation_key_suffix"))
            continue
        for event_type in _not_wanted(one, with_suffix):
            what = f"correlates {event_type} with the suffix {one.suffix}" if one.suffix else f"collects {event_type}"
            yield Issue(
                one.function,
                f"the rule {one.rule.id} evaluates {event_type}, and no rule {what}{_hint(event_type, with_suffix)}",
                place=_place(service, one, "event_type"),
            )


def _no_suffix(one: _Filed, filing: Sequence[_Filed]) -> str:
    others = list(dict.fromkeys(each.suffix for each in filing))
    if not one.suffix:
        return f"the rule {one.rule.id} evaluates correlations without a suffix, and no rule files any"
    near = difflib.get_close_matches(one.suffix, [each for each in others if each], 1)
    hint = f"; did you mean {near[0]}?" if near else ""
    what = f"evaluates correlations with the suffix {one.suffix}"
    return f"the rule {one.rule.id} {what}, and no rule correlates with it{hint}"


@check(
    "SM415",
    Severity.ERROR,
    title="No rule collects what this rule correlates",
    why="`correlate` reads the rows that `collect` writes. An event type that is not collected never comes to it.",
    fix="Correct the event type, or collect it.",
)
def correlates_nothing(service: Service) -> Iterator[Issue]:
    if not _all_known(service):
        return
    for one in _filed(service, "correlate"):
        collecting = [each for each in _filed(service, "collect") if _may_be_same(each.table, one.table)]
        for event_type in _not_wanted(one, collecting) if collecting else ():
            hint = _hint(event_type, collecting)
            yield Issue(
                one.function,
                f"the rule {one.rule.id} correlates {event_type}, and no rule collects it{hint}",
                place=_place(service, one, "event_type"),
            )


@check(
    "SM416",
    Severity.ERROR,
    title="A rule of a correlation uses another table",
    why="`correlate` and `evaluate` get rows from the stream of a table, and write and query the table of the rule or "
    "of the function. If these differ, they never see what the others have written.",
    fix="Name the table of the stream in table_name, ENTITY_TABLE_NAME or EVENT_TABLE_NAME; ENTITY_TABLE_NAME comes "
    "first.",
)
def other_table(service: Service) -> Iterator[Issue]:
    for one in _filed(service, "correlate", "evaluate"):
        streams = [each for each in service.template.mappings if each.function_id == one.function.logical_id]
        tables = [each.stream.partition("/stream/")[0] for each in streams if each.kind == DYNAMODB]
        if one.table is None or not tables or len(tables) != len(streams):
            continue
        own = arn_of("table", one.table)
        if service.template.find_table(own) and own not in tables and all(map(service.template.find_table, tables)):
            yield Issue(
                one.function,
                f"the rule {one.rule.id} uses the table {one.table}, and the function reads the stream of "
                f"{', '.join(each.rpartition('/')[2] for each in tables)}",
                place=_place(service, one, "table_name"),
            )


@check(
    "SM417",
    Severity.ERROR,
    title="The table's key does not fit its rules",
    why="`collect`, `correlate` and `evaluate` write rows with the texts pk and sk; DynamoDB refuses an item without "
    "the table's key.",
    fix="Give the table the partition key pk and the sort key sk, both of type S.",
)
def other_keys(service: Service) -> Iterator[Issue]:
    for one in _filed(service, *_FLAVORS):
        table = service.template.find_table(arn_of("table", one.table)) if one.table else None
        properties = service.template.resources[table.logical_id].get("Properties", {}) if table else {}
        schema, types = properties.get("KeySchema"), properties.get("AttributeDefinitions") or []
        if not isinstance(schema, list):
            continue
        keys = [(each.get("AttributeName"), each.get("KeyType")) for each in schema]
        others = [
            each["AttributeName"]
            for each in types
            if each.get("AttributeName") in ("pk", "sk") and each.get("AttributeType") != "S"
        ]
        if keys != _KEYS or others:
            named = " and ".join(str(name) for name, _ in keys)
            what = f"{' and '.join(others)} of another type than S" if others else f"the key {named}"
            yield Issue(
                one.function,
                f"the rule {one.rule.id} ({one.rule.flavor}) writes pk and sk, and {table.logical_id if table else ''} "
                f"has {what}",
                place=_place(service, one, "flavor"),
            )


def _filed(service: Service, *flavors: str) -> Iterator[_Filed]:
    for function in service.template.functions.values():
        handler = service.handler_of(function)
        for rule in service.rules_of(function) or ():
            if rule.known_flavor and rule.flavor in flavors:
                options = handler.options if handler else None
                table = None if options is None else table_of(rule, function.environment, options)
                yield _Filed(function, rule, table)


def _all_known(service: Service) -> bool:
    """Whether all rules of the service are known, and none has a flavor of its own, which may write any rows."""
    for function in service.template.functions.values():
        handler = service.handler_of(function)
        if handler is None or handler.error is not None:
            return False
        if any(not rule.known_flavor for rule in handler.rules or ()):
            return False
    return True


def _may_be_same(one: str | None, other: str | None) -> bool:
    return one is None or other is None or one == other


def _not_wanted(one: _Filed, others: Sequence[_Filed]) -> list[str]:
    """The types of a rule that none of the others handles."""
    if not all(each.rule.enumerable for each in others):
        return []
    return [each for each in one.rule.types if not any(each in other.rule.types for other in others)]


def _hint(event_type: str, others: Sequence[_Filed]) -> str:
    near = difflib.get_close_matches(event_type, [each for other in others for each in other.rule.types], 1, 0.8)
    return f"; did you mean {near[0]}?" if near else ""


def _place(service: Service, one: _Filed, name: str) -> Location | None:
    return service.places.of_rule(one.rule.id, name)
