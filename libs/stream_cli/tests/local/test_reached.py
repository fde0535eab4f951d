"""What is said of a cloud that is up fits what was deployed to it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from stream_cli.local.endpoint import LocalEndpoint, how_to_reach, tries_for


@pytest.fixture
def hub(endpoint: LocalEndpoint) -> Iterator[str]:
    """A stack of the hub's name; gives the bus it names."""
    template = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}, "Outputs": {"busName": {"Value": "a-bus"}}}
    cloudformation = endpoint.client("cloudformation")
    cloudformation.create_stack(StackName="event-hub-local", TemplateBody=json.dumps(template))
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName="event-hub-local", WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    yield "a-bus"
    cloudformation.delete_stack(StackName="event-hub-local")


def test_a_cloud_without_services_says_how_to_reach_it(endpoint: LocalEndpoint) -> None:
    said = how_to_reach(endpoint, tries_for(endpoint))
    assert f"export AWS_ENDPOINT_URL={endpoint.url}" in said
    assert "Try" not in said


def test_commands_to_try_are_shown_for_the_deployed_services(endpoint: LocalEndpoint, hub: str) -> None:
    said = how_to_reach(endpoint, tries_for(endpoint))
    assert f"aws events list-rules --event-bus-name {hub}" in said
    assert "curl" not in said
