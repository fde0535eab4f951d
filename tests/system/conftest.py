"""Runs `streamctl` as a user does, and finds what it leaves behind."""

from __future__ import annotations

import contextlib
import fnmatch
import json
import os
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psutil
import pytest
from chromium import Chromium, missing
from chromium import running as running_chromium
from stream_cli.cli import app
from stream_cli.deployment import serverless
from typer.testing import CliRunner
from xdist.scheduler import LoadFileScheduling

ROOT = Path(__file__).resolve().parents[2]
COMPILED = Path(serverless.__file__).with_name("compiled.cjs")
# What these folders' files deploy, one worker deploys for all of them; this file deploys its own.
OF_ONE_WORKER = ("tests/system/proof", "tests/system/rest")
ON_ITS_OWN = "test_published_once.py"
# What is shared, a cloud or a browser, with the names of the files that do.
SHARED = {
    "running": (
        "test_agreement.py",
        "test_beside.py",
        "test_deployed_in_browser.py",
        "test_fixtures.py",
        "test_large_events.py",
        "test_mistakes.py",
        "test_parts.py",
        "test_personal_fields.py",
    ),
    "chromium": ("test_*browser.py", "test_console_*.py"),  # test_console.py has one on another worker
}
STOPPED_WITHIN_S = 30.0
FIRST = "running"  # the files that share this take longest, so that all wait for their worker
NICER = 3


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A worker lets that of the longest files go first when its first test is of others; so does all that it starts."""
    of_first = any(fnmatch.fnmatchcase(item.path.name, each) for each in SHARED[FIRST])
    if not of_first and hasattr(item.config, "workerinput") and os.nice(0) == 0:
        os.nice(NICER)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """Workers take file by file, or all files that share what takes long to make."""
    return BySharedCloud(config, log) if config.getvalue("dist") == "loadfile" else None


class BySharedCloud(LoadFileScheduling):
    """What goes to one worker; the next when one test of it is left, not two, as another worker may be done earlier."""

    def _reschedule(self, node: Any) -> None:
        if not self.workqueue or self._pending_of(self.assigned_work[node]) < 2:
            super()._reschedule(node)

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        folder, _, name = file.rpartition("/")
        for shared, patterns in SHARED.items():
            if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
                return shared
        return folder if folder.endswith(OF_ONE_WORKER) and name != ON_ITS_OWN else file


def until(condition: Callable[[], object], what: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    began = time.monotonic()
    while not condition():
        now = time.monotonic()
        assert now < deadline, f"waited {timeout_s:.0f} s in vain until {what}"
        time.sleep(max(0.05, 2 * (now - began)))  # to look at all processes takes longer than that
        began = time.monotonic()


def every_process() -> Iterator[tuple[int, str]]:
    """Every process with its command line and its environment."""
    for process in psutil.process_iter(["cmdline", "environ"]):
        variables = (f"{name}={value}" for name, value in (process.info["environ"] or {}).items())
        yield process.pid, "\n".join([*(process.info["cmdline"] or []), *variables])


def as_a_terminal_starts(command: list[str], variables: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Start a command in the root folder, in a session of its own, so that it can be interrupted."""
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@dataclass
class Streamctl:
    """The command with a state folder of its own, and variables beside those of the tests."""

    state: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)

    def command(self, name: str, *arguments: str) -> list[str]:
        module = "demo" if name == "start" else "stream_cli.cli"
        return [sys.executable, "-m", module, name, "--state", str(self.state), *arguments]

    def run(self, name: str, *arguments: str, timeout_s: float = 240) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(name, *arguments),
            cwd=ROOT,
            env={**os.environ, **self.variables},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def run_here(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command that starts no processes in this one, which has imported it: a tenth of the CPU."""
        with contextlib.chdir(ROOT):
            ran = CliRunner().invoke(
                app, [*words, "--state", str(self.state)], env=self.variables, catch_exceptions=False
            )
        return subprocess.CompletedProcess(words, ran.exit_code, ran.stdout, ran.stderr)

    @cached_property
    def exports(self) -> str:
        """The lines that `env` prints."""
        return self.run("env").stdout

    def in_shell(self, line: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
        """Run a line in a shell that has nothing but the lines which `env` prints; sls starts as fast as `deploy`'s."""
        bash = shutil.which("bash") or "sh"
        tools = serverless.find_toolchain(ROOT)
        compiled = {"NODE_OPTIONS": f'--require="{COMPILED}"', **serverless.kept_compiled(tools)}
        return subprocess.run(
            [bash, "-c", f"{self.exports}\n{line}"],
            cwd=folder,
            env={**os.environ, **self.variables, **compiled},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def start(self, name: str, *arguments: str) -> subprocess.Popen[str]:
        """Start it as a terminal does, in a process group of its own."""
        return self._start(self.command(name, *arguments))

    def npm_start(self, *arguments: str) -> subprocess.Popen[str]:
        """The main job as a user starts it; what is returned is npm."""
        return self._start(["npm", "start", "--", "--state", str(self.state), *arguments])

    def _start(self, command: list[str]) -> subprocess.Popen[str]:
        process = as_a_terminal_starts(command, {**os.environ, **self.variables})
        self.started.append(process)
        return process

    def processes(self) -> dict[int, str]:
        """Processes that have the state folder on their command line or in their environment, by id."""
        return {pid: text[:200] for pid, text in every_process() if str(self.state) in text and pid != os.getpid()}

    def wait_until_nothing_runs(self) -> None:
        until(lambda: not self.processes(), f"nothing runs any more of {self.processes()}", STOPPED_WITHIN_S)

    def left(self) -> list[str]:
        return sorted(path.name for path in self.state.iterdir())

    def begins_to_deploy(self, services: int = 1, timeout_s: float = 180.0) -> int:
        """Wait until so many services are being deployed at once; returns the emulator's port."""
        run = self.state / "run"
        until(lambda: len(list(run.glob("deploy-*.json"))) >= services, f"{services} deployments run", timeout_s)
        return int(json.loads((self.state / "cloud.json").read_text())["port"])

    @staticmethod
    def is_closed(port: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) != 0


# A worker of pytest-xdist is killed when the run is interrupted; its end is what closes the pipe.
DOWN_WHEN_THE_PIPE_CLOSES = """
import pathlib, subprocess, sys
sys.stdin.read()
for file in pathlib.Path(sys.argv[1]).rglob("cloud.json"):
    subprocess.run([sys.executable, "-m", "stream_cli.cli", "down", "--state", str(file.parent)])
"""


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left_of_an_interrupted_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Clouds that were started with `up` outlive what has started them, but not the tests."""
    guard = subprocess.Popen(
        [sys.executable, "-c", DOWN_WHEN_THE_PIPE_CLOSES, tmp_path_factory.getbasetemp()],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    yield
    guard.communicate()


@pytest.fixture
def streamctl(tmp_path: Path) -> Iterator[Streamctl]:
    command = Streamctl(tmp_path / "state")
    yield command
    for process in command.started:
        if process.poll() is None:
            process.kill()
        process.communicate()
    if command.processes():  # a failed test has left them: the folder's next owner ends them
        command.run("down")
        assert command.processes() == {}


@pytest.fixture(scope="session")
def streamctl_at() -> type[Streamctl]:
    """For clouds that live longer than one test."""
    return Streamctl


@pytest.fixture(scope="session")
def proxy() -> Iterator[dict[str, str]]:
    """The variables that name a proxy; at the end it has seen no request."""
    seen: list[bytes] = []

    class Recording(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            seen.append(self.rfile.readline())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Recording) as server:
        threading.Thread(target=server.serve_forever).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        names = ("http_proxy", "https_proxy", "all_proxy")
        given = {each: url for name in names for each in (name, name.upper())}
        # Nothing is excepted, and Node.js is told to use what is there.
        yield {**given, "proxy": url, "NO_PROXY": "", "no_proxy": "", "NODE_USE_ENV_PROXY": "1"}
        server.shutdown()
    assert seen == []


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory, proxy: dict[str, str]) -> Iterator[Streamctl]:
    """A cloud with all services, for files that add to it and take nothing away."""
    variables = {**proxy, "LAMBDA_ASYNC_RETRY_BASE_SECONDS": "1"}  # AWS waits for a minute
    command = Streamctl(tmp_path_factory.mktemp("running") / "state", variables=variables)
    started = command.run("up")
    assert started.returncode == 0, started.stdout + started.stderr
    yield command
    stopped = command.run("down")
    assert stopped.returncode == 0
    assert "nothing is left running" in stopped.stdout
    assert command.processes() == {}
    assert command.run("status").returncode == 3


@pytest.fixture(scope="session")
def browser() -> Iterator[Chromium]:
    """The browser below .build, which is installed when its lock file has changed."""
    if why := missing():
        pytest.skip(why)
    with running_chromium() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def chromium(browser: Chromium) -> Iterator[Chromium]:
    """The browser; its visitors are those of one file, because pages stay open."""
    yield browser
    browser.leave()


@contextlib.contextmanager
def page_everywhere(page: str) -> Iterator[int]:
    """A server of the page on every path but /redirect, under every name; gives its port."""

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            self.send_response(int(query["status"]) if url.path == "/redirect" else 200)
            if url.path == "/redirect":
                self.send_header("Location", query["to"])
            self.send_header("Access-Control-Allow-Origin", self.headers.get("Origin", "*"))
            self.send_header("Access-Control-Allow-Credentials", "true")
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page.encode())

        do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="session")
def everywhere() -> Callable[[str], AbstractContextManager[int]]:
    """Serves a page of somebody else."""
    return page_everywhere
