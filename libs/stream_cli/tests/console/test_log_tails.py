"""The logs of functions are read once for all pages, each line once, bounded and without secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from stream_cli.console import log_tails
from stream_cli.console.application import Sources, log_tails_of
from stream_cli.console.buckets import Buckets
from stream_cli.console.log_tails import KEPT, LogTails
from stream_cli.console.logged_metrics import MOST_METRICS, LoggedMetrics
from stream_cli.trace.deployed import Deployed

NOON = 1_795_000_000_000
FUNCTIONS = {"trigger": {"FunctionName": "trigger"}, "own": {"FunctionName": "own", "LoggingConfig": {"LogGroup": "g"}}}


class NoGroup(Exception):
    pass


class Throttled(Exception):
    pass


class Logs:
    """The Logs API, a clock, and how often it was asked."""

    class exceptions:
        ResourceNotFoundException = NoGroup

    def __init__(self) -> None:
        self.groups: dict[str, list[dict[str, Any]]] = {}
        self.now = NOON
        self.asked: list[dict[str, Any]] = []
        self.answers: int | None = None  # how many pages come before a request is throttled

    def put(self, message: Any, at: int | None = None, group: str = "/aws/lambda/trigger") -> None:
        events = self.groups.setdefault(group, [])
        text = message if isinstance(message, str) else json.dumps(message)
        events.append(
            {"eventId": f"{group} {len(events)}", "timestamp": self.now if at is None else at, "message": text}
        )

    def get_paginator(self, name: str) -> Logs:
        assert name == "filter_log_events"
        return self

    def paginate(self, *, logGroupName: str, startTime: int, filterPattern: str = "") -> Iterator[dict[str, Any]]:
        self.asked.append({"group": logGroupName, "back": self.now - startTime, "pattern": filterPattern})
        if logGroupName not in self.groups:
            raise NoGroup
        for event in sorted(self.groups[logGroupName], key=lambda each: each["timestamp"]):
            if self.answers == 0:
                raise Throttled
            if event["timestamp"] >= startTime and filterPattern.strip('"') in event["message"]:
                yield {"events": [event]}
                self.answers = None if self.answers is None else self.answers - 1


@pytest.fixture
def logs() -> Logs:
    return Logs()


@pytest.fixture
def tails(logs: Logs) -> LogTails:
    return LogTails(lambda: logs, lambda: FUNCTIONS, lambda: logs.now / 1000)


def messages(answer: dict[str, Any]) -> list[str]:
    return [line["message"] for line in answer["lines"]]


def test_lines_come_once_in_the_order_of_time_and_late_ones_too(logs: Logs, tails: LogTails) -> None:
    logs.put("second")
    logs.put("first", NOON - 1000)
    answer = tails.lines("trigger", {})
    assert messages(answer) == ["first", "second"]
    logs.now += 2000
    logs.put("third")
    logs.put("a late one", NOON - 30_000)
    answer = tails.lines("trigger", {"after": str(answer["last"])})
    assert sorted(messages(answer)) == ["a late one", "third"]
    logs.now += 2000
    assert messages(tails.lines("trigger", {"after": str(answer["last"])})) == []


@pytest.mark.parametrize("is_first", [True, False])
def test_what_came_before_a_request_was_throttled_is_shown_by_the_next_answer(
    logs: Logs, tails: LogTails, is_first: bool
) -> None:
    after = 0 if is_first else tails.lines("trigger", {})["last"]
    logs.now += 2000
    for message in ("first", "second", "third"):
        logs.put(message)
    logs.answers = 2
    with pytest.raises(Throttled):
        tails.lines("trigger", {"after": str(after)})
    logs.answers = None
    logs.now += 2000
    assert messages(tails.lines("trigger", {"after": str(after)})) == ["first", "second", "third"]


def test_metrics_that_came_before_a_request_was_throttled_count_once(logs: Logs, tails: LogTails) -> None:
    for value in (1, 2, 3):
        logs.put(emf(NOON, Orders=value))
    tail = tails.of("trigger")
    assert tail is not None
    logs.answers = 2
    with pytest.raises(Throttled):
        tail.metrics()
    logs.answers = None
    logs.now += 2000
    (orders,) = tail.metrics().shown(Buckets.until(NOON, 15 * 60_000))["metrics"]
    assert orders["values"][-1] == 6


def test_several_pages_ask_the_api_as_often_as_one(logs: Logs, tails: LogTails) -> None:
    logs.put("line")
    tails.lines("trigger", {})
    asked = len(logs.asked)
    for _ in range(5):
        assert messages(tails.lines("trigger", {})) == ["line"]
    assert len(logs.asked) == asked


@pytest.mark.parametrize(("stage", "every_ms"), [("local", 900), ("dev", 5000)])
def test_at_a_stage_of_aws_a_log_is_looked_at_more_rarely(
    logs: Logs, sources: Sources, stage: str, every_ms: int
) -> None:
    apis: Any = SimpleNamespace(functions=lambda: [{"FunctionName": "trigger"}])
    connection: Any = SimpleNamespace(client=lambda service: logs if service == "logs" else None)
    given = replace(sources, stage=stage, deployed=lambda: Deployed(apis), connection=lambda: connection)
    tails = log_tails_of(given, lambda: logs.now / 1000)
    logs.put("first")
    tail = tails.of("trigger")
    assert tail is not None

    def ask() -> list[str]:
        """The messages, as pages ask that show the log and its metrics."""
        before = len(logs.asked)
        for _ in range(3):
            shown = messages(tails.lines("trigger", {}))
            tail.metrics()
        requests.append(len(logs.asked) - before)
        return shown

    requests: list[int] = []
    ask()
    logs.put("second")
    logs.now = NOON + every_ms - 100
    assert ask() == ["first"]
    logs.now = NOON + every_ms
    assert ask() == ["first", "second"]
    logs.now += every_ms - 100
    assert ask() == ["first", "second"]
    assert requests[1:] == [0, 2, 0]


def test_it_goes_back_until_there_are_lines_and_not_further(logs: Logs, tails: LogTails) -> None:
    logs.put("an hour ago", NOON - 3_600_000)
    logs.put("a day ago", NOON - 86_400_000)
    answer = tails.lines("trigger", {})
    assert messages(answer) == ["an hour ago"]
    assert answer["since"] == NOON - 3 * 3_600_000
    for number in range(300):
        logs.put(f"line {number}", group="g")
    assert tails.lines("own", {})["since"] == NOON - 60_000


def test_of_many_lines_the_last_are_held_and_all_are_counted(logs: Logs, tails: LogTails) -> None:
    for number in range(KEPT + 500):
        logs.put(f"line {number}")
    answer = tails.lines("trigger", {})
    assert (len(answer["lines"]), answer["last"]) == (KEPT, KEPT + 500)
    assert answer["lines"][-1]["message"] == f"line {KEPT + 499}"


def test_more_than_is_read_at_once_is_read_by_the_next_questions(
    logs: Logs, tails: LogTails, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_tails, "MOST_READ", 100)
    for number in range(250):
        logs.put(f"line {number}", NOON - 250 + number)
    seen, after = [], 0
    for _ in range(4):
        answer = tails.lines("trigger", {"after": str(after)})
        seen += messages(answer)
        after = answer["last"]
        logs.now += 1000
    assert seen == [f"line {number}" for number in range(250)]


def test_secrets_are_hidden_and_control_characters_seen(logs: Logs, tails: LogTails) -> None:
    stack = 'Traceback\n  File "a.py", line 1\n    password="Xk29zQpL81"\r'
    secret = {"message": "\x1b[2Jpassword=Xk29zQpL81", "token": "Xk29zQpL81", "exception": stack}
    logs.put({"level": "ERROR", "event_id": "e\x1b1", "n": {"a": "\u202e"}, **secret})
    (line,) = tails.lines("trigger", {})["lines"]
    assert "Xk29zQpL81" not in json.dumps(line)
    assert line["message"] == "\\x1b[2Jpassword=[redacted]"
    assert line["about"] == {"event": "e\\x1b1"}
    assert line["stack"][-1].endswith("\\r")
    assert line["more"]["n"] == '{"a": "\\u202e"}'


def test_a_function_that_is_not_there_or_has_not_run_has_no_lines(logs: Logs, tails: LogTails) -> None:
    assert "not deployed" in tails.lines("nobody", {})["problem"]
    assert tails.lines("trigger", {})["lines"] == []
    with pytest.raises(ValueError, match="int"):
        tails.lines("trigger", {"after": "x"})


def test_a_log_that_nobody_looks_at_is_let_go_and_begins_anew(logs: Logs, tails: LogTails) -> None:
    logs.put("line")
    before = tails.lines("trigger", {})
    logs.now += 120_000
    logs.put("another")
    after = tails.lines("trigger", {"after": str(before["last"])})
    assert after["id"] != before["id"]


def emf(at: int, **values: Any) -> dict[str, Any]:
    metrics = [{"Name": name, "Unit": "Milliseconds" if name == "Duration" else "Count"} for name in values]
    definition = {"Namespace": "orders", "Dimensions": [["stage", "kind"]], "Metrics": metrics}
    return {"_aws": {"Timestamp": at, "CloudWatchMetrics": [definition]}, "stage": "dev", "kind": "x", **values}


def test_metrics_are_summed_up_or_averaged_by_time(logs: Logs, tails: LogTails) -> None:
    buckets = Buckets.until(NOON, 15 * 60_000)
    logs.put(emf(NOON, Orders=2, Duration=[10, 20]))
    logs.put(emf(NOON, Orders=3, Duration=60))
    logs.put(emf(NOON - 60_000, Orders=1))
    logs.put("a line without metrics")
    tail = tails.of("trigger")
    assert tail is not None
    duration, orders = tail.metrics().shown(buckets)["metrics"]
    assert (orders["how"], orders["values"][-1], orders["values"][-5]) == ("sum", 5, 1)
    assert (duration["how"], duration["values"][-1], duration["values"][-5]) == ("average", 30, None)
    assert orders["about"] == {"kind": "x"}
    logs.now += 5000
    logs.put(emf(NOON, Orders=10))
    assert tail.metrics().shown(buckets)["metrics"][1]["values"][-1] == 15


def test_a_line_of_metrics_shows_their_values(logs: Logs, tails: LogTails) -> None:
    logs.put(emf(NOON, Orders=2))
    (line,) = tails.lines("trigger", {})["lines"]
    assert (line["message"], line["more"]) == ("metrics", {"stage": "dev", "kind": "x", "Orders": "2"})


@pytest.mark.parametrize(
    "line",
    [
        "{", "[]", '{"_aws": 1}', '{"_aws": {"CloudWatchMetrics": 1}}', '{"_aws": {"CloudWatchMetrics": [1]}}',
        '{"_aws": {"CloudWatchMetrics": [{"Metrics": [1, {"Name": []}, {"Name": "n"}], "Dimensions": [[{}]]}]}}',
        '{"_aws": {"CloudWatchMetrics": [{"Metrics": [{"Name": "n"}], "Dimensions": {}}]}, "n": [true, "1", null]}',
        '{"_aws": {"Timestamp": "x", "CloudWatchMetrics": [{"Metrics": [{"Name": "n"}]}]}, "n": "1"}',
    ],
)  # fmt: skip
def test_a_line_that_only_looks_like_metrics_is_none(line: str) -> None:
    found = LoggedMetrics()
    found.take(line, NOON)
    assert found.shown(Buckets.until(NOON, 900_000))["metrics"] == []


def test_too_many_metrics_are_counted_and_old_values_forgotten() -> None:
    found = LoggedMetrics()
    found.take(json.dumps(emf(NOON, **{f"M{number}": 1 for number in range(MOST_METRICS + 7)})), NOON)
    shown = found.shown(Buckets.until(NOON, 900_000))
    assert (len(shown["metrics"]), shown["left_out"]) == (MOST_METRICS, 7)
    found.forget(NOON + 1)
    assert found.shown(Buckets.until(NOON, 900_000))["metrics"] == []
