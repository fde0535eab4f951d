"""A function that is debugged: its process waits for a debugger before it imports anything, and has all the time.

``GET /_streamctl/debug?function=NAME&port=PORT`` begins that, and answers with a line of JSON; it ends when the
connection does, so that a session that was killed leaves nothing. There is one process of the function then, which
listens on 127.0.0.1 at that port. Its invocations wait for each other, and for the debugger.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs

from stream_cli.local.emulator.fault_injection import App, Receive, Scope, Send

DEBUG_PATH = "/_streamctl/debug"
NO_LIMIT_S = 86_400.0
"""Seconds that an invocation may take, and that a process waits for a debugger."""

_LEAST_PORT = 1024
_DEBUGGER = "debugpy"


@dataclass(frozen=True)
class Debugger:
    """How a function is debugged: where its process listens, the folder with the debugger, whose turn it is."""

    port: int
    folder: str
    turn: threading.Lock = field(default_factory=threading.Lock)


_debuggers: dict[str, Debugger] = {}


def debugger_of(function: str) -> Debugger | None:
    """The debugger of a function, if it is debugged."""
    return _debuggers.get(function)


@contextlib.contextmanager
def turn_of(function: str) -> Iterator[None]:
    """Wait until no other invocation of a debugged function runs; others do not wait."""
    debugger = _debuggers.get(function)
    with debugger.turn if debugger is not None else contextlib.nullcontext():
        yield


class Debugging:
    """ASGI layer that answers at `DEBUG_PATH`."""

    def __init__(self, app: App, retire: Callable[[str], None]) -> None:
        """``retire`` ends the processes of a function, and starts one that waits for a debugger if it is debugged."""
        self._app = app
        self._retire = retire

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != DEBUG_PATH:
            await self._app(scope, receive, send)
            return
        asked = {name: values[0] for name, values in parse_qs(scope["query_string"].decode("latin-1")).items()}
        function, port = asked.get("function", ""), asked.get("port", "")
        if problem := _problem(function, port):
            await _answer(send, 409, {"problem": problem}, more=False)
            return
        _debuggers[function] = Debugger(int(port), await asyncio.to_thread(_folder_of_debugger))
        try:
            await asyncio.to_thread(self._retire, function)
            await _answer(send, 200, {"function": function, "port": int(port)}, more=True)
            while (await receive())["type"] != "http.disconnect":
                pass
        finally:
            del _debuggers[function]
            await asyncio.shield(asyncio.to_thread(self._retire, function))


def _problem(function: str, port: str) -> str | None:
    from ministack.services import lambda_svc

    if function not in lambda_svc._functions:
        return f"there is no function {function}"
    if not port.isdecimal() or not _LEAST_PORT <= int(port) < 1 << 16:
        return f"{port!r} is not a port that anybody may listen at"
    if function in _debuggers:
        return f"{function} is being debugged already"
    if any(each.port == int(port) for each in _debuggers.values()):
        return f"another function waits for a debugger at port {port}"
    if importlib.util.find_spec(_DEBUGGER) is None:
        return f"{_DEBUGGER} is not installed beside streamctl"
    return None


async def _answer(send: Send, status: int, content: dict[str, object], *, more: bool) -> None:
    body = json.dumps(content).encode() + b"\n"
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body, "more_body": more})


def _folder_of_debugger() -> str:
    """A folder with the debugger alone: functions see nothing else that is installed for streamctl."""
    spec = importlib.util.find_spec(_DEBUGGER)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(_DEBUGGER)
    folder = Path(tempfile.gettempdir()) / "streamctl-debugger"
    folder.mkdir(exist_ok=True)
    link = folder / _DEBUGGER
    if not link.is_symlink():
        link.symlink_to(Path(spec.origin).parent)
    return str(folder)
