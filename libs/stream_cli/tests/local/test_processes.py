from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from stream_cli.errors import CommandError
from stream_cli.local.processes import Child, ChildDied, Supervisor
from stream_cli.local.state import StateFolder, end_process, is_alive, process_start_time, write_json
from stream_cli.terminal.logs import tail

ENVIRONMENT = {"PATH": os.environ["PATH"]}
STUBBORN = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[1], "w")
time.sleep(600)
"""
# Starts a child of its own, writes both process ids, and waits.
FAMILY = """
import os, signal, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session={detached})
open(sys.argv[1] + ".new", "w").write(f"{{os.getpid()}} {{child.pid}}")
os.rename(sys.argv[1] + ".new", sys.argv[1])
time.sleep(600)
"""


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateFolder]:
    folder = StateFolder(tmp_path / "state")
    with folder.owned():
        yield folder


def until(condition: Callable[[], object], timeout_s: float = 15.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true"
        time.sleep(0.02)


def python(source: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", source, *arguments]


def started_family(state: StateFolder, tmp_path: Path, *, detached: bool = False) -> tuple[Child, list[int]]:
    pids = tmp_path / "pids"
    child = Child(state, "family", python(FAMILY.format(detached=detached), str(pids)), environment=ENVIRONMENT)
    until(pids.exists)
    return child, [int(pid) for pid in pids.read_text().split()]


def test_a_child_is_on_record_while_it_runs(state: StateFolder, tmp_path: Path) -> None:
    child, (leader, _) = started_family(state, tmp_path)
    record = state.records()["family"]
    assert record["wrapper"]["pid"] == child.pid
    assert record["child"]["pid"] == leader
    assert is_alive(**record["child"])
    child.stop()
    assert state.records() == {}


@pytest.mark.parametrize("detached", [False, True])
def test_stopping_a_child_ends_its_children_too(state: StateFolder, tmp_path: Path, detached: bool) -> None:
    if detached and not sys.platform.startswith("linux"):
        pytest.skip("only Linux lets a process adopt what left its group")
    child, pids = started_family(state, tmp_path, detached=detached)
    child.stop()
    assert [process_start_time(pid) for pid in pids] == [None, None]


def test_a_child_ends_with_its_children_when_its_starter_is_killed(tmp_path: Path) -> None:
    starter = f"""
