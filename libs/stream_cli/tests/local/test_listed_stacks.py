"""The console reads stacks of the local cloud in plain HTTP, as boto3 reads them; the map is drawn from these."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from stream_cli.console.map import Map
from stream_cli.journal.answers import Journal
from stream_cli.local.endpoint import LocalEndpoint
from stream_cli.local.plain_requests import PlainRequests
from stream_cli.trace.deployed import Deployed
from stream_cli.trace.local_stage import LocalApis

QUEUES = 130  # more than a page


@pytest.fixture
def stack(endpoint: LocalEndpoint, name: str) -> Iterator[str]:
    resources = {
        "Topic": {"Type": "AWS::SNS::Topic"},
        "Bus": {"Type": "AWS::Events::EventBus", "Properties": {"Name": name}},
        "Rule": {
            "Type": "AWS::Events::Rule",
            "Properties": {
                "EventBusName": {"Ref": "Bus"}, "EventPattern": {"source": ["here"]}, "State": "DISABLED",
                "Targets": [
                    {"Id": "1", "Arn": {"Ref": "Topic"}}, {"Id": "2", "Arn": {"Fn::GetAtt": ["Queue0", "Arn"]}},
                ],
            },
        },
        **{f"Queue{number}": {"Type": "AWS::SQS::Queue"} for number in range(QUEUES)},
    }  # fmt: skip
    outputs = {"queue": {"Value": {"Ref": "Queue0"}, "Export": {"Name": f"{name}-queue"}}}
    cloudformation = endpoint.client("cloudformation")
    template = {"Parameters": {"Given": {"Type": "String"}}, "Resources": resources, "Outputs": outputs}
    cloudformation.create_stack(
        StackName=name, TemplateBody=json.dumps(template), Tags=[{"Key": "STAGE", "Value": "local"}],
        Parameters=[{"ParameterKey": "Given", "ParameterValue": "<one & two>"}],
    )  # fmt: skip
    cloudformation.get_waiter("stack_create_complete").wait(StackName=name)
    yield name
    cloudformation.delete_stack(StackName=name)


def test_plain_requests_read_what_boto3_reads(endpoint: LocalEndpoint, stack: str) -> None:
    apis, cloudformation = LocalApis(PlainRequests(endpoint)), endpoint.client("cloudformation")
    (plain,) = (each for each in apis.stacks() if each["StackName"] == stack)
    (described,) = cloudformation.describe_stacks(StackName=stack)["Stacks"]
    for field in ("StackId", "StackStatus", "Tags", "Parameters", "Outputs"):
        assert _filled(plain[field]) == _filled(described[field]), field
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
    names = [
        (each["LogicalResourceId"], each["PhysicalResourceId"])
        for page in pages
        for each in page["StackResourceSummaries"]
    ]
    assert [(each["LogicalResourceId"], each["PhysicalResourceId"]) for each in apis.resources(stack)] == names
    assert len(names) == QUEUES + 3
    text = apis.template(stack)
    assert isinstance(text, str)
    assert json.loads(text) == cloudformation.get_template(StackName=stack)["TemplateBody"]


def test_a_stack_of_the_local_cloud_is_on_the_map(endpoint: LocalEndpoint, stack: str, tmp_path: Path) -> None:
    deployed = Deployed(LocalApis(PlainRequests(endpoint)))
    drawn = Map("local", Journal(tmp_path), lambda: deployed, tmp_path).drawn()
    own = [node for node in drawn["nodes"] if node["group"] == stack]
    names = {node["id"]: node["name"] for node in own}
    assert len(own) == QUEUES + 3
    assert {"Topic", "Rule", "Queue0"} <= set(names.values())
    assert {
        names[arrow["end"]] for arrow in drawn["arrows"] if arrow["kind"] == "target" and arrow["end"] in names
    } == {
        "Topic",
        "Queue0",
    }
    (rule,) = (node for node in own if node["kind"] == "rule")
    assert rule["disabled"]


def _filled(value: object) -> object:
    """Without what is empty, which boto3 leaves out."""
    if isinstance(value, list):
        return [_filled(each) for each in value]
    return {name: each for name, each in value.items() if each != ""} if isinstance(value, dict) else value
