"""The map is what the stacks say, as it is deployed now, with what goes over each arrow."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from stream_cli import private_files
from stream_cli.console.map import Map
from stream_cli.errors import CommandError
from stream_cli.journal.answers import Journal
from stream_cli.journal.questions import Traffic
from stream_cli.journal.writer import Writer
from stream_cli.mappings.checkpoints import STATUS_FILE
from stream_cli.stored.connection import Connection
from stream_cli.structure.drawing import MOST_NODES
from stream_cli.trace.deployed import Deployed, ShardLag
from stream_cli.trace.stage.asking import Kept
from stream_cli.trace.stage.connecting import StageApis

ARN = "arn:aws:{}:us-east-1:000000000000:{}"
BUS, STREAM = ARN.format("events", "event-bus/hub-bus"), ARN.format("kinesis", "stream/hub-s1")
DELIVERY, FAILURES = ARN.format("firehose", "deliverystream/lake"), ARN.format("sqs", "orders-failures")
TABLE = ARN.format("dynamodb", "table/orders-rows")
PATTERN = {"detail-type": [{"anything-but": "fault"}]}


def fault_rule(**more: Any) -> dict[str, Any]:
    return {
        "Type": "AWS::Events::Rule",
        "Properties": {
            "Name": "faults",
            "EventBusName": {"Ref": "Bus"},
            "EventPattern": {"detail-type": ["fault"]},
            **more,
        },
    }


HUB = {
    "Bus": {"Type": "AWS::Events::EventBus", "Properties": {"Name": "hub-bus"}},
    "Stream": {"Type": "AWS::Kinesis::Stream", "Properties": {"Name": "hub-s1"}},
    "Letters": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "hub-letters"}},
    "Faults": fault_rule(),
    "All": {
        "Type": "AWS::Events::Rule",
        "Properties": {
            "Name": "all",
            "EventBusName": {"Ref": "Bus"},
            "EventPattern": PATTERN,
            "Targets": [
                {
                    "Id": "s1",
                    "Arn": {"Fn::GetAtt": ["Stream", "Arn"]},
                    "DeadLetterConfig": {"Arn": {"Fn::GetAtt": ["Letters", "Arn"]}},
                },
                {"Id": "lake", "Arn": {"Fn::GetAtt": ["Delivery", "Arn"]}},
            ],
        },
    },
    "Delivery": {
        "Type": "AWS::KinesisFirehose::DeliveryStream",
        "Properties": {
            "DeliveryStreamName": "lake",
            "ExtendedS3DestinationConfiguration": {"BucketARN": {"Fn::GetAtt": ["Lake", "Arn"]}},
        },
    },
    "Lake": {
        "Type": "AWS::S3::Bucket",
        "Properties": {
            "NotificationConfiguration": {
                "LambdaConfigurations": [
                    {"Event": "s3:ObjectCreated:*", "Function": {"Fn::GetAtt": ["Reader", "Arn"]}},
                ]
            }
        },
    },
    "Reader": {"Type": "AWS::Lambda::Function", "Properties": {"FunctionName": "hub-reader"}},
}
HUB_NAMES = {
    "Bus": "hub-bus",
    "Stream": "hub-s1",
    "Letters": "http://localhost:4566/000000000000/hub-letters",
    "Faults": "hub-bus|faults",
    "All": "all",
    "Delivery": "lake",
    "Lake": "hub-lake-1x2y3z4a5b6c7",
    "Reader": "hub-reader",
}

ORDERS = """
Parameters:
  Name: {Type: String}
