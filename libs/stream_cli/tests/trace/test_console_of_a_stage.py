"""The console of a stage on AWS, which moto answers for: what pages show, what they do not know, what they cost."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.awsrequest import AWSResponse
from stage_in_moto import BUS, LISTENER, REQUEST, STREAM, StageInMoto, counted
from stream_cli.cli import app as commands
from stream_cli.console.application import application
from stream_cli.console.stage_sources import stage_sources
from stream_cli.local.state import StateFolder
from stream_cli.stored.connection import Connection
from stream_cli.trace.stage.connecting import AwsStage
from typer.testing import CliRunner

TOKEN = "the-token-of-this-console"
SERVES = """
import sys
sys.path.insert(0, {folder!r})
from pytest import MonkeyPatch
from stage_in_moto import in_moto
with in_moto(MonkeyPatch()) as stage:
    stage.event("s1", "submitted")
    from stream_cli.cli import main
    sys.argv = ["streamctl", "console", "--stage", "dev", "--state", {state!r}]
    main()
"""


@pytest.fixture
def aws(stage: StageInMoto, tmp_path: Path) -> AwsStage:
    stage.event("s1", "submitted", ago=timedelta(minutes=5), password="correct-horse-9")
    stage.event("r1", "ready", triggers=[{"id": "s1"}])
    stage.event("f1", "fault", err={"name": "KeyError", "message": "'evnt'"}, tags={"functionname": LISTENER})
    stage.row("s1", "EVENT", data={"S": "story-1"}, event={"M": {"id": {"S": "s1"}, "type": {"S": "submitted"}}})
    stage.logged(LISTENER, f"REPORT RequestId: {REQUEST}\tDuration: 62.50 ms\t")
    stage.measured("AWS/Lambda", "Invocations", 12, FunctionName=LISTENER)
    stage.measured("AWS/Lambda", "IteratorAge", 900, FunctionName=LISTENER)
    return AwsStage(Connection("dev", StateFolder(tmp_path)), datetime.now(UTC) - timedelta(hours=1), tmp_path)


@pytest.fixture
def page(aws: AwsStage, tmp_path: Path) -> Callable[..., Any]:
    """What a path below /api answers."""
    connection = Connection("dev", StateFolder(tmp_path))
    sources = stage_sources(aws, connection, StateFolder(tmp_path), tmp_path, writes=False)
    app = application(sources, port=4321, token=TOKEN, node_modules=None)
    headers = {"x-console-token": TOKEN}

    async def asked(path: str) -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:4321", headers=headers) as client:
            return await client.get(path)

    def get(path: str, status: int = 200) -> Any:
        answer = asyncio.run(asked(f"/api/{path}"))
        assert answer.status_code == status, answer.text
        return answer.json()

    return get


def test_pages_show_what_the_stage_has_and_say_what_they_do_not_know(page: Callable[..., Any]) -> None:
    assert page("about")["stage"] == "dev"
    assert page("about")["every_s"] == 60
    events = page("events")
    assert {each["event"] for each in events["events"]} == {"r1", "f1", "s1"}
    assert any("events of the last minutes" in each for each in events["not_known"])
    assert "correct-horse-9" not in json.dumps(page("events/s1"))
    assert page("events/nobody", 404)["not_known"]
    (group,) = page("faults")["groups"]
    assert (group["error"], group["count"]) == ("KeyError", 1)
    assert page("faults")["all"] == "streamctl faults ls --stage dev"
    assert page("faults/f1")["resubmit"] == "streamctl faults resubmit f1 --stage dev"
    (mapping,) = page("shards")["mappings"]
    assert (mapping["function"], mapping["enabled"], mapping["problem"]) == (LISTENER, True, None)
    assert "at most 0.9 s old" in mapping["shards"][0]["state"]
    assert any("positions of shards" in each for each in page("shards")["not_known"])
    function = next(each for each in page("functions")["functions"] if each["name"] == LISTENER)
    assert function["invocations"] == 12
    assert page(f"functions/{LISTENER}")["last"][0]["request"] == REQUEST
    assert page(f"functions/{LISTENER}/log")["older"] == f"streamctl logs {LISTENER} --since 1d --stage dev"
    timeline = page("trace/s1")
    assert timeline["steps"][0]["text"] == f"submitted s1 on {BUS}"
    assert any("messages in queues and topics" in each for each in timeline["not_known"])


def test_the_map_of_a_stage_is_of_its_stacks_with_figures_of_whole_minutes(
    page: Callable[..., Any], stage: StageInMoto
) -> None:
    drawn, figures = page("map"), page("map/figures")
    assert [each["id"] for each in drawn["groups"]] == ["control-dev"]
    mapping = f"mapping stream:{STREAM} function:{LISTENER} {stage.mapping}"
    assert mapping in {each["id"] for each in drawn["arrows"]}
    assert figures["windows"] == [300, 300]
    assert figures["nodes"][f"function:{LISTENER}"]["rate"] == 12 / 300
    assert (figures["arrows"][mapping]["behind"], figures["arrows"][mapping]["lag_ms"]) == (None, 900)
    assert any("records mappings took" in each for each in figures["not_known"])


@pytest.mark.parametrize(
    ("path", "most"),
    [
        ("events", 14), ("events/s1", 14), ("faults", 14), ("shards", 16), ("functions", 16),
        (f"functions/{LISTENER}", 10), ("trace/s1", 45), ("about", 1), ("map", 12), ("map/figures", 16),
    ],
)  # fmt: skip
def test_a_page_view_costs_few_requests_and_the_next_one_none(
    page: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, path: str, most: int
) -> None:
    with counted(monkeypatch) as made:
        page(path)
        assert sum(made.values()) <= most, made
        for _ in range(3):
            minute = time.time() // 60  # metrics of a minute that has begun since are asked for
            page(path)
            made.clear()
            page(path)
            if time.time() // 60 == minute:
                break
        assert not made


def test_expired_credentials_are_told_with_what_helps_and_new_ones_are_taken(
    page: Callable[..., Any], aws: AwsStage
) -> None:
    connection = aws._connection
    expired = b'{"__type": "ExpiredTokenException", "message": "The security token included in the request is expired"}'

    def answer(request: Any, **_: Any) -> AWSResponse:
        class Raw:
            def stream(self) -> Iterator[bytes]:
                yield expired

        return AWSResponse(request.url, 400, {}, Raw())

    client = connection.client("cloudwatch")
    client.meta.events.register_first("before-send", answer)
    said = page("functions", 502)["error"]
    assert "The security token included in the request is expired" in said
    assert "The credentials have expired. Sign in again" in said
    assert connection.client("cloudwatch") is not client
    assert page("functions")["functions"]


def test_throttling_is_tried_again(page: Callable[..., Any], aws: AwsStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda seconds: None)
    answers = [b'{"__type": "ThrottlingException", "message": "Rate exceeded"}'] * 2

    def answer(request: Any, **_: Any) -> AWSResponse | None:
        if not answers:
            return None
        body = answers.pop()

        class Raw:
            def stream(self) -> Iterator[bytes]:
                yield body

        return AWSResponse(request.url, 400, {}, Raw())

    aws._connection.client("cloudwatch").meta.events.register_first("before-send", answer)
    assert page("functions")["functions"]
    assert answers == []


def test_the_command_serves_until_ctrl_c_with_an_address_that_only_the_terminal_has(tmp_path: Path) -> None:
    state = tmp_path / "state"
    program = SERVES.format(folder=str(Path(__file__).parent), state=str(state))
    served = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        assert served.stdout
        address, _, token = served.stdout.readline().strip().partition("/#token=")
        assert len(token) > 40
        assert httpx.get(f"{address}/api/about").status_code == 401
        with httpx.Client(headers={"x-console-token": token}, timeout=60) as open_page:
            about = open_page.get(f"{address}/api/about").json()
            assert (about["stage"], about["writes"]) == ("dev", False)
            assert about["place"] == "stage dev, account 123456789012, us-east-1"
            idle = socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])))
            with idle, open_page.stream("GET", f"{address}/api/arrivals") as arrivals:
                assert next(arrivals.iter_lines()).startswith("data:")
                served.send_signal(signal.SIGINT)
                _, said = served.communicate(timeout=60)
    finally:
        served.kill()
    assert served.returncode == 130, said
    first, *others = said.splitlines()
    assert first.endswith("it only reads; --write lets it change things. Ctrl-C ends it.")
    assert others == ["Stopped."]
    assert not state.exists()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(address.rpartition(":")[2]))) != 0


@pytest.mark.parametrize("option", [["--write"], ["--since", "2h"], ["--port", "4000"], ["--region", "eu-west-1"]])
def test_the_local_cloud_has_its_own_console(option: list[str]) -> None:
    ran = CliRunner().invoke(commands, ["console", *option])
    assert ran.exit_code == 2
    assert option[0] in ran.output


def test_a_production_stage_is_asked_about_before_it_may_be_changed(stage: StageInMoto, tmp_path: Path) -> None:
    ran = CliRunner().invoke(commands, ["console", "--stage", "prod", "--write", "--services", str(tmp_path)])
    assert ran.exit_code == 1
    assert "console --write in the production stage prod, account 123456789012, us-east-1, needs a yes" in ran.output


def test_the_region_is_the_one_that_is_given(stage: StageInMoto, tmp_path: Path) -> None:
    connection = Connection("dev", StateFolder(tmp_path), "eu-west-1")
    assert connection.client("s3").meta.region_name == "eu-west-1"
    assert connection.client("s3") is connection.client("s3")
