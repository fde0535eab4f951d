"""The outbox: a change and its message are one transaction, and messages go to the topic in order per story."""

import json
import time
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from rest_bff.logic.callers import ANYBODY
from stream_runtime import clients
from stream_runtime.events import to_dynamodb_records, to_kinesis_records

Messages = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def stories(table: Any) -> Any:
    from rest_bff.dal import stories

    return stories


@pytest.fixture
def outbox(table: Any) -> Callable[[], list[dict[str, Any]]]:
    """Returns the messages in the table, in the order of the stories' versions."""
    return lambda: sorted(
        (row for row in table.scan()["Items"] if row["discriminator"] == "outbox"),
        key=lambda row: (row["pk"], row["sk"]),
    )


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> Messages:
    """Returns the messages that were sent to the topic."""
    monkeypatch.setenv("AWS_SNS_TOPIC_PREFIX", "test-")
    sns, sqs = boto3.client("sns"), boto3.client("sqs")
    topic = sns.create_topic(Name="test-stories.fifo", Attributes={"FifoTopic": "true"})["TopicArn"]
    url = sqs.create_queue(QueueName="received.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})

    def read() -> list[dict[str, Any]]:
        messages = []
        while batch := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in batch:
                messages.append(json.loads(message["Body"]))
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return messages

    return read


def relay(rows: list[dict[str, Any]]) -> dict[str, Any]:
    from rest_bff.handlers.outbox import handler

    changes = [{"keys": {"pk": row["pk"], "sk": row["sk"]}, "newImage": row} for row in rows]
    batch = to_dynamodb_records(changes)
    for record in batch["Records"]:
        record["eventSourceARN"] = "arn:aws:dynamodb:us-east-1:123456789012:table/test-entities/stream/2026"
    return handler(batch, None)


def test_every_change_of_a_story_writes_its_message(stories: Any, outbox: Any) -> None:
    created = stories.create("a", {"title": "First"}, ANYBODY)["created"]
    stories.replace("a", {"title": "Second"}, ANYBODY, None)
    stories.delete("a", ANYBODY, None, 60)

    messages = [json.loads(row["message"]) for row in outbox()]
    assert [(message["id"], message["type"]) for message in messages] == [
        (f"a.{created}.1", "story-created"),
        (f"a.{created}.2", "story-updated"),
        (f"a.{created}.3", "story-deleted"),
    ]
    assert [row["message_id"] for row in outbox()] == [message["id"] for message in messages]
    assert [message["story"]["title"] for message in messages] == ["First", "Second", "Second"]


def test_an_id_that_is_used_again_has_new_message_ids(stories: Any, outbox: Any, table: Any) -> None:
    first = stories.create("a", {"title": "First"}, ANYBODY)
    stories.delete("a", ANYBODY, None, 60)
    table.delete_item(Key={"pk": "a", "sk": "story"})  # as TTL does with a tombstone
    while time.time_ns() // 1_000_000 == first["created"]:
        pass

    stories.create("a", {"title": "Again"}, ANYBODY)
    stories.replace("a", {"title": "Changed"}, ANYBODY, None)

    titles = [json.loads(row["message"])["story"]["title"] for row in outbox()]
    assert titles == ["First", "First", "Again", "Changed"]
    assert len({row["message_id"] for row in outbox()}) == 4


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda stories: stories.create("b", {"title": "Second"}, ANYBODY), ["Put", "Put"]),
        (lambda stories: stories.replace("a", {"title": "Second"}, ANYBODY, None), ["Update", "Put"]),
        (lambda stories: stories.delete("a", ANYBODY, None, 60), ["Update", "Put"]),
    ],
    ids=["create", "replace", "delete"],
)
def test_a_change_and_its_message_are_one_transaction_and_nothing_else_is_written(
    stories: Any, change: Callable[[Any], None], expected: list[str]
) -> None:
    stories.create("a", {"title": "First"}, ANYBODY)
    calls: list[tuple[str, Any]] = []
    clients.client("dynamodb").meta.events.register(
        "provide-client-params.dynamodb.*", lambda params, model, **_: calls.append((model.name, params))
    )

    change(stories)

    writes = [(name, request) for name, request in calls if name != "GetItem"]
    assert [name for name, _ in writes] == ["TransactWriteItems"]
    (story, message) = writes[0][1]["TransactItems"]
    assert [*story, *message] == expected
    assert message["Put"]["Item"]["discriminator"] == {"S": "outbox"}


def test_a_refused_change_writes_no_message(stories: Any, outbox: Any) -> None:
    from rest_bff.logic.errors import StaleVersion, StoryExists

    stories.create("a", {"title": "First"}, ANYBODY)

    with pytest.raises(StoryExists):
        stories.create("a", {"title": "Another"}, ANYBODY)
    with pytest.raises(StaleVersion):
        stories.replace("a", {"title": "Second"}, ANYBODY, 7)
    assert len(outbox()) == 1


