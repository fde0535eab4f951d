"""A test that hangs fails by itself, and the tests after it run."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WAITING_FOR_A_LOCK = """
import threading
from concurrent.futures import ThreadPoolExecutor

def test_hangs():
    lock = threading.Lock()
    lock.acquire()
    with ThreadPoolExecutor() as pool:
        pool.submit(lock.acquire).result()

def test_after():
    pass
"""


def test_a_test_that_waits_for_ever_in_a_thread_fails_and_the_next_one_passes(tmp_path):
    (tmp_path / "test_file.py").write_text(WAITING_FOR_A_LOCK)
    shutil.copy(ROOT / "conftest.py", tmp_path)
    ran = subprocess.run(
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
            "--rootdir=.",
            tmp_path,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 1
    assert "crashed while running 'test_file.py::test_hangs'" in ran.stdout
    assert "1 failed, 1 passed" in ran.stdout
    assert "in test_hangs" in ran.stderr


def test_a_test_may_take_two_minutes_unless_it_is_marked(pytestconfig, request):
    assert request.node.get_closest_marker("timeout") is None
    assert 0 < float(pytestconfig.getini("timeout")) <= 120
