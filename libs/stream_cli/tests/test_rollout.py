"""All services of a stage are deployed and removed in the right order, and one summary says what became of each."""

import json
import shutil

import pytest
from stream_cli import rollout
from typer.testing import CliRunner

# Stands for the Serverless CLI: writes down what it was told and when, and fails where a service says so.
CLI = """
const fs = require('fs');
const name = process.cwd().split('/').pop();
fs.appendFileSync(process.env.TRACE, JSON.stringify([name, ...process.argv.slice(2)]) + '\\n');
if (fs.existsSync('fails')) { console.log('stack is in a state'); process.exit(1); }
"""


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A root with a toolchain, and three services in it."""
    cli = tmp_path / "node_modules/osls/bin/serverless.js"
    cli.parent.mkdir(parents=True)
    cli.write_text(CLI)
    (tmp_path / ".build/wheels").mkdir(parents=True)
    for name in ("control-service", "event-hub", "rest-bff-service"):
        (tmp_path / "services" / name).mkdir(parents=True)
        (tmp_path / "services" / name / "serverless.yml").write_text(f"service: {name}\n")
    monkeypatch.setenv("TRACE", str(tmp_path / "trace"))
    monkeypatch.setenv("PATH", f"{shutil.which('node').rpartition('/')[0]}:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rollout, "_account", lambda region: "123456789012")
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(rollout.app, list(arguments))


def calls(workplace):
    return [json.loads(line) for line in (workplace / "trace").read_text().splitlines()]


def test_the_hub_is_deployed_first_and_every_service_to_the_stage(workplace):
    result = run("deploy", "--stage", "dev", "--region", "eu-central-1")
    assert result.exit_code == 0, result.output
    assert calls(workplace)[0] == ["event-hub", "deploy", "--stage", "dev", "--region", "eu-central-1"]
    assert {call[0] for call in calls(workplace)} == {"event-hub", "control-service", "rest-bff-service"}


def test_the_hub_is_removed_last(workplace):
    assert run("remove", "--stage", "dev", "--confirm", "dev").exit_code == 0
    assert calls(workplace)[-1][:2] == ["event-hub", "remove"]


def test_nothing_is_removed_unless_the_stage_is_said_twice(workplace):
    result = run("remove", "--stage", "prod", "--confirm", "dev")
    assert result.exit_code == 2
    assert not (workplace / "trace").exists()


def test_what_needs_the_hub_is_not_begun_where_it_fails(workplace):
    (workplace / "services/event-hub/fails").touch()
    result = run("deploy", "--stage", "dev")
    assert result.exit_code == 1
    assert [call[0] for call in calls(workplace)] == ["event-hub"]
    assert "stack is in a state" in result.output
    assert result.output.count("not begun") == 2


def test_a_service_that_fails_leaves_the_others_to_end(workplace):
    (workplace / "services/control-service/fails").touch()
    result = run("deploy", "--stage", "dev")
    assert result.exit_code == 1
    assert {call[0] for call in calls(workplace)} == {"event-hub", "control-service", "rest-bff-service"}


def test_only_the_services_that_are_named_are_deployed(workplace):
    run("deploy", "control-service", "--stage", "dev")
    assert [call[0] for call in calls(workplace)] == ["control-service"]


@pytest.mark.parametrize("arguments", [["deploy", "--stage", "local"], ["deploy", "no-such", "--stage", "dev"]])
def test_a_stage_or_a_service_that_is_none_is_refused(workplace, arguments):
    result = run(*arguments)
    assert result.exit_code != 0
    assert not (workplace / "trace").exists()