Resources:
  Rows:
    Type: AWS::DynamoDB::Table
    Properties: {TableName: !Ref Name}
  Listener:
    Type: AWS::Lambda::Function
    Properties: {FunctionName: orders-listener, Role: !GetAtt Role.Arn}
  Rest:
    Type: AWS::Lambda::Function
    Properties:
      FunctionName: orders-rest
      Environment: {Variables: {TABLE: !Ref Rows}}
      Role: !GetAtt Wide.Arn
  Role:
    Type: AWS::IAM::Role
    Properties:
      RoleName: orders-listener-role
      Policies:
        - PolicyName: listener
          PolicyDocument:
            Statement:
              - {Effect: Allow, Action: [dynamodb:PutItem, dynamodb:Query], Resource: !GetAtt Rows.Arn}
              - {Effect: Allow, Action: "events:*", Resource: !ImportValue hub-bus-arn}
              - {Effect: Allow, Action: "sqs:SendMessage", Resource: "*"}
              - Effect: Allow
                Action: kinesis:PutRecord
                Resource: !Sub arn:aws:kinesis:*:${AWS::AccountId}:stream/hub-*
              - {Effect: Deny, Action: "kinesis:*", Resource: "*"}
  Wide:
    Type: AWS::IAM::Role
    Properties:
      RoleName: orders-wide
      Policies:
        - PolicyName: all
          PolicyDocument: {Statement: {Effect: Allow, Action: "*", Resource: "*"}}
  Failures:
    Type: AWS::SQS::Queue
    Properties: {QueueName: orders-failures}
  Api:
    Type: AWS::ApiGatewayV2::Api
  ToRest:
    Type: AWS::ApiGatewayV2::Integration
    Properties: {ApiId: !Ref Api, IntegrationUri: !GetAtt Rest.Arn}
  Get:
    Type: AWS::ApiGatewayV2::Route
    Properties: {ApiId: !Ref Api, RouteKey: GET /orders, Target: !Join [/, [integrations, !Ref ToRest]]}
  Nightly:
    Type: AWS::Scheduler::Schedule
    Properties: {ScheduleExpression: rate(1 day), Target: {Arn: !GetAtt Rest.Arn}}
  Topic:
    Type: AWS::SNS::Topic
  Told:
    Type: AWS::SNS::Subscription
    Properties: {TopicArn: !Ref Topic, Protocol: lambda, Endpoint: !GetAtt Rest.Arn}
  Mailed:
    Type: AWS::SNS::Subscription
    Properties: {TopicArn: !Ref Topic, Protocol: email, Endpoint: somebody@example.com}
  Elsewhere:
    Type: AWS::Scheduler::Schedule
    Properties: {ScheduleExpression: rate(1 day), Target: {Arn: !Select [0, !GetAZs ""]}}
  Alarm:
    Type: AWS::CloudWatch::Alarm
  Strange:
    Type: My::Own::Thing
  Absent:
    Type: AWS::SQS::Queue
    Condition: Never
