from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from stream_cli.deployment.services import find_services
from stream_cli.local.cloud import LocalCloud
from stream_cli.local.deploy import DeploymentFailed, deploy
from stream_cli.local.endpoint import LocalEndpoint
from stream_cli.local.processes import Supervisor
from stream_cli.local.state import StateFolder
from stream_cli.terminal.progress import Steps

# Stands for the Serverless CLI: says what it was called with, and does what the service's file tells it.
CLI = """
const fs = require('fs'), path = require('path');
const script = fs.readFileSync('serverless.yml', 'utf8');
fs.appendFileSync('../calls', path.basename(process.cwd()) + ' ' + process.argv.slice(2).join(' ') + '\\n');
console.log('Deploying ' + path.basename(process.cwd()) + ' to ' + process.env.AWS_ENDPOINT_URL);
eval(script);
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    cli = tmp_path / "node_modules/osls/bin/serverless.js"
    cli.parent.mkdir(parents=True)
    cli.write_text(CLI)
    (tmp_path / ".build/wheels").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def nowhere(tmp_path: Path) -> Iterator[LocalCloud]:
    state = StateFolder(tmp_path / "state")
    with state.owned(), Supervisor(state) as supervisor:
        yield LocalCloud(state, supervisor, LocalEndpoint(4566))


@pytest.fixture
def output() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def steps(output: io.StringIO) -> Iterator[Steps]:
    with Steps(Console(file=output, width=200)) as steps:
        yield steps


def services(root: Path, **scripts: str) -> list[Path]:
    for name, script in scripts.items():
        folder = root / "services" / name.replace("_", "-")
        folder.mkdir(parents=True)
        (folder / "serverless.yml").write_text(script)
    return find_services(root / "services")


def calls(root: Path) -> list[str]:
    return (root / "services/calls").read_text().splitlines()


def test_the_hub_is_deployed_first(root: Path, nowhere: LocalCloud, steps: Steps) -> None:
    deploy(nowhere, services(root, control="", event_hub="", rest=""), steps)
    assert calls(root)[0].startswith("event-hub deploy --stage local --region us-east-1")
    assert {call.split()[0] for call in calls(root)[1:]} == {"control", "rest"}


def test_each_deployment_is_shown_with_its_time_and_logged_in_full(
    root: Path, nowhere: LocalCloud, steps: Steps, output: io.StringIO
) -> None:
    deploy(nowhere, services(root, event_hub="console.log('Stack created')"), steps)
    (line,) = output.getvalue().splitlines()
    assert line.startswith("✓ sls deploy event-hub")
    assert line.rstrip().endswith(" s")
    log = nowhere.state.log("deploy-event-hub").read_text()
    assert log.splitlines() == ["Deploying event-hub to http://127.0.0.1:4566", "Stack created"]


def test_a_deployment_that_fails_is_shown_with_the_end_of_its_log(
    root: Path, nowhere: LocalCloud, steps: Steps
) -> None:
    broken = "console.error('Stack event-hub does not exist'); process.exitCode = 3"
    with pytest.raises(DeploymentFailed, match=r"control failed \(exit code 3\)") as failure:
        deploy(nowhere, services(root, control=broken), steps)
    assert "Stack event-hub does not exist" in str(failure.value)
    assert str(nowhere.state.log("deploy-control")) in str(failure.value)


def test_when_one_deployment_fails_the_others_are_stopped(root: Path, nowhere: LocalCloud, steps: Steps) -> None:
    found = services(root, a="process.exitCode = 3", b="setTimeout(() => {}, 600000)", c="")
    with pytest.raises(DeploymentFailed, match="deploy of a failed"):
        deploy(nowhere, found, steps)
    assert nowhere.state.records() == {}


def test_two_clouds_do_not_deploy_from_one_folder_at_the_same_time(
    root: Path, nowhere: LocalCloud, steps: Steps, tmp_path: Path
) -> None:
    exclusive = """
        fs.mkdirSync('.serverless');
        setTimeout(() => fs.rmdirSync('.serverless'), 300);
    """
    found = services(root, control=exclusive)
    other = StateFolder(tmp_path / "other")
    with other.owned(), Supervisor(other) as supervisor:
        second = LocalCloud(other, supervisor, LocalEndpoint(4567))
        thread = threading.Thread(target=deploy, args=(second, found, steps))
        thread.start()
        deploy(nowhere, found, steps)
        thread.join(20)
    assert len(calls(root)) == 2
    assert not thread.is_alive()
