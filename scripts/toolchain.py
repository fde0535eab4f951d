"""Brings the working copy to where every command can run, then becomes that command.

    python scripts/toolchain.py                      set up and say so
    python scripts/toolchain.py streamctl start      set up, then run .venv/bin/streamctl start
    python scripts/toolchain.py --lock [uv's args]   set up after locking again (`npm run lock -- --upgrade`)

Runs on the standard library alone. Each step leaves a stamp, the hash of all that it was made from, inside what it
made: a step whose stamp agrees is skipped, and one that was interrupted has none. One set-up at a time works in a
folder; others wait for it.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lockfile import Hosts, expanded, host_free

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / ".build"
BOOTSTRAP = BUILD / "bootstrap"
VENV = ROOT / ".venv"
WHEELS = BUILD / "wheels"
LOG = BUILD / "setup.log"
LOCK = ROOT / "uv.lock"
LOCK_IN = ROOT / "uv.lock.in"
PROJECTS = tuple(ROOT / folder / "pyproject.toml" for folder in (".", "libs/stream_cli", "libs/stream_runtime"))
STEP_TIMEOUT_S = 900
LOG_LINES_SHOWN = 25
ONLY_LOCKED_WHEELS = ("--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes")


class SetupError(Exception):
    """A step failed; the text says which and what it printed."""


@dataclass(frozen=True)
class Runner:
    """Runs the tools of the steps, each in a process group of its own, so that stopping set-up leaves nothing of it."""

    log: IO[str]
    lock: int

    def __call__(self, *command: str | Path, env: dict[str, str] | None = None) -> None:
        """Run one command, its output in the log.

        Raises:
            SetupError: it failed or took longer than STEP_TIMEOUT_S.
        """
        words = [str(word) for word in command]
        self.log.write(f"$ {' '.join(words)}\n")
        self.log.flush()
        start = self.log.tell()
        # The lock is handed on: should this process be killed, the next set-up still waits for what it left running.
        process = subprocess.Popen(
            words,
            cwd=ROOT,
            env=env or tool_environment(),
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=[self.lock],
        )
        try:
            code = process.wait(STEP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise SetupError(f"{words[0]} took longer than {STEP_TIMEOUT_S} s") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if code != 0:
            printed = LOG.read_bytes()[start:].decode(errors="replace").strip().splitlines()[-LOG_LINES_SHOWN:]
            summary = f"{Path(words[0]).name} exited with {code}; all of its output is in {LOG}"
            raise SetupError("\n".join([*printed, summary]))


@dataclass(frozen=True)
class Step:
    """Something that set-up makes, what it is made from, and where it notes that."""

    name: str
    stamp: Path
    made_from: Callable[[], str]
    make: Callable[[Runner], None]

    def is_done(self) -> bool:
        """Whether what the step makes is there and was made from what is there now."""
        try:
            return self.stamp.read_text() == self.made_from()
        except FileNotFoundError:
            return False


def digest(*parts: str | Path) -> str:
    """A hash of texts and of the contents of files (with their names, relative to the root)."""
    whole = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            whole.update(f"{part.relative_to(ROOT)}\0".encode())
            whole.update(part.read_bytes())
        else:
            whole.update(part.encode())
        whole.update(b"\0")
    return whole.hexdigest()


def base_python() -> str:
    """The Python that the virtual environments are made from, also when this one runs in the bootstrap environment."""
    return getattr(sys, "_base_executable", None) or sys.executable


def tool_environment() -> dict[str, str]:
    """The environment of npm, pip and uv: nothing of a virtual environment that happens to be active."""
    dropped = {"VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT", "PYTHONHOME", "PYTHONPATH"}
    inherited = {name: value for name, value in os.environ.items() if name not in dropped}
    return inherited | {"UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


# --- npm packages ---


def npm_made_from() -> str:
    """package-lock.json decides; package.json is checked against it by `npm ci`."""
    return digest(ROOT / "package.json", ROOT / "package-lock.json")


def make_npm(run: Runner) -> None:
    """Install the Serverless CLI and its plugin."""
    run(npm(), "ci", "--no-audit", "--no-fund")


def npm() -> str:
    """Where npm is."""
    found = shutil.which("npm")
    if found is None:
        raise SetupError("npm is not on the PATH")
    return found


# --- uv, in an environment of its own that also has pip ---


def uv_requirement() -> str:
    """The line of a requirements file for the locked uv, with the hashes of all its wheels."""
    packages = tomllib.loads(LOCK_IN.read_text())["package"]
    uv = next(package for package in packages if package["name"] == "uv")
    return " ".join([f"uv=={uv['version']}", *(f"--hash={wheel['hash']}" for wheel in uv["wheels"])])


def bootstrap_made_from() -> str:
    """The version of uv and of Python."""
    return digest(uv_requirement(), sys.version)


def make_bootstrap(run: Runner) -> None:
    """Install uv; what is at the final path is always complete."""
    fresh = BUILD / "bootstrap.new"
    shutil.rmtree(fresh, ignore_errors=True)
    run(base_python(), "-m", "venv", fresh)
    requirements = fresh / "uv.txt"
    requirements.write_text(uv_requirement())
    run(fresh / "bin/python", "-m", "pip", "install", *ONLY_LOCKED_WHEELS, "-r", requirements)
    shutil.rmtree(BOOTSTRAP, ignore_errors=True)
    fresh.rename(BOOTSTRAP)


def write_lock() -> None:
    """Write the `uv.lock` that uv reads from the committed form of it."""
    text = expanded(LOCK_IN.read_text(), default_hosts())
    if not LOCK.exists() or LOCK.read_text() != text:
        LOCK.write_text(text)


def default_hosts() -> Hosts:
    """The public index and the host of its files, as pip knows them."""
    program = (
        "from pip._internal.models.index import PyPI; print(PyPI.simple_url, 'https://' + PyPI.file_storage_domain)"
    )
    asked = subprocess.run([BOOTSTRAP / "bin/python", "-c", program], check=True, capture_output=True, text=True)
    return Hosts(*asked.stdout.split())


# --- Python packages ---


def venv_made_from() -> str:
    """The lock, the projects (both libraries are installed from where they are) and Python."""
    return digest(LOCK_IN, *PROJECTS, sys.version)


def make_venv(run: Runner) -> None:
    """Install what is locked, no more and no less."""
    write_lock()
    run(BOOTSTRAP / "bin/uv", "sync", "--frozen", "--python", base_python())


# --- wheels from which functions are packaged ---


def wheels_made_from() -> str:
    """The lock, what of it functions need, and for which Pythons."""
    return digest(LOCK_IN, ROOT / "pyproject.toml", sys.version)


def make_wheels(run: Runner) -> None:
    """Fetch the wheels of the group `lambda`: for this machine (stage local) and for the functions' runtime."""
    write_lock()
    target = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["toolchain"]
    fresh = BUILD / "wheels.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    requirements = BUILD / "lambda-requirements.txt"
    export = ("export", "--quiet", "--frozen", "--only-group", "lambda", "--no-emit-workspace", "--no-annotate")
    run(BOOTSTRAP / "bin/uv", *export, "--output-file", requirements)
    download = (BOOTSTRAP / "bin/python", "-m", "pip", "download", *ONLY_LOCKED_WHEELS)
    platform, python = target["lambda-platform"], target["lambda-python"]
    for_lambda = (f"--platform={platform}", f"--python-version={python}", "--implementation=cp")
    run(*download, "--dest", fresh, "-r", requirements)
    run(*download, "--dest", fresh, "-r", requirements, *for_lambda)
    shutil.rmtree(WHEELS, ignore_errors=True)
    fresh.rename(WHEELS)


