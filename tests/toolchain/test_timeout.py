"""What a worker of pytest-xdist tells: a test that hangs fails by itself, and the tests after it run."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TESTS = """
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

def test_hangs():
    lock = threading.Lock()
    lock.acquire()
    with ThreadPoolExecutor() as pool:
        pool.submit(lock.acquire).result()

def test_after():
    pass

@pytest.fixture
def slow():
    time.sleep(0.3)

def test_with_a_slow_set_up(slow):
    pass

@pytest.fixture
def bad_set_up():
    raise ValueError("of the set-up")

def test_without_a_set_up(bad_set_up):
    pass

@pytest.fixture
def bad_teardown():
    yield
    raise ValueError("of the teardown")

def test_without_a_teardown(bad_teardown):
    pass
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """What pytest says of such tests, with the plugins and settings of all tests."""
    folder = tmp_path_factory.mktemp("tests")
    (folder / "test_file.py").write_text(TESTS)
    shutil.copy(ROOT / "conftest.py", folder)
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-n1",
            "-c",
            ROOT / "pyproject.toml",
            "-o",
            "timeout=2",
            "-pno:hypothesispytest",
            "--durations=5",
            "--rootdir=.",
            folder,
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_test_that_waits_for_ever_in_a_thread_fails_and_the_next_one_passes(ran):
    assert ran.returncode == 1
    assert "crashed while running 'test_file.py::test_hangs'" in ran.stdout
    assert "1 failed, 3 passed, 2 errors" in ran.stdout
    assert "in test_hangs" in ran.stderr


def test_a_set_up_or_teardown_that_fails_or_takes_long_is_told(ran):
    assert "ValueError: of the set-up" in ran.stdout
    assert "ValueError: of the teardown" in ran.stdout
    assert "s setup    test_file.py::test_with_a_slow_set_up" in ran.stdout


def test_a_test_may_take_two_minutes_unless_it_is_marked(pytestconfig, request):
    assert request.node.get_closest_marker("timeout") is None
    assert 0 < float(pytestconfig.getini("timeout")) <= 120
