"""Checks of roles: permissions that a mapping needs and its role lacks, and permissions that are too wide.

A mapping needs what Lambda requires when it is created (Lambda developer guide, "Execution role permissions"). Roles
that are not in the template are not checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from stream_cli.checks.registry import Issue, Severity, check, mapping_check
from stream_cli.checks.service.packaged import Service
from stream_cli.checks.service.policies import Role, Statement
from stream_cli.checks.service.resources import DYNAMODB, KINESIS, SQS, EventSourceMapping
from stream_cli.checks.service.symbols import Verdict, covers, fields_of, only_known_at_deployment

_NEEDS: dict[str, Sequence[tuple[str, ...]]] = {
    KINESIS: (
        ("kinesis:GetRecords",),
        ("kinesis:GetShardIterator",),
        ("kinesis:DescribeStream", "kinesis:DescribeStreamSummary"),
        ("kinesis:ListShards", "kinesis:ListStreams"),
    ),
    DYNAMODB: (("dynamodb:GetRecords",), ("dynamodb:GetShardIterator",), ("dynamodb:DescribeStream",)),
    SQS: (("sqs:ReceiveMessage",), ("sqs:DeleteMessage",), ("sqs:GetQueueAttributes",)),
}
_READS = ("kinesis:GetRecords", "dynamodb:GetRecords", "kinesis:SubscribeToShard")
# Actions without resource-level permissions: they can only be allowed on `*` (AWS service authorization reference).
_WITHOUT_RESOURCE = re.compile(
    r"""(?isx)
      cloudwatch:(PutMetricData|GetMetric .* |List .* ) | xray: .* | ec2:(Describe .* | .* NetworkInterface .* )
    | kinesis:(ListStreams|DescribeLimits) | dynamodb:(ListStreams|ListTables|DescribeLimits) | sqs:ListQueues
    | sns:(ListTopics|ListSubscriptions) | s3:ListAllMyBuckets | logs:DescribeLogGroups | events:ListEventBuses
    | sts:GetCallerIdentity | lambda:(ListFunctions|ListEventSourceMappings|CreateEventSourceMapping|GetAccountSettings)
    | secretsmanager:(ListSecrets|GetRandomPassword|BatchGetSecretValue) | ssm:DescribeParameters | tag:Get .*
    | kms:(ListKeys|ListAliases|GenerateRandom) | iam:List .* | firehose:ListDeliveryStreams
    | athena:List(DataCatalogs|WorkGroups|EngineVersions) | cognito-idp:ListUserPools
    """
)


@mapping_check(
    "SM601",
    Severity.ERROR,
    title="The role may not read the mapping's source",
    why="Lambda refuses to create a mapping whose function may not read its source.",
    fix="Allow the actions listed on the source, or let the CLI create the role.",
)
def mapping_not_allowed(service: Service, mapping: EventSourceMapping) -> Iterator[Issue]:
    role = service.template.role_of(service.template.function_of(mapping))
    if role is None:
        return
    missing = ((_missing(role, mapping), mapping.stream), (_missing_on_consumer(role, mapping), mapping.source))
    for actions, on in missing:
        if named := ", ".join(actions):
            yield Issue(mapping, f"{role.logical_id} does not allow {named} on {on}")


def _missing(role: Role, mapping: EventSourceMapping) -> Iterator[str]:
    for alternatives in _NEEDS.get(mapping.kind or "", ()):
        if Verdict.best(role.may(action, mapping.stream) for action in alternatives) is Verdict.NO:
            yield " or ".join(alternatives)
    # ListStreams has no resource-level permissions, so any statement that allows it is enough.
    lists = any(statement.allows and statement.permits("dynamodb:ListStreams") for statement in role.statements)
    if mapping.kind == DYNAMODB and not lists and not role.has_unread_policies:
        yield "dynamodb:ListStreams"


def _missing_on_consumer(role: Role, mapping: EventSourceMapping) -> Iterator[str]:
    if mapping.consumer and mapping.kind == KINESIS:
        verdict = role.may("kinesis:SubscribeToShard", mapping.source)
        # The consumer's ARN ends in its creation time, so a policy may name it as `<stream>/consumer/*`.
        by_stream = role.may("kinesis:SubscribeToShard", f"{mapping.stream}/consumer/${{unknown}}")
        if Verdict.best(iter((verdict, by_stream))) is Verdict.NO:
            yield "kinesis:SubscribeToShard"


@check(
    "SM602",
    Severity.WARNING,
    title="Statement for every action",
    why="Whoever controls the function may do anything to the resource, including deleting it.",
    fix="Name the actions that the function uses.",
)
def any_action(service: Service) -> Iterator[Issue]:
    for role, statement in _allowing(service):
        for action in statement.actions:
            if (action == "*" or action.endswith(":*")) and not _WITHOUT_RESOURCE.fullmatch(action):
                yield Issue(role, f"{role.logical_id} allows {action} on {_several(statement.resources)}")


@check(
    "SM603",
    Severity.WARNING,
    title="Statement for every resource",
    why="The function may access the resources of every other service in the account.",
    fix="Name the resource (`!GetAtt <resource>.Arn`).",
)
def any_resource(service: Service) -> Iterator[Issue]:
    for role, statement in _allowing(service):
        wide = next((each for each in statement.resources if _is_everything(each)), None)
        actions = [each for each in statement.actions if not _WITHOUT_RESOURCE.fullmatch(each)]
        if wide is None or not actions or statement.conditional:
            continue
        through = f" through {statement.managed_by}" if statement.managed_by else ""
        yield Issue(role, f"{role.logical_id} allows {_several(actions)} on {wide}{through}")


@check(
    "SM604",
    Severity.WARNING,
    title="Permission to read a stream that no mapping reads",
    why="The statement is a leftover or names the wrong stream. It lets the function read data that it does not need.",
    fix="Remove the statement, or correct its resource.",
)
def reads_without_mapping(service: Service) -> Iterator[Issue]:
    for role, statement in _allowing(service):
        if not any(action in statement.actions for action in _READS):
            continue
        functions = {each.logical_id for each in service.template.functions_with(role)}
        read = [m for m in service.template.mappings if m.function_id in functions]
        for resource in statement.resources:
            if not _is_everything(resource) and not any(_is_read(resource, mapping) for mapping in read):
                yield Issue(role, f"{role.logical_id} may read {resource}, and no mapping of its functions does")


def _is_read(resource: str, mapping: EventSourceMapping) -> bool:
    if resource in (mapping.source, mapping.stream):
        return True
    if only_known_at_deployment(resource) or only_known_at_deployment(mapping.stream):
        # Imports of different names are taken for different streams.
        return not (resource.startswith("${import ") and mapping.stream.startswith("${import "))
    consumer = f"{mapping.stream}/consumer/${{unknown}}"
    return any(covers(resource, each) is not Verdict.NO for each in (mapping.source, mapping.stream, consumer))


def _allowing(service: Service) -> Iterator[tuple[Role, Statement]]:
    """The statements that allow something, of the roles that functions run with."""
    for role in service.template.roles.values():
        if service.template.functions_with(role):
            yield from ((role, statement) for statement in role.statements if statement.allows)


def _is_everything(resource: str) -> bool:
    """Whether a resource is `*`, or an ARN whose resource part is only a wildcard (`table/*`)."""
    fields = fields_of(resource)
    if fields is None:
        return resource == "*"
    # The ARN of an S3 object begins with the bucket; other ARNs begin with the kind of resource.
    kind = "" if fields[2] == "s3" else "([a-z-]+[/:])?"
    return re.fullmatch(rf"{kind}\*([/:].*)?", fields[5]) is not None


def _several(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
