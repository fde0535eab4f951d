"""A real Chromium for tests, benchmarks and the pictures of the README; tests/browser/drive.mjs says what it is given.

It comes from npm, below .build, and is installed when its lock file has changed.
"""

from __future__ import annotations

import contextlib
import ctypes.util
import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SOURCE, HOME = ROOT / "tests" / "browser", ROOT / ".build" / "browser"


class Failed(AssertionError):
    """A scenario did not come to its end, or the page has logged an error."""


class Chromium:
    """A browser; each visitor has a profile of their own."""

    def __init__(self, home: Path) -> None:
        self._driver = subprocess.Popen(
            ["node", home / "drive.mjs"],
            cwd=home,
            env=_environment(home),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def memory_of_pages(self) -> int:
        """What the largest process of a page holds, in bytes."""
        import psutil

        most = 0
        for each in psutil.Process(self._driver.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if "--type=renderer" in each.cmdline():
                    most = max(most, each.memory_info().rss)
        return most

    def visit(self, url: str | None, script: str = "", **more: Any) -> dict[str, Any]:
        """What became of one line for the driver."""
        if self._driver.stdin is None or self._driver.stdout is None:
            raise RuntimeError("the driver has no pipes")
        print(json.dumps({"url": url, "script": script, **more}), file=self._driver.stdin, flush=True)
        answer = self._driver.stdout.readline()
        if not answer:
            raise Failed(f"the driver has ended; its error output says why: {url}")
        found: dict[str, Any] = json.loads(answer)
        return found

    def play(self, visitor: str, scenario: str, url: str | None = None, **more: Any) -> dict[str, Any]:
        """A part of a visitor's stay: a function of tests/browser/console.mjs; nothing may be logged as an error."""
        found = self.visit(url, scenario=scenario, visitor=visitor, **more)
        if "failed" in found:
            raise Failed(f"{found['failed']}\nThe page:\n{found['text']}\nIts errors: {found['errors']}")
        if found["errors"]:
            raise Failed(f"{scenario} of {visitor} has logged {found['errors']}")
        value: dict[str, Any] = found["value"]
        return value

    def leave(self) -> None:
        """Have all visitors close their pages; who comes by one of their names is another one."""
        self.visit(None, leave=True)

    def close(self) -> None:
        """End the browser."""
        self._driver.communicate()


def missing() -> str | None:
    """Why no browser can run here; None if one can."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return f"npm has a Chromium for Linux on x86_64, and none for {platform.platform()}"
    if lacking := [name for name in ("nss3", "nspr4", "expat") if not ctypes.util.find_library(name)]:
        return f"Chromium needs libraries that this machine lacks: {', '.join(lacking)}"
    return None


@contextlib.contextmanager
def running() -> Iterator[Chromium]:
    """A browser until the end of the block.

    Raises:
        RuntimeError: none can run here.
    """
    if why := missing():
        raise RuntimeError(why)
    _install()
    browser = Chromium(HOME)
    try:
        yield browser
    finally:
        browser.close()


def _environment(home: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home / "tmp")}


def _install() -> None:
    stamp, wanted = HOME / ".stamp", hashlib.sha256((SOURCE / "package-lock.json").read_bytes()).hexdigest()
    HOME.mkdir(parents=True, exist_ok=True)
    with (HOME / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for path in SOURCE.iterdir():
            shutil.copy(path, HOME)
        if not stamp.exists() or stamp.read_text() != wanted:
            shutil.rmtree(HOME / "tmp", ignore_errors=True)  # where the browser is unpacked
            install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            subprocess.run(install, cwd=HOME, check=True, capture_output=True, timeout=600)
            (HOME / "tmp").mkdir()
            # Of two browsers that begin at once, the second would start what the first still unpacks.
            subprocess.run(["node", "unpack.mjs"], cwd=HOME, env=_environment(HOME), check=True, timeout=600)
            stamp.write_text(wanted)
