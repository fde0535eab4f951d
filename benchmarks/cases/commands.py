"""How long a user waits for the commands of every day: check, a deployment without and with a change, the main job.

Each is the whole command, from its start to its end. What it needs from before (packages, a running cloud) is there, as
on the second day of work. All but the main job work on a copy of the services, which a round may change.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from case import Case, Floor, Variant, figure

ROOT = Path(__file__).resolve().parents[2]
CHANGED = "control-service/control/handlers/job.py"
CHECK, CHECK_CHANGED = "check, nothing changed", "check, one service changed"
DEPLOY, DEPLOY_CODE = "deploy, nothing changed", "deploy, the code of a function changed"
START = "npm start -- --once"
FOLDER = "BENCH_FOLDER"
# What is packaged depends on the environment, so that of all commands is the same.
KEPT = ("PATH", "HOME", "TMPDIR", "LANG")


@contextlib.contextmanager
def running_cloud() -> Iterator[Mapping[str, str]]:
    """A cloud with a copy of all services, and everything packaged and compiled."""
    with tempfile.TemporaryDirectory(prefix="bench-commands-") as name:
        folder = Path(name)
        shutil.copytree(ROOT / "services", folder / "services", ignore=shutil.ignore_patterns(".*cache", "__pycache__"))
        run(folder, "up", *state(folder))
        try:
            run(folder, "check")
            yield {FOLDER: name}
        finally:
            finish([sys.executable, "-m", "stream_cli.cli", "down", *state(folder)])


def state(folder: Path) -> tuple[str, str]:
    return ("--state", str(folder / "state"))


def run(folder: Path, command: str, *options: str) -> None:
    """Run streamctl on the copy to its end."""
    finish([sys.executable, "-m", "stream_cli.cli", command, "--services", str(folder / "services"), *options])


def finish(command: list[str]) -> None:
    """Run a command to its end.

    Raises:
        RuntimeError: it failed.
    """
    environment = {name: os.environ[name] for name in KEPT if name in os.environ}
    ran = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if ran.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {ran.returncode}:\n{ran.stdout[-3000:]}")


def running(command: str, *, on_the_cloud: bool = False, changed: bool = False) -> Callable[[], Callable[[], object]]:
    """Prepares a command; with a change, a function's code gets another last line before each run."""

    def prepare() -> Callable[[], object]:
        folder = Path(os.environ[FOLDER])
        code = folder / "services" / CHANGED
        content = code.read_bytes()

        def work() -> None:
            if changed:
                code.write_bytes(content + f"# {time.time_ns()}\n".encode())
            run(folder, command, *(state(folder) if on_the_cloud else ()))

        return work

    return prepare


def starting() -> Callable[[], object]:
    return start


def start() -> None:
    """Run the main job to its end, with a state folder of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-start-") as folder:
        finish(["npm", "start", "--silent", "--", "--once", "--state", folder])


def at_most(seconds: float, variant: str) -> Floor:
    return Floor(variant, figure("wall_s", variant), at_most=seconds, unit="s")


surroundings: Callable[[], AbstractContextManager[Mapping[str, str]]] = running_cloud
CASE = Case(
    name="commands",
    title="Commands of every day, with packages and a cloud from before: wall time of the whole command",
    variants=(
        Variant(CHECK, running("check"), repeat=2),  # the first one compiles what the round before has changed
        Variant(CHECK_CHANGED, running("check", changed=True)),
        Variant(DEPLOY_CODE, running("deploy", on_the_cloud=True, changed=True)),
        Variant(DEPLOY, running("deploy", on_the_cloud=True)),
        Variant(START, starting),  # the first one packages the services themselves, where that was not done before
    ),
    floors=(
        at_most(4, CHECK),
        at_most(6, CHECK_CHANGED),
        at_most(1, DEPLOY),
        at_most(1.5, DEPLOY_CODE),
        at_most(20, START),
    ),
    rounds=2,
    surroundings=surroundings,
)
