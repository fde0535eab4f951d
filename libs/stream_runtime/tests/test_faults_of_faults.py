"""A rule that fails on a fault event gives no fault about it: the record is returned, logged and counted."""

import json
import logging
import re
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from stream_runtime import (
    DEFAULT_OPTIONS,
    Publisher,
    StreamPipeline,
    UnfinishedBatch,
    initialize_from,
    rx_map,
    stream_handler,
)
from stream_runtime.events import (
    from_dynamodb,
    from_eventbridge,
    from_firehose,
    from_kinesis,
    from_sqs,
    to_dynamodb_records,
    to_eventbridge_event,
    to_firehose_records,
    to_kinesis_records,
    to_sqs_records,
)
from stream_runtime.filters import on_event_type
from stream_runtime.flavors import correlate, evaluate, task
from stream_runtime.operators import rx_filter
from stream_runtime.payload.compression import MARK

FAULT = {
    "id": "f1",
    "type": "fault",
    "timestamp": 1,
    "partition_key": "k1",
    "tags": {"source": "another-service"},
    "err": {"name": "ValueError"},
}
THING = {"id": "e1", "type": "thing", "timestamp": 1, "partition_key": "k2"}


def fail(uow: Any) -> None:
    raise ValueError("cannot be done")


RULE = {"id": "watch", "flavor": task, "event_type": "fault", "execute": fail}


def process(rule: Any, source: Any) -> Any:
    rules = rule if isinstance(rule, list) else [rule]
    return StreamPipeline(initialize_from(rules), DEFAULT_OPTIONS).process(source)


def left_of(run: Any) -> list[str]:
    return [failure["itemIdentifier"] for failure in run.response()["batchItemFailures"]]


@pytest.mark.parametrize(
    "event_type", ["fault", ["thing", "fault"], re.compile("."), lambda uow: True], ids=["type", "list", "any", "own"]
)
def test_the_record_of_a_fault_that_fails_is_returned_logged_and_counted(
    event_type: Any, bus: Any, caplog: pytest.LogCaptureFixture
) -> None:
    run = process({**RULE, "event_type": event_type}, from_kinesis(to_kinesis_records([FAULT])))

    assert left_of(run) == ["0"]
    assert bus.events == []
    assert run.outcomes == {"fault_of_a_fault": 1}
    (line,) = [record for record in caplog.records if record.exc_info]
    assert (line.levelno, line.exc_info and str(line.exc_info[1])) == (logging.ERROR, "cannot be done")
    assert "pipeline watch failed on a fault event" in line.getMessage()


def test_faults_of_other_records_before_it_are_published(bus: Any) -> None:
    rules = [RULE, {**RULE, "id": "work", "event_type": "thing"}]

    run = process(rules, from_kinesis(to_kinesis_records([THING, FAULT, {**THING, "id": "e2"}])))

    assert left_of(run) == ["1"]
    assert [fault["uow"]["event"]["id"] for fault in bus.of_type("fault")] == ["e1"]


def test_of_a_queue_only_the_message_with_the_fault_is_returned(bus: Any) -> None:
    rules = [RULE, {**RULE, "id": "work", "event_type": "thing"}]
    batch = to_sqs_records([FAULT, THING])

    run = process(rules, from_sqs(batch))

    assert left_of(run) == [batch["Records"][0]["messageId"]]
    assert len(bus.of_type("fault")) == 1


@pytest.mark.parametrize(
    "source",
    [
        lambda: from_eventbridge(to_eventbridge_event(FAULT)),
        lambda: from_eventbridge(FAULT),
        lambda: from_firehose(to_firehose_records([FAULT])),
    ],
    ids=["eventbridge", "input path", "firehose"],
)
def test_where_no_record_can_be_returned_the_invocation_fails(source: Callable[[], Any], bus: Any) -> None:
    with pytest.raises(UnfinishedBatch, match="cannot be done"):
        process(RULE, source()).response()

    assert bus.events == []


@pytest.mark.parametrize("field", ["group", "compact"])
def test_a_fault_among_other_events_of_a_unit_of_work_is_enough(field: str, bus: Any) -> None:
    rule = {**RULE, "event_type": ["fault", "thing"], field: lambda uow: "all"}

    assert left_of(process(rule, from_kinesis(to_kinesis_records([THING, FAULT, {**THING, "id": "e2"}])))) == ["0"]
    assert bus.events == []


