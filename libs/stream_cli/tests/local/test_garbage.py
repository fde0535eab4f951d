"""A garbage collection of the emulator does not go through all that it holds."""

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).with_name("collections_of_garbage.py")


def test_a_collection_goes_through_what_is_new_and_at_times_through_all() -> None:
    # A complete collection in this process would go through all that other tests have made.
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--noconftest", "-p", "no:cacheprovider", TESTS],
        cwd=TESTS.parent,
        env={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "5 passed" in ran.stdout
