"""Checks of what the rules and the code of a function need and the function lacks: permissions, settings, resources."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

from stream_cli.checks.kinds.claims import BUCKET, reads_pointers, stores_bodies
from stream_cli.checks.registry import Issue, Severity, check
from stream_cli.checks.service.fields import KEYS, needs_keys, uses_of_fields
from stream_cli.checks.service.keys import is_arn_of_key, uses_of_key
from stream_cli.checks.service.needs import Need, arn_of, needs_of, publishes
from stream_cli.checks.service.packaged import Service
from stream_cli.checks.service.resources import DYNAMODB, KINESIS, SQS, Function
from stream_cli.checks.service.symbols import Verdict, stand_in, tokens

_NOT_SET = "InvalidSetting: "
_READS = {DYNAMODB: "dynamodb:GetRecords", KINESIS: "kinesis:GetRecords", SQS: "sqs:ReceiveMessage"}
_NAMED = {
    "table": (("AWS::DynamoDB::Table", "AWS::DynamoDB::GlobalTable"), "TABLE_NAME"),
    "bucket": (("AWS::S3::Bucket",), "BUCKET_NAME"),
    "stream": (("AWS::Kinesis::Stream",), "STREAM_NAME"),
}
"""Resources that variables name, by how these end."""


@dataclass(frozen=True)
class _Wanted:
    """An action that something of a function needs; ``what`` says what needs it."""

    action: str
    resource: str | None
    what: str


@check(
    "SM605",
    Severity.ERROR,
    title="The role lacks an action that the function needs",
    why="AWS answers AccessDenied: records are retried until they are given up, or requests fail.",
    fix="Allow the action on the resource in the function's role.",
)
def action_not_allowed(service: Service) -> Iterator[Issue]:
    for function in service.template.functions.values():
        role = service.template.role_of(function)
        if role is None:
            continue
        lacking: dict[tuple[str, str | None], list[str]] = {}
        for wanted in [*_wanted(service, function), *_of_keys(service, function)]:
            verdict = (
                role.may_on_something(wanted.action)
                if wanted.resource is None
                else role.may(wanted.action, wanted.resource)
            )
            if verdict is Verdict.NO:
                lacking.setdefault((wanted.action, wanted.resource), []).append(wanted.what)
        exact = {action for action, resource in lacking if resource is not None}
        for (action, resource), what in lacking.items():
            if resource is None and action in exact:
                continue
            on = "" if resource is None else f" on {resource}"
            yield Issue(
                role,
                f"{role.logical_id} does not allow {action}{on}, which {' and '.join(dict.fromkeys(what))} of "
                f"{service.name_of(function)} needs",
            )


def _wanted(service: Service, function: Function) -> Iterator[_Wanted]:
    for name, _, need in _needs(service, function):
        if not _is_of_faults(need):
            yield _Wanted(need.action, need.resource if need.exact else None, f"the rule {name}")
    yield from _of_claims(service, function)
    for rule in service.rules_of(function) or ():
        for action, key in uses_of_fields(rule, function.environment):
            yield _Wanted(action, key, f"the rule {rule.id}, for encrypted fields,")
    trial = service.trial_of(function)
    for tried in trial.tried if trial else ():
        for call in tried.calls:
            name = _as_written(service, function, call["name"])
            resource = f"{arn_of(call['kind'], name)}{call.get('suffix', '')}"
            bus_of_faults = call["kind"] == "bus" and name == function.environment.get("BUS_NAME")
            if not (bus_of_faults and service.rules_of(function)):
                yield _Wanted(call["action"], resource, f"the fixture {tried.fixture.name}")


def _of_claims(service: Service, function: Function) -> Iterator[_Wanted]:
    """What a function with a bucket for the bodies of large events does there."""
    bucket = function.environment.get(BUCKET)
    if not bucket:
        return
    objects = arn_of("bucket", f"{bucket}/claimchecks")
    for rule in service.rules_of(function) or ():
        if rule.known_flavor and reads_pointers(service, function, rule.flavor):
            yield _Wanted("s3:GetObject", f"{objects}/<key>", f"the rule {rule.id}, for large events,")
        if publishes(rule) or (rule.known_flavor and stores_bodies(rule.flavor)):
            own = function.environment.get("SERVICE") or "undefined"
            yield _Wanted("s3:PutObject", f"{objects}/{own}/<key>", f"the rule {rule.id}, for large events,")


def _of_keys(service: Service, function: Function) -> Iterator[_Wanted]:
    """What the function's actions on resources with a key of the user's own take of the key."""
    reads = [
        _Wanted(_READS[mapping.kind], mapping.stream.partition("/stream/")[0], "the mapping")
        for mapping in service.template.mappings
        if mapping.function_id == function.logical_id and mapping.kind in _READS
    ]
    for wanted in [*_wanted(service, function), *reads]:
        uses = uses_of_key(service.template, wanted.action, wanted.resource or "")
        for action, key in uses:
            # A key that is named in another way may be the one in the policy.
            yield _Wanted(action, key if is_arn_of_key(key) else None, wanted.what)


def _is_of_faults(need: Need) -> bool:
    """SM203 tells of the bus of a function's faults."""
    return need.kind == "bus" and need.setting == "BUS_NAME"