"""
ORDERS_NAMES = {
    "Rows": "orders-rows",
    "Listener": "orders-listener",
    "Rest": "orders-rest",
    "Role": "orders-listener-role",
    "Wide": "orders-wide",
    "Failures": "http://localhost:4566/000000000000/orders-failures",
    "Api": "a1b2c3",
    "ToRest": "i1",
    "Get": "r1",
    "Nightly": "orders-nightly",
    "Topic": ARN.format("sns", "orders-local-Topic-AB12CD34EF56"),
    "Told": "s1",
    "Mailed": "s2",
    "Elsewhere": "orders-elsewhere",
    "Alarm": "alarm",
    "Strange": "strange",
}


def mapping(id: str, function: str, source: str, **more: Any) -> dict[str, Any]:
    return {
        "UUID": id,
        "FunctionArn": ARN.format("lambda", f"function:{function}"),
        "EventSourceArn": source,
        "State": "Enabled",
        "DestinationConfig": {"OnFailure": {"Destination": FAILURES}},
        **more,
    }


class System:
    """What the APIs of a stage answer; tests change it."""

    def __init__(self) -> None:
        self.templates: dict[str, str | Mapping[str, Any]] = {"hub-local": {"Resources": HUB}, "orders-local": ORDERS}
        self.names = {"hub-local": HUB_NAMES, "orders-local": ORDERS_NAMES}
        self.changed = 0
        self.asked: Counter[str] = Counter()
        self.of_lambda = [
            mapping("m-orders", "orders-listener", STREAM, FilterCriteria={"Filters": [{"Pattern": '{"data":{}}'}]}),
            mapping("m-rows", "orders-rest", f"{TABLE}/stream/2026-01-01T00:00:00.000", State="Disabled"),
        ]
        self.rules = [
            {"Name": "all", "State": "ENABLED", "EventPattern": json.dumps(PATTERN)},
            {"Name": "faults", "State": "ENABLED", "EventPattern": "{}"},
        ]

    def functions(self) -> list[dict[str, Any]]:
        return []

    def code(self, name: str) -> bytes:
        raise NotImplementedError  # nothing that is tested asks for it

    def end_of_code(self, name: str, most: int) -> bytes:
        raise NotImplementedError  # nothing that is tested asks for it

    def mappings(self) -> list[dict[str, Any]]:
        return self.of_lambda

    def bus_rules(self, bus: str) -> list[dict[str, Any]]:
        return self.rules

    def stacks(self) -> Sequence[Mapping[str, Any]]:
        self.asked["stacks"] += 1
        return [
            {
                "StackName": name,
                "StackId": ARN.format("cloudformation", f"stack/{name}/1"),
                "StackStatus": "CREATE_COMPLETE",
                "LastUpdatedTime": self.changed,
                "Tags": [],
                "Parameters": [{"ParameterKey": "Name", "ParameterValue": "orders-rows"}],
                "Outputs": [{"OutputKey": "busArn", "OutputValue": BUS, "ExportName": "hub-bus-arn"}]
                if "hub" in name
                else "",
            }
            for name in self.templates
        ]

    def resources(self, stack: str) -> Sequence[Mapping[str, Any]]:
        self.asked["resources"] += 1
        return [
            {"LogicalResourceId": logical, "PhysicalResourceId": name, "ResourceStatus": "CREATE_COMPLETE"}
            for logical, name in self.names[stack].items()
        ]

    def template(self, stack: str) -> str | Mapping[str, Any]:
        self.asked["template"] += 1
        return self.templates[stack]


@pytest.fixture
def system() -> System:
    return System()


@pytest.fixture
def lags() -> dict[tuple[str, str], ShardLag]:
    return {}


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    writer = Writer(tmp_path / "journal", "emulator")
    yield writer
    writer.close()


@pytest.fixture
def seen(tmp_path: Path, system: System, lags: dict[tuple[str, str], ShardLag]) -> Iterator[Map]:
    journal = Journal(tmp_path / "journal")
    yield Map("local", journal, lambda: Deployed(system, lags=lambda: lags), tmp_path / "mappings")
    journal.close()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is deployed is looked at each time."""
    monkeypatch.setattr("stream_cli.console.map.LOOKS_EVERY_S", 0.0)
    monkeypatch.setattr("stream_cli.console.map._SHARE", 0)


def arrows(drawn: Mapping[str, Any], *kinds: str) -> set[tuple[str, str, str]]:
    found = ((each["kind"], each["start"], each["end"]) for each in drawn["arrows"])
    return {each for each in found if not kinds or each[0] in kinds}


def node(drawn: Mapping[str, Any], id: str) -> dict[str, Any]:
    return next(each for each in drawn["nodes"] if each["id"] == id)


def arrow(drawn: Mapping[str, Any], start: str, end: str, kind: str = "") -> dict[str, Any]:
    return next(
        each for each in drawn["arrows"] if (each["start"], each["end"]) == (start, end) and kind in ("", each["kind"])
    )


def test_arrows_are_those_of_the_stacks_whatever_way_they_name_each_other(seen: Map) -> None:
    drawn = seen.drawn()
    assert arrows(drawn) == {
        ("match", "bus:hub-bus", "rule:hub-bus/all"),
        ("match", "bus:hub-bus", "rule:hub-bus/faults"),
        ("target", "rule:hub-bus/all", "stream:hub-s1"),
        ("target", "rule:hub-bus/all", "delivery:lake"),
        ("failure", "rule:hub-bus/all", "queue:hub-letters"),
        ("deliver", "delivery:lake", "bucket:hub-lake-1x2y3z4a5b6c7"),
        ("invoke", "bucket:hub-lake-1x2y3z4a5b6c7", "function:hub-reader"),
        ("mapping", "stream:hub-s1", "function:orders-listener"),
        ("mapping", "table:orders-rows", "function:orders-rest"),
        ("failure", "function:orders-listener", "queue:orders-failures"),
        ("failure", "function:orders-rest", "queue:orders-failures"),
        ("write", "function:orders-listener", "table:orders-rows"),
        ("write", "function:orders-listener", "bus:hub-bus"),
        ("write", "function:orders-rest", "table:orders-rows"),
        ("invoke", "api:a1b2c3", "function:orders-rest"),
        ("invoke", "schedule:orders-nightly", "function:orders-rest"),
        ("invoke", "topic:orders-local-Topic-AB12CD34EF56", "function:orders-rest"),
        ("deliver", "topic:orders-local-Topic-AB12CD34EF56", "outside:email"),
    }
    assert [(group["id"], group["name"]) for group in drawn["groups"]] == [
        ("hub-local", "hub"),
        ("orders-local", "orders"),
    ]
    assert arrow(drawn, "api:a1b2c3", "function:orders-rest")["why"] == "GET /orders"
    assert arrow(drawn, "stream:hub-s1", "function:orders-listener")["why"] == 'filter: {"data":{}}'
    assert "somebody@example.com" not in json.dumps(drawn)


