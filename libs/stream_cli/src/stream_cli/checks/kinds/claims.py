"""Checks of large events, which travel as pointers to their bodies in the bucket of claims."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pydash

from stream_cli.checks.registry import Issue, Severity, check
from stream_cli.checks.service.packaged import Service
from stream_cli.checks.service.resources import DYNAMODB, KINESIS, SQS, Function

BUCKET = "CLAIMCHECK_BUCKET_NAME"
DEFAULT_DAYS = 33
"""How long rows with collected events are kept where nothing says so (`stream_runtime.settings`, TTL)."""
_FILED = ("collect", "correlate", "evaluate")
_IMPORT = re.compile(r"\$\{import (\w+)\}")


@dataclass(frozen=True)
class _Kept:
    """How long bodies are kept, and how many hours the hub's streams keep the pointers to them."""

    days: int
    stream_hours: int


@check(
    "SM216",
    Severity.WARNING,
    title="Rows outlive the bodies of large events",
    why="A row of `collect` keeps a large event as the pointer to its body. Where the bucket of claims removes that "
    "before DynamoDB removes the row, what correlates or evaluates the row finds nothing, and its record becomes a "
    "fault.",
    fix="Raise `claimDays` of the hub above the days of TTL and those that the stream keeps records, or lower TTL.",
)
def bodies_go_before_rows(service: Service) -> Iterator[Issue]:
    for function in service.template.functions.values():
        kept = _kept(service, function.environment.get(BUCKET, ""))
        days = [each for rule in service.rules_of(function) or () if (each := _days_of_rows(rule, function))]
        if kept is None or not days:
            continue
        needed = max(days) + -(-kept.stream_hours // 24)
        if kept.days < needed:
            yield Issue(
                function,
                f"rows with events are kept for {max(days)} days, the stream keeps pointers for {kept.stream_hours} "
                f"hours, and the bucket of claims their bodies for {kept.days} days; it should be at least {needed}",
            )


def _days_of_rows(rule: Any, function: Function) -> int | None:
    """The days that a rule keeps events in rows; None if it keeps none, or only the function knows."""
    if not rule.known_flavor or rule.flavor != "collect":
        return None
    if rule.has("ttl"):  # computed by the service
        return None
    given = rule.fields.get("default_ttl", function.environment.get("TTL") or DEFAULT_DAYS)
    return int(given) if str(given).isdecimal() else None


def _kept(service: Service, bucket: str) -> _Kept | None:
    """What is known of a bucket by its name, which is that of an output where another stack has it."""
    for each in _services(service):
        resources = each.template.resources
        imported = _IMPORT.fullmatch(bucket)
        given = pydash.get(each.template.body, ["Outputs", imported[1], "Value"]) if imported else None
        for logical_id, resource in resources.items():
            is_it = {"Ref": logical_id} == given or (
                each is service and each.template.resolver.name_of(logical_id) == bucket
            )
            if resource.get("Type") == "AWS::S3::Bucket" and is_it:
                days = _days_of_bucket(resource)
                return None if days is None else _Kept(days, _longest_stream(resources))
    return None


def _days_of_bucket(bucket: Mapping[str, Any]) -> int | None:
    rules: Sequence[Mapping[str, Any]] = pydash.get(bucket, "Properties.LifecycleConfiguration.Rules") or ()
    days = [each.get("ExpirationInDays") for each in rules if each.get("Status") == "Enabled"]
    known = [int(each) for each in days if each is not None and str(each).isdecimal()]
    return min(known, default=None)


def _longest_stream(resources: Mapping[str, Mapping[str, Any]]) -> int:
    given = [each.get("Properties") or {} for each in resources.values() if each.get("Type") == "AWS::Kinesis::Stream"]
    hours = [str(each.get("RetentionPeriodHours", 24)) for each in given]
    return max((int(each) for each in hours if each.isdecimal()), default=24)


@check(
    "SM217",
    Severity.WARNING,
    title="Large events cannot be read",
    why="Another function sends events that are too large for the bus as pointers to their bodies. Without the name of "
    "the bucket, each that a rule here wants becomes a fault.",
    fix="Set CLAIMCHECK_BUCKET_NAME to the hub's output claimsBucketName, and allow s3:GetObject on its claimchecks/*.",
)
def cannot_read_large_events(service: Service) -> Iterator[Issue]:
    others = [each for one in _services(service) for each in one.template.functions.values()]
    sending = next((each for each in others if each.environment.get(BUCKET)), None)
    for function in service.template.functions.values():
        if sending is None or function.environment.get(BUCKET):
            continue
        wanting = [
            rule.id for rule in service.rules_of(function) or () if reads_pointers(service, function, rule.flavor)
        ]
        if wanting:
            yield Issue(
                function,
                f"{sending.name} may send large events as pointers, and {service.name_of(function)}, which reads "
                f"events for the rule {wanting[0]}, has no {BUCKET}",
            )


def reads_pointers(service: Service, function: Function, flavor: str) -> bool:
    """Whether a rule of a function gets pointers: from a stream or a queue, or in rows with collected events."""
    kinds = {each.kind for each in service.template.mappings if each.function_id == function.logical_id}
    return bool(kinds & {KINESIS, SQS}) or (DYNAMODB in kinds and flavor in _FILED)


def stores_bodies(flavor: str) -> bool:
    """Whether rules of a flavor store the bodies of events that are too large for a row."""
    return flavor in ("collect", "correlate")


def _services(service: Service) -> Sequence[Service]:
    return service.repository.services if service.repository else (service,)