import time
from pathlib import Path
from stream_cli.local.processes import Child
from stream_cli.local.state import StateFolder
state = StateFolder({str(tmp_path / "state")!r})
state.logs.mkdir(parents=True)
state.run.mkdir()
child = Child(state, "family", {python(FAMILY.format(detached=False), str(tmp_path / "pids"))!r}, environment={{}})
time.sleep(600)
"""
    killed = subprocess.Popen(python(starter))
    try:
        until((tmp_path / "pids").exists)
        pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    finally:
        killed.kill()
        killed.wait()
    until(lambda: all(process_start_time(pid) is None for pid in pids))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux signals the child of a killed wrapper")
def test_a_child_ends_when_its_wrapper_is_killed(state: StateFolder, tmp_path: Path) -> None:
    child, (leader, its_child) = started_family(state, tmp_path)
    os.kill(child.pid, signal.SIGKILL)
    until(lambda: process_start_time(leader) is None)
    child.stop()
    # Nobody is left to end it: here it has no pipe that closes, as the workers of the emulator have.
    os.kill(its_child, signal.SIGKILL)


def test_a_child_that_ignores_the_request_to_end_is_killed(state: StateFolder, tmp_path: Path) -> None:
    command = python(STUBBORN, str(tmp_path / "up"))
    child = Child(state, "stubborn", command, environment=ENVIRONMENT, grace_s=0.2)
    until((tmp_path / "up").exists)
    leader = state.records()["stubborn"]["child"]["pid"]
    child.stop()
    assert process_start_time(leader) is None


def test_what_a_killed_owner_leaves_is_cleared_by_the_next(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state")
    state.run.mkdir(parents=True)
    (state.root / "tmp" / "left").mkdir(parents=True)
    left = subprocess.Popen(python("import time; time.sleep(600)"), start_new_session=True)
    write_json(state.run / "emulator.json", {"child": {"pid": left.pid, "started": process_start_time(left.pid)}})
    reaper = threading.Thread(target=left.wait)
    reaper.start()
    with state.owned():
        assert list(state.temporary.iterdir()) == []
        assert state.records() == {}
    reaper.join(10)
    assert left.returncode == -signal.SIGTERM


def test_another_process_that_got_the_process_id_is_left_alone(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state")
    state.run.mkdir(parents=True)
    stranger = subprocess.Popen(python("import time; time.sleep(600)"), start_new_session=True)
    try:
        earlier = time.time() - 60
        write_json(state.run / "emulator.json", {"child": {"pid": stranger.pid, "started": earlier}})
        with state.owned():
            assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_folder_has_one_owner(state: StateFolder) -> None:
    me = {"pid": os.getpid(), "started": process_start_time(os.getpid()), "launchers": []}
    write_json(state.cloud_file, {"endpoint": "http://127.0.0.1:1", "owner": me})
    with pytest.raises(CommandError, match="already runs"), StateFolder(state.root).owned():
        pass


def test_a_folder_is_waited_for_while_its_owner_begins_or_ends(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state")
    with ThreadPoolExecutor() as threads:

        def taken() -> bool:
            with StateFolder(state.root).owned():
                return True

        with state.owned():
            assert state.cloud() is None
            successor = threads.submit(taken)
            with pytest.raises(TimeoutError):
                successor.result(0.3)
        assert successor.result(30)


def test_a_folder_that_is_neither_announced_nor_free_is_told(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream_cli.local.state._HANDOVER_S", 0)
    with pytest.raises(CommandError, match="is not announced"), StateFolder(state.root).owned():
        pass


def test_nothing_but_logs_is_left_of_a_folder(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state")
    with state.owned():
        (state.temporary / "something").write_text("temporary")
        state.log("emulator").write_text("a line")
    assert sorted(path.name for path in state.root.iterdir()) == ["lock", "logs"]


def test_a_cloud_whose_owner_is_gone_does_not_run(state: StateFolder) -> None:
    gone = subprocess.Popen(python(""))
    started = process_start_time(gone.pid)
    gone.wait()
    write_json(state.cloud_file, {"owner": {"pid": gone.pid, "started": started}})
    assert state.cloud() is None


def test_a_process_that_has_ended_is_not_alive() -> None:
    ended = subprocess.Popen(python(""))
    started = process_start_time(ended.pid)
    until(lambda: process_start_time(ended.pid) is None)
    assert started is not None
    assert not is_alive(ended.pid, started)
    end_process(ended.pid, started, group=False)
    ended.wait()


def test_a_child_that_dies_is_reported_with_the_end_of_its_log(state: StateFolder) -> None:
    with Supervisor(state) as supervisor:
        supervisor.start("emulator", python("print('the reason'); raise SystemExit(7)"), environment=ENVIRONMENT)
        with pytest.raises(ChildDied, match=r"emulator has stopped \(exit code 7\)(.|\n)*the reason"):
            supervisor.wait_until(lambda: False, "never", timeout_s=15)


def test_a_condition_that_never_holds_is_given_up(state: StateFolder) -> None:
    with Supervisor(state) as supervisor, pytest.raises(CommandError, match="in vain until pigs fly"):
        supervisor.wait_until(lambda: False, "pigs fly", timeout_s=0.1)


def test_a_command_that_runs_to_its_end_gives_its_exit_code(state: StateFolder) -> None:
    with Supervisor(state) as supervisor:
        assert supervisor.run("one", python("raise SystemExit(3)"), environment=ENVIRONMENT) == 3
        assert supervisor.run("two", python("import os; os.kill(os.getpid(), 9)"), environment=ENVIRONMENT) == 137


def test_a_command_that_is_cancelled_is_ended(state: StateFolder) -> None:
    cancelled = threading.Event()
    cancelled.set()
    with Supervisor(state) as supervisor, pytest.raises(CommandError, match="was stopped"):
        supervisor.run("long", python("import time; time.sleep(600)"), environment=ENVIRONMENT, cancelled=cancelled)
    assert state.records() == {}


def test_the_tail_of_a_log_is_its_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "some.log"
    assert tail(log) == "(no log)"
    log.write_text("".join(f"{n}\n" for n in range(100)))
    assert tail(log, 2) == "98\n99"


def test_without_its_launcher_a_cloud_stops(state: StateFolder) -> None:
    launcher = subprocess.Popen(python("import time; time.sleep(600)"))
    known = {"pid": launcher.pid, "started": process_start_time(launcher.pid), "command": "npm start"}
    with Supervisor(state, [known]) as supervisor:
        supervisor.check()
        launcher.kill()
        launcher.wait()
        with pytest.raises(CommandError, match="what started this is gone: npm start"):
            supervisor.wait_until(lambda: False, "never", timeout_s=15)


def test_a_folder_is_handed_over_by_an_owner_whose_launcher_was_killed(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state")
    gone = subprocess.Popen(python(""))
    launcher = {"pid": gone.pid, "started": process_start_time(gone.pid)}
    gone.wait()
    taking = f"""
