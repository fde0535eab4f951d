from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.endpoint import Endpoint
from botocore.exceptions import ClientError
from stream_cli.local import injected_faults
from stream_cli.local.deliveries import BusDelivery, Deliveries
from stream_cli.local.endpoint import LocalEndpoint, OwnEndpoint
from stream_cli.local.target_streams import Delivery, Failure, Message, Rule, batches
from stream_cli.patterns import compile_pattern

ROLE = "arn:aws:iam::000000000000:role/any"


class Bus:
    """A tapped bus and the stream and delivery stream to which its rules point."""

    def __init__(self, endpoint: LocalEndpoint, name: str) -> None:
        self.endpoint = endpoint
        self.name = name
        self.events = endpoint.client("events")
        self.kinesis = endpoint.client("kinesis")
        self.events.create_event_bus(Name=name)
        self.observed: list[Any] = []
        self.delivery = BusDelivery(OwnEndpoint(endpoint.port), name, self.observed.append)

    def stream(self, suffix: str = "") -> str:
        self.kinesis.create_stream(StreamName=self.name + suffix, ShardCount=1)
        summary = self.kinesis.describe_stream_summary(StreamName=self.name + suffix)
        return str(summary["StreamDescriptionSummary"]["StreamARN"])

    def delivery_stream(self) -> str:
        self.endpoint.client("s3").create_bucket(Bucket=self.name)
        created = self.endpoint.client("firehose").create_delivery_stream(
            DeliveryStreamName=self.name,
            ExtendedS3DestinationConfiguration={
                "RoleARN": ROLE,
                "BucketARN": f"arn:aws:s3:::{self.name}",
            },
        )
        return str(created["DeliveryStreamARN"])

    def log_group(self) -> str:
        self.endpoint.client("logs").create_log_group(logGroupName=f"/aws/events/{self.name}")
        return f"arn:aws:logs:us-east-1:000000000000:log-group:/aws/events/{self.name}"

    def logged(self) -> list[dict[str, Any]]:
        found = self.endpoint.client("logs").filter_log_events(logGroupName=f"/aws/events/{self.name}")
        return list(found["events"])

    def queue(self) -> tuple[str, str]:
        sqs = self.endpoint.client("sqs")
        url = sqs.create_queue(QueueName=self.name)["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        return url, arn

    def rule(self, name: str, pattern: dict[str, Any], **target: Any) -> None:
        self.events.put_rule(Name=name, EventBusName=self.name, EventPattern=json.dumps(pattern))
        self.events.put_targets(Rule=name, EventBusName=self.name, Targets=[{"Id": "t", "RoleArn": ROLE, **target}])

    def put(self, *details: dict[str, Any], detail_type: str = "thing") -> None:
        for detail in details:
            entry = {
                "EventBusName": self.name,
                "Source": "custom",
                "DetailType": detail_type,
                "Detail": json.dumps(detail),
            }
            assert self.events.put_events(Entries=[entry])["FailedEntryCount"] == 0

    def records(self, suffix: str = "") -> list[dict[str, Any]]:
        (shard,) = self.kinesis.list_shards(StreamName=self.name + suffix)["Shards"]
        iterator = self.kinesis.get_shard_iterator(
            StreamName=self.name + suffix, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        return list(self.kinesis.get_records(ShardIterator=iterator)["Records"])

    def data(self, suffix: str = "") -> list[Any]:
        return [json.loads(record["Data"]) for record in self.records(suffix)]

    def nothing_is_left(self) -> bool:
        return self.waiting() == 0 or (self.delivery.deliver_once() > 0 and self.waiting() == 0)

    def waiting(self) -> int:
        sqs = self.endpoint.client("sqs")
        url = sqs.get_queue_url(QueueName=f"streamctl-tap-{self.name}")["QueueUrl"]
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(int(attributes[name]) for name in names)


@pytest.fixture(autouse=True)
def process_of_deliveries(endpoint: LocalEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment that the process of deliveries has."""
    for variable, value in endpoint.environment.items():
        monkeypatch.setenv(variable, value)


@pytest.fixture
def bus(endpoint: LocalEndpoint, name: str) -> Bus:
    return Bus(endpoint, name)


def until(condition: Callable[[], Any], timeout_s: float = 15.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "the condition did not become true"
        time.sleep(0.05)
    return found


def test_a_stream_gets_the_events_that_its_rule_matches_with_the_partition_key_at_the_rules_path(bus: Bus) -> None:
    bus.rule(
        "to-stream",
        {"detail-type": [{"anything-but": "fault"}]},
        Arn=bus.stream(),
        InputPath="$.detail",
        KinesisParameters={"PartitionKeyPath": "$.detail.partition_key"},
    )
    bus.put({"id": "1", "partition_key": "a"}, {"id": "2", "partition_key": "b"})
    bus.put({"id": "3"}, detail_type="fault")
    bus.delivery.deliver_once()
    assert bus.data() == [{"id": "1", "partition_key": "a"}, {"id": "2", "partition_key": "b"}]
    assert [record["PartitionKey"] for record in bus.records()] == ["a", "b"]
    assert bus.waiting() == 0


def test_events_of_one_bus_arrive_in_the_order_in_which_they_were_put(bus: Bus) -> None:
    bus.rule("to-stream", {"source": ["custom"]}, Arn=bus.stream(), InputPath="$.detail.n")
    bus.put(*({"n": n} for n in range(25)))
    bus.delivery.deliver_once()
    assert bus.data() == list(range(25))


def test_a_delivery_stream_gets_the_envelope(bus: Bus) -> None:
    bus.rule("to-lake", {"source": ["custom"]}, Arn=bus.delivery_stream())
    bus.put({"id": "1"})
    bus.delivery.deliver_once()
    s3 = bus.endpoint.client("s3")
    (listed,) = until(lambda: s3.list_objects_v2(Bucket=bus.name).get("Contents"))
    envelope = json.loads(s3.get_object(Bucket=bus.name, Key=listed["Key"])["Body"].read())
    assert envelope["detail"] == {"id": "1"}
    assert envelope["detail-type"] == "thing"


def test_a_log_group_gets_every_envelope_in_order(bus: Bus) -> None:
    bus.rule("to-log", {"source": [{"prefix": ""}]}, Arn=bus.log_group())
    before = int(time.time() * 1000)
    bus.put({"id": "1"}, {"id": "2"})
    bus.put({"id": "3"}, detail_type="fault")
    bus.delivery.deliver_once()
    events = bus.logged()
    envelopes = [json.loads(event["message"]) for event in events]
    assert [(e["detail-type"], e["detail"]) for e in envelopes] == [
        ("thing", {"id": "1"}),
        ("thing", {"id": "2"}),
        ("fault", {"id": "3"}),
    ]
    assert {"version", "id", "source", "account", "time", "region", "resources"} < envelopes[0].keys()
    assert all(before <= event["timestamp"] <= time.time() * 1000 for event in events)


def test_the_log_streams_of_a_rule_are_named_by_uuids_and_can_be_read(bus: Bus) -> None:
    bus.rule("to-log", {"source": ["custom"]}, Arn=bus.log_group())
    bus.put({"id": "1"})
    bus.delivery.deliver_once()
    logs = bus.endpoint.client("logs")
    (stream,) = logs.describe_log_streams(logGroupName=f"/aws/events/{bus.name}")["logStreams"]
    read = logs.get_log_events(logGroupName=f"/aws/events/{bus.name}", logStreamName=stream["logStreamName"])
    assert str(uuid.UUID(stream["logStreamName"])) == stream["logStreamName"]
    assert [json.loads(event["message"])["detail"] for event in read["events"]] == [{"id": "1"}]


def test_a_log_stream_of_a_rule_takes_what_is_not_older_than_its_end(bus: Bus) -> None:
    by_time = {"InputPathsMap": {"at": "$.detail.at"}, "InputTemplate": '{"timestamp": "<at>", "message": "<at>"}'}
    bus.rule("to-log", {"source": ["custom"]}, Arn=bus.log_group(), InputTransformer=by_time)

    def streams_of(*seconds: int) -> list[str]:
        """The streams that hold what has come, in the order of time."""
        for second in seconds:
            bus.put({"at": f"2026-05-01T12:00:{second:02}Z"})
            bus.delivery.deliver_once()
        return [event["logStreamName"] for event in bus.logged()]

    first = streams_of(10, 20, 20)
    assert len(set(first)) == 1
    late, *rest = streams_of(5)
    assert rest == first
    assert streams_of(7) == [late, late, *first]

    bus.endpoint.client("logs").delete_log_stream(logGroupName=f"/aws/events/{bus.name}", logStreamName=late)
    (another, *rest) = streams_of(30)[::-1]
    assert rest == first
    assert another not in (late, *first)
    assert bus.waiting() == 0


def test_the_template_of_a_log_group_gives_time_and_message(bus: Bus) -> None:
    transformer = {
        "InputPathsMap": {"at": "$.detail.at", "kind": "$.detail-type"},
        "InputTemplate": '{"timestamp": "<at>", "message": "<kind> happened"}',
    }
    bus.rule("to-log", {"source": ["custom"]}, Arn=bus.log_group(), InputTransformer=transformer)
    bus.put({"at": "2026-05-01T12:00:01Z"}, {"at": "2026-05-01T12:00:00Z"})
    bus.delivery.deliver_once()
    expected = [(1777636800_000, "thing happened"), (1777636801_000, "thing happened")]
    assert [(event["timestamp"], event["message"]) for event in bus.logged()] == expected


@pytest.mark.parametrize(
    "given",
    [
        {"InputPath": "$.detail"},
        {"Input": '"text"'},
        {"InputTransformer": {"InputTemplate": '"text"'}},
        {"InputTransformer": {"InputTemplate": '{"timestamp": "2026-05-01T12:00:00Z", "message": {"a": 1}}'}},
        {"InputTransformer": {"InputTemplate": '{"timestamp": "today", "message": "text"}'}},
        {"InputTransformer": {"InputTemplate": '{"message": "text"}'}},
    ],
)
def test_what_a_log_group_does_not_take_is_a_dead_letter(bus: Bus, given: dict[str, Any]) -> None:
    queue_url, queue_arn = bus.queue()
    bus.rule("to-log", {"source": ["custom"]}, Arn=bus.log_group(), DeadLetterConfig={"Arn": queue_arn}, **given)
    bus.put({"id": "1"})
    bus.delivery.deliver_once()
    (letter,) = bus.endpoint.client("sqs").receive_message(QueueUrl=queue_url, MessageAttributeNames=["All"])[
        "Messages"
    ]
    assert letter["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "INVALID_PARAMETER"
    assert bus.logged() == []


def test_an_event_for_a_log_group_that_does_not_exist_waits_for_it(bus: Bus) -> None:
    missing = f"arn:aws:logs:us-east-1:000000000000:log-group:/aws/events/{bus.name}"
    bus.rule("to-log", {"source": ["custom"]}, Arn=missing)
    bus.put({"id": "1"})
    bus.delivery.deliver_once()
    assert bus.waiting() == 1
    bus.log_group()
    until(bus.nothing_is_left)
    assert [json.loads(event["message"])["detail"] for event in bus.logged()] == [{"id": "1"}]


def test_a_disabled_rule_delivers_nothing(bus: Bus) -> None:
    bus.rule("to-stream", {"source": ["custom"]}, Arn=bus.stream())
    bus.events.disable_rule(Name="to-stream", EventBusName=bus.name)
    bus.put({"id": "1"})
    bus.delivery.deliver_once()
    assert bus.data() == []
    assert bus.waiting() == 0


def test_a_changed_rule_applies_to_the_next_event(bus: Bus) -> None:
    bus.rule("to-stream", {"detail": {"kind": ["old"]}}, Arn=bus.stream(), InputPath="$.detail.kind")
    bus.put({"kind": "old"}, {"kind": "new"})
    bus.delivery.deliver_once()
    bus.rule("to-stream", {"detail": {"kind": ["new"]}}, Arn=bus.stream("-2"), InputPath="$.detail.kind")
    bus.put({"kind": "old"}, {"kind": "new"})
    bus.delivery.deliver_once()
    assert bus.data() == ["old"]
    assert bus.data("-2") == ["new"]


def test_a_throttled_stream_gets_the_event_in_the_end(bus: Bus) -> None:
    bus.rule("to-stream", {"source": ["custom"]}, Arn=bus.stream(), InputPath="$.detail")
    injected_faults.arm_fault(
        bus.endpoint,
        target="Kinesis_20131202.PutRecords",
        contains=bus.name,
        times=7,
        error="ProvisionedThroughputExceededException",
    )
    bus.put({"id": "1"})
    bus.delivery.deliver_once()
    until(bus.nothing_is_left)
    assert bus.data() == [{"id": "1"}]
    assert {(line["outcome"], line["event"]) for line in bus.observed} == {("failed", "1")}


def test_a_target_with_its_record_gets_it_once_while_another_target_fails(bus: Bus) -> None:
    bus.rule("to-good", {"source": ["custom"]}, Arn=bus.stream("-good"), InputPath="$.detail")
    bus.rule("to-bad", {"source": ["custom"]}, Arn=bus.stream("-bad"), InputPath="$.detail")
    injected_faults.arm_fault(
        bus.endpoint,
        target="Kinesis_20131202.PutRecords",
        contains=f"{bus.name}-bad",
        times=5,
        error="InternalFailure",
        status=500,
    )
    bus.put({"id": "1"})
    bus.delivery.deliver_once()
    assert bus.data("-good") == [{"id": "1"}]
    assert bus.data("-bad") == []
    assert bus.waiting() == 1
    until(bus.nothing_is_left)
    assert bus.data("-good") == [{"id": "1"}]
    assert bus.data("-bad") == [{"id": "1"}]


def test_a_record_is_put_once_although_its_message_cannot_be_deleted_at_first(bus: Bus) -> None:
    bus.rule("to-stream", {"source": ["custom"]}, Arn=bus.stream(), InputPath="$.detail")
    sqs, url = bus.endpoint.client("sqs"), bus.delivery.tap.queue_url
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "1"})
    injected_faults.arm_fault(
        bus.endpoint, target="AmazonSQS.DeleteMessageBatch", contains=bus.name, error="AccessDenied", status=403
    )
    bus.put({"id": "1"})
    with pytest.raises(ClientError, match="AccessDenied"):
        bus.delivery.deliver_once()
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "60"})
    until(bus.nothing_is_left)
    assert bus.data() == [{"id": "1"}]


def test_events_are_delivered_without_boto3(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    bus.rule("to-stream", {"source": ["custom"]}, Arn=bus.stream(), InputPath="$.detail")
    bus.put(*({"id": str(number)} for number in range(25)))
    called: list[str] = []
    sent = Endpoint.make_request

    def counted(endpoint: Any, operation: Any, request: Any) -> Any:
        called.append(operation.name)
        return sent(endpoint, operation, request)

    monkeypatch.setattr(Endpoint, "make_request", counted)  # the lean client gives way to patches of calls
    assert bus.delivery.deliver_once() == 25
    assert sorted(set(called)) == ["ListRules", "ListTargetsByRule"]  # once for a batch


def test_an_event_for_a_stream_that_does_not_exist_waits_for_it(bus: Bus) -> None:
    missing = f"arn:aws:kinesis:us-east-1:000000000000:stream/{bus.name}"
    bus.rule("to-stream", {"source": ["custom"]}, Arn=missing, InputPath="$.detail")
    bus.put({"id": "1"})
    bus.delivery.deliver_once()
    assert bus.waiting() == 1
    bus.stream()
    until(bus.nothing_is_left)
    assert bus.data() == [{"id": "1"}]


def test_an_undeliverable_event_goes_to_the_dead_letter_queue_of_the_target(bus: Bus) -> None:
    queue_url, queue_arn = bus.queue()
    missing = "arn:aws:kinesis:us-east-1:000000000000:stream/missing"
    bus.rule("to-stream", {"source": ["custom"]}, Arn=missing, DeadLetterConfig={"Arn": queue_arn})
    bus.put({"id": "1"})
    bus.delivery.deliver_once()
    (letter,) = bus.endpoint.client("sqs").receive_message(QueueUrl=queue_url, MessageAttributeNames=["All"])[
        "Messages"
    ]
    attributes = {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}
    assert json.loads(letter["Body"])["detail"] == {"id": "1"}
    assert attributes["ERROR_CODE"] == "NO_RESOURCE"
    assert attributes["TARGET_ARN"] == missing
    assert bus.waiting() == 0
    (line,) = bus.observed
    assert (line["outcome"], line["event"], line["attempts"], line["destination"]) == ("given_up", "1", 1, queue_arn)
    assert (line["bus"], line["rule"], line["target"]) == (bus.name, "to-stream", missing)


QUOTED_OBJECT = {"InputPathsMap": {"all": "$.detail"}, "InputTemplate": '{"about": "<all>"}'}


@pytest.mark.parametrize("bad", [{"InputPath": "$..x"}, {"InputTransformer": QUOTED_OBJECT}])
def test_an_invalid_path_or_output_is_a_dead_letter_and_stops_no_other_target(
    bus: Bus, bad: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    queue_url, queue_arn = bus.queue()
    bus.rule("bad", {"source": ["custom"]}, Arn=bus.stream("-bad"), DeadLetterConfig={"Arn": queue_arn}, **bad)
    bus.rule("good", {"source": ["custom"]}, Arn=bus.stream(), InputPath="$.detail")
    bus.put({"id": "1"})
    bus.delivery.deliver_once()
    assert bus.data() == [{"id": "1"}]
    assert bus.data("-bad") == []
    assert bus.endpoint.client("sqs").receive_message(QueueUrl=queue_url)["Messages"]
    assert "rule bad, target t: event" in caplog.text


@pytest.fixture
def running(endpoint: LocalEndpoint, tmp_path: Path) -> Iterator[Path]:
    ready = tmp_path / "ready.json"
    stop = threading.Event()
    thread = threading.Thread(target=Deliveries(endpoint).run, args=(stop, ready))
    thread.start()
    yield ready
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


def test_a_new_bus_is_tapped_and_a_deleted_one_loses_its_tap(running: Path, endpoint: LocalEndpoint, name: str) -> None:
    def tapped() -> bool:
        return running.exists() and name in json.loads(running.read_text())["buses"]

    events = endpoint.client("events")
    events.create_event_bus(Name=name)
    until(tapped)
    assert any(url.endswith(name) for url in endpoint.client("sqs").list_queues()["QueueUrls"])
    events.delete_event_bus(Name=name)
    until(lambda: not tapped())
    assert not any(url.endswith(name) for url in endpoint.client("sqs").list_queues()["QueueUrls"])


def delivery(data: str, target_id: str = "t", **target: Any) -> Delivery:
    message = Message("m", "r", {"id": "e"}, sent_ms=1_000_000)
    rule = Rule("r", "arn:rule", compile_pattern({"source": ["x"]}), ())
    arn = "arn:aws:kinesis:us-east-1:000000000000:stream/s"
    return Delivery(message, rule, {"Id": target_id, "Arn": arn, **target}, data, "key")


def test_a_batch_holds_at_most_500_records_and_4_mib() -> None:
    by_number = [len(batch) for _, batch in batches(delivery("x") for _ in range(1001))]
    by_size = [len(batch) for _, batch in batches(delivery("x" * 1024 * 1024) for _ in range(7))]
    assert by_number == [500, 500, 1]
    assert by_size == [3, 3, 1]


THROTTLED = Failure("ProvisionedThroughputExceededException", "slow down")


def test_the_retry_policy_of_a_target_limits_the_retries() -> None:
    one = delivery("x", RetryPolicy={"MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": 60})
    one.message.attempts = 2
    assert one.is_given_up(THROTTLED, now_s=1010) is None
    assert one.is_given_up(THROTTLED, now_s=1061) == "MaximumEventAgeInSeconds"
    one.message.attempts = 3
    assert one.is_given_up(THROTTLED, now_s=1010) == "MaximumRetryAttempts"


def test_without_a_retry_policy_delivery_is_retried_for_a_day() -> None:
    one = delivery("x")
    one.message.attempts = 185
    assert one.is_given_up(THROTTLED, now_s=1000 + 86_399) is None
    assert one.is_given_up(THROTTLED, now_s=1000 + 86_401) == "MaximumEventAgeInSeconds"
