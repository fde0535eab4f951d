"""A stage `dev` in moto, a second implementation of AWS: a lake, a table, a bus with a stream, two functions."""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from moto import mock_aws
from observed_system import HANDLERS
from stream_cli.errors import CommandError
from stream_cli.stored.connection import Connection
from stream_cli.trace.stage.connecting import StageApis

REGION, ACCOUNT = "us-east-1", "123456789012"
BUS, TABLE, STREAM, QUEUE = "hub-dev", "control-dev-events", "hub-dev-s1", "control-dev-failures"
LISTENER, TRIGGER = "control-dev-listener", "control-dev-trigger"
STREAM_ARN = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{STREAM}"
REQUEST = "265db889-8150-4bbe-98a8-9dcd5cb41ddf"
XRAY = "1-6b02aae8-b6f076c2283162333924fb78"
PATTERN = {"detail-type": [{"anything-but": ["internal"]}]}


class StageInMoto:
    """What happens in the stage; times are now, since metrics and logs that are older are not taken."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)
        self.at = int(self.now.timestamp() * 1000)
        self.code = _zipped({"handlers.py": HANDLERS})
        self.traces: list[dict[str, Any]] = []
        self._objects = 0
        self._s3 = boto3.client("s3")
        self._s3.create_bucket(Bucket="lake-dev")
        boto3.client("iam").create_role(RoleName="runs", AssumeRolePolicyDocument="{}")
        boto3.client("kinesis").create_stream(StreamName=STREAM, ShardCount=1)
        url = boto3.client("sqs").create_queue(QueueName=QUEUE)["QueueUrl"]
        boto3.client("dynamodb").create_table(
            TableName=TABLE, BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": each, "AttributeType": "S"} for each in ("pk", "sk")],
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )  # fmt: skip
        for name, handler in ((LISTENER, "listener"), (TRIGGER, "trigger"), ("of-another-stage", "listener")):
            self._function(name, handler)
        self.resources = {
            "AWS::Events::EventBus": [BUS], "AWS::Kinesis::Stream": [STREAM], "AWS::SQS::Queue": [url],
            "AWS::DynamoDB::Table": [TABLE], "AWS::Lambda::Function": [LISTENER, TRIGGER],
        }  # fmt: skip
        boto3.client("events").create_event_bus(Name=BUS)
        events = boto3.client("events")
        events.put_rule(Name="to-stream", EventBusName=BUS, EventPattern=json.dumps(PATTERN), State="ENABLED")
        events.put_targets(Rule="to-stream", EventBusName=BUS, Targets=[{"Id": "1", "Arn": STREAM_ARN}])
        patterns = [{"Pattern": json.dumps({"data": {"type": ["submitted", "analyzed"]}})}]
        self.mapping = boto3.client("lambda").create_event_source_mapping(
            FunctionName=LISTENER, EventSourceArn=STREAM_ARN, StartingPosition="LATEST",
            FilterCriteria={"Filters": patterns},
        )["UUID"]  # fmt: skip

    def event(self, id: str, type: str, story: str = "story-1", *, ago: timedelta = timedelta(), **more: Any) -> None:
        """An event in the lake, in an object of its own."""
        at = self.now - ago
        detail = {
            "id": id, "type": type, "timestamp": int(at.timestamp() * 1000), "partition_key": story,
            "story": {"id": story}, **more,
        }  # fmt: skip
        envelope = {"id": f"bus-{id}", "source": "bff", "detail-type": type, "time": at.isoformat(), "detail": detail}
        self._objects += 1
        key = f"events/dt={at:%Y-%m-%d}/hour={at:%H}/{self._objects:05}"
        self._s3.put_object(Bucket="lake-dev", Key=key, Body=json.dumps(envelope).encode())

    def row(self, pk: str, sk: str, **more: Mapping[str, Any]) -> None:
        item = {"pk": {"S": pk}, "sk": {"S": sk}, "timestamp": {"N": str(self.at)}, **more}
        boto3.client("dynamodb").put_item(TableName=TABLE, Item=item)

    def logged(self, function: str, *messages: str) -> None:
        logs, group = boto3.client("logs"), f"/aws/lambda/{function}"
        logs.create_log_group(logGroupName=group)
        logs.create_log_stream(logGroupName=group, logStreamName="s")
        events = [{"timestamp": self.at - 1000 + place, "message": message} for place, message in enumerate(messages)]
        logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=events)

    def traced(self, function: str, took_s: float) -> None:
        segment = {
            "trace_id": XRAY, "id": "1234567890abcdef", "name": function, "start_time": self.at / 1000,
            "end_time": self.at / 1000 + took_s, "aws": {"request_id": REQUEST},
        }  # fmt: skip
        self.traces.append({"Id": XRAY, "Segments": [{"Document": json.dumps(segment)}]})

    def measured(self, namespace: str, name: str, value: float, **dimensions: str) -> None:
        """A point of three minutes ago."""
        named = [{"Name": each, "Value": given} for each, given in dimensions.items()]
        data = {"MetricName": name, "Dimensions": named, "Value": value, "Timestamp": self.now - timedelta(minutes=3)}
        boto3.client("cloudwatch").put_metric_data(Namespace=namespace, MetricData=[data])

    def output(self, stack: str) -> str:
        """The bucket of a stack."""
        if stack != "event-lake-s3-dev":
            raise CommandError(f"Stack {stack} cannot be read: it does not exist.")
        return "lake-dev"

    def stack(self, operation: str) -> dict[str, Any]:
        """What CloudFormation answers of the one stack."""
        if operation == "DescribeStacks":
            described = {
                "StackName": "control-dev",
                "StackStatus": "CREATE_COMPLETE",
                "Tags": [{"Key": "STAGE", "Value": "dev"}],
            }
            return {
                "Stacks": [{**described, "StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/control-dev/1"}]
            }
        named = [
            (f"{type.rpartition(':')[2]}{place}", type, name)
            for type, names in self.resources.items()
            for place, name in enumerate(names)
        ]
        if operation == "GetTemplate":
            return {"TemplateBody": {"Resources": {id: {"Type": type} for id, type, _ in named}}}
        return {"StackResourceSummaries": [
            {"LogicalResourceId": id, "PhysicalResourceId": name, "ResourceType": type, "ResourceStatus": "COMPLETE"}
            for id, type, name in named
        ]}  # fmt: skip

    def _function(self, name: str, handler: str) -> None:
        boto3.client("lambda").create_function(
            FunctionName=name, Runtime="python3.13", Handler=f"handlers.{handler}",
            Role=f"arn:aws:iam::{ACCOUNT}:role/runs", Code={"ZipFile": self.code}, TracingConfig={"Mode": "Active"},
            Environment={"Variables": {"EVENT_TABLE_NAME": TABLE, "ENTITY_TABLE_NAME": TABLE, "BUS_NAME": BUS}},
        )  # fmt: skip


@contextmanager
def in_moto(monkeypatch: pytest.MonkeyPatch) -> Iterator[StageInMoto]:
    """The stage, which boto3 of this process reaches."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws(config={"lambda": {"use_docker": False}}):
        made = StageInMoto()
        # moto has no address for code, and its CloudFormation takes a package that is not installed.
        monkeypatch.setattr(StageApis, "code", lambda self, function: made.code)
        monkeypatch.setattr(Connection, "resources", lambda self: made.resources)
        monkeypatch.setattr(Connection, "_output", lambda self, stack, output: made.output(stack))
        answering_x_ray(made, monkeypatch)
        yield made


def answering_x_ray(made: StageInMoto, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer for X-Ray and CloudFormation, whose moto takes packages that are not installed."""
    call = BaseClient._make_api_call  # type: ignore[attr-defined]

    def answered(self: Any, operation: str, request: Any) -> Any:
        if operation == "BatchGetTraces":
            return {"Traces": [each for each in made.traces if each["Id"] in request["TraceIds"]]}
        if self.meta.service_model.service_name == "cloudformation":
            return made.stack(operation)
        return call(self, operation, request)

    monkeypatch.setattr(BaseClient, "_make_api_call", answered)


def _zipped(files: Mapping[str, str]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as package:
        for name, text in files.items():
            package.writestr(name, text)
    return content.getvalue()


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """The requests that are made to AWS, by operation."""
    made: Counter[str] = Counter()
    call = BaseClient._make_api_call  # type: ignore[attr-defined]

    def counting(self: Any, operation: str, request: Any) -> Any:
        made[operation] += 1
        return call(self, operation, request)

    with monkeypatch.context() as patching:
        patching.setattr(BaseClient, "_make_api_call", counting)
        yield made
