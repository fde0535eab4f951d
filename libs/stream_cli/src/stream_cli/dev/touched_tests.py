"""The tests of a service that a change touches, and their runs."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from stream_cli.dev.changes import Change, Contents

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
    modules = {_module(each) for each in change.code}
    return [each for each in tests if each in own or modules & _reached(each, contents)]


def _module(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _reached(start: str, contents: Contents) -> set[str]:
    """The service's modules that a file imports, directly or through others, imports within functions included."""
    known = {_module(each): each for each in contents if each.endswith(".py")}
    found: set[str] = set()
    waiting = [start]
    while waiting:
        path = waiting.pop()
        for module in _imported(path, contents[path]):
            parts = module.split(".")
            for end in range(1, len(parts) + 1):
                name = ".".join(parts[:end])
                if name not in found:
                    found.add(name)
                    waiting += [known[name]] if name in known else []
    return found


def _imported(path: str, source: bytes) -> Iterator[str]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    package = path.split("/")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            home = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{home}.{each.name}" for each in node.names)


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
            self._process.kill()
            self._process.wait()
        self._output.close()


def _python_of(service: Path) -> Path:
    own = service / ".venv" / "bin" / "python"
    return own if own.exists() else Path(sys.executable)
