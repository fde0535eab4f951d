"""What changes something is asked for by the console's own page alone, in small JSON that says what."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from stream_cli.console import application, bodies
from stream_cli.console.bodies import fields
from stream_cli.console.jobs import JobKind, Work
from stream_cli.console.plans import plan_id, require_confirmed
from stream_cli.errors import CommandError

POSTS = ["/api/jobs/nothing", "/api/jobs/guessed-id-of-a-job/stop"]
HOST = ("host", "127.0.0.1:4321")
TOKEN = ("x-console-token", "the-token-of-this-cloud")
JSON = ("content-type", "application/json")


@pytest.mark.parametrize("path", POSTS)
def test_without_the_token_nothing_is_done(console: Any, path: str) -> None:
    assert console.post(path, {}, [HOST, JSON]).status == 401
    assert console.post(path, {}, [HOST, JSON, ("x-console-token", "guessed")]).status == 401


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "header",
    [
        ("origin", "http://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "none"),
    ],
)  # fmt: skip
def test_another_page_does_nothing_even_with_the_token(console: Any, path: str, header: tuple[str, str]) -> None:
    assert console.post(path, {}, [HOST, TOKEN, JSON, header]).status == 403


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
def test_what_a_form_can_send_is_refused(console: Any, path: str, media_type: str) -> None:
    answer = console.post(path, {}, [HOST, TOKEN, ("content-type", media_type)])
    assert (answer.status, answer.taken) == (415, 0)
    assert console.post(path, {}, [HOST, TOKEN]).status == 415


def test_a_body_that_announces_a_gibibyte_is_not_read(console: Any) -> None:
    answer = console.post(POSTS[0], b"{", announced=1 << 30)
    assert (answer.status, answer.taken) == (413, 0)
    assert answer.headers["connection"] == "close"


def test_a_body_without_a_length_is_read_to_its_bound(console: Any) -> None:
    def gibibyte() -> Iterator[bytes]:
        for _ in range(1 << 14):
            yield b" " * (1 << 16)

    answer = console.post(POSTS[0], gibibyte())
    assert answer.status == 413
    assert answer.taken <= 2 * bodies.MOST_BYTES
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("length", ["-1", "1e9", "x", " ", "9" * 5000, "²"])
def test_a_length_that_is_no_small_number_is_refused(console: Any, length: str) -> None:
    headers = [HOST, TOKEN, JSON, ("content-length", length)]
    assert console.ask("POST", POSTS[0], [b"{}"], headers).status == 413


def test_a_body_that_does_not_come_is_not_waited_for(console: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "_READ_WITHIN_S", 0.01)

    async def never(_: Any) -> bytes:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(bodies, "_read", never)
    assert console.post(POSTS[0], {}).status == 408


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"1", b"nonsense", b"{", b"\xff{}", b"[" * 60_000, b'{"a":' * 10_000 + b"1" + b"}" * 10_000, b"NaN",
     b'{"a": 1' + b"0" * 60_000 + b"}"],
)  # fmt: skip
def test_a_body_that_is_no_small_json_object_is_refused_and_told_why(console: Any, body: bytes) -> None:
    answer = console.post(POSTS[0], body)
    assert (answer.status, bool(answer.content["error"])) == (400, True)
    assert "Traceback" not in answer.text


def test_an_unknown_kind_and_a_guessed_job_are_not_there(console: Any) -> None:
    for path in POSTS:
        assert console.post(path, {}).status == 404
    assert console.get("/api/jobs/guessed-id-of-a-job").status == 404
    assert console.get("/api/jobs").content == {"jobs": []}


def test_jobs_are_no_question_and_questions_are_no_job(console: Any) -> None:
    assert console.post("/api/events", {}).status == 405
    assert console.ask("GET", "/api/jobs/x/stop", (), console.headers).status in (404, 405)


@pytest.fixture
def working(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Consoles have a kind of job; these are the bodies that it was asked with."""
    seen: list[Any] = []

    def prepare(body: Any) -> Work:
        seen.append(fields(body, {"ids": list, "again": bool}))
        if "again" in body:
            raise CommandError("It was done before.")
        return Work("Work", lambda progress: progress.wait(3600), 1)

    monkeypatch.setattr(application, "job_kinds", lambda sources: {"work": JobKind(prepare)})
    return seen


