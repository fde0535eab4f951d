"""A soak says what is wrong with its arguments, and ends with what was played when somebody stops it."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest
from histories import History as of_the_runtime
from simulator.histories import History as of_the_system
from soak import arguments_of, parser_of_arguments
from toolchain import ROOT

SOAK = [sys.executable, "scripts/soak.py"]
# The soak of the system with histories that take a moment, of which each fifth breaks a promise.
OF_NOTHING = """
import signal, sys, time, types
import soak
sys.path[:0] = [str(soak.ROOT), str(soak.ROOT / "tests" / "simulation"), str(soak.HARNESS)]
from simulator import histories, soaking

def failure_of(history):
    time.sleep(0.01)  # a history takes its time
    return types.SimpleNamespace(promise="every_story_is_ready") if history.seed % 5 == 0 else None

soaking.deployed = lambda: None
soaking.generate = lambda seed: histories.History(seed, ())
soaking.failure_of = failure_of
soaking.smallest = lambda failure, **_: failure
soaking.told = lambda failure: "a story"
sys.exit(soak.main())
"""
STORY = {"seed": 1, "steps": [], "troubles": [], "afterwards": []}
RECORDS = {"seed": 1, "kind": "sqs", "items": [], "pipelines": []}


@pytest.fixture
def start():
    """Starts a soak in a process group of its own, as a terminal does; it ends with the test."""
    started = []

    def begin(*command):
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true"
        time.sleep(0.1)  # what other processes do is asked for, of all that there are


def said_by(*arguments):
    ran = subprocess.run([*SOAK, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    return ran.returncode, ran.stdout, ran.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["--system", "--help"]])
def test_the_help_tells_of_both_kinds_of_soaks(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        arguments_of(parser_of_arguments(), arguments)
    assert ended.value.code == 0
    said = capsys.readouterr().out
    for option in ("--system", "--minutes", "--histories", "--from", "--seed", "--history", "--mutated", "--processes"):
        assert option in said


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--minutes", "0"], "argument --minutes: '0' is no time in minutes; give a number above 0, such as 5"),
        (["--minutes", "soon"], "argument --minutes: 'soon' is no time in minutes; give a number above 0"),
        (["--minutes", "nan"], "argument --minutes: 'nan' is no time in minutes; give a number above 0"),
        (["--system", "--minutes=-1"], "argument --minutes: '-1' is no time in minutes; give a number above 0"),
        (["--histories", "0"], "argument --histories: '0' is no whole number from 1 on; give one, such as 137"),
        (["--system", "--histories", "0"], "argument --histories: '0' is no whole number from 1 on"),
        (["--system", "--processes", "0"], "argument --processes: '0' is no whole number from 1 on"),
        (["--seed", "first"], "argument --seed: 'first' is no whole number from 0 on; give one, such as 137"),
        (["--system", "--seed", "1.5"], "argument --seed: '1.5' is no whole number from 0 on"),
        (["--from", "-1"], "argument --from: '-1' is no whole number from 0 on"),
        (["--system", "--mutated"], "--mutated goes without --system"),
        (["--processes", "2"], "--processes goes with --system"),
        (["--systems"], "unrecognized arguments: --systems"),
    ],
)
def test_an_argument_that_is_wrong_is_named_with_what_to_give(arguments, complaint, capsys):
    with pytest.raises(SystemExit) as ended:
        arguments_of(parser_of_arguments(), arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"npm run soak --: error: {complaint}")


@pytest.mark.parametrize(
    ("history", "complaint"),
    [
        ("{'seed': 1}", "^Invalid JSON: key must be a string"),
        ("[]", "^Input should be an object"),
        (json.dumps({"seed": 1}), "^steps: "),
        (json.dumps({**STORY, "seeds": 1}), "^seeds: "),
        (json.dumps({**STORY, "steps": [{"at_s": "soon", "do": "post", "name": "a"}]}), r"^steps\.0\.at_s: "),
        (json.dumps({**STORY, "steps": [{"at_s": 1, "do": "fly", "name": "a"}]}), "^fly: nothing that somebody does"),
        (json.dumps({**STORY, "troubles": [{"kind": "rain", "from_s": 1, "until_s": 2}]}), "rain"),
    ],
)
def test_what_is_no_history_of_the_system_is_refused_with_the_place(history, complaint):
    with pytest.raises(ValueError, match=complaint):
        of_the_system.from_json(history)


@pytest.mark.parametrize(
    ("history", "complaint"),
    [
        ("{", "^Invalid JSON: "),
        ("1", "^Input should be an object"),
        (json.dumps({**RECORDS, "kind": "tape"}), "^kind: "),
        (json.dumps({**RECORDS, "pipelines": ["unknown"]}), "^unknown: no pipeline"),
    ],
)
def test_what_is_no_history_of_the_runtime_is_refused_with_the_place(history, complaint):
    with pytest.raises(ValueError, match=complaint):
        of_the_runtime.from_json(history)


@pytest.mark.parametrize("system", [True, False])
def test_a_history_that_is_none_ends_with_what_to_give(system):
    code, _, said = said_by(*(["--system"] if system else []), "--history", '{"seed": 137, ...}')
    assert code == 2
    assert re.match(
        r"npm run soak --: error: argument --history: Invalid JSON: .*; give the line that --seed prints, or that a "
        "failure ends with$",
        said.splitlines()[-1],
    )
    assert "Traceback" not in said


def test_a_history_of_the_runtime_is_played_again_from_its_line():
    code, line, _ = said_by("--seed", "3")
    assert code == 0
    assert said_by("--history", line.strip()) == (0, "", "")


def test_a_soak_that_is_stopped_before_it_plays_says_so(start):
    stopped = OF_NOTHING.replace("lambda: None\n", "lambda: signal.raise_signal(signal.SIGINT)\n")
    process = start(sys.executable, "-c", stopped, "--system")
    assert process.communicate(timeout=60) == ("", "Nothing was played.\n")
    assert process.returncode == 130


@pytest.mark.parametrize("mode", [[], pytest.param(["--mutated"], marks=pytest.mark.thorough)])
def test_a_stopped_soak_of_the_runtime_says_what_was_played(start, mode):
    process = start(*SOAK, "--minutes", "60", "--from", "0", *mode)
    assert process.stderr.readline() == "From seed 0\n"
    soak = psutil.Process(process.pid)
    before = soak.cpu_times().user
    wait_until(lambda: soak.cpu_times().user > before + 0.5)
    for _ in range(2):  # npm repeats it
        os.killpg(process.pid, signal.SIGINT)
    said, complaint = process.communicate(timeout=60)
    assert process.returncode == 130, complaint
    played = re.match(r"(\d+) (histories from seed 0|mutated invocations)", said)
    assert played, said
    assert int(played[1]) > 0
    assert complaint == "Stopping after what is being played; once more ends it at once.\n"


def begun(start, *arguments):
    """A soak of the system that plays, and the processes that it has begun."""
    process = start(sys.executable, "-c", OF_NOTHING, "--system", "--minutes", "60", "--from", "1", *arguments)
    assert process.stderr.readline() == "From seed 1 with 2 processes\n"
    soak = psutil.Process(process.pid)
    wait_until(lambda: len(soak.children()) == 2 and all(sum(each.cpu_times()[:2]) > 0.05 for each in soak.children()))
    return process, soak.children()


@pytest.mark.parametrize(
    ("number", "only_the_first"),
    [(signal.SIGINT, False), pytest.param(signal.SIGTERM, True, marks=pytest.mark.thorough)],
)
def test_a_stopped_soak_of_the_system_says_what_was_played_and_leaves_no_process(start, number, only_the_first):
    process, others = begun(start, "--processes", "2")
    for _ in range(2):  # npm repeats it
        (os.kill if only_the_first else os.killpg)(process.pid, number)
    said, complaint = process.communicate(timeout=30)
    assert process.returncode == 128 + number, complaint
    counted = re.match(r"(\d+) system histories from seed 1 in \d+ s with 2 processes: .*; (\d+) failed\n", said)
    assert counted, said
    played, failed = map(int, counted.groups())
    assert played > 0
    assert complaint.count("every_story_is_ready") == failed
    others_said = [line for line in complaint.splitlines() if "every_story_is_ready" not in line]
    assert others_said == ["Stopping after what is being played; once more ends it at once."]
    assert [each for each in others if each.is_running()] == []


@pytest.mark.thorough
def test_a_second_stop_ends_a_soak_of_the_system_at_once(start):
    process, others = begun(start, "--processes", "2")
    for each in others:
        each.suspend()  # a history that never ends
    os.kill(process.pid, signal.SIGINT)
    assert process.stderr.readline().startswith("Stopping after")
    time.sleep(1.1)  # what comes within a second is the same signal
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(10) == 130
    wait_until(lambda: not any(each.is_running() for each in others))


@pytest.mark.thorough
def test_the_processes_of_a_killed_soak_of_the_system_end(start):
    process, others = begun(start, "--processes", "2")
    process.kill()
    process.wait()
    wait_until(lambda: not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in others))


@pytest.mark.thorough
def test_a_soak_of_the_system_plays_as_many_as_it_is_told_to(start):
    process = start(
        sys.executable, "-c", OF_NOTHING, "--system", "--histories", "20", "--from", "1", "--processes", "2"
    )
    said, complaint = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said.startswith("20 system histories from seed 1 in ")
    assert complaint.count("a story") == 4
