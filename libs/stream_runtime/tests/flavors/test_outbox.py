"""outbox: messages that a transaction wrote, published to SNS in order and marked."""

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from stream_runtime import clients
from stream_runtime.events import from_dynamodb, to_dynamodb_records
from stream_runtime.flavors import outbox

RULE = {"id": "relay", "flavor": outbox}


def row(number: int, aggregate: str = "order-1", **fields: Any) -> dict[str, Any]:
    return {
        "pk": aggregate,
        "sk": f"outbox-{number}",
        "discriminator": "outbox",
        "topic": "orders",
        "message": {"n": number},
        **fields,
    }


def change(new: dict[str, Any] | None, old: dict[str, Any] | None = None) -> dict[str, Any]:
    image = new or old or {}
    images = {name: value for name, value in (("newImage", new), ("oldImage", old)) if value is not None}
    return {"keys": {"pk": image["pk"], "sk": image["sk"]}, **images}


def written(*rows: dict[str, Any]) -> Any:
    return from_dynamodb(to_dynamodb_records([change(each) for each in rows]))


class Topics:
    """SNS that keeps what is published."""

    def __init__(self, *errors: Exception | None) -> None:
        self.published: list[tuple[str, Any]] = []
        self.entries: list[dict[str, Any]] = []
        self.errors = list(errors)

    def publish_batch(self, TopicArn: str, PublishBatchRequestEntries: list[dict[str, Any]]) -> dict[str, Any]:
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error
        self.entries += PublishBatchRequestEntries
        self.published += [(TopicArn, json.loads(entry["Message"])["n"]) for entry in PublishBatchRequestEntries]
        return {"Successful": [{"Id": entry["Id"], "MessageId": "m"} for entry in PublishBatchRequestEntries]}


@pytest.fixture
def topics() -> Topics:
    topics = Topics()
    clients.use("sns", topics)
    return topics


def test_a_message_is_published_and_marked_as_dispatched(table: Any, topics: Topics, run: Callable[..., Any]) -> None:
    table.put_item(Item=row(1))
    run(RULE, uows=written(row(1)))
    assert topics.published == [("arn:aws:sns:us-west-2:123456789012:orders", 1)]
    stored = table.get_item(Key={"pk": "order-1", "sk": "outbox-1"})["Item"]
    assert stored["dispatched"] is True
    assert stored["dispatched_at"] > 0


def test_topics_have_the_prefix_of_the_environment(
    table: Any, topics: Topics, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SNS_TOPIC_PREFIX", "dev-")
    run(RULE, uows=written(row(1)))
    assert topics.published[0][0].endswith(":dev-orders")


def test_the_flag_leaves_messages_unmarked(
    table: Any, topics: Topics, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTBOX_SKIP_MARK_MESSAGES_AS_DISPATCHED", "true")
    table.put_item(Item=row(1))
    run(RULE, uows=written(row(1)))
    assert len(topics.published) == 1
    assert "dispatched" not in table.get_item(Key={"pk": "order-1", "sk": "outbox-1"})["Item"]


def test_messages_of_an_aggregate_keep_their_order(table: Any, topics: Topics, run: Callable[..., Any]) -> None:
    rows = [row(number, f"order-{number % 3}") for number in range(30)]
    run(RULE, uows=written(*rows))
    for remainder in range(3):
        of_one = [number for _, number in topics.published if number % 3 == remainder]
        assert of_one == sorted(of_one)


def test_a_message_that_waits_for_a_retry_is_not_overtaken(
    table: Any, throttled: Exception, run: Callable[..., Any]
) -> None:
    topics = Topics(throttled, None)
    clients.use("sns", topics)
    run(RULE, uows=written(row(1), row(2)))
    assert [number for _, number in topics.published] == [1, 2]


@pytest.mark.parametrize(
    "uows",
    [
        [change(row(1, dispatched=True), row(1))],
        [change(None, row(1))],
        [change(row(1), row(1))],
        [change(row(1, dispatched=True))],
    ],
    ids=["marked", "removed", "changed", "already dispatched"],
)
def test_a_record_that_is_not_a_new_message_is_not_published(
    table: Any, topics: Topics, run: Callable[..., Any], uows: list[Any]
) -> None:
    run(RULE, uows=from_dynamodb(to_dynamodb_records(uows)))
    assert topics.published == []


def test_a_message_whose_mark_was_removed_is_published_again(
    table: Any, topics: Topics, run: Callable[..., Any]
) -> None:
    run(RULE, uows=from_dynamodb(to_dynamodb_records([change(row(1), row(1, dispatched=True))])))
    assert len(topics.published) == 1


def test_a_message_has_the_same_id_at_every_delivery(table: Any, topics: Topics, run: Callable[..., Any]) -> None:
    for _ in range(2):
        run(RULE, uows=written(row(1)))
    ids = [entry["MessageAttributes"]["message_id"]["StringValue"] for entry in topics.entries]
    assert ids == ["outbox-1", "outbox-1"]


def test_a_row_with_other_names_is_read_by_the_rule(table: Any, topics: Topics, run: Callable[..., Any]) -> None:
    rule = {
        **RULE,
        "to_message": lambda uow: {
            "topic": "arn:aws:sns:us-west-2:1:other",
            "message": uow["event"]["raw"]["new"]["message"],
            "aggregate_id": "a",
        },
    }
    run(rule, uows=written(row(1)))
    assert topics.published == [("arn:aws:sns:us-west-2:1:other", 1)]


def test_a_row_without_a_topic_is_a_fault(table: Any, topics: Topics, bus: Any, run: Callable[..., Any]) -> None:
    run(RULE, uows=written(row(1, topic=None)))
    assert ["no topic" in fault["err"]["message"] for fault in bus.of_type("fault")] == [True]


def test_a_deleted_row_stays_deleted(table: Any, topics: Topics, run: Callable[..., Any]) -> None:
    run(RULE, uows=written(row(1)))
    assert table.scan()["Items"] == []


def test_messages_reach_fifo_topics_with_the_aggregate_as_group(
    table: Any, topics: Topics, run: Callable[..., Any]
) -> None:
    run(RULE, uows=written(row(1, topic="orders.fifo")))
    assert topics.entries[0]["MessageGroupId"] == "order-1"


def test_the_message_is_on_the_topic(table: Any, run: Callable[..., Any], bodies: Any) -> None:
    topics, queues = boto3.client("sns"), boto3.client("sqs")
    arn = topics.create_topic(Name="orders")["TopicArn"]
    url = queues.create_queue(QueueName="orders")["QueueUrl"]
    queue = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topics.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue, Attributes={"RawMessageDelivery": "true"})
    run(RULE, uows=written(row(1)))
    assert bodies(url) == [{"n": 1}]