from stream_cli.local.state import StateFolder
with StateFolder({str(state.root)!r}).owned():
    print("taken")
"""
    with state.owned():
        me = {"pid": os.getpid(), "started": process_start_time(os.getpid()), "launchers": [launcher]}
        write_json(state.cloud_file, {"endpoint": "http://127.0.0.1:1", "owner": me})
        successor = subprocess.Popen(python(taking), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        with pytest.raises(subprocess.TimeoutExpired):
            successor.wait(0.5)
    assert successor.communicate(timeout=15)[0] == "taken\n"


def test_a_child_that_may_be_revived_is_started_again(state: StateFolder) -> None:
    with Supervisor(state) as supervisor:
        first = supervisor.start("mappings", python("import time; time.sleep(600)"), environment=ENVIRONMENT)
        until(lambda: "mappings" in state.records())
        assert supervisor.revive({"mappings"}) == []
        os.kill(state.records()["mappings"]["child"]["pid"], signal.SIGKILL)
        until(lambda: first.exit_code() is not None)
        assert supervisor.revive({"mappings"}) == ["mappings"]
        until(lambda: "mappings" in state.records())
        supervisor.check()


def test_a_child_that_ends_while_another_is_started_again_is_the_next(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Supervisor(state) as supervisor:
        both = {
            name: supervisor.start(name, python("import time; time.sleep(600)"), environment=ENVIRONMENT)
            for name in ("deliveries", "mappings")
        }
        until(lambda: both.keys() <= state.records().keys())
        pids = {name: state.records()[name]["child"]["pid"] for name in both}
        again = Child.again

        def slowly(child: Child) -> Child:
            if child.name == "mappings":
                os.kill(pids["deliveries"], signal.SIGKILL)
                until(lambda: both["deliveries"].exit_code() is not None)
            return again(child)

        monkeypatch.setattr(Child, "again", slowly)
        os.kill(pids["mappings"], signal.SIGKILL)
        until(lambda: both["mappings"].exit_code() is not None)
        assert supervisor.revive(both.keys()) == ["mappings"]
        assert supervisor.revive(both.keys()) == ["deliveries"]


def test_a_child_that_ends_again_and_again_is_reported(state: StateFolder) -> None:
    with Supervisor(state) as supervisor:
        supervisor.start("mappings", python("raise SystemExit(7)"), environment=ENVIRONMENT)
        with pytest.raises(ChildDied, match="exit code 7"):
            until(lambda: supervisor.revive({"mappings"}) == ["never"])


def test_a_cloud_goes_on_without_a_child_that_is_not_needed(state: StateFolder) -> None:
    with Supervisor(state) as supervisor:
        seen = state.root / "seen"
        source = f"open({str(seen)!r}, 'a').write('.'); raise SystemExit(7)"
        supervisor.start("console", python(source), environment=ENVIRONMENT, needed=False)
        until(lambda: supervisor.revive({"console"}) == ["console"])
        until(lambda: supervisor.revive({"console"}) == [] and len(seen.read_text()) == 4)
        supervisor.check()
