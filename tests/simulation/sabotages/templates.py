"""Sabotages of the templates."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from simulator.topology import Deployment

from sabotages.sabotage import Sabotage

Change = Callable[[Deployment], Deployment]


def of_mappings(function: str = "", **properties: Any) -> Change:
    """Event source mappings of functions whose names end so have other properties."""

    def change(deployment: Deployment) -> Deployment:
        mappings = {
            uuid: replace(each, **properties) if each.function_arn.endswith(function) else each
            for uuid, each in deployment.mappings.items()
        }
        return replace(deployment, mappings=mappings)

    return change


def of_functions(**properties: Any) -> Change:
    """All functions have other properties."""

    def change(deployment: Deployment) -> Deployment:
        functions = {name: replace(each, **properties) for name, each in deployment.functions.items()}
        return replace(deployment, functions=functions)

    return change


def without_filter_of(text: str) -> Change:
    """No filter keeps what a text stands for."""

    def change(deployment: Deployment) -> Deployment:
        mappings = {
            uuid: replace(each, filter_patterns=tuple(each.replace(text, "nothing") for each in each.filter_patterns))
            for uuid, each in deployment.mappings.items()
        }
        return replace(deployment, mappings=mappings)

    return change


def without_time_to_live(table: str) -> Change:
    def change(deployment: Deployment) -> Deployment:
        tables = {
            name: replace(each, ttl=None) if name.startswith(table) else each
            for name, each in deployment.tables.items()
        }
        return replace(deployment, tables=tables)

    return change


def without_lifecycle(bucket: str) -> Change:
    def change(deployment: Deployment) -> Deployment:
        buckets = {
            name: replace(each, lifecycle=()) if bucket in name else each for name, each in deployment.buckets.items()
        }
        return replace(deployment, buckets=buckets)

    return change


def without_schedules(deployment: Deployment) -> Deployment:
    return replace(deployment, schedules={})


def without_rule_of(name: str) -> Change:
    """A rule wants nothing."""
    return _with_types(name, ["nothing"])


def of_every_type(name: str) -> Change:
    """A rule wants events of all types."""
    return _with_types(name, [{"exists": True}])


def _with_types(name: str, types: list[Any]) -> Change:
    def change(deployment: Deployment) -> Deployment:
        rules = {
            key: replace(rule, pattern={**rule.pattern, "detail-type": types}) if name in key else rule
            for key, rule in deployment.rules.items()
        }
        return replace(deployment, rules=rules)

    return change


def with_threshold(alarm: str, threshold: float) -> Change:
    """Alarms whose names end so have another threshold."""

    def change(deployment: Deployment) -> Deployment:
        alarms = {
            name: replace(each, threshold=threshold) if name.endswith(alarm) else each
            for name, each in deployment.alarms.items()
        }
        return replace(deployment, alarms=alarms)

    return change


TEMPLATES: tuple[Sabotage, ...] = (
    Sabotage(
        "rows of the ledger have no TTL", "they stay for ever", 1, deployed=without_time_to_live("event-fault-monitor")
    ),
    Sabotage(
        "the dashboard's table has no TTL",
        "its rows stay for ever",
        1,
        deployed=without_time_to_live("rest-bff-service-prod-dash"),
    ),
    Sabotage("a filter drops analyses", "no story is ready", 1, deployed=without_filter_of("story-analyzed")),
    Sabotage(
        "functions have no on-failure destination",
        "what they gave up cannot be redriven",
        72,
        deployed=of_functions(failure_arn=None),
    ),
    Sabotage(
        "mappings have no on-failure destination",
        "what they gave up cannot be redriven",
        8,
        deployed=of_mappings(destination_arn=None),
    ),
    Sabotage(
        "mappings do not read which records have failed",
        "those records are lost",
        8,
        deployed=of_mappings(report_failures=False),
    ),
    Sabotage("the lake's rule keeps nothing", "no day can be replayed", 0, deployed=without_rule_of("event-lake")),
    Sabotage("no alarm goes on", "nobody hears of what has to be done", 1, deployed=with_threshold("", 1e9)),
    Sabotage("a batch is retried once only", "it waits in a queue for people", 8, deployed=of_mappings(max_retries=1)),
    Sabotage("records are given up after a minute", "retries are not spent", 8, deployed=of_mappings(max_age=60)),
    Sabotage(
        "the outbox has lanes",
        "messages of a story are out of order",
        17,
        deployed=of_mappings("-outbox", parallelization_factor=3),
    ),
    Sabotage(
        "functions do not try asynchronous events again",
        "they wait in a queue for people",
        5,
        deployed=of_functions(retries=0),
    ),
    Sabotage(
        "a filter drops story-ready", "the view never has an analysis", 1, deployed=without_filter_of("story-ready")
    ),
    Sabotage("a filter drops removals", "no story expires", 2, deployed=without_filter_of("REMOVE")),
    Sabotage("the job has no schedule", "a story expires days late", 2, deployed=without_schedules),
    Sabotage("the lake keeps faults", "a replay publishes them again", 1, deployed=of_every_type("event-lake")),
    Sabotage("collected rows have no TTL", "they stay for ever", 1, deployed=without_time_to_live("control-service")),
    Sabotage(
        "tombstones have no TTL", "they stay for ever", 1, deployed=without_time_to_live("rest-bff-service-prod-ent")
    ),
    Sabotage("the alarm on faults stays off", "nobody hears of them", 1, deployed=with_threshold("-faults", 1e9)),
    Sabotage(
        "alarms on queues stay off", "nobody redrives what is in them", 5, deployed=with_threshold("-failures", 1e9)
    ),
    Sabotage(
        "the alarm on answers with 5xx stays off",
        "nobody hears of them",
        5,
        deployed=with_threshold("-api-errors", 1e9),
    ),
    Sabotage(
        "the alarm on unreadable lines stays off",
        "nobody hears of them",
        1,
        deployed=with_threshold("-unreadable-lines", 1e9),
    ),
    Sabotage(
        "faults are put on the hub's stream",
        "they are work for services",
        1,
        deployed=of_every_type("event-hub-prod-s1"),
    ),
    Sabotage(
        "the alarm on latency is always on", "nobody looks any more", 122, deployed=with_threshold("-api-latency", 0)
    ),
    Sabotage("alarms on lag stay off", "nobody hears of what waits", 8, deployed=with_threshold("-iterator-age", 1e9)),
    Sabotage(
        "alarms on lag go on after seconds",
        "nobody looks any more",
        15,
        deployed=with_threshold("-iterator-age", 6_000),
    ),
    Sabotage(
        "alarms on freshness stay off",
        "nobody hears of what is not in the lake",
        6,
        deployed=with_threshold("-freshness", 1e9),
    ),
    Sabotage(
        "the alarm on errors of the ingress stays off",
        "nobody hears of them",
        16,
        deployed=with_threshold("-ingress-errors", 1e9),
    ),
    Sabotage(
        "the alarm on errors of the fault monitor stays off",
        "nobody hears of them",
        5,
        deployed=with_threshold("-trigger-errors", 1e9),
    ),
    Sabotage(
        "alarms on rules stay off",
        "nobody hears of events that reach nothing",
        15,
        deployed=with_threshold("-failed-invocations", 1e9),
    ),
    Sabotage(
        "alarms on dead letters stay off", "nobody redrives them", 15, deployed=with_threshold("-dead-letters", 1e9)
    ),
    Sabotage(
        "the alarm on refused objects stays off",
        "nobody hears of them",
        2,
        deployed=with_threshold("-objects-refused", 1e9),
    ),
    Sabotage(
        "the alarm on faults of one service stays off",
        "its owners do not hear of them",
        1,
        deployed=with_threshold("-faults-of-control-service", 1e9),
    ),
    Sabotage(
        "bodies of large events have no lifecycle", "they stay for ever", 19, deployed=without_lifecycle("-claims-")
    ),
    Sabotage(
        "the lake copies no body",
        "a replay has no large event",
        19,
        deployed=without_rule_of("event-lake-s3-prod-claims"),
    ),
)