def rows(event: Any, image: str = "newImage") -> Any:
    row = {"pk": "f1", "sk": "EVENT", "data": "k1", "event": event}
    return from_dynamodb(to_dynamodb_records([{"timestamp": 2, "keys": {"pk": "f1", "sk": "EVENT"}, image: row}]))


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        ({"flavor": task, "event_type": "EVENT-created", "execute": fail}, lambda: rows(FAULT)),
        ({"flavor": task, "event_type": "EVENT-deleted", "execute": fail}, lambda: rows(FAULT, "oldImage")),
        ({"flavor": correlate, "event_type": "fault", "correlation_key": "missing"}, lambda: rows(FAULT)),
        (
            {"flavor": correlate, "event_type": "fault", "correlation_key": "id"},
            lambda: rows({**FAULT, "x": f"{MARK}AA"}),
        ),
        (
            {"flavor": evaluate, "event_type": "fault", "emit": lambda uow, rule, template: fail(uow)},
            lambda: rows(FAULT),
        ),
    ],
    ids=["row", "removed row", "no correlation key", "stored event unreadable", "emit"],
)
def test_a_stored_fault_that_fails_gives_no_fault(rule: Any, source: Callable[[], Any], bus: Any) -> None:
    assert left_of(process({"id": "r", **rule}, source())) == ["0"]
    assert bus.events == []


@pytest.mark.parametrize(
    "record",
    [
        {**FAULT, "err": f"{MARK}AA"},
        {"version": "0", "source": "custom", "detail-type": "fault", "detail": FAULT},
        {"version": "0", "source": "custom", "detail-type": "fault", "detail": {}},
    ],
    ids=["not to be decompressed", "in its envelope", "said by its envelope alone"],
)
def test_a_fault_that_cannot_be_read_gives_no_fault(record: Any, bus: Any) -> None:
    assert left_of(process(RULE, from_kinesis(to_kinesis_records([record])))) == ["0"]
    assert bus.events == []


def test_a_flavor_that_replaces_the_event_of_a_fault_gives_no_fault_either(bus: Any) -> None:
    def custom(rule: Any) -> Any:
        return lambda source: source.pipe(
            rx_filter(on_event_type(rule)),
            rx_map(lambda uow: {**uow, "event": {"id": "i1", "type": "incident"}}),
            rx_map(fail),
        )

    assert left_of(
        process({"id": "r", "flavor": custom, "event_type": "fault"}, from_kinesis(to_kinesis_records([FAULT])))
    ) == ["0"]
    assert bus.events == []


def test_a_fault_that_succeeds_is_done(bus: Any) -> None:
    run = process({**RULE, "execute": lambda uow: None, "emit": "incident"}, from_kinesis(to_kinesis_records([FAULT])))

    assert left_of(run) == []
    assert [event["type"] for event in bus.events] == ["incident"]


def test_no_loop_forms_when_a_function_is_fed_with_its_own_faults(bus: Any) -> None:
    """A bus that delivers every event back to the function that publishes: it ends."""
    rule = {**RULE, "event_type": ["thing", "fault"]}
    delivered, left = [THING], []
    for _ in range(10):
        if not delivered:
            break
        run = process(rule, from_kinesis(to_kinesis_records(delivered)))
        left += left_of(run)
        delivered, bus.events = bus.events, []

    assert left == ["0"]
    assert delivered == []


def test_the_metrics_count_it(bus: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("METRICS", "true")

    process(RULE, from_kinesis(to_kinesis_records([FAULT])))

    (line,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (line["Outcome.fault_of_a_fault"], line["Faults"], line["Unfinished"]) == (1, 0, 1)


def test_a_fault_that_fails_ends_in_the_dead_letter_queue_and_the_bus_falls_silent(
    aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function that reads every event of the bus it publishes to, from a queue, and fails on all of them."""
    monkeypatch.setenv("BUS_NAME", "hub")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    events, sqs = boto3.client("events"), boto3.client("sqs")
    events.create_event_bus(Name="hub")
    dead = sqs.create_queue(QueueName="dead")["QueueUrl"]
    redrive = {"deadLetterTargetArn": "arn:aws:sqs:us-east-1:123456789012:dead", "maxReceiveCount": 3}
    queue = sqs.create_queue(QueueName="all", Attributes={"RedrivePolicy": json.dumps(redrive)})["QueueUrl"]
    events.put_rule(Name="all", EventBusName="hub", EventPattern='{"source": ["custom"]}')
    target = {"Id": "queue", "Arn": "arn:aws:sqs:us-east-1:123456789012:all"}
    events.put_targets(Rule="all", EventBusName="hub", Targets=[target])
    handler = stream_handler([{**RULE, "event_type": ["thing", "fault"]}], from_sqs)
    with Publisher() as publisher:
        publisher.publish(THING)

    deliveries = 0
    while messages := sqs.receive_message(QueueUrl=queue, VisibilityTimeout=0).get("Messages"):
        deliveries += 1
        assert deliveries < 20
        records = [
            {"messageId": message["MessageId"], "body": message["Body"], "eventSource": "aws:sqs"}
            for message in messages
        ]
        failed = {each["itemIdentifier"] for each in handler({"Records": records}, None)["batchItemFailures"]}
        for message in messages:
            if message["MessageId"] not in failed:
                sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])

    (kept,) = sqs.receive_message(QueueUrl=dead, MaxNumberOfMessages=10)["Messages"]
    fault = json.loads(kept["Body"])["detail"]
    assert (fault["type"], fault["uow"]["event"]["id"]) == ("fault", "e1")
    assert deliveries == 4  # the event once, its fault three times
