"""The log lines of functions: readable, in the order of time, each once, without secrets."""

import itertools
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from moto import mock_aws
from stream_cli.cli import app
from stream_cli.errors import CommandError
from stream_cli.logs import command
from stream_cli.logs.command import groups_of, show
from stream_cli.logs.entries import LogEntry, entry_of, is_at_least
from stream_cli.logs.reading import LATE_MS, LOOK_BACK_MS, LogGroups
from typer.testing import CliRunner

NOON = 1_767_268_800_000
REQUEST = "265db889-8150-4bbe-98a8-9dcd5cb41ddf"
LINE = {
    "level": "WARNING", "location": "_log_fault:96", "message": "fault a1.evaluate.fault: InvalidAnalysis",
    "timestamp": "2026-01-01T12:00:00.250+00:00", "service": "control-service", "name": "stream_runtime",
    "function_name": "control-trigger", "function_request_id": REQUEST, "pipeline": "evaluate",
    "record_id": "107", "event_id": "a1", "xray_trace_id": "1-2-3", "attempt": 2,
}  # fmt: skip
STACK = 'Traceback (most recent call last):\n  File "rules.py", line 3, in f\n    token = read("password")\nKeyError: 1'


def entry(message: Any, at: int = NOON, id: str = "1") -> LogEntry:
    text = message if isinstance(message, str) else json.dumps(message)
    return entry_of("control-trigger", {"eventId": id, "timestamp": at, "message": text})


def shown(capsys: pytest.CaptureFixture[str], *entries: LogEntry, **options: Any) -> list[str]:
    show(entries, options.get("level"), everything=options.get("everything", False), as_json=False)
    return capsys.readouterr().out.split("\n")[:-1]


def test_a_json_line_is_its_level_its_message_and_what_it_is_about(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, entry(LINE)) == [
        "12:00:00.250 control-trigger WARNING fault a1.evaluate.fault: InvalidAnalysis"
        "  event=a1 record=107 pipeline=evaluate attempt=2"
    ]


def test_a_stack_trace_stands_below_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    _, *stack = shown(capsys, entry({**LINE, "level": "ERROR", "exception": STACK}))
    assert stack == [f"    {line}" for line in STACK.split("\n")]


@pytest.mark.parametrize(
    ("message", "level", "about"),
    [
        ("[ERROR] KeyError: 'x'\nTraceback (most recent call last):\n  File \"a.py\", line 1", "ERROR", {}),
        (f"2026-01-01T12:00:00.000Z {REQUEST} Task timed out after 3.00 seconds", "ERROR", {}),
        (f"[WARNING]\t2026-01-01T12:00:00.000Z\t{REQUEST}\tslow", "WARNING", {"request": REQUEST}),
        (f"START RequestId: {REQUEST} Version: $LATEST", "PLATFORM", {"request": REQUEST}),
        (f"REPORT RequestId: {REQUEST}\tDuration: 3 ms", "PLATFORM", {"request": REQUEST}),
        (f"REPORT RequestId: {REQUEST}\tDuration: 3 ms\tStatus: timeout", "ERROR", {"request": REQUEST}),
        ("printed by hand", "INFO", {}),
        ({"type": "platform.report", "record": {"status": "success"}}, "PLATFORM", {}),
        ({"type": "platform.report", "record": {"status": "timeout"}}, "ERROR", {}),
        ({"errorType": "KeyError", "errorMessage": "'x'", "requestId": REQUEST}, "ERROR", {"request": REQUEST}),
        ('{"level": "info", "mess', "INFO", {}),
    ],
)  # fmt: skip
def test_lines_of_lambda_and_of_print_have_their_levels(message: Any, level: str, about: dict[str, str]) -> None:
    found = entry(message)
    assert (found.level, found.about) == (level, about)


