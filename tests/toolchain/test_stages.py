"""`npm test` finds every test: a stage that looks in some folders only has all of its kind there."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from run_tests import COMPILING, LONGEST, STAGES, command, compiling, run

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).name


@pytest.mark.parametrize(("stage", "marker"), [("templates", "packaging"), ("system", "system")])
def test_the_folders_of_a_stage_have_all_tests_with_its_marker(stage, marker):
    folders = [ROOT / word for word in shlex.split(STAGES[stage]) if (ROOT / word).is_dir()]
    marks = re.compile(rf"\bmark\.{marker}\b|add_marker\([\"']{marker}")
    tests = [path for top in ("libs", "services") for path in (ROOT / top).glob("*/tests/**/*.py")]
    tests += (ROOT / "tests").rglob("*.py")
    marked = {path for path in tests if path.name != HERE and marks.search(path.read_text(encoding="utf-8"))}

    assert marked
    assert [path for path in marked if not any(folder in path.parents for folder in folders)] == []


def test_the_folders_that_the_unit_stage_leaves_out_have_no_unit_test():
    of_a_file = re.compile(r"^pytestmark = .*\bmark\.(packaging|system)\b", re.MULTILINE)
    left_out = [ROOT / folder for folder in re.findall(r"--ignore=(\S+)", STAGES["unit"])]
    assert left_out
    for folder in left_out:
        conftest = (folder / "conftest.py").read_text(encoding="utf-8")
        if 'item.add_marker("packaging")' not in conftest:
            files = sorted(folder.rglob("test_*.py"))
            assert [path for path in files if not of_a_file.search(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("stage", ["unit", "templates", "system"])
def test_a_stage_leaves_out_what_is_thorough_unless_it_is_asked_for(stage):
    usual, thorough = (shlex.split(command(stage, thorough=each)) for each in (False, True))
    expression = usual[usual.index("-m", 1) + 1]
    assert thorough == [word.removesuffix(" and not thorough") for word in usual]
    assert expression.endswith(" and not thorough")


def test_what_compiles_tests_beside_a_stage_runs_none_of_them():
    assert all("--collect-only" in each.split() for each in COMPILING["types"] if each.startswith("pytest"))


def test_what_runs_beside_a_stage_ends_with_it_and_so_does_what_it_has_started(tmp_path, monkeypatch):
    began = [tmp_path / name for name in ("one", "two")]
    monkeypatch.setitem(COMPILING, "types", [f"sh -c 'sleep 60 & echo $! > {each}; wait'" for each in began])
    with compiling("types"):
        while not all(each.exists() and each.read_text() for each in began):
            time.sleep(0.01)
    for each in began:
        with suppress(psutil.NoSuchProcess):  # a zombie where nobody asks for its exit code
            while psutil.Process(int(each.read_text())).status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.01)


@pytest.fixture
def stages(tmp_path, monkeypatch):
    """Puts shell programs in the place of stages; in them, `after NAME` waits until that one has begun."""
    monkeypatch.setattr("run_tests.ROOT", tmp_path)

    def programs(**programs):
        for name, program in programs.items():
            file = tmp_path / f"{name}.sh"
            file.write_text(f"after() {{ while [ ! -e $1 ]; do sleep 0.02; done; }}\ntouch {name}\n{program}\n")
            monkeypatch.setitem(STAGES, name, f"sh -e {file}")
        return [name for name in STAGES if name in programs]

    return programs


def test_the_stages_after_the_longest_run_beside_it_in_turn_and_are_shown_whole_after_it(stages, capfd):
    programs = {"unit": "after system; echo one", "templates": "echo two", "system": "test -e templates; echo three"}
    names = stages(types="sleep 0.3; ! test -e unit; ! test -e templates", **programs)
    assert names.index(LONGEST) == 1
    assert run(names, thorough=False) == 0
    told = capfd.readouterr().out.splitlines()
    assert [line for line in told if not line.startswith("==")] == ["one", "two", "three"]
    assert [line.split()[1].strip(":") for line in told if line.startswith("==")] == [
        each for each in names for _ in "12"
    ]


def test_what_runs_beside_another_is_shown_as_it_comes_when_that_one_has_ended(stages, capfd, tmp_path):
    stages(unit="after system", system="echo three; sh heard.sh; echo four")
    # What it waits for comes from who reads the output.
    (tmp_path / "heard.sh").write_text("while [ ! -e heard ]; do sleep 0.02; done\n")
    program = f"import run_tests\n{patched(tmp_path, ['unit', 'system'])}\nrun_tests.sys.exit(run_tests.main())"
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT / "scripts", stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        for line in process.stdout:
            if line == "three\n":
                (tmp_path / "heard").touch()
    assert process.returncode == 0


def test_if_thorough_each_stage_runs_alone(stages):
    assert run(stages(unit="sleep 0.2; ! test -e system", system="test -e unit"), thorough=True) == 0


def patched(folder, names):
    """A program's beginning, by which it runs these stages as patched, in the folder."""
    programs = {name: STAGES[name] for name in names}
    return f"import pathlib\nrun_tests.ROOT = pathlib.Path({str(folder)!r})\nrun_tests.STAGES = {programs!r}"


def test_a_stage_that_fails_ends_what_runs_beside_it(stages, capfd, tmp_path):
    loop = "trap 'touch ended; exit' INT; touch traps; while :; do sleep 0.02; done"
    assert run(stages(unit="after traps; exit 3", templates=loop, system=""), thorough=False) == 3
    assert (tmp_path / "ended").exists()
    assert not (tmp_path / "system").exists()
    assert "== unit FAILED" in capfd.readouterr().out


def test_what_failed_beside_a_stage_is_shown_after_it_and_nothing_else_begins(stages, capfd, tmp_path):
    (tmp_path / "failed.py").write_text(
        "import contextlib, psutil, sys, time\n"
        "with contextlib.suppress(psutil.NoSuchProcess):\n"
        "    while psutil.Process(int(sys.argv[1])).status() != psutil.STATUS_ZOMBIE:\n        time.sleep(0.02)\n"
    )
    unit = f"after fails; {sys.executable} failed.py $(cat pid)"
    names = stages(unit=unit, templates="echo told; after unit; echo $$ > pid; touch fails; exit 4", system="")
    assert run(names, thorough=False) == 4
    assert not (tmp_path / "system").exists()
    told = capfd.readouterr().out
    assert told.index("== unit passed") < told.index("told\n== templates FAILED")


def test_an_interrupt_ends_all_stages(stages, tmp_path):
    loop = "trap 'touch {0}-ended; exit' INT; touch {0}-traps; while :; do sleep 0.02; done"
    names = stages(unit=loop.format("unit"), system=loop.format("system"))
    program = f"import run_tests\n{patched(tmp_path, names)}\nrun_tests.sys.exit(run_tests.main())"
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT / "scripts", start_new_session=True)
    while not all((tmp_path / f"{name}-traps").exists() for name in names):
        time.sleep(0.02)
    for _ in range(2):  # npm repeats it
        os.killpg(process.pid, signal.SIGINT)
    assert process.wait() == 128 + signal.SIGINT
    assert all((tmp_path / f"{name}-ended").exists() for name in names)
