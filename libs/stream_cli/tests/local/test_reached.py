"""What is said of a cloud that is up fits what was deployed to it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

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
    said = "\n".join(how_to_reach(endpoint, Path("/of the cloud"), tries_for(endpoint)))
    (command,) = re.findall(r'^  eval "\$\((.*)\)"$', said, re.MULTILINE)
    streamctl, *words = shlex.split(command)
    assert Path(streamctl).exists()
    assert words == ["env", "--state", "/of the cloud"]
    assert "try" not in said


def test_a_shell_reaches_the_cloud_and_packages_from_the_wheels_of_set_up(endpoint: LocalEndpoint) -> None:
    lines = endpoint.shell_lines()
    assert f"export AWS_ENDPOINT_URL={endpoint.url}" in lines
    assert "export PIP_NO_INDEX=1" in lines
    assert any(re.fullmatch(r"export PIP_FIND_LINKS=file://\S+/\.build/wheels", line) for line in lines)
    assert any(line.startswith("export PYTHON_BIN=/") for line in lines)


def test_commands_to_try_are_shown_for_the_deployed_services(endpoint: LocalEndpoint, hub: str) -> None:
    said = "\n".join(how_to_reach(endpoint, Path("state"), tries_for(endpoint)))
    assert f"aws events list-rules --event-bus-name {hub}" in said
    assert "curl" not in said
