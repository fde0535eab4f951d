"""A hostile page in a real browser, beside an open console: it reads nothing, changes nothing and learns no token.

tests/browser/attack_console.js is what the page tries, from nine foreign origins, DNS rebinding included. What the
console has answered is written down in front of it.
"""

from __future__ import annotations

import asyncio
import functools
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypercorn.asyncio import serve
from hypercorn.config import Config
from stream_cli.console.application import Sources, application
from stream_cli.console.files import node_modules
from stream_cli.console.serving import listen
from stream_cli.console.traces import deployed_in
from stream_cli.journal.answers import Journal
from stream_cli.journal.writer import Writer
from stream_cli.local.state import StateFolder
from stream_cli.stored.connection import Connection

pytestmark = pytest.mark.system

BROWSER = Path(__file__).parents[1] / "browser"
ATTACK = "".join((BROWSER / each).read_text() for each in ("framed.js", "attack_console.js"))
HOSTILE_PAGE = f"<!doctype html><title>prizes</title><body><script>{ATTACK}</script></body>"
TOKEN = "the-token-of-this-cloud"
REFUSED = {401, 403, 405}
POSTS = ["/api/events", "/api/jobs/resubmit", "/api/jobs/replay", "/api/jobs/1/stop"]


@dataclass(frozen=True)
class Answer:
    """What was asked, by headers and path, and the status that it got."""

    method: str
    path: str
    headers: dict[str, str]
    status: int


@dataclass
class Attacked:
    """A console that writes down what it answers."""

    port: int
    answers: list[Answer] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/#token={TOKEN}"

    def writing_down(self, app: Any) -> Any:
        """A layer in front of everything."""

        async def asked(scope: Any, receive: Any, send: Any) -> None:
            async def sent(message: Any) -> None:
                if message["type"].endswith("http.response.start"):
                    headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
                    method = scope.get("method", "WEBSOCKET")
                    self.answers.append(Answer(method, scope["path"], headers, message["status"]))
                await send(message)

            await app(scope, receive, sent if scope["type"] != "lifespan" else send)

        return asked


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    state = StateFolder(tmp_path_factory.mktemp("console") / "state")
    state.secure()
    writer = Writer(state.journal, "emulator")
    detail = {"id": "seen-1", "type": "seen", "partition_key": "key-1"}
    writer.put(
        {"kind": "event", "at": time.time_ns() // 1_000_000, "bus": "hub-bus", "id": "bus-1", "source": "custom",
         "type": "seen", "detail": detail, "rules": []}
    )  # fmt: skip
    writer.close()
    journal = Journal(state.journal)
    sources = Sources(
        "local", "a cloud", journal, state.mappings, functools.partial(deployed_in, state), state,
        connection=functools.partial(Connection, "local", state), is_production=lambda: False, writes=True,
    )  # fmt: skip
    listener = listen(0)
    console = Attacked(listener.getsockname()[1])
    app = console.writing_down(application(sources, port=console.port, token=TOKEN, node_modules=node_modules()))
    config, ends = Config(), threading.Event()
    config.bind = [f"fd://{listener.detach()}"]
    config.graceful_timeout = 0.2

    async def until_the_end() -> None:
        await asyncio.to_thread(ends.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve(app, config, shutdown_trigger=until_the_end)))
    thread.start()
    yield console
    ends.set()
    thread.join()
    journal.close()


@pytest.fixture(scope="module")
def hostile_port(everywhere: Callable[[str], AbstractContextManager[int]]) -> Iterator[int]:
    with everywhere(HOSTILE_PAGE) as port:
        yield port


ORIGINS = [
    ("http://127.0.0.1:HOSTILE", "http://127.0.0.1:PORT"),
    *(
        pytest.param(page, target, marks=pytest.mark.thorough)
        for page, target in (
            ("http://evil.example:HOSTILE", "http://127.0.0.1:PORT"),
            ("http://evil.example:HOSTILE", "http://localhost:PORT"),
            ("http://evil.example:HOSTILE", "http://any.localhost:PORT"),
            ("http://any.localhost:HOSTILE", "http://any.localhost:PORT"),
            ("http://evil.example:PORT/prizes", "http://evil.example:PORT"),
            ("http://evil.example:PORT/prizes", "http://127.0.0.1:PORT"),
            ("http://other.localhost:PORT/prizes", "http://localhost:PORT"),
            ("file://FOLDER/page.html", "http://127.0.0.1:PORT"),
        )
    ),
]


@pytest.mark.parametrize(("page", "target"), ORIGINS)
def test_a_hostile_page_beside_an_open_console_reads_nothing_and_changes_nothing(
    chromium: Any, attacked: Attacked, hostile_port: int, tmp_path: Path, page: str, target: str
) -> None:
    (tmp_path / "page.html").write_text(HOSTILE_PAGE)
    for name, value in {"HOSTILE": str(hostile_port), "PORT": str(attacked.port), "FOLDER": str(tmp_path)}.items():
        page, target = page.replace(name, value), target.replace(name, value)
    # A page at the console's own port was loaded before its name led to this machine.
    own = {"beside": "victim", **({"served": HOSTILE_PAGE} if page.endswith("/prizes") else {})}
    elsewhere = f"http://evil.example:{hostile_port}"
    chromium.play("victim", "isLive", attacked.url)
    attacked.answers.clear()

    job = json.dumps({"target": target, "elsewhere": elsewhere, "posts": POSTS})
    tried = chromium.visit(page, f"return await attackConsole({job})", **own)
    redirect = f"{elsewhere}/redirect?status=302&to="
    leads = (
        f"location.href = '{target}/'",
        f"location.href = '{target}/#token=of-the-attacker'",
        f"location.href = '{target}/api/events'",
        f"location.href = '{redirect}' + encodeURIComponent('{target}/#token=of-the-attacker')",
    )
    led = [chromium.visit(page, script, leads=True, **own)["status"] for script in leads]

    assert tried["value"] == {}
    assert led == [403, 403, 403, 403]
    others = [each for each in attacked.answers if each.headers.get("x-console-token") != TOKEN]
    assert len(others) > 50
    assert {each.status for each in others} <= REFUSED, [each for each in others if each.status not in REFUSED]
    # The open page goes on, with its token.
    kept = chromium.play("victim", "isLive")
    assert kept["token"] == TOKEN
