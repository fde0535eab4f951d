"""sns, sqs, kinesis and firehose: messages and records for events, in batches, in order, entry by entry."""

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from stream_runtime import DEFAULT_OPTIONS, StreamPipeline, clients, initialize_from
from stream_runtime.events import from_kinesis, to_kinesis_records
from stream_runtime.flavors import firehose, kinesis, sns, sqs


def thing(number: int, key: str | None = None) -> dict[str, Any]:
    return {"id": f"e{number}", "type": "thing", "timestamp": number, "partition_key": key or f"k{number}", "n": number}


SEND = {"id": "send", "flavor": sqs, "event_type": "thing", "to_sqs": lambda uow: {"MessageBody": uow["event"]}}


@pytest.fixture
def queue_url(aws: None, monkeypatch: pytest.MonkeyPatch) -> str:
    url: str = boto3.client("sqs").create_queue(QueueName="things")["QueueUrl"]
    monkeypatch.setenv("QUEUE_URL", url)
    return url


@pytest.fixture
def fifo_url(aws: None) -> str:
    url: str = boto3.client("sqs").create_queue(QueueName="things.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    return url


class Service:
    """A service that keeps each batch call; it gives the planned answers, then accepts everything."""

    def __init__(self, *answers: Any) -> None:
        self.calls: list[dict[str, Any]] = []
        self.answers = list(answers)

    def answer(self, call: dict[str, Any], accept: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        self.calls.append(call)
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return accept() if answer is None else answer

    def send_message_batch(self, **call: Any) -> dict[str, Any]:
        return self.answer(call, lambda: {"Successful": [{"Id": entry["Id"]} for entry in call["Entries"]]})

    def publish_batch(self, **call: Any) -> dict[str, Any]:
        entries = call["PublishBatchRequestEntries"]
        return self.answer(call, lambda: {"Successful": [{"Id": entry["Id"]} for entry in entries]})

    def put_records(self, **call: Any) -> dict[str, Any]:
        return self.answer(call, lambda: {"Records": [{"SequenceNumber": "1"} for _ in call["Records"]]})

    def put_record_batch(self, **call: Any) -> dict[str, Any]:
        return self.answer(call, lambda: {"RequestResponses": [{"RecordId": "1"} for _ in call["Records"]]})


def assembled(rule: dict[str, Any], *events: Any) -> Any:
    return StreamPipeline(initialize_from([rule]), DEFAULT_OPTIONS).assemble(from_kinesis(to_kinesis_records(events)))


def test_every_event_becomes_a_message(queue_url: str, run: Callable[..., Any], bodies: Any) -> None:
    run(SEND, *map(thing, range(25)))
    assert sorted(body["n"] for body in bodies(queue_url)) == list(range(25))


def test_messages_go_ten_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service()
    clients.use("sqs", service)
    assembled({**SEND, "queue_url": "q"}, *map(thing, range(25)))
    assert sorted(len(call["Entries"]) for call in service.calls) == [5, 10, 10]


def test_a_call_is_never_larger_than_the_service_takes() -> None:
    service = Service()
    clients.use("sqs", service)
    rule = {**SEND, "queue_url": "q", "max_request_size": 250, "to_sqs": lambda uow: {"MessageBody": "x" * 100}}
    assembled(rule, *map(thing, range(4)))
    assert sorted(len(call["Entries"]) for call in service.calls) == [2, 2]


def test_one_event_may_send_several_messages_in_order(
    fifo_url: str, run: Callable[..., Any], received: Callable[..., Any]
) -> None:
    rule = {
        **SEND,
        "queue_url": fifo_url,
        "to_sqs": lambda uow: [{"MessageBody": f"{uow['event']['n']}-{part}"} for part in range(3)],
    }
    run(rule, thing(0, "k"), thing(1, "k"))
    assert [message["Body"] for message in received(fifo_url)] == ["0-0", "0-1", "0-2", "1-0", "1-1", "1-2"]


def test_messages_of_a_fifo_queue_have_the_partition_key_as_group(
    fifo_url: str, run: Callable[..., Any], received: Callable[..., Any]
) -> None:
    run({**SEND, "queue_url": fifo_url}, thing(1, "k1"))
    assert received(fifo_url)[0]["Attributes"]["MessageGroupId"] == "k1"


def test_a_batch_that_is_processed_again_sends_a_fifo_queue_nothing_twice(
    fifo_url: str, run: Callable[..., Any], received: Callable[..., Any]
) -> None:
    for _ in range(2):
        run({**SEND, "queue_url": fifo_url}, thing(1), thing(2))
    assert len(received(fifo_url)) == 2


def test_ids_that_sqs_does_not_take_are_replaced_by_a_digest() -> None:
    service = Service()
    clients.use("sqs", service)
    assembled({**SEND, "queue_url": "q.fifo"}, thing(1, "a key with spaces"))
    assert len(service.calls[0]["Entries"][0]["MessageGroupId"]) == 64


def test_messages_for_different_queues_go_in_separate_calls() -> None:
    service = Service()
    clients.use("sqs", service)
    rule = {**SEND, "to_sqs": lambda uow: {"QueueUrl": f"q{uow['event']['n'] % 2}", "MessageBody": "x"}}
    assembled(rule, *map(thing, range(6)))
    assert sorted((call["QueueUrl"], len(call["Entries"])) for call in service.calls) == [("q0", 3), ("q1", 3)]


def test_only_the_message_that_failed_inside_a_successful_call_is_sent_again() -> None:
    failed = {
        "Successful": [{"Id": "0"}],
        "Failed": [{"Id": "1", "Code": "InternalError", "SenderFault": False, "Message": "m"}],
    }
    service = Service(failed)
    clients.use("sqs", service)
    assert assembled({**SEND, "queue_url": "q"}, thing(0), thing(1)) == {"batchItemFailures": []}
    assert [[json.loads(entry["MessageBody"])["n"] for entry in call["Entries"]] for call in service.calls] == [
        [0, 1],
        [1],
    ]


def test_a_message_that_the_service_refuses_becomes_a_fault(bus: Any) -> None:
    refused = {
        "Successful": [{"Id": "0"}],
        "Failed": [{"Id": "1", "Code": "InvalidMessageContents", "SenderFault": True, "Message": "m"}],
    }
    clients.use("sqs", Service(refused))
    assert assembled({**SEND, "queue_url": "q"}, thing(0), thing(1)) == {"batchItemFailures": []}
    assert [fault["uow"]["event"]["id"] for fault in bus.of_type("fault")] == ["e1"]


def test_an_unknown_error_code_is_retried_if_the_service_is_at_fault() -> None:
    service = Service({"Failed": [{"Id": "0", "Code": "Mystery", "SenderFault": False}]})
    clients.use("sqs", service)
    assembled({**SEND, "queue_url": "q"}, thing(0))
    assert len(service.calls) == 2


def test_messages_reach_a_topic_s_subscribers(
    aws: None, queue_url: str, run: Callable[..., Any], bodies: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics, queues = boto3.client("sns"), boto3.client("sqs")
    topic = topics.create_topic(Name="things")["TopicArn"]
    queue = queues.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topics.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue, Attributes={"RawMessageDelivery": "true"})
    monkeypatch.setenv("TOPIC_ARN", topic)
    run(
        {"id": "n", "flavor": sns, "event_type": "thing", "to_sns": lambda uow: [{"Message": uow["event"]}]},
        *map(thing, range(12)),
    )
    assert sorted(body["n"] for body in bodies(queue_url)) == list(range(12))


def test_only_the_message_that_a_topic_did_not_take_is_published_again() -> None:
    failed = {"Successful": [{"Id": "1"}], "Failed": [{"Id": "0", "Code": "ThrottledException", "SenderFault": True}]}
    service = Service(failed)
    clients.use("sns", service)
    rule = {"id": "n", "flavor": sns, "event_type": "thing", "topic_arn": "t", "to_sns": lambda uow: {"Message": "m"}}
    assembled(rule, thing(0), thing(1))
    assert [len(call["PublishBatchRequestEntries"]) for call in service.calls] == [2, 1]


def test_records_reach_a_stream_with_the_event_s_partition_key(aws: None, run: Callable[..., Any]) -> None:
    streams = boto3.client("kinesis")
    streams.create_stream(StreamName="things", ShardCount=1)
    rule = {
        "id": "k",
        "flavor": kinesis,
        "event_type": "thing",
        "stream_name": "things",
        "to_kinesis": lambda uow: {"Data": uow["event"]},
    }
    run(rule, *(thing(number, "k") for number in range(5)))
    shard = streams.list_shards(StreamName="things")["Shards"][0]["ShardId"]
    iterator = streams.get_shard_iterator(StreamName="things", ShardId=shard, ShardIteratorType="TRIM_HORIZON")
    records = streams.get_records(ShardIterator=iterator["ShardIterator"])["Records"]
    assert [(record["PartitionKey"], json.loads(record["Data"])["n"]) for record in records] == [
        ("k", number) for number in range(5)
    ]


def test_only_the_record_of_a_throttled_shard_is_put_again() -> None:
    busy = {"Records": [{"SequenceNumber": "1"}, {"ErrorCode": "ProvisionedThroughputExceededException"}]}
    service = Service(busy)
    clients.use("kinesis", service)
    rule = {
        "id": "k",
        "flavor": kinesis,
        "event_type": "thing",
        "stream_name": "s",
        "to_kinesis": lambda _: {"Data": b"x"},
    }
    assembled(rule, thing(0), thing(1))
    assert [[record["PartitionKey"] for record in call["Records"]] for call in service.calls] == [["k0", "k1"], ["k1"]]


def test_records_of_a_delivery_stream_are_lines() -> None:
    service = Service()
    clients.use("firehose", service)
    rule = {
        "id": "f",
        "flavor": firehose,
        "event_type": "thing",
        "delivery_stream_name": "d",
        "to_firehose": lambda uow: {"Data": {"n": uow["event"]["n"]}},
    }
    assembled(rule, thing(0), thing(1))
    assert service.calls == [{"DeliveryStreamName": "d", "Records": [{"Data": b'{"n":0}\n'}, {"Data": b'{"n":1}\n'}]}]


def test_only_the_record_that_a_delivery_stream_did_not_take_is_put_again() -> None:
    service = Service(
        {"FailedPutCount": 1, "RequestResponses": [{"ErrorCode": "ServiceUnavailableException"}, {"RecordId": "1"}]}
    )
    clients.use("firehose", service)
    rule = {
        "id": "f",
        "flavor": firehose,
        "event_type": "thing",
        "delivery_stream_name": "d",
        "to_firehose": lambda uow: {"Data": str(uow["event"]["n"])},
    }
    assembled(rule, thing(0), thing(1))
    assert [record["Data"] for record in service.calls[1]["Records"]] == [b"0"]


def test_what_is_still_throttled_at_the_last_attempt_is_left_for_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRY_ATTEMPTS", "2")
    busy = {"Failed": [{"Id": "0", "Code": "RequestThrottled", "SenderFault": True}]}
    clients.use("sqs", Service(busy, busy))
    assert assembled({**SEND, "queue_url": "q"}, thing(0)) == {"batchItemFailures": [{"itemIdentifier": "0"}]}


@pytest.mark.parametrize("code", ["Throttled", "KMSThrottling", "InternalFailure"])
def test_an_entry_with_a_transient_code_is_sent_again_whatever_sender_fault_says(code: str) -> None:
    service = Service({"Failed": [{"Id": "0", "Code": code, "SenderFault": True}]})
    clients.use("sqs", service)
    assert assembled({**SEND, "queue_url": "q"}, thing(0)) == {"batchItemFailures": []}
    assert len(service.calls) == 2


def test_an_entry_without_permission_leaves_its_record_for_retry() -> None:
    service = Service({"Failed": [{"Id": "0", "Code": "KmsAccessDenied", "SenderFault": True}]})
    clients.use("sqs", service)
    assert assembled({**SEND, "queue_url": "q"}, thing(0)) == {"batchItemFailures": [{"itemIdentifier": "0"}]}
    assert len(service.calls) == 1
