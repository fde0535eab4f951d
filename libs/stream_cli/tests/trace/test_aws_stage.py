"""A stage of AWS as its APIs have it, answered by moto: whole commands, what they cost, and what is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import stage_in_moto
from stage_in_moto import (
    BUS,
    LISTENER,
    QUEUE,
    REQUEST,
    STREAM_ARN,
    TABLE,
    TRIGGER,
    XRAY,
    StageInMoto,
    counted,
)
from stream_cli.cli import app
from stream_cli.journal.questions import Traffic
from stream_cli.journal.unknown import noting
from stream_cli.local.state import StateFolder
from stream_cli.stored.connection import Connection
from stream_cli.trace.stage.connecting import AwsStage
from typer.testing import CliRunner

HOUR = timedelta(hours=1)


@pytest.fixture
def aws(stage: StageInMoto, tmp_path: Path) -> AwsStage:
    return AwsStage(Connection("dev", StateFolder(tmp_path)), datetime.now(UTC) - HOUR)


def traced(asked: str, code: int = 0) -> dict[str, Any]:
    ran = CliRunner().invoke(app, ["trace", asked, "--stage", "dev", "--json"])
    assert ran.exit_code == code, ran.output
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def steps(timeline: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    waiting = list(timeline["steps"])
    while waiting:
        step = waiting.pop(0)
        found.append(step)
        waiting += step.get("steps", ())
    return found


def test_an_event_is_traced_through_lake_table_logs_and_x_ray(stage: StageInMoto) -> None:
    stage.event("s1", "submitted", ago=timedelta(minutes=5))
    stage.event("r1", "ready", triggers=[{"id": "s1"}], tags={"functionname": TRIGGER, "pipeline": "evaluate-story"})
    stage.row("s1", "EVENT", data={"S": "story-1"}, event={"M": {"id": {"S": "s1"}, "type": {"S": "submitted"}}})
    line = {"level": "INFO", "message": "collected", "event_id": "s1", "function_request_id": REQUEST,
            "xray_trace_id": XRAY}  # fmt: skip
    stage.logged(LISTENER, json.dumps(line), f"REPORT RequestId: {REQUEST}\tDuration: 62.50 ms\tBilled Duration: 63 ms")
    stage.traced(LISTENER, 0.12)
    timeline = traced("s1")
    seen = {step["text"]: step for step in steps(timeline)}
    assert f"submitted s1 on {BUS}" in seen
    assert "taken by to-stream" in seen
    assert "in the stream hub-dev-s1" in seen
    assert f"{LISTENER}: done · collect-story" in seen
    assert f"row s1 | EVENT of {TABLE} is there" in seen
    assert f"{LISTENER}: ok in 120 ms" in seen  # X-Ray's; the log has 62
    assert f"ready r1 on {BUS} by pipeline evaluate-story" in seen
    assert any(text.startswith("s3://lake-dev/events/") for text in seen)
    assert all(each.startswith("Not known here: ") for each in timeline["unknown"])


def test_a_trace_costs_few_requests(stage: StageInMoto, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        stage.event(f"s{number}", "submitted", ago=timedelta(minutes=20 - number))
    stage.logged(LISTENER, "nothing")
    with counted(monkeypatch) as made:
        traced("s7")
    # Each object of the lake is fetched once. The story has 20 events, and logs are searched for 10 ids.
    assert made["GetObject"] == 20
    days = (stage.now.date() - (stage.now - timedelta(hours=4)).date()).days + 2  # from 3 h ago, by clocks that differ
    assert made["ListObjectsV2"] <= days
    assert made["FilterLogEvents"] <= 20
    assert made["Query"] <= 66
    rest = ("GetObject", "ListObjectsV2", "FilterLogEvents", "Query")
    assert sum(count for operation, count in made.items() if operation not in rest) <= 16, made


def test_an_id_that_nobody_has_seen_exits_with_1_and_says_what_was_not_read(stage: StageInMoto) -> None:
    stage.event("s1", "submitted")
    ran = CliRunner().invoke(app, ["trace", "s12", "--stage", "dev"])
    assert ran.exit_code == 1
    assert "Nobody has seen s12 in dev.\nNearest: s1\n" in ran.stderr
    assert "Not known here: events before " in ran.stderr


@pytest.mark.parametrize(
    ("operation", "lacks"),
    [
        ("ListObjectsV2", "events in s3://lake-dev/events/, because your role lacks s3:ListBucket or s3:GetObject"),
        ("Query", f"rows of {TABLE}, because your role lacks dynamodb:Query"),
        ("DescribeTable", f"rows of {TABLE}, because your role lacks dynamodb:DescribeTable"),
        ("FilterLogEvents", f"the log of {LISTENER}, because your role lacks logs:FilterLogEvents"),
        ("BatchGetTraces", "traces of X-Ray, because your role lacks xray:BatchGetTraces"),
        ("GetMetricData", "metrics, because your role lacks cloudwatch:GetMetricData"),
        ("ListFunctions", "functions, because your role lacks lambda:ListFunctions"),
        ("ListEventSourceMappings", "mappings, because your role lacks lambda:ListEventSourceMappings"),
        ("ListRules", f"rules of {BUS}, because your role lacks events:ListRules"),
        ("ListTargetsByRule", f"targets of {BUS}/to-stream, because your role lacks events:ListTargetsByRule"),
    ],
)
def test_a_permission_that_the_user_lacks_is_named_and_the_rest_is_answered(
    stage: StageInMoto, monkeypatch: pytest.MonkeyPatch, operation: str, lacks: str
) -> None:
    from botocore.client import BaseClient
    from botocore.exceptions import ClientError

    stage.event("s1", "submitted")
    stage.row("s1", "EVENT", data={"S": "story-1"}, event={"M": {"id": {"S": "s1"}, "type": {"S": "submitted"}}})
    line = {"message": "collected", "event_id": "s1", "function_request_id": REQUEST, "xray_trace_id": XRAY}
    stage.logged(LISTENER, json.dumps(line))
    call = BaseClient._make_api_call  # type: ignore[attr-defined]

    def refusing(self: Any, made: str, request: Any) -> Any:
        if made == operation:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "not you"}}, operation)
        return call(self, made, request)

    monkeypatch.setattr(BaseClient, "_make_api_call", refusing)
    timeline = traced("s1")
    assert f"Not known here: {lacks} (AWS says: not you)." in timeline["unknown"]
    kinds = {step["kind"] for step in steps(timeline)}
    assert kinds >= ({"change"} if operation == "ListObjectsV2" else {"event"})


def test_what_has_come_since_is_read_and_nothing_twice(
    stage: StageInMoto, aws: AwsStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    aws.kept.clock = lambda: now[0]
    stage.event("s1", "submitted", ago=timedelta(minutes=9))
    assert [event["id"] for event in aws.answers.events().lines] == ["bus-s1"]
    stage.event("s2", "submitted", ago=timedelta(minutes=8))
    stage.event("s1", "submitted", ago=timedelta(minutes=9))  # Firehose may deliver it again
    with counted(monkeypatch) as made:
        assert [event["id"] for event in aws.answers.events().lines] == ["bus-s1"]
        assert not made  # of the last seconds, it is kept
        now[0] = 61
        assert [event["id"] for event in aws.answers.events().lines] == ["bus-s2", "bus-s1"]
        assert made["GetObject"] == 2


def test_events_are_found_by_what_is_asked_and_pages_stay_while_more_come(stage: StageInMoto, aws: AwsStage) -> None:
    now = [0.0]
    aws.kept.clock = lambda: now[0]
    for number in range(7):
        stage.event(
            f"s{number}", "submitted", f"story-{number % 2}", ago=timedelta(minutes=30 - number), title=f"T {number}"
        )
    stage.event("i1", "internal", ago=timedelta(minutes=1))
    answers = aws.answers
    first = answers.events(type="submitted", limit=3)
    stage.event("s7", "submitted")
    now[0] = 61
    second = answers.events(type="submitted", limit=3, before=first.older)
    last = answers.events(type="submitted", limit=3, before=second.older)
    pages = [[event["detail"]["id"] for event in page.lines] for page in (first, second, last)]
    assert pages == [["s6", "s5", "s4"], ["s3", "s2", "s1"], ["s0"]]
    assert last.older is None
    assert [event["detail"]["id"] for event in answers.events(key="story-1", type="submitted", text="T 3").lines] == [
        "s3"
    ]
    assert [event["detail"]["id"] for event in answers.events(text='"title":"T 3"').lines] == ["s3"]
    assert [event["detail"]["id"] for event in answers.events(unmatched=True).lines] == ["i1"]
    assert [event["detail"]["id"] for event in answers.events(source="bff", id="s2").lines] == ["s2"]
    with pytest.raises(ValueError, match="somewhere"):
        answers.events(before="somewhere")


def test_traffic_is_that_of_the_metrics(stage: StageInMoto, aws: AwsStage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.event("s1", "submitted", ago=timedelta(minutes=3))
    stage.measured("AWS/Lambda", "Invocations", 12, FunctionName=LISTENER)
    stage.measured("AWS/Lambda", "Errors", 2, FunctionName=LISTENER)
    stage.measured("AWS/Lambda", "Duration", 80, FunctionName=LISTENER)
    stage.measured("AWS/Lambda", "IteratorAge", 900, FunctionName=LISTENER)
    stage.measured("AWS/Kinesis", "IncomingRecords", 40, StreamName="hub-dev-s1")
    stage.measured("AWS/Events", "TriggeredRules", 41, EventBusName=BUS, RuleName="to-stream")
    stage.measured("AWS/SQS", "NumberOfMessagesSent", 3, QueueName=QUEUE)
    until = stage.at + 60_000
    with counted(monkeypatch) as made, noting() as notes:
        found = {(each.kind, each.start, each.end): each for each in aws.answers.traffic(until - 3_600_000, until)}
        aws.answers.traffic(until - 3_600_000, until)
    assert made["GetMetricData"] == 2  # one for the lags of mappings, one for all arrows
    arn = f"arn:aws:sqs:us-east-1:{stage_in_moto.ACCOUNT}:{QUEUE}"
    last = found["call", "", LISTENER].last
    assert found["call", "", LISTENER] == Traffic("call", "", LISTENER, 12, 12, 2, 80, 80, last)
    assert found["stream", "", STREAM_ARN].count == 40
    assert found["rule", f"{BUS}/to-stream", STREAM_ARN].count == 41
    assert found["message", "", arn].count == 3
    assert found["event", "bff", BUS].count == 1
    assert found["attempt", STREAM_ARN, stage.mapping].most_ms == 900
    assert any("MetricsConfig with EventCount" in each for each in notes.texts())
    for name, value in (("InvokedEventCount", 9), ("FailedInvokeEventCount", 2), ("FilteredOutEventCount", 31)):
        stage.measured("AWS/Lambda", name, value, EventSourceMappingUUID=stage.mapping)
    aws.kept.clock = lambda: 10.0**9
    found = {(each.kind, each.start, each.end): each for each in aws.answers.traffic(until - 3_600_000, until)}
    attempt = found["attempt", STREAM_ARN, stage.mapping]
    assert (attempt.count, attempt.failed) == (7, 2)
    assert found["filtered", STREAM_ARN, stage.mapping].count == 31


def test_the_last_invocations_are_those_of_the_log(stage: StageInMoto, aws: AwsStage) -> None:
    stage.logged(
        LISTENER,
        "START RequestId: one", "REPORT RequestId: one\tDuration: 10.20 ms\tInit Duration: 134.47 ms\t",
        '{"level":"ERROR","message":"a fault"}', "REPORT RequestId: two\tDuration: 12.00 ms\t",
        "[ERROR] KeyError: 'evnt'\nTraceback (most recent call last):", "REPORT RequestId: three\tDuration: 3.00 ms\t",
        "REPORT RequestId: four\tDuration: 3000.00 ms\tStatus: timeout\t",
        '{"type":"platform.report","record":{"requestId":"five","status":"error","errorType":"Runtime.ExitError",'
        '"metrics":{"durationMs":7.5,"initDurationMs":90.5}}}',
    )  # fmt: skip
    page = aws.answers.calls(function=LISTENER)
    assert [call["request"] for call in page.lines] == ["five", "four", "three", "two", "one"]
    assert [call["outcome"] for call in page.lines] == ["failed", "failed", "failed", "ok", "ok"]
    assert [call.get("error") for call in page.lines] == [
        "Runtime.ExitError",
        "timeout",
        "KeyError: 'evnt'",
        None,
        None,
    ]
    assert (page.lines[4]["init"], page.lines[0]["init"]) == (134.47, 90.5)
    failed = aws.answers.calls(function=LISTENER, failed=True, limit=2)
    assert [call["request"] for call in failed.lines] == ["five", "four"]
    assert [
        call["request"]
        for call in aws.answers.calls(function=LISTENER, failed=True, limit=2, before=failed.older).lines
    ] == ["three"]
    assert aws.answers.calls(function=TRIGGER).lines == []


def test_pages_are_told_to_load_anew_once_a_minute(aws: AwsStage) -> None:
    now = [30.0]
    aws.answers._clock = lambda: now[0]
    first = aws.answers.arrived()
    assert (first.lines, first.missed, aws.answers.arrived(first.after).missed) == ([], False, False)
    now[0] = 61
    second = aws.answers.arrived(first.after)
    assert second.missed
    assert not aws.answers.arrived(second.after).missed
