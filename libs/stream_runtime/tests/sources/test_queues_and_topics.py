"""Messages of SNS and SQS, plain and with what other services wrapped in them."""

import json
from typing import Any

import pytest
from stream_runtime import UnsupportedEvent, stream_handler
from stream_runtime.events import (
    from_sns,
    from_sqs,
    to_eventbridge_event,
    to_s3_records,
    to_sns_records,
    to_sqs_records,
)
from stream_runtime.flavors import task

THING = {"id": "e1", "type": "thing-created", "timestamp": 1, "partition_key": "t1", "thing": {"name": "one"}}


def objects(*keys: str) -> dict[str, Any]:
    return to_s3_records([{"bucket": {"name": "drops"}, "object": {"key": key}} for key in keys])


def sns_notification(message: Any) -> dict[str, Any]:
    return {
        "Type": "Notification",
        "MessageId": "sns-1",
        "TopicArn": "arn:aws:sns:us-west-2:123456789012:events",
        "Message": message if isinstance(message, str) else json.dumps(message),
    }


def test_a_message_of_a_queue_is_the_event() -> None:
    batch = to_sqs_records([THING])
    assert list(from_sqs(batch)) == [{"record": batch["Records"][0], "event": THING}]


def test_an_event_without_an_id_gets_the_messages_id() -> None:
    batch = to_sqs_records([{"type": "thing-created"}])
    assert from_sqs(batch)[0]["event"]["id"] == batch["Records"][0]["messageId"]


def test_a_message_from_sns_in_a_queue_is_the_event() -> None:
    batch = to_sqs_records([sns_notification(THING)])
    assert [uow["event"] for uow in from_sqs(batch)] == [THING]


def test_an_event_without_an_id_that_sns_put_into_a_queue_gets_the_id_that_sns_gave_it() -> None:
    batch = to_sqs_records([sns_notification({"type": "thing-created"})])
    assert from_sqs(batch)[0]["event"]["id"] == "sns-1"


def test_a_notification_of_s3_in_a_queue_gives_a_unit_for_each_object_with_the_messages_record() -> None:
    batch = to_sqs_records([objects("a b.csv", "c.csv")])
    uows = list(from_sqs(batch))
    assert [uow["event"]["s3"]["object"]["key"] for uow in uows] == ["a b.csv", "c.csv"]
    assert all(uow["record"] is batch["Records"][0] for uow in uows)


def test_a_notification_of_s3_in_sns_in_a_queue_is_unwrapped_twice() -> None:
    uows = list(from_sqs(to_sqs_records([sns_notification(objects("a.csv"))])))
    assert [uow["event"]["type"] for uow in uows] == ["object-created"]


def test_the_notification_that_s3_sends_to_try_a_queue_gives_no_unit() -> None:
    probe = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "drops"}
    assert list(from_sqs(to_sqs_records([probe, THING]))) == [
        {"record": to_sqs_records([probe, THING])["Records"][1], "event": THING}
    ]


def test_an_event_that_eventbridge_put_into_a_queue_is_its_detail() -> None:
    assert [uow["event"] for uow in from_sqs(to_sqs_records([to_eventbridge_event(THING)]))] == [THING]


def test_a_body_that_is_not_json_becomes_a_fault_and_the_rest_of_the_batch_goes_on(bus: Any) -> None:
    seen = []
    rule = {"id": "r", "flavor": task, "event_type": "thing-created", "execute": lambda uow: seen.append(uow["event"])}
    response = stream_handler([rule], from_sqs)(to_sqs_records([{"body": "not json"}, THING]), None)
    assert response == {"batchItemFailures": []}
    assert seen == [THING]
    assert [event["err"]["name"] for event in bus.of_type("fault")] == ["InvalidRecord"]


def test_a_message_is_returned_for_retry_when_one_of_its_objects_fails_transiently() -> None:
    def execute(uow: Any) -> None:
        if uow["event"]["s3"]["object"]["key"] == "bad.csv":
            raise TimeoutError

    rule = {"id": "r", "flavor": task, "event_type": "object-created", "execute": execute}
    batch = to_sqs_records([objects("good.csv", "bad.csv"), objects("other.csv")])
    response = stream_handler([rule], from_sqs)(batch, None)
    assert response == {"batchItemFailures": [{"itemIdentifier": batch["Records"][0]["messageId"]}]}


def test_a_fifo_queue_gets_the_failed_message_and_later_ones_of_its_group_back() -> None:
    def execute(uow: Any) -> None:
        if uow["event"]["id"] == "e1":
            raise TimeoutError

    rule = {"id": "r", "flavor": task, "event_type": "thing-created", "execute": execute}
    things = [{**THING, "id": f"e{number}", "partition_key": key} for number, key in enumerate("abab")]
    batch = to_sqs_records(things, queue_name="things.fifo")
    response = stream_handler([rule], from_sqs)(batch, None)
    identifiers = [batch["Records"][place]["messageId"] for place in (1, 3)]
    assert response == {"batchItemFailures": [{"itemIdentifier": identifier} for identifier in identifiers]}


def test_a_message_of_a_topic_is_the_event() -> None:
    batch = to_sns_records([THING])
    assert list(from_sns(batch)) == [{"record": batch["Records"][0], "event": THING}]


def test_the_helper_for_topics_takes_text_and_subject() -> None:
    record = to_sns_records([{"msg": '{"type":"x"}', "subject": "s"}])["Records"][0]
    assert (record["Sns"]["Message"], record["Sns"]["Subject"]) == ('{"type":"x"}', "s")


def test_a_notification_of_s3_in_a_topic_gives_a_unit_for_each_object() -> None:
    uows = list(from_sns(to_sns_records([objects("a.csv", "b.csv")])))
    assert [uow["event"]["partition_key"] for uow in uows] == ["drops/a.csv", "drops/b.csv"]


@pytest.mark.parametrize("source", [from_sns, from_sqs])
def test_an_invocation_without_records_is_refused_with_what_was_seen(source: Any) -> None:
    with pytest.raises(UnsupportedEvent, match="detail-type"):
        source(to_eventbridge_event(THING))
