"""`npm test` finds every test: a stage that looks in some folders only has all of its kind there."""

import re
import shlex
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from run_tests import COMPILING, STAGES, command, compiling

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).name


@pytest.mark.parametrize(("stage", "marker"), [("templates", "packaging"), ("system", "system")])
def test_the_folders_of_a_stage_have_all_tests_with_its_marker(stage, marker):
    folders = [ROOT / word for word in shlex.split(STAGES[stage]) if (ROOT / word).is_dir()]
    marks = re.compile(rf"\bmark\.{marker}\b|add_marker\([\"']{marker}")
    tests = [path for top in ("libs", "services", "tests") for path in (ROOT / top).glob("**/tests/**/*.py")]
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
