"""The tests of a service that a change touches, and their runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from stream_cli.dev.changes import Change, Contents
from stream_cli.dev.import_graph import module_of, modules_reached

_TESTS = "tests/"


def touched(change: Change, contents: Contents) -> list[str]:
    """The test files that import, directly or through others, what has changed; all of them for what they share.

    What is no Python file, such as a fixture or a template, is touched by every test.
    """
    files = [each for each in contents if each.startswith(_TESTS) and Path(each).name.startswith("test_")]
    tests = sorted(each for each in files if each.endswith(".py"))
    changed = change.code | change.tests | change.template | change.requirements
    own = changed & set(tests)
    if any(each not in tests and (each.startswith(_TESTS) or not each.endswith(".py")) for each in changed):
        return tests
    modules = {module_of(each) for each in change.code}
    return [each for each in tests if each in own or modules & modules_reached(each, contents)]


class TestRun:
    """A run of pytest on some files of a service, which goes on beside everything else."""

    __test__ = False  # of pytest's

    def __init__(self, service: Path, files: Iterable[str]) -> None:
        self.files = list(files)
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (`stop` closes it)
        self._process = subprocess.Popen(
            [
                str(_python_of(service)),
                "-m",
                "pytest",
                "-q",
                "-x",
                "--no-header",
                "-p",
                "no:cacheprovider",
                *self.files,
            ],
            cwd=service,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def result(self) -> tuple[bool, list[str]] | None:
        """Whether all have passed, and what pytest has printed; None while it runs."""
        code = self._process.poll()
        if code is None:
            return None
        self._output.seek(0)
        return code == 0, self._output.read().decode(errors="replace").strip().splitlines()

    def stop(self) -> None:
        """End it."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._output.close()


def _python_of(service: Path) -> Path:
    own = service / ".venv" / "bin" / "python"
    return own if own.exists() else Path(sys.executable)
