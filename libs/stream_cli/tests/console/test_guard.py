"""Nobody but its own page, on this machine and with the token, is answered by the console."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from stream_cli.console.application import Sources, application
from stream_cli.console.files import script_hashes
from stream_cli.console.traces import deployed_in
from stream_cli.journal.answers import Journal
from stream_cli.local.state import StateFolder
from stream_cli.stored.connection import Connection

PORT, TOKEN = 4321, "the-token-of-this-cloud"
HOST, TOKEN_HEADER = ("host", f"127.0.0.1:{PORT}"), ("x-console-token", TOKEN)
PAGES = ["/", "/main.js", "/console.css", "/packages/preact.js", "/packages/uplot.css"]
ASKED = [
    "/api/about",
    "/api/events",
    "/api/events/1",
    "/api/shards",
    "/api/arrivals",
    "/api/trace/1",
    "/api/faults",
    "/api/faults/1",
    "/api/functions",
    "/api/functions/1",
    "/api/map",
    "/api/map/figures",
    "/api/functions/1/log",
    "/api/functions/1/measures",
    "/api/expectations",
    "/api/checks",
    "/api/lake",
    "/api/lake/objects",
    "/api/lake/object",
    "/api/replay",
    "/api/replay/targets",
    "/api/resubmission",
    "/api/resubmissions",
    "/api/items",
    "/api/items/a-table",
    "/api/items/a-table/[]",
    "/api/jobs",
    "/api/jobs/1",
]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("console")
    state = StateFolder(folder)
    sources = Sources(
        "local", "a cloud", Journal(folder / "journal"), folder / "mappings", functools.partial(deployed_in, state),
        state=state, connection=functools.partial(Connection, "local", state),
        is_production=lambda: False, writes=True,
    )  # fmt: skip
    return application(sources, port=PORT, token=TOKEN, node_modules=None)


def ask(
    app: Any, path: str, headers: Sequence[tuple[str, str]], method: str = "GET", **more: Any
) -> tuple[int, Any, str]:
    """Status, headers and body."""
    sent: list[dict[str, Any]] = []
    path, _, query = path.partition("?")
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
        "raw_path": path.encode(), "query_string": query.encode(), "root_path": "", "scheme": "http",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
        "server": ("127.0.0.1", PORT), "client": ("127.0.0.1", 1), **more,
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    answered = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], answered, b"".join(each.get("body", b"") for each in sent[1:]).decode()


def test_the_page_and_its_files_hold_nothing_secret_and_need_no_token(app: Any) -> None:
    for path in PAGES:
        status, _, body = ask(app, path, [HOST])
        assert status == 200, path
        assert TOKEN not in body


@pytest.mark.parametrize("path", ASKED)
@pytest.mark.parametrize(
    "token", [[], [("x-console-token", "another")], [("x-console-token", "")], [TOKEN_HEADER, TOKEN_HEADER]]
)
def test_what_was_observed_needs_the_token_once(app: Any, path: str, token: list[tuple[str, str]]) -> None:
    assert ask(app, path, [HOST, *token])[0] == 401
    assert ask(app, f"{path}?token={TOKEN}", [HOST, *token, ("cookie", f"token={TOKEN}")])[0] == 401


@pytest.mark.parametrize(
    "hosts",
    [
        [], ["evil.example"], [f"evil.example:{PORT}"], ["127.0.0.1"], ["127.0.0.1:1"],
        [f"127.0.0.1:{PORT}.evil.example"], [f"127.0.0.1:{PORT}", "evil.example"], [f"a.localhost:{PORT}"],
        [f"0.0.0.0:{PORT}"], [f"127.0.0.1:{PORT}@evil"],
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/api/events"])
def test_other_names_of_this_machine_are_refused(app: Any, path: str, hosts: list[str]) -> None:
    status, _, body = ask(app, path, [*(("host", each) for each in hosts), TOKEN_HEADER])
    assert status == 403
    assert "Host" in json.loads(body)["error"]


@pytest.mark.parametrize(
    "header",
    [
        ("origin", "http://evil.example"), ("origin", "null"), ("origin", f"https://127.0.0.1:{PORT}"),
        ("origin", "http://127.0.0.1:1"), ("origin", f"http://localhost:{PORT}"), ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"), ("sec-fetch-site", "none"), ("sec-fetch-site", "anything"),
    ],
)  # fmt: skip
def test_pages_of_others_are_refused_even_with_the_token(app: Any, header: tuple[str, str]) -> None:
    for method in ("GET", "POST"):
        assert ask(app, "/api/events", [HOST, TOKEN_HEADER, header], method)[0] == 403


def test_the_own_page_and_a_person_are_answered(app: Any) -> None:
    own = [("origin", f"http://127.0.0.1:{PORT}"), ("sec-fetch-site", "same-origin")]
    assert ask(app, "/api/events", [HOST, TOKEN_HEADER, *own])[0] == 200
    assert ask(app, "/", [HOST, ("sec-fetch-site", "none")])[0] == 200
    assert ask(app, "/", [("host", f"LOCALHOST:{PORT}")])[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_what_is_no_question_is_refused(app: Any, method: str) -> None:
    assert ask(app, "/", [HOST, TOKEN_HEADER], method)[0] == 405
    assert ask(app, "/api/events", [HOST, TOKEN_HEADER], method)[0] == 405


@pytest.mark.parametrize("more", [{"http_version": "2"}, {"raw_path": b"http://evil.example/"}, {"raw_path": b"*"}])
def test_requests_whose_target_may_be_another_are_refused(app: Any, more: dict[str, Any]) -> None:
    assert ask(app, "/", [HOST], **more)[0] == 403


@pytest.mark.parametrize(
    "path",
    [
        "/../guard.py", "/%2e%2e/guard.py", "//etc/passwd", "/packages/../main.js", "/packages/preact.js/..",
        "/packages/%2e%2e/%2e%2e/package.json", "/index.html/", "/main.js\x00.css", "/packages/preact.mjs",
        "/__init__.py",
    ],
)  # fmt: skip
def test_no_path_is_looked_up_on_the_disk(app: Any, path: str) -> None:
    assert ask(app, path, [HOST, TOKEN_HEADER])[0] == 404


@pytest.mark.parametrize("headers", [[HOST], [HOST, TOKEN_HEADER], [("host", "evil.example")]])
@pytest.mark.parametrize("path", ["/", "/api/events", "/nothing"])
def test_every_answer_says_what_its_page_may_do(app: Any, path: str, headers: list[tuple[str, str]]) -> None:
    _, answered, _ = ask(app, path, headers)
    policy = answered["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert answered["x-content-type-options"] == "nosniff"
    assert answered["referrer-policy"] == "no-referrer"
    assert not any(name.startswith("access-control") or name == "set-cookie" for name in answered)
    assert answered["cache-control"] == ("no-store" if path.startswith("/api/") else "no-cache")


def test_the_policy_names_the_import_map_of_the_page_and_there_is_no_other_script_in_it(app: Any) -> None:
    _, answered, body = ask(app, "/", [HOST])
    (own,) = script_hashes(body.encode())
    assert f"script-src 'self' '{own}';" in answered["content-security-policy"]
    assert body.count("<script") == 2
    assert "style=" not in body


def test_a_file_that_the_browser_has_is_not_sent_again(app: Any) -> None:
    _, answered, _ = ask(app, "/main.js", [HOST])
    assert ask(app, "/main.js", [HOST, ("if-none-match", answered["etag"])])[::2] == (304, "")


def test_missing_packages_are_said_and_do_not_end_the_console(app: Any) -> None:
    assert "npm run setup" in ask(app, "/packages/preact.js", [HOST])[2]


@pytest.mark.parametrize("query", ["limit=x", "before=somewhere", "limit=-1", "limit=999999", "since=1&x=2"])
def test_a_wrong_question_is_answered_with_what_is_wrong(app: Any, query: str) -> None:
    status, _, body = ask(app, f"/api/events?{query}", [HOST, TOKEN_HEADER])
    assert status in (200, 400)
    assert "Traceback" not in body
