"""Set-up runs the steps that are not done, and survives being stopped, failing and running twice."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from toolchain import ROOT, RUNTIME_FILES, STEPS, UV, SetUpStep, build_runtime_wheel, say

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
# A set-up with a step in a lane of its own for each shell command of the test; the first makes the folder `made`.
STEPS_BESIDE_EACH_OTHER = """
import sys
import toolchain
from toolchain import ROOT, SetUpStep, main, run

def step(name, folder, command):
    def make():
        run("sh", "-c", command)
        (ROOT / folder).mkdir(exist_ok=True)

    return SetUpStep(name, ROOT / folder / ".setup-stamp", ("input",), make, name)

names = (("thing", "made"), ("other", "also"))
toolchain.STEPS = tuple(step(*name, command) for name, command in zip(names, sys.argv[1:]))
main([])
"""

# Waits for the file `go`, for half a minute at most.
UNTIL_GO = "i=0; while [ ! -e go ] && [ $i -lt 1500 ]; do i=$((i+1)); sleep 0.02; done"


@pytest.fixture
def checkout(tmp_path):
    """A folder with the scripts and the input of the only step."""
    shutil.copytree(SCRIPTS, tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "input").write_text("1")
    return tmp_path


@pytest.fixture
def start(checkout):
    """Starts a set-up whose steps, one in general, run shell commands; it ends with the test."""
    started = []

    def begin(*commands):
        process = subprocess.Popen(
            [sys.executable, "-c", STEPS_BESIDE_EACH_OTHER, *commands],
            cwd=checkout,
            env={**os.environ, "PYTHONPATH": str(checkout / "scripts")},
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def finish(process):
    """Wait for a set-up; returns its exit code and its lines on stderr."""
    _, said = process.communicate(timeout=30)
    return process.returncode, said.splitlines()


def wait_until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true"
        time.sleep(0.01)


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_step_prints_one_line_with_its_time(start):
    code, said = finish(start("true"))
    assert code == 0
    assert [line.split()[0] for line in said] == ["thing", "Everything"]
    assert said[0].endswith(" s")


def test_a_step_that_is_done_is_skipped(start):
    finish(start("true"))
    assert finish(start("exit 1")) == (0, ["Everything is in place."])


def test_a_step_runs_again_when_its_input_has_changed(start, checkout):
    finish(start("true"))
    (checkout / "input").write_text("2")
    code, said = finish(start("true"))
    assert (code, said[0].split()[0]) == (0, "thing")


def test_a_step_runs_again_when_its_result_is_gone(start, checkout):
    finish(start("true"))
    shutil.rmtree(checkout / "made")
    _, said = finish(start("true"))
    assert said[0].split()[0] == "thing"


def test_a_failed_step_shows_its_output_and_runs_again_next_time(start):
    code, said = finish(start("echo the reason; exit 3"))
    assert code == 1
    assert said[0] == "the reason"
    assert "sh exited with 3" in said[1]
    assert said[-1] == "Set-up failed."
    assert finish(start("true"))[0] == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_set_up_ends_its_command_and_the_next_one_continues(start, checkout, number):
    process = start("echo $$ > pid.new; mv pid.new pid; sleep 600")
    wait_until((checkout / "pid").exists)
    process.send_signal(number)
    process.send_signal(number)
    code, said = finish(process)
    assert code == 128 + number
    assert said[-1] == "Set-up was stopped; the next command continues from here."
    wait_until(lambda: not is_running(int((checkout / "pid").read_text())))
    assert finish(start("true"))[1][0].split()[0] == "thing"


def test_a_signal_that_is_repeated_until_the_end_changes_nothing(start, checkout):
    process = start("touch begun; sleep 600")
    wait_until((checkout / "begun").exists)
    while process.poll() is None:
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 128 + signal.SIGTERM


def test_steps_of_two_lanes_run_beside_each_other(start):
    meet = "touch {own}; i=0; until [ -e {other} ]; do i=$((i+1)); [ $i -lt 1000 ] || exit 1; sleep 0.02; done"
    code, said = finish(start(meet.format(own="one", other="two"), meet.format(own="two", other="one")))
    assert code == 0, said
    assert sorted(line.split()[0] for line in said[:2]) == ["other", "thing"]


def test_a_step_that_fails_ends_the_other_which_says_nothing_and_both_run_again(start, checkout):
    wait = "echo $$ > pid.new; mv pid.new pid; sleep 600"
    code, said = finish(start(wait, "until [ -e pid ]; do sleep 0.02; done; echo the reason; exit 3"))
    assert code == 1
    assert said[0] == "the reason"
    assert said[-1] == "Set-up failed."
    assert [line for line in said if "exited with" in line and "sh exited with 3" not in line] == []
    assert not is_running(int((checkout / "pid").read_text()))
    assert sorted(line.split()[0] for line in finish(start("true", "true"))[1][:2]) == ["other", "thing"]


def test_lines_of_two_lanes_do_not_mix(monkeypatch):
    written = []
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: False, write=written.append, flush=lambda: None))
    say("thing 0.1 s")
    assert written == ["thing 0.1 s\n"], "the other lane may write between two writes"


def test_a_stopped_set_up_ends_the_commands_of_both_lanes(start, checkout):
    process = start(*(f"echo $$ > {name}.new; mv {name}.new {name}; sleep 600" for name in ("one", "two")))
    wait_until(lambda: (checkout / "one").exists() and (checkout / "two").exists())
    process.send_signal(signal.SIGINT)
    code, said = finish(process)
    assert (code, said) == (128 + signal.SIGINT, ["Set-up was stopped; the next command continues from here."])
    for name in ("one", "two"):
        wait_until(lambda name=name: not is_running(int((checkout / name).read_text())))


def test_a_second_set_up_waits_for_the_first_and_repeats_nothing(start, checkout):
    first = start(f"touch begun; {UNTIL_GO}")
    wait_until((checkout / "begun").exists)
    second = start("touch repeated")
    assert second.stderr.readline() == "Waiting for another set-up of this folder to finish\n"
    (checkout / "go").touch()
    assert finish(first)[0] == 0
    assert finish(second) == (0, ["Everything is in place."])
    assert not (checkout / "repeated").exists()


def test_a_set_up_waits_for_the_command_that_a_killed_one_has_left(start, checkout):
    first = start(f"touch begun; {UNTIL_GO}; touch over")
    wait_until((checkout / "begun").exists)
    first.kill()
    first.wait()
    second = start("test -e over")
    assert second.stderr.readline() == "Waiting for another set-up of this folder to finish\n"
    (checkout / "go").touch()
    assert finish(second)[0] == 0


def test_the_same_sources_give_the_same_bytes_of_the_runtimes_wheel(tmp_path):
    built = []
    for name in ("one", "two"):
        build = [UV, "build", "--offline", "--quiet", "--wheel", "--out-dir", tmp_path / name, "libs/stream_runtime"]
        subprocess.run(build, cwd=ROOT, check=True, timeout=60)
        built += [wheel.read_bytes() for wheel in (tmp_path / name).glob("*.whl")]
    assert len(built) == 2
    assert built[0] == built[1]


def test_the_stamp_of_the_runtimes_wheel_covers_every_source_file(tmp_path):
    step = SetUpStep("wheel", tmp_path / "stamp", RUNTIME_FILES, build_runtime_wheel)
    sources = {path.relative_to(ROOT).as_posix() for path in step.files()}
    assert "libs/stream_runtime/pyproject.toml" in sources
    assert "libs/stream_runtime/src/stream_runtime/py.typed" in sources
    assert [path for path in sources if "__pycache__" in path] == []


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_every_input_of_a_step_is_there(step):
    assert [name for name in step.inputs if not (ROOT / name).exists()] == []