def _needs(service: Service, function: Function) -> Iterator[tuple[str, str, Need]]:
    """Id and flavor of each rule of a function, with each of its needs; none if its options are not known."""
    handler = service.handler_of(function)
    if handler is None or handler.options is None:
        return
    for rule in handler.rules or ():
        for need in needs_of(rule, function.environment, handler.options):
            yield rule.id, rule.flavor, need


def _as_written(service: Service, function: Function, name: str) -> str:
    """The name of a resource as the template has it, of one that a function was tried with."""
    resolver = service.template.resolver
    known = [*function.environment.values(), *map(resolver.name_of, service.template.resources)]
    return next((each for each in known if stand_in(each) == name), name)


@check(
    "SM412",
    Severity.ERROR,
    title="The function lacks an environment variable",
    why="A rule or the function's code reads it, and it has no value: the import fails, or nothing is written, sent or "
    "published.",
    fix="Set the variable in the function's environment, or the field of the rule.",
)
def variable_missing(service: Service) -> Iterator[Issue]:
    for function in service.template.functions.values():
        handler = service.handler_of(function)
        if handler is not None and handler.error is not None and handler.error.startswith(_NOT_SET):
            yield Issue(function, handler.error.removeprefix(_NOT_SET))
        for each in service.rules_of(function) or ():
            if needs_keys(each) and not function.environment.get(KEYS):
                yield Issue(function, f"the rule {each.id} encrypts or decrypts fields, and there is no {KEYS}")
        told = set()
        for rule, flavor, need in _needs(service, function):
            if need.lacks and (rule, need.lacks) not in told:
                told.add((rule, need.lacks))
                several = "neither " if len(need.lacks) > 1 else "no "
                names = several + " nor ".join(need.lacks)
                yield Issue(
                    function,
                    f"the rule {rule} ({flavor}) needs a {'bucket' if need.kind == 'object' else need.kind}, and there "
                    f"is {names}",
                )


@check(
    "SM413",
    Severity.ERROR,
    title="A variable names a resource that the template does not have",
    why="AWS answers that the resource does not exist, and records are retried until they are given up.",
    fix="Add the resource, or correct the name. A resource of another stack is named through its output.",
)
def resource_missing(service: Service) -> Iterator[Issue]:
    for noun, (kinds, ends) in _NAMED.items():
        resources = service.template.resources
        own = [service.template.resolver.name_of(each) for each in resources if resources[each].get("Type") in kinds]
        for function in service.template.functions.values():
            for name, value in function.environment.items():
                if name.endswith(ends) and value not in own and _is_own(service, value):
                    near = difflib.get_close_matches(value, own, 1)
                    hint = f"; did you mean {near[0]}?" if near else ""
                    yield Issue(function, f"{name} is {value}, and the template has no {noun} of that name{hint}")


def _is_own(service: Service, value: str) -> bool:
    """Whether a name is written out, and begins as those of the service's own resources do."""
    unknown = [each for each in tokens(value) if not each.startswith("${AWS::")]
    return bool(value) and not unknown and value.startswith(f"{service.name}-")
