"""A console without a port: what it reads, and requests to it."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp
from stream_cli.console.application import Sources, application
from stream_cli.console.traces import deployed_in
from stream_cli.journal.answers import Journal
from stream_cli.local.state import StateFolder
from stream_cli.stored.connection import Connection

PORT, TOKEN = 4321, "the-token-of-this-cloud"
OWN = (("host", f"127.0.0.1:{PORT}"), ("x-console-token", TOKEN))
JSON = ("content-type", "application/json")


@dataclass
class Asked:
    """An answer, and how many bytes of the request's body were taken before it."""

    status: int
    headers: dict[str, str]
    text: str
    taken: int

    @property
    def content(self) -> Any:
        return json.loads(self.text)


@dataclass
class Console:
    """An application that is asked as its page asks, if nothing else is said."""

    app: ASGIApp
    headers: Sequence[tuple[str, str]] = field(default=OWN)

    def get(self, path: str, headers: Sequence[tuple[str, str]] | None = None) -> Asked:
        return self.ask("GET", path, (), self.headers if headers is None else headers)

    def post(
        self,
        path: str,
        body: Any = None,
        headers: Sequence[tuple[str, str]] | None = None,
        announced: int | None = None,
    ) -> Asked:
        """The body is a value of JSON, bytes, or an iterable of bytes, which has no length."""
        content = json.dumps({} if body is None else body).encode() if isinstance(body, dict | None) else body
        given = (*self.headers, JSON) if headers is None else headers
        if isinstance(content, bytes):
            given = (*given, ("content-length", str(len(content) if announced is None else announced)))
            content = (content,)
        return self.ask("POST", path, content, given)

    def ask(self, method: str, path: str, parts: Iterable[bytes], headers: Sequence[tuple[str, str]]) -> Asked:
        path, _, query = path.partition("?")
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
            "raw_path": path.encode(), "query_string": query.encode(), "root_path": "", "scheme": "http",
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
            "server": ("127.0.0.1", PORT), "client": ("127.0.0.1", 1),
        }  # fmt: skip
        waiting, sent, taken = iter(parts), [], 0

        async def receive() -> dict[str, Any]:
            nonlocal taken
            part = next(waiting, None)
            taken += len(part or b"")
            return {"type": "http.request", "body": part or b"", "more_body": part is not None}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        asyncio.run(self.app(scope, receive, send))  # type: ignore[arg-type]
        answered = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
        text = b"".join(each.get("body", b"") for each in sent[1:]).decode()
        return Asked(sent[0]["status"], answered, text, taken)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


@pytest.fixture
def sources(tmp_path: Path, journal: Journal) -> Sources:
    """Of a local cloud that does not run."""
    state = StateFolder(tmp_path)
    return Sources(
        "local", "a cloud", journal, tmp_path / "mappings", functools.partial(deployed_in, state), state,
        connection=functools.partial(Connection, "local", state), is_production=lambda: False, writes=True,
    )  # fmt: skip


@pytest.fixture
def console_of() -> Callable[[Sources], Console]:
    return lambda sources: Console(application(sources, port=PORT, token=TOKEN, node_modules=None))


@pytest.fixture
def console(sources: Sources, console_of: Callable[[Sources], Console]) -> Console:
    return console_of(sources)
