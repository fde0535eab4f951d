"""A function that is debugged waits for a debugger, with which breakpoints in the folder of a service hold."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from stream_cli.local.emulator.functions.debugging import DEBUG_PATH
from stream_cli.local.endpoint import LocalEndpoint

ROOT = Path(__file__).resolve().parents[4]
SOURCE = """def handler(event, context):
    doubled = 2 * event
    return doubled
"""


class Editor:
    """The debugger of an editor, by the Debug Adapter Protocol, with the configuration of a template."""

    def __init__(self, folder: Path, port: int) -> None:
        written = json.loads((ROOT / "services/control-service/.vscode/launch.json").read_text())
        text = json.dumps(written["configurations"][0]).replace("${workspaceFolder}", str(folder))
        self._configuration = json.loads(text)
        assert self._configuration["connect"] == {"host": "127.0.0.1", "port": 5678}
        self._connection = connected(port)
        self._read = self._connection.makefile("rb")
        self._sent = 0
        self.seen: list[dict[str, Any]] = []

    def attach(self, *lines: int) -> None:
        """Attach with breakpoints at lines of the handler."""
        self.ask("initialize", clientID="vscode", adapterID="debugpy", pathFormat="path", linesStartAt1=True)
        self._send("attach", self._configuration)
        self.until(lambda each: each.get("event") == "initialized")
        root = self._configuration["pathMappings"][0]["localRoot"]
        source = {"path": f"{root}/work.py"}
        self.ask("setBreakpoints", source=source, breakpoints=[{"line": line} for line in lines])
        self.ask("configurationDone")

    def ask(self, command: str, **arguments: Any) -> Any:
        sequence = self._send(command, arguments)
        answer = self.until(lambda each: each["type"] == "response" and each["request_seq"] == sequence)
        assert answer["success"], answer
        return answer.get("body")

    def stopped(self) -> dict[str, Any]:
        """Wait for a breakpoint; the innermost frame."""
        event = self.until(lambda each: each.get("event") == "stopped")
        self.thread = event["body"]["threadId"]
        frame: dict[str, Any] = self.ask("stackTrace", threadId=self.thread)["stackFrames"][0]
        return frame

    def _send(self, command: str, arguments: Any) -> int:
        self._sent += 1
        content = {"seq": self._sent, "type": "request", "command": command, "arguments": arguments}
        body = json.dumps(content).encode()
        self._connection.sendall(f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return self._sent

    def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        while True:
            head = self._read.readline()
            assert head, self.seen
            length = int(head.partition(b":")[2])
            while self._read.readline().strip():
                pass
            self.seen.append(json.loads(self._read.read(length)))
            if wanted(self.seen[-1]):
                return self.seen[-1]

    def close(self) -> None:
        self._read.close()
        self._connection.close()


def connected(port: int) -> socket.socket:
    deadline = time.monotonic() + 30
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=30)
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, "nothing waits for a debugger"
            time.sleep(0.05)


def refused(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return
        assert time.monotonic() < deadline, "something still listens"
        time.sleep(0.05)


@contextmanager
def debugged(endpoint: LocalEndpoint, name: str, port: int) -> Iterator[Any]:
    asked = {"function": name, "port": port}
    with httpx.stream("GET", f"{endpoint.url}{DEBUG_PATH}", params=asked, trust_env=False, timeout=None) as answer:
        lines = answer.iter_lines()  # whose end would be that of the connection
        yield json.loads(next(lines))


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


def invoked(functions: Any, name: str, event: Any) -> Any:
    return json.loads(functions.invoke(FunctionName=name, Payload=json.dumps(event).encode())["Payload"].read())


def test_a_breakpoint_in_the_folder_of_the_service_stops_the_function(
    endpoint: LocalEndpoint, made: Any, name: str, port: int, pool: ThreadPoolExecutor, tmp_path: Path, package: Any
) -> None:
    (tmp_path / "work.py").write_text(SOURCE)
    functions = made(SOURCE, Timeout=1, Handler="work.handler", file="work.py")
    with debugged(endpoint, name, port) as answer:
        assert answer == {"function": name, "port": port}
        waiting: Future[Any] = pool.submit(invoked, functions, name, 21)
        editor = Editor(tmp_path, port)
        assert not waiting.done()
        editor.attach(3)
        frame = editor.stopped()
        assert (frame["line"], frame["source"]["path"]) == (3, str(tmp_path / "work.py"))
        time.sleep(1.1)  # longer than the function's timeout
        assert editor.ask("evaluate", expression="doubled", frameId=frame["id"])["result"] == "42"
        editor.ask("continue", threadId=editor.thread)
        assert waiting.result(30) == 42
        editor.close()
        # Other code waits for the debugger again, at the same port.
        functions.update_function_code(FunctionName=name, ZipFile=package({"work.py": SOURCE.replace("2 *", "3 *")}))
        waiting = pool.submit(invoked, functions, name, 2)
        editor = Editor(tmp_path, port)
        editor.attach()
        assert waiting.result(30) == 6
        editor.close()
    assert invoked(functions, name, 2) == 6
    refused(port)


def test_a_session_that_ends_lets_the_function_go_on(
    endpoint: LocalEndpoint, made: Any, name: str, port: int, pool: ThreadPoolExecutor
) -> None:
    functions = made(SOURCE, Handler="work.handler", file="work.py")
    with debugged(endpoint, name, port):
        waiting = pool.submit(invoked, functions, name, 21)
        connected(port).close()
    assert waiting.result(30) == 42 or "Runtime" in str(waiting.result())
    assert invoked(functions, name, 1) == 2


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ({"function": "unknown", "port": 5678}, "there is no function unknown"),
        ({"function": "", "port": 80}, "'80' is not a port"),
        ({"function": "", "port": "x"}, "'x' is not a port"),
    ],
)
def test_what_cannot_be_debugged_is_said(
    endpoint: LocalEndpoint, made: Any, name: str, asked: dict[str, Any], problem: str
) -> None:
    made(SOURCE)
    answer = httpx.get(
        f"{endpoint.url}{DEBUG_PATH}", params={**asked, "function": asked["function"] or name}, trust_env=False
    )
    assert answer.status_code == 409
    assert problem in answer.json()["problem"]


def test_a_page_in_a_browser_begins_no_debugging(endpoint: LocalEndpoint, made: Any, name: str, port: int) -> None:
    made(SOURCE)
    answer = httpx.get(
        f"{endpoint.url}{DEBUG_PATH}",
        params={"function": name, "port": port},
        headers={"Origin": "https://example.com"},
        trust_env=False,
    )
    assert answer.status_code == 403


def test_a_request_of_a_browser_does_not_reach_the_debugger(
    endpoint: LocalEndpoint, made: Any, name: str, port: int, pool: ThreadPoolExecutor, tmp_path: Path
) -> None:
    functions = made(SOURCE, Handler="work.handler", file="work.py")
    (tmp_path / "work.py").write_text(SOURCE)
    done = tmp_path / "done by a page"
    messages: list[dict[str, Any]] = [
        {"seq": 1, "type": "request", "command": "initialize", "arguments": {"adapterID": "debugpy"}},
        {"seq": 2, "type": "request", "command": "attach", "arguments": {}},
        {"seq": 3, "type": "request", "command": "configurationDone", "arguments": {}},
        {
            "seq": 4,
            "type": "request",
            "command": "evaluate",
            "arguments": {"expression": f"open({str(done)!r}, 'w')", "context": "repl"},
        },
    ]
    bodies = [json.dumps(each).encode() for each in messages]
    head = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    of_a_page = [
        b"".join(head + b"Content-Length: %d\r\n\r\n%b" % (len(each), each) for each in bodies),
        head
        + b"Content-Length: 9999\r\n\r\n"
        + b"".join(b"Content-Length: %d\r\n\r\n%b" % (len(b), b) for b in bodies),
    ]
    with debugged(endpoint, name, port):
        waiting = pool.submit(invoked, functions, name, 21)
        for request in of_a_page:
            with connected(port) as connection:
                connection.sendall(request)
                assert connection.recv(100) == b""
        assert not done.exists()
        assert not waiting.done()
        editor = Editor(tmp_path, port)
        editor.attach()
        assert waiting.result(30) == 42
        editor.close()
    assert not done.exists()
