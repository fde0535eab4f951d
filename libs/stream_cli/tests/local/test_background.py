"""A cloud in the background: whose files it writes, and what is said of it when it has died."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from stream_cli.errors import CommandError
from stream_cli.local.background import show_status
from stream_cli.local.ending import end_recorded, why
from stream_cli.local.processes import Supervisor
from stream_cli.local.state import StateFolder, process_start_time, write_json
from stream_cli.terminal.signals import Stopped

ENDED_WITHIN_S = 30.0
KILLS_UNTIL_GIVEN_UP = 4


class Cloud:
    """`streamctl` with a toolchain whose Serverless CLI does nothing, and one service."""

    def __init__(self, root: Path) -> None:
        cli = root / "node_modules/osls/bin/serverless.js"
        cli.parent.mkdir(parents=True)
        cli.write_text("")
        (root / ".build/wheels").mkdir(parents=True)
        (root / "services/control-service").mkdir(parents=True)
        (root / "services/control-service/serverless.yml").write_text("service: control-service\n")
        self.root = root
        self.state = StateFolder(root / "state")

    def run(self, *words: str, umask: int = -1) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "stream_cli.cli", *words, "--state", str(self.state.root)],
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            umask=umask,
        )

    def up(self, umask: int = -1) -> dict[str, int]:
        """Start it; gives the ids of its processes."""
        started = self.run("up", umask=umask)
        assert started.returncode == 0, started.stdout + started.stderr
        running = json.loads(self.run("status", "--json").stdout)
        return {"owner": running["cloud"]["owner"]["pid"], **running["processes"]}

    def other_emulator(self, than: int, owner: int) -> dict[str, int]:
        """Wait for the emulator that is started in place of one, or for the end of the cloud."""
        deadline = time.monotonic() + ENDED_WITHIN_S
        while process_start_time(owner) is not None:
            record = self.state.records().get("emulator")
            if record is not None and record["child"]["pid"] != than:
                return {"emulator": record["child"]["pid"]}
            assert time.monotonic() < deadline, "the emulator was not started again"
            time.sleep(0.05)
        return {}

    @staticmethod
    def wait_for_the_end(pid: int) -> None:
        deadline = time.monotonic() + ENDED_WITHIN_S
        while process_start_time(pid) is not None:
            assert time.monotonic() < deadline, f"process {pid} has not ended"
            time.sleep(0.05)


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    made = Cloud(tmp_path)
    yield made
    if made.state.cloud():
        made.run("down")


def open_to_others(folder: Path) -> list[Path]:
    """What other users have a right to; links have no modes of their own."""
    found = [folder, *folder.rglob("*")]
    return [each for each in found if not each.is_symlink() and stat.S_IMODE(each.stat().st_mode) & 0o077]


@pytest.mark.thorough
def test_a_cloud_that_died_is_told_of_by_status_and_by_its_log(cloud: Cloud) -> None:
    # One that was killed left these behind.
    gone = {"pid": os.getpid(), "started": 0.0, "launchers": []}
    write_json(cloud.state.cloud_file, {"endpoint": "http://127.0.0.1:1", "port": 1, "owner": gone})
    cloud.state.serve_log.write_text("its last words\n")

    pids = cloud.up(umask=0)
    assert open_to_others(cloud.state.root) == []
    before = cloud.state.previous_serve_log.read_text()
    assert before.startswith("its last words\n")
    assert f"Its process {gone['pid']} ended without a word: it was killed" in before

    for _ in range(KILLS_UNTIL_GIVEN_UP):
        os.kill(pids["emulator"], signal.SIGKILL)
        pids |= cloud.other_emulator(than=pids["emulator"], owner=pids["owner"])
    cloud.wait_for_the_end(pids["owner"])
    status = cloud.run("status")
    assert status.returncode == 3
    assert "The last cloud ended: emulator has stopped (exit code 137), killed by SIGKILL." in status.stdout
    log = cloud.state.serve_log.read_text()
    assert log.count("Z emulator had stopped (exit code 137, killed by SIGKILL) and was restarted") == 3
    assert "Z The cloud ends. emulator has stopped (exit code 137), killed by SIGKILL." in log
    assert open_to_others(cloud.state.root) == []


def test_status_names_what_has_died_before_the_cloud_ends(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    state = StateFolder(tmp_path / "state")
    with state.owned():
        me = {"pid": os.getpid(), "started": process_start_time(os.getpid()), "launchers": []}
        write_json(state.cloud_file, {"endpoint": "http://127.0.0.1:1", "port": 1, "deployed": True, "owner": me})
        for name in ("deliveries", "mappings"):
            write_json(state.run / f"{name}.json", {"child": me, "wrapper": me})
        assert show_status(state, as_json=False) == 3
        assert (
            f"  emulator         has died, and it is being restarted; log {state.log('emulator')}"
            in capfd.readouterr()[0]
        )
        assert show_status(state, as_json=True) == 3
        assert json.loads(capfd.readouterr()[0])["dead"] == ["emulator"]
        for name in ("deliveries", "mappings"):
            (state.run / f"{name}.json").unlink()


def test_a_process_that_got_the_id_of_the_cloud_is_not_taken_for_it(tmp_path: Path) -> None:

    state = StateFolder(tmp_path / "state")
    owner = {"pid": os.getpid(), "started": (process_start_time(os.getpid()) or 0) - 60, "launchers": []}
    write_json(state.cloud_file, {"endpoint": "http://127.0.0.1:1", "port": 1, "owner": owner})
    assert state.cloud() is None
    ended = state.last_end()
    assert ended is not None
    assert "ended without a word" in ended["why"]


def test_an_unexpected_error_is_kept_with_its_traceback(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state")
    with pytest.raises(ZeroDivisionError), end_recorded(state):
        1 / 0  # noqa: B018
    ended = state.last_end()
    assert ended is not None
    assert ended["why"] == "ZeroDivisionError: division by zero"
    assert "1 / 0" in ended["text"]


def test_a_cloud_without_the_process_that_started_it_says_so(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state")
    gone = {"pid": os.getpid(), "started": 0.0, "command": "npm start"}
    with pytest.raises(CommandError), Supervisor(state, [gone]) as supervisor, end_recorded(state):
        supervisor.check()
    ended = state.last_end()
    assert ended is not None
    assert "what started this is gone: npm start" in ended["why"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_named(number: signal.Signals) -> None:
    assert why(Stopped(number)) == f"It was stopped by {number.name}."


def test_up_deploys_a_service_in_any_folder_beside_the_hub(cloud: Cloud) -> None:
    own = cloud.root / "another folder" / "my-orders"
    for folder in (cloud.root / "services/event-hub", own):
        folder.mkdir(parents=True)
        (folder / "serverless.yml").write_text(f"service: {folder.name}\n")
    started = cloud.run("up", str(own))
    assert started.returncode == 0, started.stderr
    assert re.findall(r"sls deploy (\S+)", started.stdout) == ["event-hub", "my-orders"]
    again = cloud.run("up", "control-service", str(own))
    assert again.returncode == 0, again.stderr
    assert "It runs already" in again.stdout
    assert set(re.findall(r"sls deploy (\S+)", again.stdout)) == {"control-service", "my-orders"}
