"""Event source mappings that AWS refuses, when they are created and when they are updated.

Recorded answers are from LocalStack, `tests/aws/services/lambda_/event_source_mapping/*.snapshot.json`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from stream_cli.local.endpoint import LocalEndpoint

PLACE = "us-east-1:000000000000"
TOO_COMPLEX = json.dumps({"data": {"bus": [{"wildcard": "*:*:*:*:*:event-bus/*"}]}})

INVALID = [
    *("single-string", "null", "[]", "{}", '[{"eventName": ["INSERT"=123}]', '{"eventSource": "aws:sqs"}'),
    *('{"eventSource": []}', TOO_COMPLEX),
]


class Function:
    """A function, and sources that it may be mapped to."""

    def __init__(self, endpoint: LocalEndpoint, name: str, functions: Any) -> None:
        self.endpoint, self.name, self.functions = endpoint, name, functions

    def stream(self) -> str:
        self.endpoint.client("kinesis").create_stream(StreamName=self.name, ShardCount=1)
        return f"arn:aws:kinesis:{PLACE}:stream/{self.name}"

    def table(self) -> str:
        created = self.endpoint.client("dynamodb").create_table(
            TableName=self.name,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
        return str(created["TableDescription"]["LatestStreamArn"])

    def queue(self, suffix: str = "", **attributes: str) -> str:
        self.endpoint.client("sqs").create_queue(QueueName=self.name + suffix, Attributes=attributes)
        return f"arn:aws:sqs:{PLACE}:{self.name}{suffix}"

    def source(self, kind: str) -> str:
        return {"kinesis": self.stream, "dynamodb": self.table, "sqs": self.queue}[kind]()

    def map(self, source: str, **given: Any) -> str:
        if ":sqs:" not in source:
            given = {"StartingPosition": "LATEST", **given}
        created = self.functions.create_event_source_mapping(
            FunctionName=given.pop("FunctionName", self.name), EventSourceArn=source, **given
        )
        return str(created["UUID"])

    def refused(self, source: str, **given: Any) -> tuple[int, str, str]:
        with pytest.raises(ClientError) as refused:
            self.map(source, **given)
        return answer(refused.value)

    def update_refused(self, mapping: str, **given: Any) -> tuple[int, str, str]:
        with pytest.raises(ClientError) as refused:
            self.functions.update_event_source_mapping(UUID=mapping, **given)
        return answer(refused.value)


def answer(error: ClientError) -> tuple[int, str, str]:
    given = error.response
    return given["ResponseMetadata"]["HTTPStatusCode"], given["Error"]["Code"], given["Error"]["Message"]


def invalid(message: str) -> tuple[int, str, str]:
    return 400, "InvalidParameterValueException", message


@pytest.fixture
def function(endpoint: LocalEndpoint, name: str, made: Callable[..., Any]) -> Function:
    return Function(endpoint, name, made())


@pytest.mark.parametrize(
    "source",
    [
        f"arn:aws:kinesis:{PLACE}:stream/absent",
        f"arn:aws:kinesis:{PLACE}:stream/absent/consumer/fan-out:1700000000",
        f"arn:aws:dynamodb:{PLACE}:table/absent/stream/2026-11-21T00:00:00.000",
    ],
)
def test_a_stream_that_does_not_exist_is_refused(function: Function, source: str) -> None:
    """`test_esm_with_not_existing_kinesis_stream`."""
    assert function.refused(source) == invalid(f"Stream not found: {source}")


def test_a_consumer_that_is_not_registered_is_refused(function: Function) -> None:
    consumer = f"{function.stream()}/consumer/fan-out:1700000000"
    assert function.refused(consumer) == invalid(f"Stream not found: {consumer}")


def test_a_former_stream_of_a_table_that_has_another_one_is_refused(function: Function) -> None:
    former = function.table().rpartition("/")[0] + "/2020-01-01T00:00:00.000"
    assert function.refused(former) == invalid(f"Stream not found: {former}")


def test_a_queue_that_does_not_exist_is_refused(function: Function) -> None:
    status, code, message = function.refused(f"arn:aws:sqs:{PLACE}:absent")
    assert (status, code) == (400, "InvalidParameterValueException")
    assert "Error occurred while ReceiveMessage" in message
    assert "AWS.SimpleQueueService.NonExistentQueue" in message


@pytest.mark.parametrize("kind", ["kinesis", "dynamodb"])
def test_a_second_mapping_of_a_stream_to_a_function_is_refused(function: Function, kind: str) -> None:
    """`test_duplicate_event_source_mappings`."""
    source = function.source(kind)
    mapping = function.map(source)
    assert function.refused(source, BatchSize=7) == (
        409,
        "ResourceConflictException",
        f'The event source arn (" {source} ") and function (" {function.name} ") provided mapping already exists. '
        f"Please update or delete the existing mapping with UUID {mapping}",
    )
    arn = f"arn:aws:lambda:{PLACE}:function:{function.name}"
    assert function.refused(source, FunctionName=arn)[1] == "ResourceConflictException"


def test_a_second_mapping_of_a_queue_to_a_function_is_refused(function: Function) -> None:
    source = function.queue()
    mapping = function.map(source)
    assert function.refused(source) == (
        409,
        "ResourceConflictException",
        f'An event source mapping with SQS arn (" {source} ") and function (" {function.name} ") already exists. '
        f"Please update or delete the existing mapping with UUID {mapping}",
    )
    function.functions.delete_event_source_mapping(UUID=mapping)
    function.map(source)


def test_a_source_may_be_mapped_to_several_functions(
    endpoint: LocalEndpoint, function: Function, name: str, make_function: Callable[..., Any]
) -> None:
    source = function.stream()
    first, other = function.map(source), Function(endpoint, f"{name}-2", make_function(f"{name}-2"))
    second = other.map(source)
    assert first != second
    status, code, message = function.update_refused(second, FunctionName=name)
    assert (status, code) == (409, "ResourceConflictException")
    assert first in message
    function.functions.update_event_source_mapping(UUID=second, FunctionName=other.name, BatchSize=3)


@pytest.mark.parametrize("kind", ["kinesis", "dynamodb", "sqs"])
@pytest.mark.parametrize("pattern", INVALID)
def test_an_invalid_filter_is_refused(function: Function, kind: str, pattern: str) -> None:
    """`test_dynamodb_invalid_event_filter`, `test_sqs_invalid_event_filter`."""
    source = function.source(kind)
    criteria = {"Filters": [{"Pattern": '{"a": ["b"]}'}, {"Pattern": pattern}]}
    created = function.refused(source, FilterCriteria=criteria)
    assert created[:2] == (400, "InvalidParameterValueException")
    assert created[2].startswith("Invalid filter pattern definition. filterPatterns[1].")
    mapping = function.map(source)
    assert function.update_refused(mapping, FilterCriteria=criteria) == created
    assert "FilterCriteria" not in function.functions.get_event_source_mapping(UUID=mapping)


WINDOW_NEEDED = invalid(
    "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"
)


def test_more_than_ten_messages_of_a_queue_need_a_window(function: Function) -> None:
    source = function.queue()
    assert function.refused(source, BatchSize=11) == WINDOW_NEEDED
    mapping = function.map(source, BatchSize=11, MaximumBatchingWindowInSeconds=1)
    assert function.update_refused(mapping, MaximumBatchingWindowInSeconds=0) == WINDOW_NEEDED
    function.functions.update_event_source_mapping(UUID=mapping, BatchSize=10, MaximumBatchingWindowInSeconds=0)
    assert function.update_refused(mapping, BatchSize=11) == WINDOW_NEEDED


def test_a_fifo_queue_has_no_window_and_ten_messages_at_most(function: Function) -> None:
    source = function.queue(".fifo", FifoQueue="true")
    assert "FIFO" in function.refused(source, MaximumBatchingWindowInSeconds=1)[2]
    assert "FIFO" in function.refused(source, BatchSize=11)[2]
    function.map(source, BatchSize=10)


def test_messages_must_not_be_visible_again_while_the_function_may_run(function: Function) -> None:
    source = function.queue(VisibilityTimeout="19")
    message = "Queue visibility timeout: 19 seconds is less than Function timeout: 20 seconds"
    assert function.refused(source) == invalid(message)


@pytest.mark.parametrize("age", [0, 59])
def test_a_record_age_below_a_minute_is_refused(function: Function, age: int) -> None:
    """Lambda API reference: "values less than 60 and greater than -1 [...] are not allowed"."""
    assert "MaximumRecordAgeInSeconds" in function.refused(function.stream(), MaximumRecordAgeInSeconds=age)[2]


def test_positions_that_do_not_fit_the_source_are_refused(function: Function) -> None:
    """`test_create_starting_position_validation_exceptions`."""
    stream, table, queue = function.stream(), function.table(), function.queue()
    assert function.refused(queue, StartingPosition="LATEST") == invalid(
        "StartingPosition is not valid for SQS event sources."
    )
    for source in (stream, table):
        assert function.refused(source, StartingPositionTimestamp=1_700_000_000) == invalid(
            "Timestamp only valid with StartingPosition AT_TIMESTAMP"
        )
    assert function.refused(table, StartingPosition="AT_TIMESTAMP", StartingPositionTimestamp=1) == invalid(
        f"Unsupported starting position for arn type: {table}"
    )
    with pytest.raises(ClientError, match="Value null at 'startingPosition'"):
        function.functions.create_event_source_mapping(FunctionName=function.name, EventSourceArn=stream)


@pytest.mark.parametrize(
    ("properties", "problem"),
    [
        ({"EventSourceArn": f"arn:aws:kinesis:{PLACE}:stream/absent"}, "Stream not found"),
        ({"BatchSize": 11}, "Maximum batch window"),
        ({"FilterCriteria": {"Filters": [{"Pattern": "{}"}]}}, "Invalid filter pattern definition"),
        ({}, "already exists"),
    ],
)
def test_a_mapping_of_a_template_is_refused_likewise(
    endpoint: LocalEndpoint, function: Function, name: str, properties: dict[str, Any], problem: str
) -> None:
    queue = function.queue()
    if not properties:
        function.map(queue)
    given = {"FunctionName": name, "EventSourceArn": queue, **properties}
    if ":kinesis:" in given["EventSourceArn"]:
        given["StartingPosition"] = "LATEST"
    template = {"Resources": {"Mapping": {"Type": "AWS::Lambda::EventSourceMapping", "Properties": given}}}
    stacks = endpoint.client("cloudformation")
    stacks.create_stack(StackName=name, TemplateBody=json.dumps(template))
    with pytest.raises(Exception, match="StackCreateComplete"):
        stacks.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    events = stacks.describe_stack_events(StackName=name)["StackEvents"]
    assert any(problem in event.get("ResourceStatusReason", "") for event in events)