def test_a_level_leaves_out_lower_ones_and_lambdas_own_lines(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [entry({"level": level, "message": level}) for level in ("DEBUG", "INFO", "WARNING", "ERROR")]
    lines.append(entry(f"START RequestId: {REQUEST}"))
    assert [line.split()[2] for line in shown(capsys, *lines, level="WARNING")] == ["WARNING", "ERROR"]
    assert len(shown(capsys, *lines)) == 4
    assert len(shown(capsys, *lines, everything=True)) == 5
    assert not is_at_least(lines[0], "INFO")


def test_values_that_may_be_secret_are_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        entry({**LINE, "message": "password=Xk29zQpL81", "api_key": "Xk29zQpL81", "exception": "password=Xk29zQpL81"}),
        entry("password=Xk29zQpL81\n  password=Xk29zQpL81"),
        entry({"type": "platform.x", "password": "Xk29zQpL81"}),
    ]
    text = "\n".join(shown(capsys, *lines, everything=True))
    assert "Xk29zQpL81" not in text
    assert text.count("[redacted]") == 6


def test_control_characters_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = shown(capsys, entry("\x1b[2J\x9b\rhidden"))
    assert line.endswith("\\x1b[2J\\x9b\\rhidden")


class Logs:
    """Log groups in moto, and a clock."""

    def __init__(self) -> None:
        self.client = boto3.client("logs")
        self.began = self.now = int(time.time() * 1000) - 600_000  # what is older than two weeks is refused

    def put(self, function: str, text: str, at: int | None = None) -> None:
        group = {"logGroupName": f"/aws/lambda/{function}", "logStreamName": "s"}
        try:
            self.client.create_log_group(logGroupName=group["logGroupName"])
            self.client.create_log_stream(**group)
        except self.client.exceptions.ResourceAlreadyExistsException:
            pass
        self.client.put_log_events(**group, logEvents=[{"timestamp": self.now if at is None else at, "message": text}])


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Logs]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield Logs()


def test_a_stack_trace_whose_lines_are_events_stands_below_its_error_with_short_paths(logs: Logs) -> None:
    package = f"/state/tmp/streamctl-functions-a1_b2/{'0f' * 32}"
    logs.put("a", "[ERROR] KeyError: 'x'")
    logs.put("a", "Traceback (most recent call last):")
    logs.put("a", f'  File "{package}/shop/rules.py", line 3, in f')
    logs.put("a", "    event['x']")
    logs.put("b", "  indented, of another function")
    logs.put("a", "printed")
    entries = [*LogGroups(logs.client, {"a": "/aws/lambda/a", "b": "/aws/lambda/b"}).entries(0)]
    assert [(each.level, each.message, each.stack) for each in entries] == [
        (
            "ERROR",
            "[ERROR] KeyError: 'x'",
            ("Traceback (most recent call last):", '  File "shop/rules.py", line 3, in f', "    event['x']"),
        ),
        ("INFO", "printed", ()),
        ("INFO", "  indented, of another function", ()),
    ]


def test_lines_of_several_functions_are_in_the_order_of_time(logs: Logs) -> None:
    def written(ms: int) -> str:
        return datetime.fromtimestamp((logs.began + ms) / 1000, UTC).isoformat()

    logs.put("a", "first", logs.began)
    logs.put("b", "second", logs.began + 10)
    logs.put("a", json.dumps({"message": "third", "timestamp": written(20)}), logs.began + 30)
    logs.put("b", json.dumps({"message": "fourth", "timestamp": written(25)}), logs.began + 28)
    groups = LogGroups(logs.client, {"a": "/aws/lambda/a", "b": "/aws/lambda/b", "c": "/aws/lambda/never-ran"})
    assert [each.message for each in groups.entries(0)] == ["first", "second", "third", "fourth"]
    assert [each.message for each in groups.entries(logs.began + 10, logs.began + 20)] == ["second"]


def test_following_shows_each_line_once_also_one_that_comes_late(logs: Logs) -> None:
    groups = LogGroups(logs.client, {"a": "/aws/lambda/a", "b": "/aws/lambda/b"})
    steps: list[Callable[[], None]] = [
        lambda: logs.put("a", "second", logs.began + 100),
        lambda: logs.put("b", "late", logs.began + 50),
        lambda: None,
        lambda: logs.put("a", "second", logs.began + 100),  # the same text at the same time is another line
        lambda: logs.put("b", "last", logs.began + 5 * LATE_MS),
    ]
    waiting = iter(steps)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        logs.now += LATE_MS // 4
        next(waiting)()

    logs.put("a", "first")
    following = groups.follow(logs.began, clock=lambda: logs.now / 1000, sleep=sleep)
    messages = [each.message for each in itertools.islice(following, 5)]
    assert messages == ["first", "second", "late", "second", "last"]
    assert set(slept) == {0.6}  # two groups; all users of an account share five requests a second


