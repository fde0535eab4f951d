"""However the local cloud is stopped, nothing of it is left; what a kill -9 leaves, the next start clears away."""

from __future__ import annotations

import functools
import json
import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.system


# SIGINT and SIGTERM have one handler, so one of them is sent in one test.
more_of_the_same = functools.partial(pytest.param, marks=pytest.mark.thorough)
DEPLOYED_BY_THE_CLI = """
service: {name}
provider: {{name: aws, runtime: python3.14, region: us-east-1, stage: "${{opt:stage, 'local'}}"}}
resources: {{Resources: {{Queue: {{Type: AWS::SQS::Queue}}}}}}
"""


def made(folder: Path, *names: str) -> tuple[str, str]:
    """Services in a folder of their own: nothing is packaged for it yet, so that processes of the CLI deploy."""
    for name in names:
        (folder / "services" / name).mkdir(parents=True)
        (folder / "services" / name / "serverless.yml").write_text(DEPLOYED_BY_THE_CLI.format(name=name))
    return "--services", str(folder / "services")


@pytest.fixture
def services(tmp_path: Path) -> tuple[str, str]:
    """Two services."""
    return made(tmp_path, "bills", "orders")


@pytest.fixture
def service(tmp_path: Path) -> tuple[str, str]:
    """One, where more would only start more processes."""
    return made(tmp_path, "bills")


@pytest.mark.parametrize("stop", [signal.SIGINT, more_of_the_same(signal.SIGTERM)])
def test_stopped_during_a_deployment_it_leaves_nothing(
    streamctl: Any, services: tuple[str, str], stop: signal.Signals
) -> None:
    process = streamctl.start("start", *services)
    port = streamctl.begins_to_deploy(services=2)
    assert len(streamctl.processes()) > 5
    # A terminal's Ctrl-C reaches the whole group, and npm passes it on once more.
    os.killpg(process.pid, stop)
    process.send_signal(stop)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + stop
    assert "Traceback" not in output
    assert streamctl.left() == ["lock", "logs"]
    assert streamctl.processes() == {}
    assert streamctl.is_closed(port)


def test_processes_left_by_a_kill_end_and_the_next_start_clears_the_folder(
    streamctl: Any, service: tuple[str, str]
) -> None:
    process = streamctl.start("start", *service)
    port = streamctl.begins_to_deploy()
    process.kill()
    process.wait()
    streamctl.wait_until_nothing_runs()
    assert streamctl.is_closed(port)
    assert f"Its process {process.pid} ended without a word: it was killed" in streamctl.run_here("status").stdout
    assert "tmp" in streamctl.left()
    (streamctl.state / "tmp" / "left-behind").mkdir()
    # The record of the killed one's deployment is gone with its wrapper, so the next one seen is the next start's.
    assert list((streamctl.state / "run").iterdir()) == []

    again = streamctl.start("start", *service)
    streamctl.begins_to_deploy()
    assert not (streamctl.state / "tmp" / "left-behind").exists()
    again.send_signal(signal.SIGINT)
    again.communicate(timeout=60)
    assert "The last cloud ended: It was stopped by SIGINT." in streamctl.run_here("status").stdout
    assert streamctl.left() == ["lock", "logs"]
    assert streamctl.processes() == {}


@pytest.mark.parametrize("stop", [*map(more_of_the_same, (signal.SIGINT, signal.SIGTERM)), signal.SIGKILL])
def test_stopping_npm_stops_all_processes_of_npm_start(
    streamctl: Any, service: tuple[str, str], stop: signal.Signals
) -> None:
    npm = streamctl.npm_start(*service)
    port = streamctl.begins_to_deploy()
    npm.send_signal(stop)
    npm.wait(60)
    streamctl.wait_until_nothing_runs()
    assert streamctl.left() == ["lock", "logs"]
    assert streamctl.is_closed(port)


def test_an_emulator_that_dies_is_named_with_the_end_of_its_log(streamctl: Any, service: tuple[str, str]) -> None:
    process = streamctl.start("start", *service)
    record = streamctl.state / "run" / "emulator.json"
    streamctl.begins_to_deploy()
    os.kill(json.loads(record.read_text())["child"]["pid"], signal.SIGKILL)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "emulator has stopped (exit code 137)" in output
    assert "Ready" in output
    assert streamctl.processes() == {}
    status = streamctl.run_here("status")
    assert status.returncode == 3
    assert "The last cloud ended: emulator has stopped (exit code 137), killed by SIGKILL." in status.stdout


def test_a_taken_port_is_named(streamctl: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ran: subprocess.CompletedProcess[str] = streamctl.run("start", "--port", str(port))
    assert ran.returncode == 1
    assert f"Port {port} on 127.0.0.1 cannot be used: Address already in use" in ran.stderr
    assert streamctl.left() == ["lock", "logs"]
