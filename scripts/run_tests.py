"""All checks of the repository, the fast ones first; stops at the first that fails.

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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

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
    "types": "mypy",
    # Without folders in which there are no such tests: each worker imports all of what it is shown.
    "unit": f"{PYTEST} -n4 {OF_UNITS} -m 'not packaging and not system and not thorough'",
    # By file, because a file shares what takes long to make: findings of all templates, a local cloud.
    # Only in these folders, for the same reason.
    "templates": f"{PYTEST} -n3 {BY_FILE} -m 'packaging and not system and not thorough' {WITH_TEMPLATES}",
    "system": f"{PYTEST} -n4 {BY_FILE} -m 'system and not thorough' tests/system",
}
# One core is enough for mypy. On the other is made once what each worker of other stages would make: compiled tests,
# and the code by which the Serverless CLI validates a service, with the plugin for Python and without (3 s each).
COMPILING = {
    "types": (
        "pytest --collect-only -qq -p no:cacheprovider -p no:xdist",
        "streamctl check event-fault-monitor event-lake-s3",
    )
}
NOT_THOROUGH = " and not thorough'"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
CLEAR_UP_TIMEOUT_S = 60
FAST = ["lint", "format", "imports", "types", "unit"]
# import-linter finds the services' packages by this.
SERVICES = os.pathsep.join(map(str, sorted(ROOT.glob("services/*/"))))


def command(stage: str, *, thorough: bool) -> str:
    """What a stage runs; with `thorough`, the tests that are marked so, too."""
    return STAGES[stage].replace(NOT_THOROUGH, "'") if thorough else STAGES[stage]


def run(stage: str, *, thorough: bool) -> int:
    """Run one stage; returns its exit code.

    It has a session of its own, so that an interrupt, which npm repeats, reaches it once and it can clear up.
    """
    environment = environment_of_tests() | ({"PYTHONPATH": SERVICES} if stage == "imports" else {})
    if thorough:
        environment["THOROUGH"] = "1"
    process = subprocess.Popen(
        shlex.split(command(stage, thorough=thorough)),
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return process.wait()
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(CLEAR_UP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


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
            end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all of its group; it has a moment to clear up."""
    with suppress(ProcessLookupError, subprocess.TimeoutExpired):
        process.send_signal(signal.SIGINT)
        process.wait(5)
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


def main() -> int:
    """Run the stages that are asked for, in order, until one fails; returns that one's exit code."""
    parser = argparse.ArgumentParser(prog="npm test --", description="All checks, the fast ones first.")
    parser.add_argument("--only", type=stage_names, default=list(STAGES), help=f"of: {', '.join(STAGES)}, fast")
    parser.add_argument("--thorough", action="store_true", help="also the tests that are marked `thorough`")
    arguments = parser.parse_args()
    thorough = arguments.thorough
    for each in SIGNALS:
        signal.signal(each, stop)
    for stage in (stage for stage in STAGES if stage in arguments.only):
        print(f"== {stage}: {command(stage, thorough=thorough)}", flush=True)
        start = time.monotonic()
        with compiling(stage):
            code = run(stage, thorough=thorough)
        print(f"== {stage} {'FAILED' if code else 'passed'} after {time.monotonic() - start:.1f} s", flush=True)
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