def test_following_shows_a_line_that_comes_minutes_late(logs: Logs) -> None:
    groups = LogGroups(logs.client, {"a": "/aws/lambda/a"})
    late_by = (LATE_MS + 1_000, LOOK_BACK_MS - LATE_MS)
    waiting = list(late_by)

    def sleep(_: float) -> None:
        logs.now += LATE_MS // 4
        if logs.now - logs.began >= LOOK_BACK_MS and waiting:
            logs.put("a", f"{waiting[0]} ms late", logs.now - waiting.pop(0))
        elif logs.now - logs.began >= LOOK_BACK_MS + 4 * LATE_MS:
            logs.put("a", "last")

    logs.put("a", "first")
    following = groups.follow(logs.began, clock=lambda: logs.now / 1000, sleep=sleep)
    messages = [each.message for each in itertools.islice(following, 4)]
    assert messages == ["first", *(f"{late} ms late" for late in late_by), "last"]


def test_following_reads_a_long_way_back_only_now_and_then(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = LogGroups(logs.client, {"a": "/aws/lambda/a"})
    read: list[int] = []
    monkeypatch.setattr(groups, "entries", lambda since, until=None: read.append(logs.now - since) or iter([]))

    class Enough(Exception):
        pass

    def sleep(_: float) -> None:
        logs.now += 1_000
        if len(read) == 600:
            raise Enough

    with pytest.raises(Enough):
        next(groups.follow(logs.began, clock=lambda: logs.now / 1000, sleep=sleep))
    later = [each - 1_000 for each in read[-180:]]  # of the last three minutes; a read begins where the last one slept
    assert sum(each > LATE_MS for each in later) == 3
    assert max(later) <= LOOK_BACK_MS


class OneStage:
    """A connection to a stage with three functions."""

    stage = "dev"

    def functions(self) -> frozenset[str]:
        return frozenset({"control-service-dev-listener", "control-service-dev-trigger", "rest-bff-dev-listener"})

    def client(self, name: str) -> Any:
        assert name == "lambda"
        return self

    def get_paginator(self, operation: str) -> Any:
        assert operation == "list_functions"
        return self

    def paginate(self) -> list[dict[str, Any]]:
        own = {"FunctionName": "control-service-dev-trigger", "LoggingConfig": {"LogGroup": "of-its-own"}}
        others = ({"FunctionName": name} for name in sorted(self.functions() - {own["FunctionName"]} | {"another"}))
        return [{"Functions": [own, *others]}]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ([], ["control-service-dev-listener", "control-service-dev-trigger", "rest-bff-dev-listener"]),
        (["listener"], ["control-service-dev-listener", "rest-bff-dev-listener"]),
        (["control-service"], ["control-service-dev-listener", "control-service-dev-trigger"]),
        (["rest-bff-dev-listener", "trigger"], ["control-service-dev-trigger", "rest-bff-dev-listener"]),
    ],
)
def test_functions_are_named_by_a_part(wanted: list[str], found: list[str]) -> None:
    groups = groups_of(OneStage(), wanted)  # type: ignore[arg-type]
    assert sorted(groups) == found
    assert groups.get("control-service-dev-trigger", "of-its-own") == "of-its-own"


def test_a_function_that_is_not_there_is_told_with_the_nearest() -> None:
    with pytest.raises(CommandError, match=r"no function lissener in stage dev; there is .*listener"):
        groups_of(OneStage(), ["lissener"])  # type: ignore[arg-type]


def test_that_there_is_no_line_is_said(monkeypatch: pytest.MonkeyPatch, logs: Logs) -> None:
    stage = OneStage()
    monkeypatch.setattr(stage, "client", lambda name: logs.client if name == "logs" else stage)
    monkeypatch.setattr(command, "Connection", lambda *_: stage)
    ran = CliRunner().invoke(app, ["logs", "listener", "--stage", "dev", "--since", "2026-01-01", "--level", "error"])
    assert (ran.exit_code, ran.stdout) == (0, "")
    assert ran.stderr == "No line of level ERROR or above since 2026-01-01T00:00:00Z; --since 1d looks further back.\n"
