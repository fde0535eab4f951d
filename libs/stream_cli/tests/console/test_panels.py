"""A queue, a topic and a log group of the map say what is known of them, by few requests and without secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws
from stream_cli.console.panels import Panels
from stream_cli.console.refusals import Refusal
from stream_cli.journal.answers import Journal
from stream_cli.journal.unknown import noting
from stream_cli.journal.writer import Writer
from stream_cli.structure.drawing import Drawing
from stream_cli.structure.nodes import Node

NOW = 1_795_000_000_000
SECRET = "correct-horse-9"
QUEUE = "arn:aws:sqs:us-east-1:123456789012:orders"
DENIED = {"Error": {"Code": "AccessDeniedException", "Message": "User: x is not authorized"}}


class Account:
    """A connection to moto; counts the requests, and refuses some."""

    stage = "local"

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.denied: set[str] = set()
        self.topics: list[str] = []

    def client(self, service: str) -> Any:
        client = boto3.client(service)  # type: ignore[call-overload]
        client.meta.events.register("before-call", self._asked)
        return client

    def _asked(self, model: Any, **_: Any) -> Any:
        self.asked.append(model.name)
        return (SimpleNamespace(status_code=403), DENIED) if model.name in self.denied else None

    def resources(self) -> dict[str, list[str]]:
        return {"AWS::SNS::Topic": self.topics}


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield Account()


@pytest.fixture
def panels(account: Account, tmp_path: Path) -> Iterator[Panels]:
    names = ("queue:orders", "queue:111111111111/far", "topic:told", "topic:other", "log:/aws/events/all", "pipe:p")
    nodes = [Node(each, each.partition(":")[0], "short", each.partition(":")[2], "orders-local") for each in names]
    drawn: Any = SimpleNamespace(drawing=lambda: Drawing((), nodes, (), {}, {}, (), "1"))
    journal = Journal(tmp_path / "journal")
    connection: Any = account
    yield Panels("local", drawn, journal, lambda: connection)
    journal.close()


def test_a_queue_tells_how_many_messages_it_has_and_what_its_dead_letters_are(
    panels: Panels, account: Account, tmp_path: Path
) -> None:
    sqs = boto3.client("sqs")
    letters = sqs.create_queue(QueueName="letters")["QueueUrl"]
    redrive = json.dumps({"deadLetterTargetArn": QUEUE.replace("orders", "letters"), "maxReceiveCount": 3})
    queue = sqs.create_queue(QueueName="orders", Attributes={"RedrivePolicy": redrive})["QueueUrl"]
    sqs.send_message(QueueUrl=letters, MessageBody="x")
    for _ in range(3):
        sqs.send_message(QueueUrl=queue, MessageBody="x")
    sqs.receive_message(QueueUrl=queue)
    writer = Writer(tmp_path / "journal", "emulator")
    writer.put({"kind": "message", "at": NOW, "to": QUEUE, "id": "m1", "event": "event-1"})
    writer.close()
    seen = panels.of("queue:orders")
    facts = dict(seen["facts"])
    assert (facts["Messages waiting"], facts["Being delivered"], facts["Delayed"]) == (2, 1, 0)
    assert (facts["Dead letters waiting"], facts["after deliveries"], facts["Kept for"]) == (1, 3, "4 days")
    assert seen["messages"] == [{"at": NOW, "id": "m1", "event": "event-1"}]
    assert (seen["name"], seen["full_name"], seen["page"]) == ("short", "orders", None)
    assert panels.of("queue:orders") == seen
    assert account.asked == ["GetQueueUrl", "GetQueueAttributes"] * 2  # and ReceiveMessage never


def test_a_topic_tells_its_subscriptions_with_their_filters_and_no_address_of_a_person(
    panels: Panels, account: Account
) -> None:
    sns = boto3.client("sns")
    arn = sns.create_topic(Name="told")["TopicArn"]
    account.topics.append(arn)
    policy = json.dumps({"type": ["a"]})
    sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=QUEUE, Attributes={"FilterPolicy": policy})
    sns.subscribe(TopicArn=arn, Protocol="email", Endpoint="somebody@example.com")
    for number in range(30):
        sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=f"{QUEUE}-{number}")
    seen = panels.of("topic:told")
    assert dict(seen["facts"]) == {"ARN": arn, "Subscriptions": "32"}
    filtered, mailed, *others = seen["subscriptions"]
    assert (filtered["protocol"], filtered["endpoint"], filtered["filter"]) == ("sqs", QUEUE, policy)
    assert (mailed["protocol"], mailed["endpoint"]) == ("email", "")
    assert "somebody" not in json.dumps(seen)
    assert len(others) == 18
    assert len(account.asked) == 21
    assert "in no stack" in panels.of("topic:other")["problem"]


def test_a_log_group_shows_its_last_lines_without_secrets(panels: Panels, account: Account) -> None:
    logs = boto3.client("logs")
    group = {"logGroupName": "/aws/events/all"}
    logs.create_log_group(**group)
    logs.create_log_group(logGroupName="/aws/events/all-others")
    logs.put_retention_policy(**group, retentionInDays=7)
    logs.create_log_stream(**group, logStreamName="s")
    lines = [{"timestamp": NOW + n, "message": json.dumps({"n": n, "password": SECRET})} for n in range(60)]
    logs.put_log_events(**group, logStreamName="s", logEvents=[*lines, {"timestamp": NOW + 60, "message": "\x1b[31m"}])
    seen = panels.of("log:/aws/events/all")
    assert dict(seen["facts"])["Kept for"] == "7 days"
    assert [each["at"] for each in seen["lines"]] == [NOW + n for n in range(11, 61)]
    assert seen["lines"][-1]["text"] == "\\x1b[31m"
    assert SECRET not in json.dumps(seen)
    assert account.asked == ["DescribeLogGroups", "DescribeLogStreams", "GetLogEvents"]


def test_what_the_role_may_not_read_is_said_and_the_rest_is_shown(panels: Panels, account: Account) -> None:
    account.denied |= {"GetQueueUrl", "ListSubscriptionsByTopic", "DescribeLogGroups", "DescribeLogStreams"}
    account.topics.append(QUEUE.replace(":sqs:", ":sns:").replace("orders", "told"))
    for node, action in (
        ("queue:orders", "sqs:GetQueueAttributes"),
        ("topic:told", "sns:ListSubscriptionsByTopic"),
        ("log:/aws/events/all", "logs:GetLogEvents"),
    ):
        with noting() as notes:
            assert panels.of(node)["full_name"] == node.partition(":")[2]
        assert action in "".join(notes.texts())


def test_of_others_it_is_said_that_nothing_more_is_known(panels: Panels, account: Account) -> None:
    assert panels.of("pipe:p")["problem"] == "Nothing more is known of it than what leads to it and from it."
    assert panels.of("queue:111111111111/far")["problem"] == "It is in the account 111111111111, which is not asked."
    with pytest.raises(Refusal, match="Nothing on the map has this name now"):
        panels.of("queue:of-somebody-else")
    assert account.asked == []
