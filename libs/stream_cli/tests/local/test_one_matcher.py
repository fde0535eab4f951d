"""One matcher everywhere: a pattern means the same for every target of a rule, in filters and for `check`."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from stream_cli.checks.service.record_shapes import admits
from stream_cli.local.deliveries import BusDelivery
from stream_cli.local.endpoint import LocalEndpoint
from stream_cli.mappings.filters import compile_filters
from stream_cli.patterns import nested

NESTED = {"state": {"status": "running"}}
DOTTED = {"state.status": "running"}
ARN = "arn:aws:events:us-east-1:123456789012:event-bus/main"

CASES: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({"state.status": ["running"]}, NESTED, True),
    ({"state": {"status": ["running"]}}, DOTTED, True),
    ({"state.status": ["running"]}, DOTTED, True),
    ({"state": {"status": ["running"]}}, NESTED, True),
    ({"state.status": ["stopped"]}, NESTED, False),
    ({"state": {"status": ["stopped"]}}, DOTTED, False),
    ({"state.status": [{"exists": False}]}, NESTED, False),
    ({"state": {"status": [{"exists": False}]}}, DOTTED, False),
    ({"a.b.c": [{"anything-but": "x"}]}, {"a.b": {"c": "y"}}, True),
    ({"a": {"b.c": [{"numeric": [">", 3]}]}}, {"a": {"b": {"c": 4}}}, True),
    ({"$or": [{"a.b": [1]}, {"c": [2]}]}, {"a": {"b": 1}}, True),
    ({"items.kind": ["a"], "items": {"size": [2]}}, {"items": [{"kind": "a"}, {"kind": "b", "size": 2}]}, False),
    ({"items.kind": ["a"], "items": {"size": [2]}}, {"items": [{"kind": "b"}, {"kind": "a", "size": 2}]}, True),
    ({"bus": [{"wildcard": "arn:aws:events:*:event-bus/*"}]}, {"bus": ARN}, True),
    ({"bus": [{"wildcard": "arn:aws:sqs:*"}]}, {"bus": ARN}, False),
    ({"name": [{"equals-ignore-case": "straße"}]}, {"name": "STRASSE"}, True),
    ({"name": [{"suffix": {"equals-ignore-case": ".PNG"}}]}, {"name": "a.png"}, True),
    ({"ip": [{"cidr": "10.0.0.0/24"}]}, {"ip": "10.0.0.17"}, True),
    ({"flag": [True]}, {"flag": 1}, False),
    ({"name": [{"anything-but": {"wildcard": "*/lib/*"}}]}, {"name": "/usr/lib/x"}, False),
]  # fmt: skip
MATCHING = {f"case-{number}" for number, (_, _, expected) in enumerate(CASES) if expected}

REFUSED: list[dict[str, Any]] = [
    {"bus": [{"wildcard": "*:*:*:*:*:event-bus/*"}]},
    {"bus": [{"anything-but": {"wildcard": "*:*:*:*:*:event-bus/*"}}]},
    {"bus": [{"wildcard": "a**"}]},
    {"bus": [{"begins": "a"}]},
    {"bus": "a"},
    {"state.status": []},
]


class Rules:
    """A bus with a rule for each case, and what each kind of target has got of it."""

    def __init__(self, endpoint: LocalEndpoint, name: str, queue_url: str) -> None:
        self.endpoint, self.name = endpoint, name
        self.events = endpoint.client("events")
        self.events.create_event_bus(Name=name)
        self.delivery = BusDelivery(endpoint, name)
        self.sqs, self.kinesis = endpoint.client("sqs"), endpoint.client("kinesis")
        self.queue_url = queue_url
        self.kinesis.create_stream(StreamName=name, ShardCount=1)

    def targets(self, function: str, case: str) -> list[dict[str, Any]]:
        place = "us-east-1:000000000000"
        arns = {
            "queue": f"arn:aws:sqs:{place}:{self.name}",
            "stream": f"arn:aws:kinesis:{place}:stream/{self.name}",
            "function": f"arn:aws:lambda:{place}:function:{function}",
        }
        role = "arn:aws:iam::000000000000:role/any"
        return [
            {"Id": identifier, "Arn": arn, "RoleArn": role, "Input": json.dumps(case)}
            for identifier, arn in arns.items()
        ]

    def messages(self) -> set[str]:
        received = iter(lambda: self.sqs.receive_message(QueueUrl=self.queue_url, MaxNumberOfMessages=10), None)
        found: set[str] = set()
        for page in received:
            if "Messages" not in page:
                return found
            found |= {json.loads(message["Body"]) for message in page["Messages"]}
        return found

    def records(self) -> set[str]:
        self.delivery.deliver_once()
        (shard,) = self.kinesis.list_shards(StreamName=self.name)["Shards"]
        iterator = self.kinesis.get_shard_iterator(
            StreamName=self.name, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        return {json.loads(record["Data"]) for record in self.kinesis.get_records(ShardIterator=iterator)["Records"]}


SOURCE = """
import json, os
def handler(event, context):
    with open(os.environ["OUT"], "a") as out:
        out.write(json.dumps(event) + "\\n")