def test_a_job_is_begun_followed_and_stopped(sources: Any, working: list[Any], console_of: Callable[..., Any]) -> None:
    console = console_of(sources)
    assert console.post("/api/jobs/work", {"ids": "no list"}).content == {"error": "ids must be a list of texts."}
    assert console.post("/api/jobs/work", {"again": True}).status == 409
    begun = console.post("/api/jobs/work", {"ids": ["1"]})
    assert (begun.status, working[-1]) == (200, {"ids": ["1"]})
    path = f"/api/jobs/{begun.content['id']}"
    assert console.get(path).content["state"] == "running"
    second = console.post("/api/jobs/work", {})
    assert (second.status, second.content["error"]) == (
        409, "This is running already: Work. Stop it, or wait until it has ended.",
    )  # fmt: skip
    assert console.post(f"{path}/stop", {}).status == 200
    while console.get(path).content["state"] == "running":
        pass
    assert console.get(path).content["state"] == "stopped"


def test_jobs_end_with_the_console(sources: Any, working: list[Any], console_of: Callable[..., Any]) -> None:
    console = console_of(sources)

    async def serve() -> None:
        told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        asked: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}}
        serving = asyncio.create_task(console.app(scope, asked.get, told.put))
        asked.put_nowait({"type": "lifespan.startup"})
        assert (await told.get())["type"] == "lifespan.startup.complete"
        begun = await asyncio.to_thread(console.post, "/api/jobs/work", {})
        asked.put_nowait({"type": "lifespan.shutdown"})
        assert (await told.get())["type"] == "lifespan.shutdown.complete"
        await serving
        seen = await asyncio.to_thread(console.get, f"/api/jobs/{begun.content['id']}")
        assert seen.content["state"] == "stopped"

    asyncio.run(serve())


def test_a_console_that_may_not_write_says_so_and_reads_no_body(
    sources: Any, console_of: Callable[..., Any], working: list[Any]
) -> None:
    console = console_of(dataclasses.replace(sources, writes=False))
    answer = console.post("/api/jobs/work", {})
    assert (answer.status, working) == (403, [])
    assert answer.content == {"error": "This console is read-only: start it with --write."}
    assert console.get("/api/about").content["writes"] is False


def test_fields_are_known_and_of_their_kind() -> None:
    kinds = {"ids": list, "again": bool, "plan": str}
    assert fields({"ids": ["1"], "again": True}, kinds) == {"ids": ["1"], "again": True}
    for wrong in ({"ids": "1"}, {"ids": [1]}, {"again": 1}, {"plan": None}, {"other": 1}, {"\ud800": 1}):
        with pytest.raises(ValueError, match=r"must be|Unknown"):
            fields(wrong, kinds)


def test_a_plan_is_confirmed_as_it_was_shown_and_a_production_stage_by_its_name() -> None:
    plan = plan_id({"f1": "listener"}, "dev")
    assert plan != plan_id({"f1": "trigger"}, "dev")
    require_confirmed({"plan": plan}, plan, "dev", is_production=False)
    require_confirmed({"plan": plan, "typed": "prod"}, plan, "prod", is_production=True)
    with pytest.raises(ValueError, match="plan is missing"):
        require_confirmed({}, plan, "dev", is_production=False)
    with pytest.raises(CommandError, match="has changed"):
        require_confirmed({"plan": plan_id({}, "dev")}, plan, "dev", is_production=False)
    for typed in ({}, {"typed": ""}, {"typed": "dev"}, {"typed": True}):
        with pytest.raises(CommandError, match="type its name"):
            require_confirmed({"plan": plan, **typed}, plan, "prod", is_production=True)
