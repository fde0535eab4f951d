"""At a stage of AWS, lake, tables and logs answer the same questions, and what they cannot answer is said."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from observed_system import LISTENER, NOON, STREAM, TRIGGER, VIEW, SmallSystem
from stream_cli.journal.lines import EventLine, MatchedRule
from stream_cli.journal.questions import Questions
from stream_cli.journal.unknown import noting
from stream_cli.stored.history import History, Selection
from stream_cli.trace.command import timeline_of
from stream_cli.trace.deployed import Deployed, ShardLag
from stream_cli.trace.mismatches import mismatches
from stream_cli.trace.model import Timeline
from stream_cli.trace.stage.answers import ATTEMPTS, MESSAGES, PUBLISHERS, UNDELIVERED, StageAnswers
from stream_cli.trace.stage.asking import Kept
from stream_cli.trace.stage.invocations import MOST_ASKED, FunctionLogs, Invocations
from stream_cli.trace.stage.lake import LATE, LakeEvents
from stream_cli.trace.stage.rows import BEFORE, TableRows

REQUEST = "265db889-8150-4bbe-98a8-9dcd5cb41ddf"
XRAY = "1-6b02aae8-b6f076c2283162333924fb78"


class OneStage:
    """A stage with a lake, a table and logs."""

    def __init__(self, system: SmallSystem, kept: Path) -> None:
        self._s3, self._logs, self._table = (boto3.client(name) for name in ("s3", "logs", "dynamodb"))
        self._s3.create_bucket(Bucket="lake")
        self._table.create_table(
            TableName="events", BillingMode="PAY_PER_REQUEST", StreamSpecification={"StreamEnabled": False},
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
        )  # fmt: skip
        self.lags: dict[tuple[str, str], ShardLag] = {}
        self.traces: list[dict[str, Any]] = []
        self.deployed = Deployed(system, kept, lambda: self.lags)
        self._envelopes: list[dict[str, Any]] = []

    def event(self, id: str, type: str, story: str = "story-1", **more: Any) -> None:
        detail = {"id": id, "type": type, "timestamp": NOON, "partition_key": story, "story": {"id": story}, **more}
        self._envelopes.append(
            {"id": f"bus-{id}", "source": "bff", "detail-type": type, "time": "2026-01-01T12:00:00Z", "detail": detail}
        )
        body = "\n".join(map(json.dumps, self._envelopes)).encode()
        self._s3.put_object(Bucket="lake", Key="events/dt=2026-01-01/hour=12/a", Body=body)

    def row(self, pk: str, sk: str, id: str, type: str, **more: Mapping[str, Any]) -> None:
        stored = {"M": {"id": {"S": id}, "type": {"S": type}}}
        item = {"pk": {"S": pk}, "sk": {"S": sk}, "event": stored, "timestamp": {"N": str(NOON + 40)}, **more}
        self._table.put_item(TableName="events", Item=item)

    def logged(self, function: str, *messages: str) -> None:
        group = f"/aws/lambda/{function}"
        now = int(datetime.now(UTC).timestamp() * 1000)
        self._logs.create_log_group(logGroupName=group)
        self._logs.create_log_stream(logGroupName=group, logStreamName="s")
        events = [{"timestamp": now + place, "message": message} for place, message in enumerate(messages)]
        self._logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=events)

    def answers(self) -> StageAnswers:
        kept, selection = Kept(), Selection(with_faults=True)
        history = History(self._s3, "lake", "events/", print)  # type: ignore[arg-type]
        lake = LakeEvents(lambda: "hub", self._taken_by, lambda: [history], selection)
        rows = TableRows(lambda: self._table, lambda: ["events"], lambda: NOON + 60_000, kept)
        functions = {name: FunctionLogs(f"/aws/lambda/{name}", name == TRIGGER) for name in (LISTENER, TRIGGER, VIEW)}
        invocations = Invocations(lambda: self._logs, lambda: self, lambda: functions, 0, kept)
        return StageAnswers(lake, rows, invocations, lambda: self.deployed, lambda since, until: [], kept)

    def batch_get_traces(self, TraceIds: list[str]) -> dict[str, Any]:
        """As X-Ray's; moto has none."""
        assert TraceIds == [XRAY]
        return {"Traces": [{"Id": XRAY, "Segments": [{"Document": json.dumps(each)} for each in self.traces]}]}

    def trace(self, asked: str) -> Timeline:
        answers: Questions = self.answers()
        with noting() as notes:
            timeline = timeline_of(answers, self.deployed, asked, options=" --stage dev", now=NOON + 60_000)
        timeline.unknown += notes.texts()
        return timeline

    def _taken_by(self, event: EventLine) -> list[MatchedRule]:
        return [
            {"rule": rule.name, "targets": [STREAM]}
            for rule in self.deployed.bus_rules("hub")
            if not mismatches(rule.pattern, self.deployed.envelope_of(event))
        ]


