"""Nodes of the map: which types of resources are drawn, under which ids and names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from stream_cli.structure.stacks import Resource, name_in

KINDS: Mapping[str, str] = {
    "AWS::ApiGateway::RestApi": "api",
    "AWS::ApiGatewayV2::Api": "api",
    "AWS::DynamoDB::GlobalTable": "table",
    "AWS::DynamoDB::Table": "table",
    "AWS::Events::EventBus": "bus",
    "AWS::Events::Rule": "rule",
    "AWS::Kinesis::Stream": "stream",
    "AWS::KinesisFirehose::DeliveryStream": "delivery",
    "AWS::Lambda::Function": "function",
    "AWS::Lambda::Url": "api",
    "AWS::Pipes::Pipe": "pipe",
    "AWS::S3::Bucket": "bucket",
    "AWS::SNS::Topic": "topic",
    "AWS::SQS::Queue": "queue",
    "AWS::Scheduler::Schedule": "schedule",
    "AWS::StepFunctions::StateMachine": "machine",
}
"""What is drawn of a template. Whatever an arrow leads to is drawn, too; all else is counted by its type."""

_OF_THE_CLI = "ServerlessDeploymentBucket"
_DEFAULT_BUS = "default"

# The service of an ARN, how its resource begins, and the kind.
_ARNS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "dynamodb": (("table/", "table"),),
    "events": (("event-bus/", "bus"), ("rule/", "rule")),
    "execute-api": (("", "api"),),
    "firehose": (("deliverystream/", "delivery"),),
    "kinesis": (("stream/", "stream"),),
    "lambda": (("function:", "function"),),
    "logs": (("log-group:", "log"),),
    "pipes": (("pipe/", "pipe"),),
    "s3": (("", "bucket"),),
    "scheduler": (("schedule/", "schedule"),),
    "sns": (("", "topic"),),
    "sqs": (("", "queue"),),
    "states": (("stateMachine:", "machine"),),
}


@dataclass(frozen=True)
class Node:
    """A node.

    Attributes:
        id: ``kind:name``, the same wherever it is named.
        name: short, for people: without the name of its stack.
        full_name: the name that it has in the account.
        stack: its stack; empty for what is in none.
        note: more about it, such as the expression of a schedule.
    """

    id: str
    kind: str
    name: str
    full_name: str
    stack: str = ""
    note: str = ""
    disabled: bool = False


def id_of(resource: Resource) -> str | None:
    """The id of a resource's node; None for types that are not drawn."""
    kind = KINDS.get(resource.type)
    if kind is None or resource.logical_id == _OF_THE_CLI:
        return None
    name = name_in(resource.physical_id)
    if kind == "rule":
        if resource.properties.get("ScheduleExpression"):
            return f"schedule:{name}"
        return f"rule:{bus_of(resource)}/{name}"
    return f"{kind}:{name}"


def bus_of(rule: Resource) -> str:
    """The name of the bus of a rule."""
    return name_in(str(rule.properties.get("EventBusName") or _DEFAULT_BUS))


def id_of_arn(arn: str, account: str) -> str | None:
    """The id of the node that an ARN names; None for text that is none, or that only the deployment knows.

    Args:
        account: of the stacks; what is in another has that account's number in its id.
    """
    fields = arn.split(":", 5)
    if len(fields) < 6 or fields[0] != "arn" or "${" in arn:
        return None
    service, owner, resource = fields[2], fields[4], fields[5]
    for start, kind in _ARNS.get(service, ()):
        if resource.startswith(start):
            name = _name(kind, resource[len(start) :])
            return f"{kind}:{owner}/{name}" if owner not in ("", account) else f"{kind}:{name}"
    return f"{service}:{resource}"


def kind_of(id: str) -> str:
    """The kind in an id."""
    return id.partition(":")[0]


def full_name_of(id: str) -> str:
    """The name in an id."""
    return id.partition(":")[2]


def short_name(full_name: str, resource: Resource) -> str:
    """A name without its stack, its account and region, and what CloudFormation adds to names that it chooses."""
    name = full_name.rpartition("/")[2] if KINDS[resource.type] == "rule" else full_name
    name = re.sub(r"-\d{12}(-[a-z]{2}(-[a-z]+)+-\d)?$", "", name)
    if name.startswith(f"{resource.stack}-"):
        name = name[len(resource.stack) + 1 :]
    if name == resource.stack or KINDS[resource.type] == "api":
        name = resource.logical_id
    made_up = re.fullmatch(r"(.+)-[0-9A-Za-z]{8,13}", name)
    return made_up[1] if made_up and made_up[1].lower() == resource.logical_id.lower() else name


def _name(kind: str, rest: str) -> str:
    match kind:
        case "rule":
            return rest if "/" in rest else f"{_DEFAULT_BUS}/{rest}"
        case "schedule":
            return rest.rpartition("/")[2]
        case "log":
            return rest.removesuffix(":*")
        case "function" | "topic":
            return rest.partition(":")[0]
        case _:
            return rest.partition("/")[0]
