"""What `--apart` keeps apart: each worker imports the tests of its part, and all tests run, also after a crash."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from apart import FOLDERS
from run_tests import STAGES

ROOT = Path(__file__).resolve().parents[2]
SET_UP = """
import apart

apart.FOLDERS = ("one", "two")
"""
TESTS = """
import os
import pathlib

import pytest

WORKER = os.environ["PYTEST_XDIST_WORKER"]
pathlib.Path("imported.txt").open("a").write(f"{WORKER} {pathlib.Path(__file__).parent.name}\\n")

@pytest.mark.parametrize("number", range(20))
def test_passes(number):
    pass
"""
CRASHES = """
def test_crashes():
    os._exit(1)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("apart")
    for name in ("one", "two", "three", "four"):
        (folder / name).mkdir()
        (folder / name / f"test_{name}.py").write_text(TESTS + CRASHES * (name in ("two", "four")))
    shutil.copy(ROOT / "conftest.py", folder)
    (folder / "conftest.py").open("a").write(SET_UP)
    return folder


@pytest.fixture(scope="module")
def told(folder: Path) -> str:
    words = "-n3 --dist=worksteal --apart -o testpaths=. -pno:hypothesispytest --rootdir=."
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", *words.split()],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    ).stdout


@pytest.mark.thorough
def test_each_test_runs_once_also_after_a_crash(told: str) -> None:
    assert "2 failed, 80 passed" in told
    assert "crashed while running 'two/test_two.py::test_crashes'" in told
    assert "crashed while running 'four/test_four.py::test_crashes'" in told
    assert told.count("[100%]") == 1


@pytest.mark.thorough
def test_a_worker_imports_the_tests_of_its_part_and_so_does_the_one_that_replaces_it(told: str, folder: Path) -> None:
    imported = set((folder / "imported.txt").read_text().splitlines())
    parts = {
        worker: {each.split()[1] for each in imported if each.split()[0] == worker}
        for worker, _ in map(str.split, imported)
    }
    assert len(parts) == 5, told
    first, rest = {"one", "two"}, {"three", "four"}
    assert sorted(map(sorted, parts.values())) == sorted(map(sorted, [first, first, first, rest, rest]))


def test_the_unit_stage_uses_it_and_its_folders_are_there() -> None:
    assert "--apart" in STAGES["unit"].split()
    assert [each for each in FOLDERS if not (ROOT / each).is_dir()] == []
