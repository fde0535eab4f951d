"""Checks of what functions do with their fixtures: what AWS refuses, what fails, what differs at a second run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from stream_cli.checks.registry import Issue, Severity, check
from stream_cli.checks.service.handlers import ProbedRule
from stream_cli.checks.service.packaged import Service
from stream_cli.checks.service.resources import Function
from stream_cli.checks.service.source_map import Location
from stream_cli.checks.trials.trial import Tried

_REQUESTS = (
    *("to_update_request", "to_put_request", "to_query_request", "to_get_request", "to_scan_request"),
    *("to_fallback_update_request", "execute_operators", "execute"),
)
_NAMED = re.compile(r"(?:function|keyword|token|operator): \"?([\w-]+)\"?")


@check(
    "SM211",
    Severity.ERROR,
    title="The same record gives an event with another id",
    why="A record that comes again publishes the event again. With another id nobody recognizes it, and whatever it "
    "causes happens twice.",
    fix="Derive the id from the event: leave out `id` of what `emit` returns, or keep the template's.",
)
def other_id(service: Service) -> Iterator[Issue]:
    for function, tried in _tried(service):
        told = set()
        for event in tried.other_ids:
            if (event["type"], event["rule"]) not in told:
                told.add((event["type"], event["rule"]))
                rule = _rule_of(service, function, event["rule"])
                by = f"the rule {rule.id}" if rule else "the function"
                yield Issue(
                    function,
                    f"{by} publishes {event['type']} under another id when the fixture {tried.fixture.name} comes "
                    "again",
                    place=_place(service, rule, "emit", "to_event"),
                )


@check(
    "SM212",
    Severity.ERROR,
    title="DynamoDB refuses the request of a rule",
    why="DynamoDB answers ValidationException to an expression that it cannot read: every such event becomes a fault.",
    fix="Correct the expression; `stream_runtime.expressions` makes those of updates and conditions on times.",
)
def request_refused(service: Service) -> Iterator[Issue]:
    told = set()
    for function, tried in _tried(service):
        for refused in tried.refused:
            message = str(refused["message"])
            failed = next((each["rule"] for each in tried.faults if message in each["message"]), None)
            rule = _rule_of(service, function, failed)
            place = _place_of_refused(service, refused, rule)
            if (function.logical_id, message) not in told:
                told.add((function.logical_id, message))
                by = f"the rule {rule.id} makes with" if rule else "the function makes with"
                yield Issue(
                    function,
                    f"{message} ({refused['operation']} that {by} the fixture {tried.fixture.name})",
                    place=place,
                )


def _place_of_refused(service: Service, refused: Mapping[str, Any], rule: ProbedRule | None) -> Location | None:
    """The line with the word that DynamoDB names, or with the expression; else that of the function that made it."""
    words = [f"{word}{after}" for word in _NAMED.findall(str(refused["message"])) for after in ("(", "")]
    for text in (*refused["expressions"], *words):
        found = service.places.of_text(text)
        if found is not None:
            return found
    if refused["file"] and service.folder:
        return Location(service.folder / refused["file"], int(refused["line"]))
    return _place(service, rule, *_REQUESTS)


@check(
    "SM213",
    Severity.ERROR,
    title="A fixture gives a fault that it should not",
    why="What stands beside the fixture names fewer faults: a function of a rule raises for an event that it should "
    "handle, and every such event becomes a fault.",
    fix="Correct the function, or list the fault under `publishes` of the fixture's expected.json.",
)
def unexpected_fault(service: Service) -> Iterator[Issue]:
    for function, tried in _tried(service):
        expected = tried.fixture.expected_faults
        faults = [each for each in tried.faults if not any(r["message"] in each["message"] for r in tried.refused)]
        if expected is None or len(tried.faults) <= expected:
            continue
        for fault in faults[expected:]:
            rule = _rule_of(service, function, fault["rule"])
            by = f" in the rule {rule.id}" if rule else ""
            yield Issue(
                function,
                f"{fault['name']}: {fault['message']}{by}, with the fixture {tried.fixture.name}",
                place=_own(service, fault) or _place(service, rule),
            )


@check(
    "SM214",
    Severity.WARNING,
    title="A fixture makes the function raise",
    why="What stands beside the fixture does not say so. The whole batch would be delivered again.",
    fix="Correct the function, or name the exception under `raises` of the fixture's expected.json.",
)
def raises(service: Service) -> Iterator[Issue]:
    for function, tried in _tried(service):
        raised, expected = tried.raised, tried.fixture.expected
        if raised is not None and expected is not None and "raises" not in expected and raised["file"]:
            yield Issue(
                function,
                f"{raised['name']}: {raised['message']}, with the fixture {tried.fixture.name}",
                place=_own(service, raised),
            )


def _tried(service: Service) -> Iterator[tuple[Function, Tried]]:
    for function in service.template.functions.values():
        trial = service.trial_of(function)
        for tried in trial.tried if trial else ():
            yield function, tried


def _rule_of(service: Service, function: Function, rule_id: object) -> ProbedRule | None:
    return next((each for each in service.rules_of(function) or () if each.id == rule_id), None)


def _own(service: Service, told: Mapping[str, Any]) -> Location | None:
    return Location(service.folder / told["file"], int(told["line"])) if service.folder and told["file"] else None


def _place(service: Service, rule: ProbedRule | None, *names: str) -> Location | None:
    """The line of the first function among the fields of a rule, else that of the rule."""
    if rule is None:
        return None
    functions = (service.places.of_function(rule.fields.get(name)) for name in names)
    return next((each for each in functions if each), None) or service.places.of_rule(rule.id)