"""


@pytest.fixture
def writing_function(made: Callable[..., Any], tmp_path: Path) -> Any:
    """The client of Lambda; the function of the test appends each of its events to the file `events`."""
    return made(SOURCE, Environment={"Variables": {"OUT": str(tmp_path / "events")}})


def written(out: Path) -> set[str]:
    """What a function has written, once that is all of the matching cases, or nothing more comes."""
    deadline = time.monotonic() + 20
    while True:
        found = {json.loads(line) for line in out.read_text().splitlines()} if out.exists() else set()
        if found >= MATCHING or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def test_every_target_of_a_rule_gets_the_same_events(
    endpoint: LocalEndpoint, name: str, tmp_path: Path, writing_function: Any, make_queue: Callable[[str], str]
) -> None:
    rules = Rules(endpoint, name, make_queue(name))
    writing_function.add_permission(
        FunctionName=name, StatementId="r", Action="lambda:InvokeFunction", Principal="events.amazonaws.com"
    )
    for number, (pattern, _, _) in enumerate(CASES):
        case = f"case-{number}"
        whole = {"detail-type": [case], "detail": pattern}
        rules.events.put_rule(Name=case, EventBusName=name, EventPattern=json.dumps(whole))
        rules.events.put_targets(Rule=case, EventBusName=name, Targets=rules.targets(name, case))
    for number, (_, detail, _) in enumerate(CASES):
        entry = {"EventBusName": name, "Source": "test", "DetailType": f"case-{number}", "Detail": json.dumps(detail)}
        rules.events.put_events(Entries=[entry])
    assert rules.messages() == MATCHING
    assert rules.records() == MATCHING
    assert written(tmp_path / "events") == MATCHING


@pytest.mark.parametrize(("pattern", "detail", "expected"), CASES)
def test_the_pattern_test_of_the_bus_says_the_same(
    endpoint: LocalEndpoint, pattern: dict[str, Any], detail: dict[str, Any], expected: bool
) -> None:
    event = {
        "id": "1", "account": "000000000000", "source": "test", "time": "2026-11-21T10:00:00Z", "region": "us-east-1",
        "resources": [], "detail-type": "test", "detail": detail,
    }  # fmt: skip
    tested = endpoint.client("events").test_event_pattern(
        EventPattern=json.dumps({"detail": pattern}), Event=json.dumps(event)
    )
    assert tested["Result"] is expected


@pytest.mark.parametrize(("pattern", "payload", "expected"), CASES)
def test_filter_criteria_say_the_same(pattern: dict[str, Any], payload: dict[str, Any], expected: bool) -> None:
    data = json.dumps(payload)
    kinesis = {"kinesis": {"partitionKey": "k", "data": base64.b64encode(data.encode()).decode()}}
    assert compile_filters("kinesis", [json.dumps({"data": pattern})])(kinesis) is expected
    assert compile_filters("sqs", [json.dumps({"body": pattern})])({"body": data}) is expected
    change = {"dynamodb": {"NewImage": payload}}
    assert compile_filters("dynamodb", [json.dumps({"dynamodb": {"NewImage": pattern}})])(change) is expected


def test_a_mapping_on_a_queue_filters_with_the_same_matcher(
    endpoint: LocalEndpoint, name: str, tmp_path: Path, writing_function: Any
) -> None:
    functions, sqs = writing_function, endpoint.client("sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    bodies = [NESTED, DOTTED, {"state": {"status": "stopped"}}]
    entries = [{"Id": str(n), "MessageBody": json.dumps(body)} for n, body in enumerate(bodies)]
    sqs.send_message_batch(QueueUrl=url, Entries=entries)
    pattern = {"body.state": {"status": [{"wildcard": "*unn*"}]}}
    mapping = functions.create_event_source_mapping(
        FunctionName=name,
        EventSourceArn=f"arn:aws:sqs:us-east-1:000000000000:{name}",
        FilterCriteria={"Filters": [{"Pattern": json.dumps(pattern)}]},
    )["UUID"]
    deadline = time.monotonic() + 20
    while (read := functions.get_event_source_mapping(UUID=mapping))["LastProcessingResult"] != "OK - 2 records":
        assert time.monotonic() < deadline, read
        time.sleep(0.05)
    assert "Messages" not in sqs.receive_message(QueueUrl=url)
    (event,) = map(json.loads, (tmp_path / "events").read_text().splitlines())
    assert [json.loads(record["body"]) for record in event["Records"]] == [NESTED, DOTTED]


@pytest.mark.parametrize(("pattern", "payload", "expected"), CASES)
def test_check_lets_the_same_payloads_through(pattern: dict[str, Any], payload: dict[str, Any], expected: bool) -> None:
    """`admits` assumes that unknown fields match, so it may let more through where the payload lacks a field."""
    if expected:
        assert admits(nested({"data": pattern}), nested({"data": payload}))


@pytest.mark.parametrize("pattern", REFUSED)
def test_what_aws_refuses_is_refused_everywhere(endpoint: LocalEndpoint, name: str, pattern: dict[str, Any]) -> None:
    events = endpoint.client("events")
    text = json.dumps({"detail": pattern})
    events.create_event_bus(Name=name)
    bus = f"arn:aws:events:us-east-1:000000000000:event-bus/{name}"
    for operation, request in (
        ("put_rule", {"Name": name, "EventBusName": name, "EventPattern": text}),
        ("test_event_pattern", {"EventPattern": text, "Event": "{}"}),
        ("create_archive", {"ArchiveName": name, "EventSourceArn": bus, "EventPattern": text}),
    ):
        with pytest.raises(ClientError, match=r"Event pattern is not valid\. Reason: ") as refused:
            getattr(events, operation)(**request)
        assert refused.value.response["Error"]["Code"] == "InvalidEventPatternException"
    for kind in ("kinesis", "dynamodb", "sqs"):
        with pytest.raises(ValueError, match="filterPatterns"):
            compile_filters(kind, [text])  # type: ignore[arg-type]


def test_wildcards_that_are_too_complex_are_refused_in_the_words_of_aws(endpoint: LocalEndpoint, name: str) -> None:
    events = endpoint.client("events")
    with pytest.raises(ClientError) as refused:
        events.put_rule(Name=name, EventPattern=json.dumps(REFUSED[0]))
    assert refused.value.response["Error"]["Message"] == (
        "Event pattern is not valid. Reason: Rule is too complex - try using fewer wildcard characters or fewer "
        "repeating character sequences after a wildcard character"
    )