@pytest.fixture
def stage(system: SmallSystem, kept: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OneStage]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield OneStage(system, kept)


def texts(timeline: Timeline) -> list[str]:
    return [step.text for root in timeline.steps for step in root.walk()]


def test_the_lake_has_the_event_its_rules_and_what_followed(stage: OneStage) -> None:
    stage.event("s1", "submitted")
    stage.event("r1", "ready", triggers=[{"id": "s1"}], tags={"pipeline": "evaluate-story", "functionname": TRIGGER})
    stage.event("x1", "submitted", "story-2")
    timeline = stage.trace("s1")
    assert [root.text for root in timeline.steps] == ["submitted s1 on hub"]
    shown = texts(timeline)
    assert "taken by to-stream" in shown
    assert "ready r1 on hub by pipeline evaluate-story" in shown
    assert "s3://lake/events/dt=2026-01-01/hour=12/a written" in shown
    assert not [text for text in shown if "x1" in text]


def test_filters_are_those_that_are_deployed(stage: OneStage) -> None:
    stage.event("a1", "analysed")
    (waiting,) = stage.trace("a1").waits
    assert waiting.what == "the filter of no mapping on hub lets analysed a1 through"
    assert '(did you mean "analyzed"?)' in waiting.why[0]


def test_rows_say_what_a_correlation_still_needs(
    stage: OneStage, system: SmallSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.event("s1", "submitted")
    stage.row("s1", "EVENT", "s1", "submitted", data={"S": "story-1"})
    correlated = {"discriminator": {"S": "CORREL"}, "suffix": {"S": "whole"}}
    stage.row("story-1.whole", "s1", "s1", "submitted", **correlated)
    with_stream = {"LatestStreamArn": system.deployed["trigger"]["EventSourceArn"]}
    described: Any = TableRows._described
    monkeypatch.setattr(TableRows, "_described", lambda self, table: described(self, table) | with_stream)
    timeline = stage.trace("story-1")
    assert [(each.reason, each.what) for each in timeline.waits] == [
        ("event types", f"evaluate-story of {TRIGGER} still needs analyzed for story-1")
    ]
    assert "row story-1.whole | s1 of events is there" in texts(timeline)
    assert f"{LISTENER}: done · collect-story" in texts(timeline)


def test_a_function_that_nothing_shows_to_have_had_an_event_is_told(stage: OneStage) -> None:
    stage.event("s1", "submitted")
    stage.lags["m-listener", ""] = ShardLag(None, 120_000)
    (waiting,) = stage.trace("s1").waits
    assert (waiting.reason, waiting.what) == ("behind", f"nothing shows that {LISTENER} has had s1")
    assert waiting.why == ("the last record that it had came 120000 ms ago",)


def test_without_any_figure_that_is_not_told_as_a_shard_that_is_behind(stage: OneStage) -> None:
    stage.event("s1", "submitted")
    assert [each.reason for each in stage.trace("s1").waits] == ["not shown"]
    stage.row("s1", "EVENT", "s1", "submitted", data={"S": "story-1"})
    assert stage.trace("s1").waits == []


def test_logs_and_x_ray_say_what_an_invocation_did(stage: OneStage) -> None:
    stage.event("s1", "submitted")
    line = {
        "level": "ERROR", "message": "no such row, password=Xk29z!", "event_id": "s1", "function_request_id": REQUEST,
        "xray_trace_id": XRAY,
    }  # fmt: skip
    denied = {**line, "message": "User: x is not authorized to perform: dynamodb:PutItem on resource: table/events"}
    report = f"REPORT RequestId: {REQUEST}\tDuration: 62.50 ms\tBilled Duration: 63 ms\tInit Duration: 134.47 ms"
    stage.logged(TRIGGER, json.dumps(denied), json.dumps(line), report)
    segment = {"name": TRIGGER, "start_time": 1.5, "end_time": 1.62, "fault": True, "aws": {"request_id": REQUEST}}
    stage.traces = [segment]
    answers = stage.answers()
    (call,) = answers.calls(record="s1").lines
    assert (call["function"], call["outcome"]) == (TRIGGER, "failed")
    assert (call["error"], call["init"]) == ("no such row, password=[redacted]", 134.47)
    assert (call["start"], call["end"]) == (1_500, 1_620)
    timeline = stage.trace("s1")
    assert {each.reason for each in timeline.waits} >= {"refused", "failed"}


def test_what_a_stage_cannot_answer_is_said(stage: OneStage) -> None:
    stage.event("s1", "submitted")
    said = stage.trace("s1").unknown
    assert {*said} == {str(each) for each in (ATTEMPTS, BEFORE, LATE, MESSAGES, UNDELIVERED)}
    assert all(each.startswith("Not known here: ") and each.endswith(".") for each in said)


def test_no_question_is_answered_with_nothing_as_if_there_were_nothing(stage: OneStage) -> None:
    answers = stage.answers()
    asked: list[Any] = [
        answers.attempts, answers.filtered, answers.undelivered, answers.messages, answers.objects, answers.records,
        answers.changes, lambda: answers.held("1"), lambda: answers.deliveries(STREAM, "1"),
        lambda: answers.events(by="1"),
    ]  # fmt: skip
    for ask in asked:
        with noting() as notes:
            ask()
        assert notes.texts(), ask
    with noting() as notes:
        answers.events(by="1")
    assert [*notes] == [PUBLISHERS]


def test_what_the_role_of_the_user_may_not_read_is_said_and_the_rest_is_answered(
    stage: OneStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from botocore.exceptions import ClientError

    def refused(operation: str) -> Any:
        def raised(*_: object, **__: object) -> Any:
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "not you"}}, operation)

        return raised

    stage.event("s1", "submitted")
    monkeypatch.setattr(stage._logs, "get_paginator", refused("FilterLogEvents"))
    monkeypatch.setattr(stage._table, "query", refused("Query"))
    timeline = stage.trace("s1")
    assert "submitted s1 on hub" in texts(timeline)
    why = "because your role lacks {} (AWS says: not you)."
    assert f"Not known here: the log of {LISTENER}, {why.format('logs:FilterLogEvents')}" in timeline.unknown
    assert f"Not known here: rows of events, {why.format('dynamodb:Query')}" in timeline.unknown
    monkeypatch.setattr(stage._s3, "get_object", refused("GetObject"))
    timeline = stage.trace("s1")
    assert timeline.steps == []
    lacks = why.format("s3:ListBucket or s3:GetObject")
    assert f"Not known here: events in s3://lake/events/, {lacks}" in timeline.unknown