def test_names_are_short_and_what_is_in_no_stack_is_there_too(seen: Map, system: System) -> None:
    system.of_lambda.append(
        mapping("m-far", "elsewhere", ARN.format("kinesis", "stream/far").replace("000000000000", "111111111111"))
    )
    drawn = seen.drawn()
    names = {each["id"]: each["name"] for each in drawn["nodes"]}
    assert names["topic:orders-local-Topic-AB12CD34EF56"] == "Topic"
    assert names["api:a1b2c3"] == "Api"
    assert (names["function:elsewhere"], node(drawn, "function:elsewhere")["group"]) == ("elsewhere", "")
    assert ("mapping", "stream:111111111111/far", "function:elsewhere") in arrows(drawn)


def test_it_is_told_how_a_write_is_known_and_a_role_that_allows_all_is_not_drawn_to_all(seen: Map) -> None:
    drawn = seen.drawn()
    assert arrow(drawn, "function:orders-listener", "table:orders-rows")["why"] == "its role allows dynamodb:PutItem"
    told = arrow(drawn, "function:orders-rest", "table:orders-rows", "write")["why"]
    assert told == "its variable TABLE names it, and its role allows it"
    assert arrows(drawn, "write") & {("write", "function:orders-rest", "bus:hub-bus")} == set()


def test_what_is_not_drawn_is_counted_and_what_is_not_known_is_told(seen: Map, system: System) -> None:
    system.templates["broken-local"] = "Resources: ["
    system.names["broken-local"] = {}
    drawn = seen.drawn()
    assert drawn["left_out"] == {"AWS::CloudWatch::Alarm": 1, "AWS::IAM::Role": 2, "My::Own::Thing": 1}
    (elsewhere,) = (text for text in drawn["unknown"] if "Elsewhere" in text)
    assert "leads to" in elsewhere
    assert "Fn::Select" in elsewhere
    (broken,) = (text for text in drawn["unknown"] if "broken-local" in text)
    assert "not known" in broken


def test_rules_and_mappings_are_as_they_are_now(seen: Map, system: System) -> None:
    system.rules[0]["State"] = "DISABLED"
    system.rules[1] = {"Name": "by-hand", "State": "ENABLED", "EventPattern": "{}"}
    system.rules.append({"Name": "Events-Archive-x", "EventPattern": "{}", "ManagedBy": "prod.vhs.events.aws.internal"})
    drawn = seen.drawn()
    assert node(drawn, "rule:hub-bus/all")["disabled"]
    assert "deleted outside" in node(drawn, "rule:hub-bus/faults")["note"]
    assert node(drawn, "rule:hub-bus/by-hand")["group"] == ""
    assert ("match", "bus:hub-bus", "rule:hub-bus/by-hand") in arrows(drawn)
    assert "Events-Archive-x" not in json.dumps(drawn)
    assert arrow(drawn, "table:orders-rows", "function:orders-rest")["disabled"]


def test_everything_leads_to_the_page_of_it(seen: Map) -> None:
    drawn = seen.drawn()
    leads = {each["id"]: (each["leads"]["page"], each["leads"]["what"]) for each in drawn["nodes"]}
    assert leads["function:orders-rest"] == ("functions", "orders-rest")
    assert leads["table:orders-rows"] == ("items", "orders-rows")
    assert leads["stream:hub-s1"] == ("shards", "")
    assert leads["bus:hub-bus"] == leads["rule:hub-bus/all"] == ("events", "")
    assert leads["rule:hub-bus/faults"] == ("faults", "")
    assert leads["bucket:hub-lake-1x2y3z4a5b6c7"] == leads["delivery:lake"] == ("lake", "")
    assert leads["api:a1b2c3"] == ("functions", "orders-rest")
    assert leads["queue:orders-failures"] == ("map", "queue:orders-failures")
    assert leads["topic:orders-local-Topic-AB12CD34EF56"] == ("map", "topic:orders-local-Topic-AB12CD34EF56")
    assert arrow(drawn, "stream:hub-s1", "function:orders-listener")["leads"]["what"] == "m-orders"
    assert arrow(drawn, "function:orders-listener", "table:orders-rows")["leads"]["page"] == "items"
    assert arrow(drawn, "rule:hub-bus/all", "queue:hub-letters")["leads"]["what"] == "queue:hub-letters"
    assert arrow(drawn, "function:orders-listener", "queue:orders-failures")["leads"]["what"] == "m-orders"


