"""An emulator that is killed goes on with all that it has acknowledged, as it does after it was ended."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.exceptions import BotoCoreError, ClientError
from stream_cli.errors import CommandError
from stream_cli.local.cloud import LocalCloud, running_emulator
from stream_cli.local.kept_file import FILE, LOG
from stream_cli.local.state import StateFolder

ROLE = "arn:aws:iam::000000000000:role/of-functions"
ANYONE = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}}
BACK_WITHIN_S = 60.0
SOURCE = """
import boto3, json, time
def handler(event, context):
    time.sleep(event.get("seconds", 0) if isinstance(event, dict) else 0)
    boto3.client("sqs").send_message(QueueUrl="{queue}", MessageBody=json.dumps(event, default=str))
    return "done"
"""


class Kept:
    """A cloud whose state is kept, and what is in it."""

    def __init__(self, cloud: LocalCloud) -> None:
        self.cloud = cloud
        for service in ("dynamodb", "dynamodbstreams", "kinesis", "sqs", "s3", "sns", "events", "logs", "iam"):
            setattr(self, service, cloud.endpoint.client(service))
        self.functions = cloud.endpoint.client("lambda")
        self.firehose, self.cloudwatch = cloud.endpoint.client("firehose"), cloud.endpoint.client("cloudwatch")

    dynamodb: Any
    dynamodbstreams: Any
    kinesis: Any
    sqs: Any
    s3: Any
    sns: Any
    events: Any
    logs: Any
    iam: Any

    def kill(self) -> None:
        """Kill the emulator, and wait until its supervisor has it back."""
        self.cloud.supervisor._ends.clear()  # so many kills would be too many
        os.kill(self.cloud.state.records()["emulator"]["child"]["pid"], signal.SIGKILL)
        deadline = time.monotonic() + BACK_WITHIN_S
        while "emulator" not in self.cloud.supervisor.revive({"emulator"}):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        while True:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.cloud.endpoint.url}/_ministack/health", trust_env=False).is_success:
                    return
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def queue(self, name: str, **attributes: str) -> str:
        attributes["Policy"] = json.dumps(ANYONE)
        return str(self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"])

    def arn_of_queue(self, url: str) -> str:
        return str(self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"])

    def bodies(self, queue: str, count: int, within_s: float = 30.0) -> list[str]:
        """Receive messages until there are so many, or none come any more."""
        found, deadline = list[str](), time.monotonic() + within_s
        while len(found) < count and time.monotonic() < deadline:
            answer = self.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1)
            for message in answer.get("Messages", []):
                found.append(message["Body"])
                self.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return found

    def function(self, name: str, queue: str) -> str:
        """A function that sends its event to a queue, after as many seconds as the event says."""
        with contextlib.suppress(ClientError):
            self.iam.create_role(RoleName="of-functions", AssumeRolePolicyDocument=json.dumps(TRUST))
            self.iam.put_role_policy(RoleName="of-functions", PolicyName="all", PolicyDocument=json.dumps(ALL))
        zipped = io.BytesIO()
        with zipfile.ZipFile(zipped, "w") as archive:
            archive.writestr("index.py", SOURCE.replace("{queue}", queue))
        made = self.functions.create_function(
            FunctionName=name, Runtime="python3.12", Role=ROLE, Handler="index.handler", Timeout=30,
            Code={"ZipFile": zipped.getvalue()},
        )  # fmt: skip
        self.functions.add_permission(
            FunctionName=name, StatementId="any", Action="lambda:InvokeFunction", Principal="*"
        )
        return str(made["FunctionArn"])


TRUST = {
    "Version": "2012-10-17",
    "Statement": {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"},
}
ALL = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}


Case = Callable[[Kept], Iterator[None]]
CASES: list[Case] = []


def case(made: Case) -> Case:
    """What is kept; the emulator is killed at each yield."""
    CASES.append(made)
    return made


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    with running_emulator(StateFolder(tmp_path_factory.mktemp("kept")), None, kept=True) as cloud:
        yield Kept(cloud)


@case
def items_and_their_changes(kept: Kept) -> Iterator[None]:
    kept.dynamodb.create_table(
        TableName="items",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "n", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"}, {"AttributeName": "n", "AttributeType": "N"}
        ],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )  # fmt: skip

    def item(n: int) -> dict[str, Any]:
        return {"pk": {"S": "a"}, "n": {"N": str(n)}, "bytes": {"B": b"\x00\xff"}, "set": {"SS": ["x", "y"]}}

    for n in range(5):
        kept.dynamodb.put_item(TableName="items", Item=item(n))
    kept.dynamodb.update_item(
        TableName="items", Key={"pk": {"S": "a"}, "n": {"N": "1"}}, UpdateExpression="SET more = :m",
        ExpressionAttributeValues={":m": {"M": {"deep": {"L": [{"NULL": True}]}}}},
    )  # fmt: skip
    kept.dynamodb.delete_item(TableName="items", Key={"pk": {"S": "a"}, "n": {"N": "2"}})
    kept.dynamodb.transact_write_items(
        TransactItems=[
            {"Put": {"TableName": "items", "Item": item(10)}},
            {"Put": {"TableName": "items", "Item": item(11)}},
        ]
    )
    kept.dynamodb.batch_write_item(RequestItems={"items": [{"PutRequest": {"Item": item(12)}}]})

    def seen() -> Any:
        table = kept.dynamodb.describe_table(TableName="items")["Table"]
        stream = table["LatestStreamArn"]
        (shard,) = kept.dynamodbstreams.describe_stream(StreamArn=stream)["StreamDescription"]["Shards"]
        asked = {"StreamArn": stream, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
        iterator = kept.dynamodbstreams.get_shard_iterator(**asked)["ShardIterator"]
        records = kept.dynamodbstreams.get_records(ShardIterator=iterator)["Records"]
        return table["ItemCount"], kept.dynamodb.scan(TableName="items")["Items"], records

    before = seen()
    assert before[0] == 7
    assert len(before[2]) == 10
    yield
    assert seen() == before
    kept.dynamodb.delete_table(TableName="items")
    yield
    assert "items" not in kept.dynamodb.list_tables()["TableNames"]


@case
def records_of_a_stream_and_the_place_of_its_reader(kept: Kept) -> Iterator[None]:
    kept.kinesis.create_stream(StreamName="stream", ShardCount=1)
    sent = [f"{n}" for n in range(20)]
    kept.kinesis.put_records(
        StreamName="stream", Records=[{"PartitionKey": each, "Data": each.encode()} for each in sent[:15]]
    )
    (shard,) = kept.kinesis.list_shards(StreamName="stream")["Shards"]
    asked = {"StreamName": "stream", "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
    page = kept.kinesis.get_records(ShardIterator=kept.kinesis.get_shard_iterator(**asked)["ShardIterator"], Limit=7)
    yield
    for each in sent[15:]:
        kept.kinesis.put_record(StreamName="stream", PartitionKey=each, Data=each.encode())
    yield
    rest = kept.kinesis.get_records(ShardIterator=page["NextShardIterator"])
    assert [record["Data"].decode() for record in [*page["Records"], *rest["Records"]]] == sent
    numbers = [record["SequenceNumber"] for record in [*page["Records"], *rest["Records"]]]
    assert numbers == sorted(numbers, key=int)


@case
def messages_also_those_in_flight_and_their_counts(kept: Kept) -> Iterator[None]:
    dead = kept.queue("dead")
    policy = json.dumps({"deadLetterTargetArn": kept.arn_of_queue(dead), "maxReceiveCount": 2})
    queue = kept.queue("alive", RedrivePolicy=policy, VisibilityTimeout="600")
    for n in range(4):
        kept.sqs.send_message(QueueUrl=queue, MessageBody=str(n))
    received = kept.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=3)["Messages"]
    yield
    # Those in flight are not received again, and can be deleted and given back with what their receiver has.
    (last,) = kept.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    assert last["Body"] == "3"
    kept.sqs.delete_message(QueueUrl=queue, ReceiptHandle=received[0]["ReceiptHandle"])
    kept.sqs.delete_message_batch(
        QueueUrl=queue, Entries=[{"Id": "one", "ReceiptHandle": received[1]["ReceiptHandle"]}]
    )
    kept.sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=received[2]["ReceiptHandle"], VisibilityTimeout=0)
    yield
    (again,) = kept.sqs.receive_message(
        QueueUrl=queue, MaxNumberOfMessages=10, MessageSystemAttributeNames=["ApproximateReceiveCount"]
    )["Messages"]
    assert (again["Body"], again["Attributes"]["ApproximateReceiveCount"]) == ("2", "2")
    kept.sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=again["ReceiptHandle"], VisibilityTimeout=0)
    assert "Messages" not in kept.sqs.receive_message(QueueUrl=queue)  # which moves it to the dead-letter queue
    yield
    assert kept.bodies(dead, 1) == ["2"]


@case
def a_fifo_topic_and_queue_know_what_they_have_sent(kept: Kept) -> Iterator[None]:
    fifo = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    queue = kept.queue("ordered.fifo", **fifo)
    topic = kept.sns.create_topic(Name="topic.fifo", Attributes={"FifoTopic": "true"})["TopicArn"]
    kept.sns.subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=kept.arn_of_queue(queue), Attributes={"RawMessageDelivery": "true"}
    )

    def publish(text: str) -> str:
        said = {"Message": text, "MessageGroupId": "g", "MessageDeduplicationId": text}
        return str(kept.sns.publish(TopicArn=topic, **said)["SequenceNumber"])

    first = publish("one")
    sent = kept.sqs.send_message(QueueUrl=queue, MessageBody="x", MessageGroupId="h", MessageDeduplicationId="d")
    yield
    assert publish("one") == first
    assert publish("two") > first
    again = kept.sqs.send_message(QueueUrl=queue, MessageBody="x", MessageGroupId="h", MessageDeduplicationId="d")
    assert again["MessageId"] == sent["MessageId"]
    assert sorted(kept.bodies(queue, 4, within_s=5)) == ["one", "two", "x"]


@case
def objects_with_what_belongs_to_them(kept: Kept) -> Iterator[None]:
    kept.s3.create_bucket(Bucket="bucket")
    kept.s3.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})
    for body in (b"one", b"two"):
        kept.s3.put_object(Bucket="bucket", Key="a/b c", Body=body, Metadata={"m": "1"}, Tagging="t=1")
    kept.s3.put_object(Bucket="bucket", Key="gone", Body=b"x")
    kept.s3.delete_object(Bucket="bucket", Key="gone")
    upload = kept.s3.create_multipart_upload(Bucket="bucket", Key="big")["UploadId"]
    part = kept.s3.upload_part(Bucket="bucket", Key="big", UploadId=upload, PartNumber=1, Body=b"part")
    yield
    found = kept.s3.get_object(Bucket="bucket", Key="a/b c")
    assert (found["Body"].read(), found["Metadata"]) == (b"two", {"m": "1"})
    assert kept.s3.get_object_tagging(Bucket="bucket", Key="a/b c")["TagSet"] == [{"Key": "t", "Value": "1"}]
    versions = kept.s3.list_object_versions(Bucket="bucket")
    assert len(versions["Versions"]) == 3
    assert len(versions["DeleteMarkers"]) == 1
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    kept.s3.complete_multipart_upload(Bucket="bucket", Key="big", UploadId=upload, MultipartUpload=parts)
    yield
    assert kept.s3.get_object(Bucket="bucket", Key="big")["Body"].read() == b"part"


ANY_TRUST = {
    "Version": "2012-10-17",
    "Statement": {"Effect": "Allow", "Principal": {"Service": "firehose.amazonaws.com"}, "Action": "sts:AssumeRole"},
}


@case
def logs_metrics_and_keys(kept: Kept) -> Iterator[None]:
    kept.logs.create_log_group(logGroupName="group")
    kept.logs.create_log_stream(logGroupName="group", logStreamName="stream")
    now = int(time.time() * 1000)
    for n in (1, 2, 0):
        kept.logs.put_log_events(
            logGroupName="group", logStreamName="stream", logEvents=[{"timestamp": now + n, "message": f"line {n}"}]
        )
    ids = [event["eventId"] for event in kept.logs.filter_log_events(logGroupName="group")["events"]]
    began = time.time() - 60
    for value in (7.0, 7.0, 8.0):
        kept.cloudwatch.put_metric_data(Namespace="space", MetricData=[{"MetricName": "metric", "Value": value}])
    keys = kept.cloud.endpoint.client("sts").assume_role(RoleArn=_role(kept), RoleSessionName="session")["Credentials"]
    yield
    lines = kept.logs.get_log_events(logGroupName="group", logStreamName="stream", startFromHead=True)["events"]
    assert [line["message"] for line in lines] == ["line 0", "line 1", "line 2"]
    assert [event["eventId"] for event in kept.logs.filter_log_events(logGroupName="group")["events"]] == ids
    metrics = kept.cloudwatch.list_metrics(Namespace="space")["Metrics"]
    assert [each["MetricName"] for each in metrics] == ["metric"]
    kept.cloudwatch.put_metric_data(Namespace="space", MetricData=[{"MetricName": "metric", "Value": 7.0}])
    of_all = {"StartTime": began, "EndTime": time.time() + 60, "Period": 86_400, "Statistics": ["Sum", "SampleCount"]}
    points = kept.cloudwatch.get_metric_statistics(Namespace="space", MetricName="metric", **of_all)["Datapoints"]
    assert [sum(point[of] for point in points) for of in ("Sum", "SampleCount")] == [29.0, 4.0]
    import boto3

    session = boto3.Session(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], "us-east-1")
    sqs = session.client("sqs", endpoint_url=kept.cloud.endpoint.url)
    with pytest.raises(ClientError, match=r"AccessDenied|not authorized"):
        sqs.create_queue(QueueName="not-allowed")  # still a role's keys, not the administrator's


@case
def logs_that_nobody_has_written_to_yet(kept: Kept) -> Iterator[None]:
    kept.logs.create_log_group(logGroupName="new")
    kept.logs.create_log_stream(logGroupName="new", logStreamName="empty")
    kept.logs.create_log_stream(logGroupName="new", logStreamName="deleted")
    kept.logs.delete_log_stream(logGroupName="new", logStreamName="deleted")
    yield
    assert [each["logStreamName"] for each in kept.logs.describe_log_streams(logGroupName="new")["logStreams"]] == [
        "empty"
    ]
    line = [{"timestamp": int(time.time() * 1000), "message": "line"}]
    kept.logs.put_log_events(logGroupName="new", logStreamName="empty", logEvents=line)
    (event,) = kept.logs.filter_log_events(logGroupName="new")["events"]
    yield
    record = kept.logs.get_log_record(logRecordPointer=event["eventId"])["logRecord"]
    assert (record["@message"], record["@log"], record["@logStream"]) == ("line", "new", "empty")
    with pytest.raises(ClientError, match="Invalid logRecordPointer"):
        kept.logs.get_log_record(logRecordPointer="unknown")
    lines = kept.logs.get_log_events(logGroupName="new", logStreamName="empty", startFromHead=True)["events"]
    assert [each["message"] for each in lines] == ["line"]


@case
def a_record_of_firehose_is_in_its_object_when_it_is_acknowledged(kept: Kept) -> Iterator[None]:
    kept.s3.create_bucket(Bucket="lake")
    kept.iam.create_role(RoleName="firehose", AssumeRolePolicyDocument=json.dumps(ANY_TRUST))
    kept.iam.put_role_policy(RoleName="firehose", PolicyName="all", PolicyDocument=json.dumps(ALL))
    kept.firehose.create_delivery_stream(
        DeliveryStreamName="to-lake",
        ExtendedS3DestinationConfiguration={
            "RoleARN": "arn:aws:iam::000000000000:role/firehose", "BucketARN": "arn:aws:s3:::lake"
        },
    )  # fmt: skip
    records = [{"Data": f"record {n}".encode()} for n in range(50)]
    assert kept.firehose.put_record_batch(DeliveryStreamName="to-lake", Records=records)["FailedPutCount"] == 0
    yield
    keys = [each["Key"] for each in kept.s3.list_objects_v2(Bucket="lake")["Contents"]]
    bodies = [kept.s3.get_object(Bucket="lake", Key=key)["Body"].read() for key in keys]
    assert sorted(bodies) == sorted(record["Data"] for record in records)


@case
def what_was_acknowledged_and_not_done_is_done(kept: Kept) -> Iterator[None]:
    queue = kept.queue("of-function")
    function = kept.function("slow", queue)
    kept.functions.invoke(FunctionName="slow", InvocationType="Event", Payload=json.dumps({"seconds": 3, "by": "call"}))
    topic = kept.sns.create_topic(Name="of-function")["TopicArn"]
    kept.sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=function)
    kept.events.put_rule(Name="of-function", EventPattern=json.dumps({"source": ["test"]}))
    kept.events.put_targets(Rule="of-function", Targets=[{"Id": "f", "Arn": function}])
    kept.s3.create_bucket(Bucket="of-function")
    configured = {"LambdaFunctionConfigurations": [{"LambdaFunctionArn": function, "Events": ["s3:ObjectCreated:*"]}]}
    kept.s3.put_bucket_notification_configuration(Bucket="of-function", NotificationConfiguration=configured)
    kept.sns.publish(TopicArn=topic, Message="published")
    kept.events.put_events(Entries=[{"Source": "test", "DetailType": "t", "Detail": '{"put": 1}'}])
    kept.s3.put_object(Bucket="of-function", Key="object", Body=b"x")
    yield
    missing, deadline = {"call", "published", "put", "object"}, time.monotonic() + 40
    while missing and time.monotonic() < deadline:
        for body in kept.bodies(queue, 1, within_s=1):
            missing -= {kind for kind in missing if f'"{kind}"' in body}
    assert missing == set()
    while kept.bodies(queue, 1, within_s=4):
        assert time.monotonic() < deadline  # at least once: what was begun may be done again, but not for ever
    yield
    assert kept.bodies(queue, 1, within_s=5) == []


@case
def an_event_that_no_rule_takes_is_in_the_archive(kept: Kept) -> Iterator[None]:
    yield  # the next kill comes right after the event
    kept.events.create_event_bus(Name="archived")
    bus = kept.events.describe_event_bus(Name="archived")["Arn"]
    kept.events.create_archive(ArchiveName="all", EventSourceArn=bus)
    entry = {"EventBusName": "archived", "Source": "test", "DetailType": "kind", "Detail": "{}"}
    kept.events.put_events(Entries=[entry])
    yield
    assert kept.events.describe_archive(ArchiveName="all")["EventCount"] == 1


@pytest.mark.parametrize(
    "cases", [pytest.param([each], id=each.__name__) for each in CASES] if "THOROUGH" in os.environ else [CASES]
)
def test_what_was_acknowledged_is_there_after_each_kill(kept: Kept, cases: list[Case]) -> None:
    """All cases share their kills; with THOROUGH, each case has its own, so that each follows at once what is kept."""
    failures = list[Exception]()
    running = {each.__name__: each(kept) for each in cases}
    while running:
        for name, steps in [*running.items()]:
            try:
                next(steps)
            except StopIteration:
                del running[name]
            except Exception as error:
                error.add_note(f"in {name}")
                failures.append(error)
                del running[name]
        if running:
            kept.kill()
    if failures:
        raise ExceptionGroup("not all is kept", failures)


def _role(kept: Kept) -> str:
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": trust})
    return str(kept.iam.create_role(RoleName="nothing", AssumeRolePolicyDocument=document)["Role"]["Arn"])


def test_it_is_there_after_the_cloud_was_ended_and_gone_when_it_begins_empty(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state")
    with running_emulator(state, None, kept=True) as cloud:
        port = cloud.endpoint.port
        url = cloud.endpoint.client("sqs").create_queue(QueueName="queue")["QueueUrl"]
        cloud.endpoint.client("sqs").send_message(QueueUrl=url, MessageBody="kept")
    with (
        pytest.raises(CommandError, match=f"is at port {port}.*Leave --port 1 out"),
        running_emulator(state, 1, kept=True),
    ):
        pass
    with running_emulator(state, None, kept=True) as cloud:
        assert cloud.endpoint.port == port
        assert cloud.endpoint.client("sqs").receive_message(QueueUrl=url)["Messages"][0]["Body"] == "kept"
    with running_emulator(state, None) as cloud:  # as the demo's: it neither takes nor changes what is kept
        assert not cloud.endpoint.client("sqs").list_queues().get("QueueUrls")
    with running_emulator(state, None, kept=True, fresh=True) as cloud:
        assert not cloud.endpoint.client("sqs").list_queues().get("QueueUrls")
    file = state.kept / FILE
    file.write_bytes(file.read_bytes()[:5000] + b"damage" * 100)
    with pytest.raises(CommandError, match=r"cannot be read.*--fresh"), running_emulator(state, None, kept=True):
        pass


def test_nothing_is_acknowledged_that_cannot_be_written(tmp_path: Path) -> None:
    """The file may not grow while the limit holds, as on a full disk; then it may, and all goes on."""
    import resource

    import psutil

    with running_emulator(StateFolder(tmp_path / "state"), None, kept=True) as cloud:
        kept = Kept(cloud)
        queue, sent = kept.queue("queue"), list[str]()
        sqs = cloud.endpoint.client("sqs", attempts=1)

        def limit(size: int) -> None:
            emulator = psutil.Process(cloud.state.records()["emulator"]["child"]["pid"])
            emulator.rlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

        def send(count: int) -> int:
            refused = 0
            for n in range(count):
                body = f"{len(sent)}-{n}-" + "x" * 20_000
                try:
                    sqs.send_message(QueueUrl=queue, MessageBody=body)
                except (ClientError, BotoCoreError):
                    refused += 1
                else:
                    sent.append(body)
            return refused

        assert send(5) == 0
        log = cloud.state.kept / LOG
        limit(log.stat().st_size + 50_000)
        assert send(8) > 0
        answer = httpx.get(
            f"{cloud.endpoint.url}/?Action=ListQueues&Version=2012-11-05",
            headers={"Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/sqs/aws4_request"},
            trust_env=False,
        )
        assert answer.status_code == 503
        assert "cannot keep its state" in answer.text
        sns, s3 = (cloud.endpoint.client(name, attempts=1) for name in ("sns", "s3"))
        for refused in (lambda: sns.create_topic(Name="refused"), lambda: s3.create_bucket(Bucket="refused")):
            with pytest.raises(ClientError, match="cannot keep its state") as told:
                refused()
            assert told.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
        limit(resource.RLIM_INFINITY)
        assert send(3) == 0
        kept.kill()
        bodies = kept.bodies(queue, 1000, within_s=5)
        # What was refused may have happened, as with a 503 of AWS.
        assert set(sent) <= set(bodies)
