"""What services deliver and read needs permissions: of a role that trusts them, or by the policy of a resource."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError
from stream_cli.local.cloud import LocalCloud
from stream_cli.local.deliveries import BusDelivery
from stream_cli.local.endpoint import OwnEndpoint

ACCOUNT = "000000000000"
WRITING = """
import json, os
def handler(event, context):
    with open(os.environ["OUT"], "a") as out:
        out.write(json.dumps(event) + "\\n")
    return {"statusCode": 200, "body": "answered"}
"""
EVERYTHING = {"source": [{"prefix": ""}]}


def arn_of(service: str, resource: str) -> str:
    return f"arn:aws:{service}:us-east-1:{ACCOUNT}:{resource}"


def allow(action: str, resource: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource}


def until(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + 20
    while not (found := condition()):
        assert time.monotonic() < deadline, f"still waiting: {what}"
        time.sleep(0.05)
    return found


class Deployed:
    """A function that writes down its events, its role, and a bus of the test."""

    def __init__(self, cloud: LocalCloud, name: str, role: str, functions: Any, out: Path) -> None:
        self.cloud, self.endpoint, self.name, self.role, self.functions = cloud, cloud.endpoint, name, role, functions
        self.arn = arn_of("lambda", f"function:{name}")
        self.iam, self.events = self.endpoint.client("iam"), self.endpoint.client("events")
        self._out = out

    def may(self, *statements: dict[str, Any]) -> None:
        policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
        self.iam.put_role_policy(RoleName=self.name, PolicyName="own", PolicyDocument=policy)

    def let_in(self, service: str, source: str) -> None:
        self.functions.add_permission(
            FunctionName=self.name,
            StatementId=service,
            Action="lambda:InvokeFunction",
            Principal=f"{service}.amazonaws.com",
            SourceArn=source,
        )

    def given(self) -> list[Any]:
        return [json.loads(line) for line in self._out.read_text().splitlines()] if self._out.exists() else []

    def told(self, text: str) -> bool:
        return text in self.cloud.state.log("emulator").read_text()

    def queue(self, *services: str) -> tuple[str, str]:
        sqs = self.endpoint.client("sqs")
        principal = {"Service": [f"{service}.amazonaws.com" for service in services]}
        policy = {"Version": "2012-10-17", "Statement": {**allow("sqs:SendMessage", "*"), "Principal": principal}}
        attributes = {"Policy": json.dumps(policy)} if services else {}
        url = sqs.create_queue(QueueName=f"{self.name}-{'-'.join(services)}", Attributes=attributes)["QueueUrl"]
        return url, arn_of("sqs", url.rpartition("/")[2])

    def received(self, url: str) -> list[dict[str, Any]]:
        answer = self.endpoint.client("sqs").receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        )
        return list(answer.get("Messages", []))

    def rule(self, target: dict[str, Any]) -> str:
        self.events.put_rule(Name=self.name, EventPattern=json.dumps({"source": [self.name]}))
        self.events.put_targets(Rule=self.name, Targets=[{"Id": "t", **target}])
        return arn_of("events", f"rule/{self.name}")

    def publish(self) -> None:
        self.events.put_events(Entries=[{"Source": self.name, "DetailType": "t", "Detail": "{}"}])


@pytest.fixture
def deployed(
    cloud: LocalCloud, name: str, make_role: Callable[..., str], made: Callable[..., Any], tmp_path: Path
) -> Deployed:
    role, out = make_role(name), tmp_path / "out"
    return Deployed(cloud, name, role, made(WRITING, Role=role, Environment={"Variables": {"OUT": str(out)}}), out)


def test_a_rule_invokes_the_function_whose_policy_names_it(deployed: Deployed) -> None:
    source = deployed.rule({"Arn": deployed.arn})
    deployed.let_in("events", arn_of("events", "rule/other"))
    deployed.publish()
    until(lambda: deployed.told(f"events.amazonaws.com may not lambda:InvokeFunction on {deployed.arn}"), "it is told")
    assert deployed.given() == []
    deployed.functions.remove_permission(FunctionName=deployed.name, StatementId="events")
    deployed.let_in("events", source)
    deployed.publish()
    until(deployed.given, "the function is invoked")


def test_a_rule_sends_to_the_queue_whose_policy_lets_it_in_and_else_to_its_dead_letter_queue(
    deployed: Deployed,
) -> None:
    _, closed = deployed.queue()
    letters, dead = deployed.queue("events")
    source = deployed.rule({"Arn": closed, "DeadLetterConfig": {"Arn": dead}})
    deployed.publish()
    (letter,) = until(lambda: deployed.received(letters), "the event is a dead letter")
    attributes = {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}
    assert attributes.pop("ERROR_MESSAGE").startswith(f"events.amazonaws.com may not sqs:SendMessage on {closed}")
    assert attributes == {"RULE_ARN": source, "TARGET_ARN": closed, "ERROR_CODE": "NO_PERMISSIONS"}
    assert json.loads(letter["Body"])["source"] == deployed.name
    deployed.events.put_targets(Rule=deployed.name, Targets=[{"Id": "t", "Arn": dead}])
    deployed.publish()
    (message,) = until(lambda: deployed.received(letters), "the event is delivered")
    assert "MessageAttributes" not in message


def test_a_rule_puts_records_with_the_role_of_its_target(
    deployed: Deployed, make_role: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in deployed.endpoint.environment.items():
        monkeypatch.setenv(variable, value)
    kinesis, bus = deployed.endpoint.client("kinesis"), deployed.name
    kinesis.create_stream(StreamName=bus, ShardCount=1)
    stream = arn_of("kinesis", f"stream/{bus}")
    deployed.events.create_event_bus(Name=bus)
    delivery = BusDelivery(OwnEndpoint(deployed.endpoint.port), bus)
    letters, dead = deployed.queue("events")
    role = make_role(f"{bus}-rule", trusts=["events"])
    target = {"Id": "t", "Arn": stream, "RoleArn": role, "DeadLetterConfig": {"Arn": dead}}
    deployed.events.put_rule(Name=bus, EventBusName=bus, EventPattern=json.dumps(EVERYTHING))

    def published(**more: Any) -> tuple[int, list[Any]]:
        """How many records there are, and the codes of new dead letters."""
        deployed.events.put_targets(Rule=bus, EventBusName=bus, Targets=[{**target, **more}])
        deployed.events.put_events(Entries=[{"EventBusName": bus, "Source": "s", "DetailType": "t", "Detail": "{}"}])
        until(lambda: delivery.deliver_once() == 1, "the event is delivered")
        (shard,) = kinesis.list_shards(StreamName=bus)["Shards"]
        first = kinesis.get_shard_iterator(StreamName=bus, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")[
            "ShardIterator"
        ]
        letter = [each["MessageAttributes"] for each in deployed.received(letters)]
        codes = [(each["ERROR_CODE"]["StringValue"], each["ERROR_MESSAGE"]["StringValue"]) for each in letter]
        return len(kinesis.get_records(ShardIterator=first)["Records"]), codes

    count, ((code, message),) = published()
    assert (count, code) == (0, "NO_PERMISSIONS")
    assert (
        f"assumed-role/{bus}-rule/{bus} is not authorized to perform: kinesis:PutRecords on resource: {stream}"
        in message
    )
    policy = json.dumps({"Version": "2012-10-17", "Statement": allow("kinesis:PutRecords", stream)})
    deployed.iam.put_role_policy(RoleName=f"{bus}-rule", PolicyName="own", PolicyDocument=policy)
    assert published() == (1, [])
    count, ((code, message),) = published(RoleArn=deployed.role)
    assert (count, code) == (1, "NO_PERMISSIONS")
    assert f"the role {deployed.role} does not trust events.amazonaws.com" in message


def test_a_schedule_invokes_with_its_role(deployed: Deployed, make_role: Callable[..., str]) -> None:
    schedules, group = deployed.endpoint.client("scheduler"), arn_of("scheduler", "schedule-group/default")
    role = make_role(f"{deployed.name}-schedule", trusts=["scheduler"])
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "scheduler.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": {"ArnEquals": {"aws:SourceArn": group}, "StringEquals": {"aws:SourceAccount": ACCOUNT}},
    }
    deployed.iam.update_assume_role_policy(
        RoleName=f"{deployed.name}-schedule", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": trust})
    )

    def due_now(name: str) -> None:
        schedules.create_schedule(
            Name=name,
            ScheduleExpression="at(2026-01-01T00:00:00)",
            FlexibleTimeWindow={"Mode": "OFF"},
            Target={"Arn": deployed.arn, "RoleArn": role},
        )

    due_now(f"{deployed.name}-1")
    until(lambda: deployed.told(f"target may not lambda:InvokeFunction on {deployed.arn}"), "it is told")
    assert deployed.given() == []
    policy = json.dumps({"Version": "2012-10-17", "Statement": allow("lambda:InvokeFunction", deployed.arn)})
    deployed.iam.put_role_policy(RoleName=f"{deployed.name}-schedule", PolicyName="own", PolicyDocument=policy)
    due_now(f"{deployed.name}-2")
    until(deployed.given, "the function is invoked")


def test_a_topic_reaches_functions_and_queues_that_let_it_in(deployed: Deployed) -> None:
    sns = deployed.endpoint.client("sns")
    topic = sns.create_topic(Name=deployed.name)["TopicArn"]
    (_, closed), (url, opened) = deployed.queue(), deployed.queue("sns")
    for protocol, subscriber in (("sqs", closed), ("sqs", opened), ("lambda", deployed.arn)):
        sns.subscribe(TopicArn=topic, Protocol=protocol, Endpoint=subscriber)
    sns.publish(TopicArn=topic, Message="first")
    until(lambda: deployed.received(url), "the queue gets it")
    until(lambda: deployed.told(f"on {deployed.arn} for {topic}"), "it is told")
    assert deployed.given() == []
    assert deployed.received(closed.rpartition(":")[2]) == []
    deployed.let_in("sns", topic)
    sns.publish(TopicArn=topic, Message="second")
    (event,) = until(deployed.given, "the function is invoked")
    assert event["Records"][0]["Sns"]["Message"] == "second"


def test_a_bucket_notifies_functions_that_let_it_in(deployed: Deployed) -> None:
    s3, bucket = deployed.endpoint.client("s3"), deployed.name
    s3.create_bucket(Bucket=bucket)
    notified = {"LambdaFunctionArn": deployed.arn, "Events": ["s3:ObjectCreated:*"]}
    s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"LambdaFunctionConfigurations": [notified]}
    )
    s3.put_object(Bucket=bucket, Key="first", Body=b"")
    until(lambda: deployed.told(f"on {deployed.arn} for arn:aws:s3:::{bucket}"), "it is told")
    deployed.let_in("s3", f"arn:aws:s3:::{bucket}")
    s3.put_object(Bucket=bucket, Key="second", Body=b"")
    (event,) = until(deployed.given, "the function is invoked")
    assert event["Records"][0]["s3"]["object"]["key"] == "second"


def test_an_api_calls_a_function_that_lets_it_in(deployed: Deployed) -> None:
    apis = deployed.endpoint.client("apigatewayv2")
    api = apis.create_api(Name=deployed.name, ProtocolType="HTTP")["ApiId"]
    integration = apis.create_integration(
        ApiId=api, IntegrationType="AWS_PROXY", IntegrationUri=deployed.arn, PayloadFormatVersion="2.0"
    )["IntegrationId"]
    apis.create_route(ApiId=api, RouteKey="GET /items/{id}", Target=f"integrations/{integration}")
    apis.create_stage(ApiId=api, StageName="$default", AutoDeploy=True)

    def answer() -> tuple[int, str]:
        host = {"Host": deployed.endpoint.api_host(api)}
        got = httpx.get(f"{deployed.endpoint.url}/items/1", headers=host, trust_env=False)
        return got.status_code, got.text

    assert answer() == (500, '{"message":"Internal Server Error"}')
    assert deployed.told(f"for {arn_of('execute-api', f'{api}/$default/GET/items/{{id}}')}")
    deployed.let_in("apigateway", arn_of("execute-api", f"{api}/*/GET/items/*"))
    assert answer() == (200, "answered")


def test_firehose_writes_with_its_role_and_keeps_what_it_may_not_write(
    deployed: Deployed, make_role: Callable[..., str]
) -> None:
    s3, firehose, bucket = deployed.endpoint.client("s3"), deployed.endpoint.client("firehose"), deployed.name
    s3.create_bucket(Bucket=bucket)
    role = make_role(f"{bucket}-delivery", trusts=["firehose"])
    firehose.create_delivery_stream(
        DeliveryStreamName=bucket,
        ExtendedS3DestinationConfiguration={
            "RoleARN": role,
            "BucketARN": f"arn:aws:s3:::{bucket}",
            "Prefix": "events/",
        },
    )
    firehose.put_record(DeliveryStreamName=bucket, Record={"Data": b"kept"})
    until(lambda: deployed.told(f"{bucket} may not s3:PutObject on arn:aws:s3:::{bucket}/*"), "it is told")
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    policy = json.dumps(
        {"Version": "2012-10-17", "Statement": allow("s3:PutObject", f"arn:aws:s3:::{bucket}/events/*")}
    )
    deployed.iam.put_role_policy(RoleName=f"{bucket}-delivery", PolicyName="own", PolicyDocument=policy)
    until(lambda: "Contents" in s3.list_objects_v2(Bucket=bucket), "the object is written")
    (kept,) = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert s3.get_object(Bucket=bucket, Key=kept["Key"])["Body"].read() == b"kept"


def test_a_failed_invocation_is_sent_to_its_destination_with_the_role_of_the_function(
    deployed: Deployed, package: Any
) -> None:
    failing = package({"code.py": "def handler(event, context): raise ValueError('no')"})
    deployed.functions.update_function_code(FunctionName=deployed.name, ZipFile=failing)
    url, queue = deployed.queue()
    deployed.functions.put_function_event_invoke_config(
        FunctionName=deployed.name, MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": queue}}
    )
    deployed.functions.invoke(FunctionName=deployed.name, InvocationType="Event", Payload=b'"first"')
    until(lambda: deployed.told(f"{deployed.name} may not sqs:SendMessage on {queue}"), "it is told")
    deployed.may(allow("sqs:SendMessage", queue))
    deployed.functions.invoke(FunctionName=deployed.name, InvocationType="Event", Payload=b'"second"')
    (message,) = until(lambda: deployed.received(url), "it is sent")
    assert json.loads(message["Body"])["requestPayload"] == "second"


# --- mappings ---


def test_lambda_refuses_a_mapping_whose_role_may_not_read_the_source(deployed: Deployed) -> None:
    deployed.endpoint.client("kinesis").create_stream(StreamName=deployed.name, ShardCount=1)
    stream = arn_of("kinesis", f"stream/{deployed.name}")
    url, queue = deployed.queue()
    deployed.endpoint.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "60"})

    def refused(source: str, **settings: Any) -> str:
        with pytest.raises(ClientError) as error:
            deployed.functions.create_event_source_mapping(
                FunctionName=deployed.name, EventSourceArn=source, **settings
            )
        assert error.value.response["Error"]["Code"] == "InvalidParameterValueException"
        return str(error.value.response["Error"]["Message"])

    oldest = {"StartingPosition": "TRIM_HORIZON"}
    assert refused(stream, **oldest) == (
        f"Cannot access stream {stream}. Please ensure the role can perform the GetRecords, GetShardIterator, "
        "DescribeStream, ListShards, and ListStreams Actions on your stream in IAM."
    )
    assert refused(queue) == "The provided execution role does not have permissions to call ReceiveMessage on SQS"
    read = ("kinesis:GetRecords", "kinesis:GetShardIterator", "kinesis:DescribeStreamSummary", "kinesis:ListShards")
    deployed.may(*[allow(action, stream) for action in read], allow("sqs:ReceiveMessage", queue))
    sends = {"DestinationConfig": {"OnFailure": {"Destination": queue}}}
    assert refused(stream, **oldest, **sends).endswith("permissions to call SendMessage on SQS")
    assert refused(queue).endswith("permissions to call DeleteMessage on SQS")
    assert deployed.told(f"{deployed.name} may not kinesis:GetRecords on {stream}")
    deployed.functions.create_event_source_mapping(FunctionName=deployed.name, EventSourceArn=stream, **oldest)


def test_a_mapping_on_a_queue_waits_for_the_permission_that_its_role_has_lost(deployed: Deployed) -> None:
    url, queue = deployed.queue()
    sqs = deployed.endpoint.client("sqs")
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "60"})
    reads = [allow(f"sqs:{action}", queue) for action in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")]
    deployed.may(*reads)
    mapping = deployed.functions.create_event_source_mapping(FunctionName=deployed.name, EventSourceArn=queue)["UUID"]
    deployed.may(*reads[1:])
    sqs.send_message(QueueUrl=url, MessageBody="kept")

    def result() -> str:
        return str(deployed.functions.get_event_source_mapping(UUID=mapping)["LastProcessingResult"])

    until(lambda: result().startswith("PROBLEM: "), "the mapping shows the problem")
    assert deployed.given() == []
    deployed.may(*reads)
    (event,) = until(deployed.given, "the message is processed")
    assert event["Records"][0]["body"] == "kept"
