"""What the Serverless CLI says when it fails is shown without its noise, and with the place in the service."""

from __future__ import annotations

from pathlib import Path

import pytest
from stream_cli.deployment.cli_errors import LINES_SHOWN, line_of, reason_in

CONFIGURATION = """\
service: orders # of the shop

custom:
  # not this: eventTableName: x
  eventTableName: ${self:custom.nope}-events
functions:
  trigger:
    handler: orders/handlers/trigger.handler
  listener:
    handler: orders/handlers/listener.handler
    events:
      - stream:
          type: kinesis
          batchSizes: 10
"""

ENVIRONMENT = "Environment: linux, node 22.14.0, osls 4.3.1 (local)\nDocs:        github.com/oss-serverless/osls\n\n"


@pytest.fixture
def service(tmp_path: Path) -> Path:
    made = tmp_path / "orders"
    made.mkdir()
    (made / "serverless.yml").write_text(CONFIGURATION)
    return made


def test_a_variable_that_has_no_value_is_shown_with_its_line(service: Path) -> None:
    said = 'Cannot resolve variable at "custom.eventTableName": Value not found at "self" source'
    output = f"{ENVIRONMENT}Error:\nCannot resolve serverless.yml: Variables resolution errored with:\n  - {said}\n"

    assert reason_in(output, service) == (
        f"Cannot resolve serverless.yml: Variables resolution errored with:\nserverless.yml:5: {said}"
    )


def test_a_property_that_is_not_known_is_shown_with_its_line(service: Path) -> None:
    said = "Configuration error at 'functions.listener.events.0.stream': unrecognized property 'batchSizes'"
    more = "Learn more about configuration validation here: https://github.com/oss-serverless/osls/blob/4.x/docs/a.md"

    reason = reason_in(f"{ENVIRONMENT}Error:\n{said}\n\n{more}\n", service)

    assert reason == f"serverless.yml:12: {said}"


def test_the_stack_trace_of_the_cli_is_left_out_but_for_the_service_s_own_files(service: Path) -> None:
    output = f"""Packaging

{ENVIRONMENT}Error:
TypeError: Cannot read properties of undefined (reading 'Resources')
    at Protection.protect ({service}/resources/protection.js:31:12)
    at PluginManager.runHooks ({service}/node_modules/osls/lib/classes/plugin-manager.js:530:15)
    at async PluginManager.invoke (/elsewhere/node_modules/osls/lib/classes/plugin-manager.js:569:9)
    at node:internal/process/task_queues:105:5
"""

    assert reason_in(output, service).split("\n") == [
        "TypeError: Cannot read properties of undefined (reading 'Resources')",
        f"    at Protection.protect ({service}/resources/protection.js:31:12)",
    ]


def test_of_pip_its_own_errors_are_shown_each_once(service: Path) -> None:
    output = f"""× Stdout: Looking in links: file:///wheels

× Stderr: ERROR: Could not find a version that satisfies the requirement lost==1.0 (from versions: none)
  ERROR: No matching distribution found for lost==1.0
  ERROR: No matching distribution found for lost==1.0

{ENVIRONMENT}Error:
Error: `/usr/bin/python3 -m pip install -t /tmp/a -r requirements.txt` Exited with code 1
    at ChildProcess.<anonymous> (/elsewhere/node_modules/child-process-ext/spawn.js:38:8)
"""

    assert reason_in(output, service).split("\n") == [
        "pip cannot install what requirements.txt names:",
        "  Could not find a version that satisfies the requirement lost==1.0 (from versions: none)",
        "  No matching distribution found for lost==1.0",
    ]


def test_the_reason_of_a_rollback_stays_whole(service: Path) -> None:
    reason = "CREATE_FAILED: EventTable (AWS::DynamoDB::Table)\nTable already exists: events"

    assert reason_in(f"Creating\n\nEnvironment: linux\n\nError:\n{reason}\n", service) == reason


def test_without_a_reason_the_end_of_the_output_is_shown(service: Path) -> None:
    output = "\n".join(["(node:1) Warning: old", "npm warn x", *(f"line {number}" for number in range(60))])

    assert reason_in(output, service).split("\n") == [f"line {number}" for number in range(60 - LINES_SHOWN, 60)]
    assert reason_in("", service) == "it has printed nothing"


def test_colours_are_left_out(service: Path) -> None:
    assert reason_in("\x1b[31m\nError:\n\x1b[0mno\x1b[39m", service) == "no"


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("custom.eventTableName", 5),
        ("functions.listener.handler", 10),
        ("functions.listener.lost", 9),
        ("functions.listener.events.0.stream.batchSizes", 14),
        ("functions.listener.events.1.stream", 11),
        ("lost", 0),
    ],
)
def test_the_line_of_a_property(path: str, line: int, service: Path) -> None:
    assert line_of(service / "serverless.yml", path.split(".")) == line


def test_an_error_of_yaml_and_a_missing_plugin_stay_as_they_are(service: Path) -> None:
    for said in (
        f'Cannot parse "serverless.yml": bad indentation of a mapping entry in "{service}/serverless.yml" (119:11)\n\n'
        " 118 |   name: aws\n 119 |    runtime: x\n-----------------^",
        'osls plugin "serverless-python-requirement" not found. Make sure it\'s installed and listed in the "plugins" '
        'section of your serverless config file. Run "serverless plugin install -n ..." to install it.',
    ):
        assert reason_in(f"{ENVIRONMENT}Error:\n{said}\n", service) == said


def test_a_service_without_a_configuration_in_yaml_has_no_lines(tmp_path: Path) -> None:
    assert line_of(tmp_path / "serverless.yml", ["custom"]) == 0
