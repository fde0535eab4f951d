"""Installs what every command needs, then runs one of them.

    sh scripts/launch.sh                      set up
    sh scripts/launch.sh streamctl status     set up, then run .venv/bin/streamctl status

Needs the standard library alone. Each step writes a stamp, the hash of its inputs, when it is done. A step whose stamp
is up to date is skipped; an interrupted one has no stamp and runs again. npm works beside Python's steps. One set-up at
a time runs in a folder.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD, VENV = ROOT / ".build", ROOT / ".venv"
WHEELS = BUILD / "wheels"
PYTHON, UV = VENV / "bin/python", VENV / "bin/uv"
LIBRARIES = ("libs/stream_runtime", "libs/stream_cli")
# The functions' runtime and architectures, by the param `architecture`: tests/templates compares them with each
# serverless.yml.
LAMBDA_PYTHON, LAMBDA_PLATFORMS = "3.14", ("manylinux2014_aarch64", "manylinux2014_x86_64")
LOG_LINES_SHOWN = 25
LOCKED = ("--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes", "--requirement")
running: set[subprocess.Popen[bytes]] = set()
"""The commands that `run` waits for."""
steps: dict[str, str] = {}
"""The steps that run, by their lanes."""
ends_with: int | None = None
"""The exit code with which set-up ends as soon as its commands have ended: a signal has come, or a step has failed."""


class SetUpEndedError(Exception):
    """The set-up is to end; what there was to say is said."""


@dataclass(frozen=True)
class SetUpStep:
    """Something that set-up makes from files and folders below the root. The stamp is a file inside it.

    The steps of a lane run in their order, beside those of other lanes.
    """

    name: str
    stamp: Path
    inputs: tuple[str, ...]
    make: Callable[[], None]
    lane: str = "python"

    def files(self) -> list[Path]:
        """Every input file, those in folders included."""
        paths = [ROOT / name for name in self.inputs]
        found = [path for each in paths for path in ([each] if each.is_file() else each.rglob("*"))]
        return sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts)

    def hash(self) -> str:
        """The hash of Python's version and of the names and contents of all input files."""
        whole = hashlib.sha256(sys.version.encode())
        for path in self.files():
            whole.update(f"{path.relative_to(ROOT)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
        return whole.hexdigest()

    def is_done(self) -> bool:
        return self.stamp.is_file() and self.stamp.read_text() == self.hash()

    def run(self) -> None:
        """Make it again. Prints its name and the time that took."""
        steps[self.lane] = self.name
        say_what_runs()
        start = time.monotonic()
        self.stamp.unlink(missing_ok=True)
        made_from = self.hash()
        self.make()
        self.stamp.write_text(made_from)
        say(f"  {self.name:<24}{time.monotonic() - start:6.1f} s")
        del steps[self.lane]
        say_what_runs()


def install_npm_packages() -> None:
    run("npm", "ci", "--no-audit", "--no-fund")


def install_python_packages() -> None:
    """Make `.venv` anew: pip installs uv, and uv, which is many times faster, the rest."""
    run(getattr(sys, "_base_executable", sys.executable), "-m", "venv", "--clear", VENV)
    run(PYTHON, "-m", "pip", "install", *LOCKED, "requirements/bootstrap.txt")
    run(UV, "pip", "install", "--python", PYTHON, *LOCKED, "requirements/dev.txt")
    run(UV, "pip", "install", "--python", PYTHON, "--offline", "--no-deps", *(f"--editable={lib}" for lib in LIBRARIES))


def download_wheels() -> None:
    """Download what functions carry, for this machine (stage local) and for Lambda."""
    fresh = BUILD / "wheels.new"
    shutil.rmtree(fresh, ignore_errors=True)
    download = (PYTHON, "-m", "pip", "download", "--dest", fresh, *LOCKED, "requirements/lambda.txt")
    run(*download)
    for platform in LAMBDA_PLATFORMS:
        run(*download, f"--platform={platform}", f"--python-version={LAMBDA_PYTHON}", "--implementation=cp")
    shutil.rmtree(WHEELS, ignore_errors=True)
    fresh.rename(WHEELS)


def build_runtime_wheel() -> None:
    """Build the runtime's wheel, the same bytes from the same sources, and replace the old one in one move."""
    fresh = BUILD / "runtime.new"
    shutil.rmtree(fresh, ignore_errors=True)
    run(UV, "build", "--offline", "--wheel", "--out-dir", fresh, "libs/stream_runtime")
    (wheel,) = fresh.glob("*.whl")
    for old in WHEELS.glob("stream_runtime-*.whl"):
        if old.name != wheel.name:
            old.unlink()
    wheel.replace(WHEELS / wheel.name)


NPM_FILES = ("package.json", "package-lock.json", ".npmrc")
PYTHON_FILES = ("requirements/bootstrap.txt", "requirements/dev.txt", *(f"{lib}/pyproject.toml" for lib in LIBRARIES))
WHEEL_FILES = ("requirements/lambda.txt", "scripts/toolchain.py")
RUNTIME_FILES = ("requirements/bootstrap.txt", "libs/stream_runtime/pyproject.toml", "libs/stream_runtime/src")
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STEPS = (
    SetUpStep("npm packages", ROOT / "node_modules/.setup-stamp", NPM_FILES, install_npm_packages, "npm"),
    SetUpStep("Python packages", VENV / ".setup-stamp", PYTHON_FILES, install_python_packages),
    SetUpStep("wheels for functions", WHEELS / ".setup-stamp", WHEEL_FILES, download_wheels),
    SetUpStep("wheel of stream-runtime", WHEELS / ".runtime-stamp", RUNTIME_FILES, build_runtime_wheel),
)


def set_up() -> None:
    """Run the steps that are not done."""
    if all(step.is_done() for step in STEPS):
        return
    with only_set_up_here():
        for each in STOP_SIGNALS:
            signal.signal(each, stop)
        lanes = [threading.Thread(target=run_lane, args=(name,), name=name) for name in {step.lane for step in STEPS}]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()
        if ends_with is not None:
            if ends_with > 128:
                for each in STOP_SIGNALS:
                    signal.signal(each, signal.SIG_IGN)  # Python's end would restore what they do by default
                say("Set-up was stopped; the next command continues from here.")
            sys.exit(ends_with)


def run_lane(lane: str) -> None:
    """Run the steps of a lane that are not done; an error ends the other lanes, too."""
    try:
        for step in STEPS:
            if step.lane == lane and ends_with is None and not step.is_done():
                step.run()
    except SetUpEndedError:
        return
    except BaseException:
        end_with(1)
        raise  # its thread prints it


@contextlib.contextmanager
def only_set_up_here() -> Iterator[None]:
    """Hold the folder's lock.

    The commands inherit it: when this process is killed, the next set-up still waits for what it has left running.
    """
    BUILD.mkdir(exist_ok=True)
    with (BUILD / "setup.lock").open("w") as lock:
        os.set_inheritable(lock.fileno(), True)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Waiting for another set-up of this folder to finish")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run(*command: str | Path) -> None:
    """Run a command in the root folder; set-up ends with the end of its output if it fails.

    It runs in a process group of its own, so that all that it has started ends with it.

    Raises:
        SetUpEndedError: it has failed or was ended.
    """
    settings = {"UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    name = Path(command[0]).name
    path = BUILD / f"setup-{threading.current_thread().name}.log"  # of the lane
    with path.open("w+", errors="replace") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment() | settings,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            close_fds=False,
        )
        running.add(process)
        if ends_with is not None:
            kill(process)
        code = process.wait()
        kill(process)
        running.discard(process)
        if ends_with is not None:
            raise SetUpEndedError
        if code != 0:
            end_with(1)
            log.seek(0)
            said = "\n".join(log.read().strip().splitlines()[-LOG_LINES_SHOWN:])
            say(f"{said}\n{name} exited with {code}; all of its output is in {path}\nSet-up failed.")
            raise SetUpEndedError


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: a group of zombies
        os.killpg(process.pid, signal.SIGKILL)


def end_with(code: int) -> None:
    """End the commands that run, and with them set-up."""
    global ends_with
    ends_with = code if ends_with is None else ends_with
    for each in tuple(running):
        kill(each)


def stop(number: int, _frame: object) -> None:
    """End set-up. This raises nothing, because it may interrupt the start of a command."""
    end_with(128 + number)


def environment() -> dict[str, str]:
    """This process's environment without what would lead a Python of `.venv` to the packages of another."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "PYTHONPATH")}


def say_what_runs() -> None:
    """Print the steps that run, on a terminal."""
    if steps and sys.stderr.isatty():
        say(f"  {', '.join(steps.values())} ...", end="")


def say(line: str, end: str = "\n") -> None:
    """Print a line on stderr, since stdout belongs to the command that follows.

    In one piece: between the two writes of print(), that of the line and that of its end, another lane may print.
    """
    start_of_line = "\r\033[K" if sys.stderr.isatty() else ""
    sys.stderr.write(f"{start_of_line}{line}{end}")
    sys.stderr.flush()


def main(command: list[str]) -> None:
    """Set up, then become the command."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    set_up()
    if not command:
        say("Everything is in place.")
        return
    path = os.pathsep.join([str(VENV / "bin"), os.environ.get("PATH", os.defpath)])
    os.execvpe(command[0], command, {**environment(), "VIRTUAL_ENV": str(VENV), "PATH": path})


if __name__ == "__main__":
    main(sys.argv[1:])