def test_a_deployment_changes_it_and_what_has_not_changed_is_not_read_again(
    seen: Map, system: System, at_once: None
) -> None:
    first = seen.drawn()["version"]
    assert seen.drawn()["version"] == seen.figures()["version"] == first
    assert (system.asked["template"], system.asked["resources"]) == (2, 2)
    assert system.asked["stacks"] == 3
    system.changed += 1
    system.templates["hub-local"] = {"Resources": HUB | {"More": {"Type": "AWS::SQS::Queue"}}}
    system.names["hub-local"] = HUB_NAMES | {"More": "http://localhost:4566/000000000000/hub-more"}
    drawn = seen.drawn()
    assert drawn["version"] != first
    assert node(drawn, "queue:hub-more")
    assert system.asked["template"] == 4


def test_it_is_looked_at_again_after_some_seconds_only(seen: Map, system: System) -> None:
    for _ in range(5):
        seen.drawn()
        seen.figures()
    assert system.asked["stacks"] == 1


def test_while_the_cloud_gives_no_answer_it_is_shown_as_it_was(
    seen: Map, system: System, at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = seen.drawn()

    def fails() -> Any:
        raise CommandError("The local cloud does not answer.")

    monkeypatch.setattr(system, "stacks", fails)
    later = seen.drawn()
    assert later["version"] == drawn["version"]
    assert later["unknown"][0] == "This is what was deployed before. The local cloud does not answer."


def test_a_huge_stack_is_read_at_once_and_what_is_too_much_is_counted(seen: Map, system: System) -> None:
    many = MOST_NODES + 50
    system.templates["huge-local"] = {
        "Resources": {
            f"Queue{number}": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": f"huge-{number}"}}
            for number in range(many)
        }
    }
    system.names["huge-local"] = {
        f"Queue{number}": f"http://localhost:4566/000000000000/huge-{number}" for number in range(many)
    }
    drawn = seen.drawn()
    assert len(drawn["nodes"]) == MOST_NODES
    assert drawn["more"]["nodes"] > 50
    assert system.asked["resources"] == 3


def event(type: str, number: int, rules: Sequence[Mapping[str, Any]] = (), **more: Any) -> dict[str, Any]:
    return {
        "kind": "event",
        "at": time.time_ns() // 1_000_000 - 2_000,
        "bus": "hub-bus",
        "id": f"bus-{number}",
        "source": "custom",
        "type": type,
        "detail": {"id": f"event-{number}"},
        "rules": rules,
        **more,
    }


def test_what_goes_over_arrows_is_of_the_last_seconds(
    seen: Map, writer: Writer, lags: dict[tuple[str, str], ShardLag]
) -> None:
    taken = [{"rule": "all", "targets": [STREAM, DELIVERY]}]
    at = time.time_ns() // 1_000_000 - 2_000
    for number in range(20):
        writer.put(event("submitted", number, taken, by="request-1", by_function="orders-listener"))
        change = {"table": "orders-rows", "change": "INSERT", "keys": {}, "by_function": "orders-listener"}
        writer.put({"kind": "change", "at": at, **change})
    writer.put(
        {
            "kind": "call",
            "at": at,
            "function": "orders-rest",
            "request": "1",
            "start": at - 30,
            "end": at,
            "outcome": "ok",
        }
    )
    attempt = {
        "kind": "attempt",
        "at": at,
        "mapping": "m-orders",
        "function": "orders-listener",
        "stream": STREAM,
        "shard": "0",
        "numbers": ["1", "2"],
        "attempt": 1,
        "start": at,
        "outcome": "ok",
        "done": 2,
    }
    writer.put(attempt)
    writer.flush()
    lags |= {("m-orders", "0"): ShardLag(3, 400), ("m-orders", "1"): ShardLag(4, 90)}
    found = seen.figures()
    assert found["windows"] == [10, 60]
    drawn = seen.drawn()

    def over(start: str, end: str, kind: str = "") -> dict[str, Any]:
        figure: dict[str, Any] = found["arrows"].get(arrow(drawn, start, end, kind)["id"], {})
        return figure

    for start, end in (
        ("bus:hub-bus", "rule:hub-bus/all"),
        ("rule:hub-bus/all", "stream:hub-s1"),
        ("rule:hub-bus/all", "delivery:lake"),
        ("function:orders-listener", "bus:hub-bus"),
        ("function:orders-listener", "table:orders-rows"),
    ):
        assert over(start, end) == {"rate": 2.0, "minute": 0.333}, (start, end)
    assert over("stream:hub-s1", "function:orders-listener") == {
        "rate": 0.2,
        "minute": 0.033,
        "behind": 7,
        "lag_ms": 400,
    }
    # Three may have called it without a record: the call is of none of these arrows.
    assert over("api:a1b2c3", "function:orders-rest") == {}
    assert found["nodes"]["function:orders-rest"] == {"rate": 0.1, "minute": 0.017, "ms": 30}
    assert found["nodes"]["table:orders-rows"]["rate"] == 2.0
    assert found["nodes"]["bus:hub-bus"] == {"rate": 2.0, "minute": 0.333}
    assert over("function:orders-rest", "table:orders-rows", "write") == {}


def test_nothing_that_goes_wrong_is_silent(seen: Map, writer: Writer, tmp_path: Path) -> None:
    at = time.time_ns() // 1_000_000 - 2_000
    batch = {
        "at": at,
        "mapping": "m-orders",
        "function": "orders-listener",
        "stream": STREAM,
        "shard": "0",
        "numbers": ["1", "2"],
    }
    for line in (
        event("unheard", 1),
        {"kind": "filtered", **batch},
        {"kind": "given_up", **batch, "condition": "RetryAttemptsExhausted", "attempts": 3},
        {"kind": "attempt", **batch, "attempt": 1, "start": at, "outcome": "failed", "done": 0},
        {
            "kind": "delivery",
            "at": at,
            "bus": "hub-bus",
            "rule": "all",
            "target": DELIVERY,
            "id": "1",
            "outcome": "failed",
            "problem": "gone",
            "attempts": 1,
        },
        {
            "kind": "delivery",
            "at": at,
            "bus": "hub-bus",
            "rule": "all",
            "target": DELIVERY,
            "id": "1",
            "outcome": "given_up",
            "problem": "gone",
            "attempts": 2,
        },
        {
            "kind": "refused",
            "at": at,
            "function": "orders-rest",
            "action": "sqs:SendMessage",
            "resource": "*",
            "missing": {},
            "message": "no",
        },
        {
            "kind": "call",
            "at": at,
            "function": "orders-rest:live",
            "request": "1",
            "start": at,
            "end": at,
            "outcome": "failed",
        },
    ):
        writer.put(line)
    writer.flush()
    failing = {
        "failures": 4,
        "since": 1.0,
        "records": 2,
        "number": "1",
        "problem": "password=correct-horse-9",
        "next": None,
    }
    shard = {
        "shard": "shardId-000000000000",
        "state": "open",
        "behind": 2,
        "failing": failing,
        "filtered": 2,
        "processed": 1,
        "given_up": 2,
        "invocations": 4,
        "in_flight": 0,
    }
    unadmitted = {"stream": STREAM, "unadmitted": [{"type": "unheard", "count": 7}]}
    private_files.make_folder(tmp_path / "mappings")
    status = {
        "running": True,
        "updated_at": time.time(),
        "streams": [unadmitted],
        "endpoint_problem": None,
        "mappings": [
            {
                "uuid": "m-orders",
                "function": "f",
                "source": STREAM,
                "enabled": True,
                "problem": None,
                "shards": [shard],
            },
        ],
    }
    private_files.write(tmp_path / "mappings" / STATUS_FILE, json.dumps(status).encode())
    found = seen.figures()
    troubles = {
        id: figure["troubles"]
        for each in ("nodes", "arrows")
        for id, figure in found[each].items()
        if "troubles" in figure
    }
    assert troubles["bus:hub-bus"] == ["1 event of the last hour taken by no rule"]
    assert found["nodes"]["bus:hub-bus"]["notes"] == ["unheard taken by no rule: 1"]
    assert troubles["function:orders-rest"] == [
        "1 failed invocation in the last hour",
        "its role did not allow sqs:SendMessage (1 times)",
    ]
    mapped = troubles["mapping stream:hub-s1 function:orders-listener m-orders"]
    assert "failed 4 times in a row" in mapped[0]
    assert "correct-horse-9" not in mapped[0]
    assert mapped[1:] == ["1 failed attempt in the last 60 s", "2 records given up in the last hour"]
    assert (
        "2 records of the last hour filtered out"
        in found["arrows"]["mapping stream:hub-s1 function:orders-listener m-orders"]["notes"]
    )
    assert troubles["failure function:orders-listener queue:orders-failures m-orders"] == [
        "2 records given up in the last hour"
    ]
    assert troubles["target rule:hub-bus/all delivery:lake"] == [
        "1 event given up in the last hour",
        "1 delivery failed in the last hour",
    ]
    assert "unheard" in troubles["stream:hub-s1"][0]


def test_a_problem_is_told_at_once_and_the_hour_is_not_summed_each_time(
    tmp_path: Path, system: System, writer: Writer
) -> None:
    asked: list[int] = []

    class Counted(Journal):
        def traffic(self, since: int, until: int) -> list[Traffic]:
            asked.append((until - since) // 1000)
            return super().traffic(since, until)

    journal = Counted(tmp_path / "journal")
    seen = Map("local", journal, lambda: Deployed(system), tmp_path / "mappings")
    for number in (1, 2):
        writer.put(event("unheard", number))
        writer.flush()
        told = "1 event" if number == 1 else "2 events"
        assert seen.figures()["nodes"]["bus:hub-bus"]["troubles"] == [f"{told} of the last hour taken by no rule"]
    assert len([seconds for seconds in asked if seconds > 60]) == 1
    journal.close()


class OfAStage(Connection):
    """boto3's clients, with answers that they get instead of those of AWS."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.stage = "dev"
        self._answers = answers

    def client(self, service: str) -> Any:
        keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
        client = boto3.client(service, region_name="us-east-1", **keys)  # type: ignore[call-overload,unused-ignore]
        client.meta.events.register("before-call", self._answer)
        return client

    def _answer(self, model: Any, **_: Any) -> Any:
        return SimpleNamespace(status_code=200), self._answers[model.name]


def test_a_stage_of_aws_is_drawn_by_the_same_code(tmp_path: Path) -> None:
    stacks = [
        {
            "StackName": f"orders-{stage}",
            "StackId": ARN.format("cloudformation", f"stack/orders-{stage}/1"),
            "CreationTime": datetime.now(UTC),
            "StackStatus": "CREATE_COMPLETE",
            "Tags": [{"Key": "STAGE", "Value": stage}],
        }
        for stage in ("dev", "prd")
    ]
    rows = {"Type": "AWS::DynamoDB::Table", "Properties": {"TableName": {"Fn::Sub": "${AWS::StackName}-rows"}}}
    listed = {"LogicalResourceId": "Rows", "PhysicalResourceId": "orders-dev-rows", "ResourceStatus": "CREATE_COMPLETE"}
    answers = {
        "DescribeStacks": {"Stacks": stacks},
        "ListStackResources": {"StackResourceSummaries": [{**listed, "ResourceType": "AWS::DynamoDB::Table"}]},
        "GetTemplate": {"TemplateBody": {"Resources": {"Rows": rows}}},
        "ListEventSourceMappings": {"EventSourceMappings": []},
    }
    deployed = Deployed(StageApis(OfAStage(answers), Kept()))
    seen = Map("dev", Journal(tmp_path / "nothing"), lambda: deployed, tmp_path)
    drawn = seen.drawn()
    assert seen.figures()["windows"] == [300, 300]
    assert [group["name"] for group in drawn["groups"]] == ["orders"]
    assert [(each["name"], each["full_name"]) for each in drawn["nodes"]] == [("rows", "orders-dev-rows")]