def test_logs_are_searched_for_some_ids_and_never_for_those_of_eventbridge(
    stage: OneStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(Invocations, "_of", lambda self, function, value: asked.append(value) or [])
    for number in range(2 * MOST_ASKED):
        stage.event(f"s{number}", "submitted")
    timeline = stage.trace("story-1")
    assert timeline.steps
    assert len(set(asked)) == MOST_ASKED
    assert not [value for value in asked if value.startswith("bus-")]
    assert [
        each for each in timeline.unknown if each.startswith(f"Not known here: log lines of more than {MOST_ASKED} ")
    ]


def test_an_id_that_the_stage_has_not_seen_has_the_nearest_ones(stage: OneStage) -> None:
    stage.event("s1", "submitted", "story-1")
    timeline = stage.trace("story-12")
    assert (timeline.steps, timeline.nearest) == ([], ["story-1"])


def test_of_too_many_events_the_newest_are_held(stage: OneStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_cli.trace.stage.lake.MOST", 2)
    for number in range(5):
        stage.event(f"s{number}", "submitted")
    answers = stage.answers()
    with noting() as notes:
        assert [event["id"] for event in answers.events().lines] == ["bus-s4", "bus-s3"]
    assert "Not known here: events before 2026-01-01T12:00:00Z, because more than 2 are not read" in notes.texts()[0]
    assert answers.coverage().lines == 2
