"""All checks of the repository, the fast ones first; stops at the first that fails.

npm test                          everything
npm run test:fast                 what needs neither the Serverless CLI nor the local cloud
npm test -- --only unit,system    some stages, by name
npm test -- --list                the names
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
STAGE_TIMEOUT_S = 900
CLEAR_UP_TIMEOUT_S = 60


@dataclass(frozen=True)
class Stage:
    """One kind of check: its name, what it looks at, and its command."""

    name: str
    about: str
    command: tuple[str, ...]


def pytest(*arguments: str) -> tuple[str, ...]:
    """A run of pytest that names its slowest tests."""
    return ("pytest", "--durations=5", "--durations-min=2", *arguments)


ON_BOTH_CORES = ("-n2", "--dist=worksteal")
STAGES = (
    Stage("lint", "ruff: rules", ("ruff", "check", "--quiet", ".")),
    Stage("format", "ruff: layout", ("ruff", "format", "--check", "--quiet", ".")),
    Stage("types", "mypy --strict: libraries and scripts", ("mypy",)),
    Stage("unit", "libraries, services, toolchain", pytest(*ON_BOTH_CORES, "-m", "not packaging and not system")),
    Stage("templates", "compiled CloudFormation and cfn-lint", pytest("-m", "packaging and not system")),
    # A file has a cloud of its own, and waits most of the time.
    Stage("system", "the main job on the local cloud", pytest("-n2", "--dist=loadfile", "-m", "system")),
)
NAMES = tuple(stage.name for stage in STAGES)
FAST = ("lint", "format", "types", "unit")


def run(stage: Stage) -> int:
    """Run one stage, its output passed on as it comes; gives its exit code."""
    # In a session of its own, so that an interrupt reaches it once, from here, and it can clear up undisturbed.
    process = subprocess.Popen(
        [BIN / stage.command[0], *stage.command[1:]],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return process.wait(STAGE_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        say(f"took longer than {STAGE_TIMEOUT_S} s")
        return 124
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(CLEAR_UP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def say(line: str) -> None:
    """A line of the runner's own, told apart from what the tools print."""
    print(f"== {line}", flush=True)


def run_all(stages: Iterable[Stage]) -> int:
    """Run stages in order until one fails."""
    begin = time.monotonic()
    for stage in stages:
        say(f"{stage.name}: {stage.about}")
        start = time.monotonic()
        code = run(stage)
        took = f"{time.monotonic() - start:.1f} s"
        if code != 0:
            say(f"{stage.name} FAILED after {took}")
            return code
        say(f"{stage.name} passed in {took}")
    say(f"all passed in {time.monotonic() - begin:.1f} s")
    return 0


def names(text: str) -> list[str]:
    """Stage names separated by commas, `fast` for those that need little."""
    wanted = [name for each in text.split(",") for name in (FAST if each == "fast" else (each,))]
    unknown = set(wanted) - set(NAMES)
    if unknown:
        raise argparse.ArgumentTypeError(f"no such stage: {', '.join(sorted(unknown))} (there are {', '.join(NAMES)})")
    return wanted


def stop(number: int, _frame: object) -> None:
    """End the running stage and with it the run; a repeated signal changes nothing."""
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)
    raise SystemExit(128 + number)


def main() -> int:
    """Read the arguments and run what they name."""
    parser = argparse.ArgumentParser(prog="npm test --", description="All checks, the fast ones first.")
    parser.add_argument("--only", type=names, default=list(NAMES), metavar="STAGES", help=f"of: {', '.join(NAMES)}")
    parser.add_argument("--list", action="store_true", help="name the stages")
    arguments = parser.parse_args()
    if arguments.list:
        for stage in STAGES:
            print(f"{stage.name:<10} {stage.about}")
        return 0
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, stop)
    return run_all(stage for stage in STAGES if stage.name in arguments.only)


if __name__ == "__main__":
    sys.exit(main())
