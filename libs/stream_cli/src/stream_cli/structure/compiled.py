"""Compiled templates as stacks, before they are deployed: with the names and ARNs that their resources will have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stream_cli.checks.service.template import Template
from stream_cli.structure.stacks import Described, Resource, Stack, choices_of, in_order, stack_of, texts_of
from stream_cli.trace.deployed import DeployedMapping

REGION, ACCOUNT = "us-east-1", "123456789012"
_NAMES: Mapping[str, str] = {
    "AWS::Events::Archive": "ArchiveName",
    "AWS::Events::Rule": "Name",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::Scheduler::Schedule": "Name",
}
"""The property with the name, for types of which `references` knows none."""


def compiled_stacks(templates: Mapping[str, Mapping[str, Any]], region: str = REGION) -> list[Stack]:
    """The stacks of one stage as CloudFormation would make them, in account `ACCOUNT`.

    What one stack takes from another, by an import or as a param of serverless.yml, is the output of that name.

    Args:
        templates: compiled templates by the names of their stacks.
    """
    described = {name: _described(name, body, region) for name, body in templates.items()}
    exports: dict[str, str] = {}
    for _ in range(2):  # what names an output of a stack that comes later is known the second time
        physical = {name: _physical_ids(described[name], body, exports) for name, body in templates.items()}
        for name, body in templates.items():
            exports |= _outputs(described[name], body, physical[name], exports)
    return [stack_of(described[name], body, _listed(physical[name]), exports) for name, body in templates.items()]


def compiled_mappings(stacks: list[Stack]) -> Iterator[DeployedMapping]:
    """The event source mappings of stacks; the id of each is that of its resource."""
    for each in in_order(stacks):
        if each.type == "AWS::Lambda::EventSourceMapping":
            yield _mapping(each)


def _mapping(resource: Resource) -> DeployedMapping:
    given = resource.properties
    filters = (given.get("FilterCriteria") or {}).get("Filters") or ()
    return DeployedMapping(
        f"{resource.stack}/{resource.logical_id}",
        str(given["FunctionName"]).partition(":function:")[2] or str(given["FunctionName"]),
        str(given["EventSourceArn"]),
        given.get("Enabled", True) is not False,
        tuple(each["Pattern"] for each in filters),
        ((given.get("DestinationConfig") or {}).get("OnFailure") or {}).get("Destination"),
    )


def _described(name: str, body: Mapping[str, Any], region: str) -> Described:
    declared = body.get("Parameters") or {}
    defaults = {each: str(given["Default"]) for each, given in declared.items() if "Default" in given}
    stack_id = f"arn:aws:cloudformation:{region}:{ACCOUNT}:stack/{name}/compiled"
    return Described(name, stack_id, "COMPILED", defaults, {}, "")


def _physical_ids(described: Described, body: Mapping[str, Any], exports: Mapping[str, str]) -> dict[str, str]:
    """What ``Ref`` will give of each resource that is made; a name that CloudFormation chooses is the logical id."""
    text, read = texts_of(described, body, exports=exports), Template(body).resolver
    choices = choices_of(described, body)
    region = described.id.split(":")[3]
    made: dict[str, str] = {}
    for logical_id, each in (body.get("Resources") or {}).items():
        if "Condition" in each and choices.holds(str(each["Condition"])) is False:
            continue
        kind = str(each.get("Type"))
        given = (each.get("Properties") or {}).get(_NAMES.get(kind, ""))
        name = text(given) if given is not None else text(read.name_of(logical_id))
        name = logical_id if "${" in name else name
        match kind:
            case "AWS::SQS::Queue":
                made[logical_id] = f"https://sqs.{region}.amazonaws.com/{ACCOUNT}/{name}"
            case "AWS::Kinesis::StreamConsumer":
                made[logical_id] = f"{text(each['Properties']['StreamARN'])}/consumer/{logical_id}:0"
            case "AWS::SNS::Topic":
                made[logical_id] = f"arn:aws:sns:{region}:{ACCOUNT}:{name}"
            case _:
                made[logical_id] = name
    return made


def _outputs(
    described: Described, body: Mapping[str, Any], physical: Mapping[str, str], exports: Mapping[str, str]
) -> dict[str, str]:
    text = texts_of(described, body, physical, exports)
    values: dict[str, str] = {}
    for name, each in (body.get("Outputs") or {}).items():
        value = text(each.get("Value"))
        values[name] = value
        exported = (each.get("Export") or {}).get("Name")
        if exported is not None:
            values[text(exported)] = value
    return values


def _listed(physical: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"LogicalResourceId": each, "PhysicalResourceId": physical[each]} for each in physical]