def test_a_change_is_applied_to_a_concurrent_change(stories: Any, outbox: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stories.create("a", {"title": "First"}, ANYBODY)
    real, others = clients.client("dynamodb").get_item, ["Theirs"]

    def meanwhile(**request: Any) -> Any:
        row = real(**request)
        if others:
            title = others.pop()
            stories.replace("a", {"title": title}, ANYBODY, None)
        return row

    monkeypatch.setattr(clients.client("dynamodb"), "get_item", meanwhile)

    assert stories.replace("a", {"title": "Ours"}, ANYBODY, None)["version"] == 3
    assert [json.loads(row["message"])["story"]["title"] for row in outbox()] == ["First", "Theirs", "Ours"]


@pytest.mark.parametrize("analyzed_before", [False, True])
def test_a_message_has_a_concurrent_analysis(
    stories: Any, outbox: Any, monkeypatch: pytest.MonkeyPatch, analyzed_before: bool
) -> None:
    from rest_bff.handlers import listener

    def analyze(score: float, timestamp: int) -> None:
        analysis = {"id": "a", "sentiment": "neutral", "score": score, "model_version": "v1"}
        event = {"id": "r", "type": "story-ready", "timestamp": timestamp, "partition_key": "a", "story": analysis}
        assert listener.handler(to_kinesis_records([event]), None) == {"batchItemFailures": []}

    stories.create("a", {"title": "First"}, ANYBODY)
    if analyzed_before:
        analyze(0.1, 1_795_000_000_000)
    real, analyses = clients.client("dynamodb").get_item, [(0.72, 1_795_000_001_000)]

    def meanwhile(**request: Any) -> Any:
        row = real(**request)
        if analyses:
            analyze(*analyses.pop())
        return row

    monkeypatch.setattr(clients.client("dynamodb"), "get_item", meanwhile)

    answer = stories.replace("a", {"title": "Second"}, ANYBODY, 1)

    message = json.loads(outbox()[-1]["message"])["story"]
    assert (message["title"], message["status"], message["score"]) == ("Second", "ready", 0.72)
    assert (answer["status"], float(answer["score"])) == ("ready", 0.72)


def test_a_conflict_of_transactions_is_retried(stories: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real, conflicts = clients.client("dynamodb").transact_write_items, [True]

    def sometimes(**request: Any) -> Any:
        if conflicts:
            conflicts.pop()
            raise clients.client("dynamodb").exceptions.TransactionCanceledException(
                {
                    "Error": {"Code": "TransactionCanceledException", "Message": "conflict"},
                    "CancellationReasons": [{"Code": "TransactionConflict"}, {"Code": "None"}],
                },
                "TransactWriteItems",
            )
        return real(**request)

    monkeypatch.setattr(clients.client("dynamodb"), "transact_write_items", sometimes)

    assert stories.create("a", {"title": "First"}, ANYBODY)["version"] == 1


def test_messages_reach_the_topic_in_order_and_are_marked(stories: Any, outbox: Any, received: Messages) -> None:
    stories.create("a", {"title": "1"}, ANYBODY)
    for number in range(2, 6):
        stories.replace("a", {"title": str(number)}, ANYBODY, None)

    assert relay(outbox()) == {"batchItemFailures": []}

    assert [message["story"]["title"] for message in received()] == ["1", "2", "3", "4", "5"]
    assert all(row["dispatched"] for row in outbox())


def test_a_dispatched_message_is_not_sent_again(stories: Any, outbox: Any, received: Messages) -> None:
    stories.create("a", {"title": "1"}, ANYBODY)
    relay(outbox())
    received()

    relay(outbox())

    assert received() == []


def test_messages_are_returned_while_the_topic_is_throttled(
    stories: Any, outbox: Any, received: Messages, monkeypatch: pytest.MonkeyPatch
) -> None:
    stories.create("a", {"title": "1"}, ANYBODY)

    def throttle(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow"}}, "PublishBatch")

    monkeypatch.setattr(clients.client("sns"), "publish_batch", throttle)

    assert [failure["itemIdentifier"] for failure in relay(outbox())["batchItemFailures"]] == ["0"]
    assert not any(row.get("dispatched") for row in outbox())


def test_a_message_without_text_is_a_fault(received: Messages, published: Any, table: Any) -> None:
    row = {
        "pk": "a",
        "sk": "outbox#1795000000000#000000000001",
        "discriminator": "outbox",
        "topic": "stories.fifo",
        "timestamp": 1,
    }

    assert relay([row]) == {"batchItemFailures": []}
    assert [event["type"] for event in published()] == ["fault"]


@pytest.mark.parametrize("name", ["outbox-message", "outbox-dispatched", "outbox-poison"])
def test_each_fixture_has_the_expected_result(
    fixture: Any, table: Any, received: Messages, published: Any, name: str
) -> None:
    from rest_bff.handlers.outbox import handler

    batch, expected = fixture(name), fixture(f"{name}.expected")
    for record in batch["Records"]:  # the topic has to be in the account of the table
        record["eventSourceARN"] = record["eventSourceARN"].replace("000000000000", "123456789012")

    assert handler(batch, None) == expected["returns"]
    assert [message["type"] for message in received()] == expected["messages"]
    assert [event["type"] for event in published()] == expected["publishes"]
