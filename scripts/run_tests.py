"""All checks of the repository, the fast ones first; stops at the first that fails.

The system tests wait for a third of their time, so those of templates and they run beside the unit tests, one after the
other, and what they print comes after these. With --thorough, which takes longer and measures more, each stage runs
alone.

npm test                          everything
npm run test:fast                 what needs neither the Serverless CLI nor the local cloud
npm test -- --only unit,system    some stages, by name
npm test -- --thorough            also what tests the tests, or shows more of the same; as .ci/run does
"""

import argparse
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Self

ROOT = Path(__file__).resolve().parent.parent
# More workers than there are cores: tests of processes wait for them.
PYTEST = "pytest --durations=10 --durations-min=2"
BY_FILE = "--dist=loadfile --no-loadscope-reorder"
OF_UNITS = "--dist=worksteal --apart --ignore=tests/templates --ignore=tests/system"
OF_THE_CLI = "libs/stream_cli/tests/checks libs/stream_cli/tests/deployment"
WITH_TEMPLATES = f"{OF_THE_CLI} tests/policies tests/regexes tests/simulation tests/templates"
STAGES = {
    "lint": "ruff check --quiet .",
    "format": "ruff format --check --quiet .",
    "imports": "lint-imports --no-logo --cache-dir .build/import-linter",
    "types": "mypy --num-workers 2",
    # Without folders in which there are no such tests: each worker imports all of what it is shown.
    "unit": f"{PYTEST} -n4 {OF_UNITS} -m 'not packaging and not system and not thorough'",
    # By file, because a file shares what takes long to make: findings of all templates, a local cloud.
    # Only in these folders, for the same reason.
    "templates": f"{PYTEST} -n3 {BY_FILE} -m 'packaging and not system and not thorough' {WITH_TEMPLATES}",
    "system": f"{PYTEST} -n4 {BY_FILE} -m 'system and not thorough' tests/system",
}
# Beside mypy is made once what each worker of other stages would make: compiled tests, and the code by which the
# Serverless CLI validates a service, with the plugin for Python and without (3 s each).
COMPILING = {
    "types": (
        "pytest --collect-only -qq -p no:cacheprovider -p no:xdist",
        "streamctl check event-fault-monitor event-lake-s3",
    )
}
# The stages after this one run beside it.
LONGEST = "unit"
NOT_THOROUGH = " and not thorough'"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
CLEAR_UP_TIMEOUT_S = 60
LOOKED_AT_EVERY_S = 0.2
FAST = ["lint", "format", "imports", "types", "unit"]
# import-linter finds the services' packages by this.
SERVICES = os.pathsep.join(map(str, sorted(ROOT.glob("services/*/"))))


def command(stage: str, *, thorough: bool) -> str:
    """What a stage runs; with `thorough`, the tests that are marked so, too."""
    return STAGES[stage].replace(NOT_THOROUGH, "'") if thorough else STAGES[stage]