def runtime_sources() -> list[Path]:
    """Every file of the runtime's wheel."""
    package = ROOT / "libs/stream_runtime"
    files = [path for path in package.joinpath("src").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return [package / "pyproject.toml", *sorted(files)]


def runtime_made_from() -> str:
    """The sources of the runtime, and uv, which builds it."""
    return digest(uv_requirement(), *runtime_sources())


def make_runtime(run: Runner) -> None:
    """Build the runtime's wheel, the same bytes from the same sources, and swap it in as a whole."""
    fresh = BUILD / "runtime.new"
    shutil.rmtree(fresh, ignore_errors=True)
    run(BOOTSTRAP / "bin/uv", "build", "--offline", "--wheel", "--package", "stream-runtime", "--out-dir", fresh)
    (wheel,) = fresh.glob("*.whl")
    for old in WHEELS.glob("stream_runtime-*.whl"):
        if old.name != wheel.name:
            old.unlink()
    wheel.replace(WHEELS / wheel.name)
    shutil.rmtree(fresh)


STEPS = (
    Step("npm packages", ROOT / "node_modules/.setup-stamp", npm_made_from, make_npm),
    Step("uv", BOOTSTRAP / ".setup-stamp", bootstrap_made_from, make_bootstrap),
    Step("Python packages", VENV / ".setup-stamp", venv_made_from, make_venv),
    Step("wheels for functions", WHEELS / ".setup-stamp", wheels_made_from, make_wheels),
    Step("wheel of stream-runtime", WHEELS / ".runtime-stamp", runtime_made_from, make_runtime),
)


@contextlib.contextmanager
def only_set_up_here() -> Iterator[int]:
    """Wait until no other set-up works in this folder; gives the descriptor that holds the lock."""
    BUILD.mkdir(exist_ok=True)
    descriptor = os.open(BUILD / "setup.lock", os.O_RDWR | os.O_CREAT)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Waiting for another set-up of this folder to finish")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def say(line: str) -> None:
    """Progress goes to stderr: stdout belongs to the command that follows."""
    print(line, file=sys.stderr, flush=True)


def take(step: Step, run: Runner) -> None:
    """Take one step and print one line for it with the time it took; on a terminal also while it is being taken."""
    live = sys.stderr.isatty()
    if live:
        print(f"  {step.name} ...", end="", file=sys.stderr, flush=True)
    start = time.monotonic()
    step.stamp.unlink(missing_ok=True)
    made_from = step.made_from()
    try:
        step.make(run)
    except BaseException:
        if live:
            say("")
        raise
    step.stamp.write_text(made_from)
    say(f"{chr(13) + chr(27) + '[K' if live else ''}  {step.name:<24}{time.monotonic() - start:6.1f} s")


def set_up(steps: Iterable[Step]) -> None:
    """Take the steps that are not done."""
    if all(step.is_done() for step in steps):
        return
    with only_set_up_here() as lock, LOG.open("w") as log:
        run = Runner(log, lock)
        for step in steps:
            if not step.is_done():
                take(step, run)


def lock_again(arguments: list[str]) -> None:
    """Resolve both lock files again and write them without hosts."""
    set_up([step for step in STEPS if step.name == "uv"])
    with only_set_up_here() as lock, LOG.open("w") as log:
        run = Runner(log, lock)
        write_lock()
        run(BOOTSTRAP / "bin/uv", "lock", "--python", base_python(), *arguments)
        try:
            LOCK_IN.write_text(host_free(LOCK.read_text(), default_hosts()))
        except ValueError as error:
            raise SetupError(str(error)) from None
        run(npm(), "install", "--package-lock-only", "--no-audit", "--no-fund")
    say(f"  locked: {LOCK_IN.name}, package-lock.json")


def become(command: list[str]) -> None:
    """Replace this process by a command of the virtual environment."""
    found = shutil.which(command[0], path=VENV / "bin")
    if found is None:
        raise SetupError(f"{command[0]} is not a command of {VENV}")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONHOME"}
    environment["VIRTUAL_ENV"] = str(VENV)
    environment["PATH"] = os.pathsep.join([str(VENV / "bin"), environment.get("PATH", os.defpath)])
    os.execve(found, command, environment)


def stop(number: int, _frame: object) -> None:
    """End the step that is being taken, and with it set-up."""
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)
    raise SystemExit(128 + number)


def main(arguments: list[str]) -> int:
    """Set up, then run what is asked for."""
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, stop)
    try:
        if arguments[:1] == ["--lock"]:
            lock_again(arguments[1:])
            arguments = []
        set_up(STEPS)
        if arguments:
            become(arguments)
    except SetupError as error:
        say(f"{error}\nSet-up failed.")
        return 1
    except SystemExit:
        say("Set-up was stopped; the next command goes on from here.")
        raise
    say("Everything is in place.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
