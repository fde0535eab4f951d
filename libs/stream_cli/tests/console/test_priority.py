"""The console's process gives way to the processes of the cloud, each of which has a session of its own."""

import subprocess
import sys
from pathlib import Path

import pytest
from stream_cli.console import priority

TOLD = """
import os; from pathlib import Path
print(os.sched_getscheduler(0) == os.SCHED_BATCH, os.nice(0), *Path('/proc/self/autogroup').read_text().split()[1:])
"""
needs_groups = pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="no groups of sessions here")


def told(code, **options):
    command = [sys.executable, "-c", f"{code}\n{TOLD}"]
    return subprocess.run(command, capture_output=True, text=True, check=True, **options).stdout.split()


@needs_groups
def test_a_process_with_a_session_of_its_own_gives_way_to_other_sessions():
    code = "from stream_cli.console.priority import give_way; give_way()"
    assert told(code, start_new_session=True) == ["True", "10", "nice", "10"]


@needs_groups
def test_a_session_with_other_processes_stays_as_it_is():
    code = (
        "import os; from stream_cli.console.priority import give_way; os.fork() or (give_way(), os._exit(0)); os.wait()"
    )
    assert told(code, start_new_session=True) == ["False", "0", "nice", "0"]


def test_the_kernel_takes_one_change_in_a_while(monkeypatch, tmp_path):
    tries, group = [], tmp_path / "autogroup"
    group.write_text("nice 0")

    def write(path, text):
        tries.append(text)
        if len(tries) < 3:
            raise BlockingIOError
        return len(text)

    monkeypatch.setattr(Path, "write_text", write)
    monkeypatch.setattr(priority, "_OF_SESSION", group)
    monkeypatch.setattr(priority.os, "nice", lambda _: 0)
    monkeypatch.setattr(priority.os, "sched_setscheduler", lambda *_: None, raising=False)
    monkeypatch.setattr(priority.os, "getsid", lambda _: priority.os.getpid())
    monkeypatch.setattr(priority.time, "sleep", lambda _: None)
    priority.give_way()
    assert tries == ["10"] * 3