class Running:
    """A stage that runs; what it prints is shown at once, or goes to a file until its end is awaited.

    It has a session of its own, so that an interrupt, which npm repeats, reaches it once and it can clear up.
    """

    def __init__(self, stage: str, *, thorough: bool, output: IO[bytes] | None = None) -> None:
        self.stage = stage
        self.command = command(stage, thorough=thorough)
        self.output = output
        self.began = time.time()
        variables = {"PYTHONPATH": SERVICES} if stage == "imports" else {}
        if thorough:
            variables["THOROUGH"] = "1"
        self.process = subprocess.Popen(
            [*shlex.split(self.command), *(["--color=yes"] if output and sys.stdout.isatty() else [])],
            cwd=ROOT,
            env=environment_of_tests() | variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            end(self.process, CLEAR_UP_TIMEOUT_S)

    def awaited(self, meanwhile: Callable[[], None] | None) -> int:
        """Show the stage until it has ended, and how; returns its exit code."""
        print(f"== {self.stage}: {self.command}", flush=True)
        code, shown = None, 0
        while code is None:
            with suppress(subprocess.TimeoutExpired):
                code = self.process.wait(LOOKED_AT_EVERY_S)
            shown += self._show(shown)
            if meanwhile:
                meanwhile()
        ended = os.fstat(self.output.fileno()).st_mtime if self.output else time.time()
        print(f"== {self.stage} {'FAILED' if code else 'passed'} after {ended - self.began:.1f} s", flush=True)
        return code

    def _show(self, start: int) -> int:
        """Print what has been written to the file since; returns how many bytes."""
        # The process writes where the file's own position is.
        part = os.pread(self.output.fileno(), os.fstat(self.output.fileno()).st_size, start) if self.output else b""
        sys.stdout.buffer.write(part)
        sys.stdout.flush()
        return len(part)


def environment_of_tests() -> dict[str, str]:
    """Hundreds of processes would each compile what they import; the files that this leaves are ignored by git.

    Also tests that start the Serverless CLI as a user does share what it makes to validate services.
    """
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"SLS_SCHEMA_CACHE_BASE_DIR": str(ROOT / ".build" / "cache")}


@contextmanager
def compiling(stage: str) -> Iterator[None]:
    """Run beside a stage what makes things for others; at its end the rest is left to them."""
    processes = [
        subprocess.Popen(
            shlex.split(each),
            cwd=ROOT,
            env=environment_of_tests(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for each in COMPILING.get(stage, ())
    ]
    try:
        yield
    finally:
        for process in processes:
            end(process, within_s=5)


def end(process: subprocess.Popen[bytes], within_s: float) -> None:
    """End a process and all of its group; it has so long to clear up."""
    with suppress(ProcessLookupError, subprocess.TimeoutExpired):
        process.send_signal(signal.SIGINT)
        process.wait(within_s)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def stop(number: int, _frame: object) -> None:
    """End the running stage and with it the run; a repeated signal changes nothing."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    sys.exit(128 + number)


def stage_names(text: str) -> list[str]:
    """Stage names separated by commas; `fast` stands for those that need little."""
    names = [name for each in text.split(",") for name in (FAST if each == "fast" else [each])]
    if unknown := set(names) - set(STAGES):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: no such stage; there are {', '.join(STAGES)}")
    return names


def run(stages: list[str], *, thorough: bool) -> int:
    """Run stages in order until one fails; returns that one's exit code."""
    first = stages.index(LONGEST) + 1 if LONGEST in stages and not thorough else len(stages)
    alone, others = stages[:first], stages[first:]
    begun: list[Running] = []
    with ExitStack() as exits:

        def go_on() -> None:
            """Begin the next of the others, unless the one before it still runs or has failed."""
            if len(begun) < len(others) and all(each.process.poll() == 0 for each in begun):
                output = exits.enter_context(TemporaryFile())
                begun.append(exits.enter_context(Running(others[len(begun)], thorough=thorough, output=output)))

        for stage in alone:
            with compiling(stage), Running(stage, thorough=thorough) as running:
                if code := running.awaited(go_on if stage == LONGEST else None):
                    return code
        for each in begun:
            if code := each.awaited(go_on):
                return code
    return 0


def main() -> int:
    """Run the stages that are asked for; returns the exit code of the one that failed."""
    parser = argparse.ArgumentParser(prog="npm test --", description="All checks, the fast ones first.")
    parser.add_argument("--only", type=stage_names, default=list(STAGES), help=f"of: {', '.join(STAGES)}, fast")
    parser.add_argument("--thorough", action="store_true", help="also the tests that are marked `thorough`")
    arguments = parser.parse_args()
    for each in SIGNALS:
        signal.signal(each, stop)
    return run([stage for stage in STAGES if stage in arguments.only], thorough=arguments.thorough)


if __name__ == "__main__":
    sys.exit(main())
