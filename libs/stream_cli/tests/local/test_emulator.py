from __future__ import annotations

import base64
import io
import json
import time
import zipfile
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError
from stream_cli.local import emulator, injected_faults
from stream_cli.local.endpoint import LocalEndpoint

ROLE = "arn:aws:iam::000000000000:role/any"


Made = Callable[..., Any]


def invoked(functions: Any, name: str) -> Any:
    return json.loads(functions.invoke(FunctionName=name, Payload=b"{}")["Payload"].read())


def made_stream(endpoint: LocalEndpoint, name: str) -> str:
    kinesis = endpoint.client("kinesis")
    kinesis.create_stream(StreamName=name, ShardCount=1)
    return str(kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamARN"])


def deployed(endpoint: LocalEndpoint, name: str, resources: dict[str, Any], outputs: dict[str, Any]) -> dict[str, str]:
    stacks = endpoint.client("cloudformation")
    template = {"Resources": resources, "Outputs": {key: {"Value": value} for key, value in outputs.items()}}
    exists = any(stack["StackName"] == name for stack in stacks.list_stacks()["StackSummaries"])
    (stacks.update_stack if exists else stacks.create_stack)(StackName=name, TemplateBody=json.dumps(template))
    deadline = time.monotonic() + 10
    while (stack := stacks.describe_stacks(StackName=name)["Stacks"][0])["StackStatus"].endswith("IN_PROGRESS"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert stack["StackStatus"] in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}, stack
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def removed(endpoint: LocalEndpoint, name: str) -> None:
    stacks = endpoint.client("cloudformation")
    stacks.delete_stack(StackName=name)
    deadline = time.monotonic() + 10
    while any(
        s["StackName"] == name and s["StackStatus"] != "DELETE_COMPLETE" for s in stacks.list_stacks()["StackSummaries"]
    ):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_pinned_emulator_is_installed_and_has_every_internal_that_patches_rely_on() -> None:
    assert version("ministack") == emulator.PINNED
    emulator.verify_pinned()


def test_another_version_of_the_emulator_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emulator, "PINNED", "0.0.0")
    with pytest.raises(RuntimeError, match=r"written for 0\.0\.0"):
        emulator.verify_pinned()


def test_an_internal_name_that_is_gone_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(emulator.INTERNALS, "ministack.services.kinesis", ("_gone",))
    with pytest.raises(RuntimeError, match="_gone"):
        emulator.verify_pinned()


def test_a_version_of_a_function_keeps_the_code_that_it_was_published_with(name: str, made: Made, package: Any) -> None:
    first, second = (f"def handler(event, context): return {number}" for number in (1, 2))
    functions = made(first)
    functions.publish_version(FunctionName=name)
    functions.update_function_code(FunctionName=name, ZipFile=package({"code.py": second}))

    def code(**version: str) -> str:
        answer = httpx.get(functions.get_function(FunctionName=name, **version)["Code"]["Location"], trust_env=False)
        with zipfile.ZipFile(io.BytesIO(answer.content)) as package:
            return package.read("code.py").decode()

    assert (code(Qualifier="1"), code(), code(Qualifier="$LATEST")) == (first, second, second)


def test_a_mapping_keeps_every_field_that_it_is_created_with(endpoint: LocalEndpoint, name: str, made: Made) -> None:
    functions = made()
    created = functions.create_event_source_mapping(
        FunctionName=name,
        EventSourceArn=made_stream(endpoint, name),
        StartingPosition="AT_TIMESTAMP",
        StartingPositionTimestamp=1_700_000_000,
        TumblingWindowInSeconds=30,
        ParallelizationFactor=1,
    )
    read = functions.get_event_source_mapping(UUID=created["UUID"])
    assert created["TumblingWindowInSeconds"] == read["TumblingWindowInSeconds"] == 30
    assert read["StartingPositionTimestamp"].timestamp() == 1_700_000_000
    assert read["ParallelizationFactor"] == 1


def test_a_mapping_keeps_every_field_that_it_is_updated_with(endpoint: LocalEndpoint, name: str, made: Made) -> None:
    functions = made()
    created = functions.create_event_source_mapping(
        FunctionName=name, EventSourceArn=made_stream(endpoint, name), StartingPosition="LATEST"
    )
    functions.update_event_source_mapping(UUID=created["UUID"], TumblingWindowInSeconds=60)
    assert functions.get_event_source_mapping(UUID=created["UUID"])["TumblingWindowInSeconds"] == 60


def test_a_mapping_of_a_template_keeps_its_fields_through_an_update(
    endpoint: LocalEndpoint, name: str, made: Made
) -> None:
    functions = made()
    properties = {
        "FunctionName": name,
        "EventSourceArn": made_stream(endpoint, name),
        "StartingPosition": "AT_TIMESTAMP",
        "StartingPositionTimestamp": 1_700_000_000,
        "TumblingWindowInSeconds": "30",
    }
    mapping = {"Type": "AWS::Lambda::EventSourceMapping", "Properties": properties}
    before = deployed(endpoint, name, {"Mapping": mapping}, {"Id": {"Ref": "Mapping"}})
    mapping["Properties"] = {**properties, "TumblingWindowInSeconds": 60}
    after = deployed(endpoint, name, {"Mapping": mapping}, {"Id": {"Ref": "Mapping"}})
    read = functions.get_event_source_mapping(UUID=after["Id"])
    assert before == after
    assert read["TumblingWindowInSeconds"] == 60
    assert read["StartingPositionTimestamp"].timestamp() == 1_700_000_000


def test_a_stream_consumer_of_a_template_can_be_described(endpoint: LocalEndpoint, name: str) -> None:
    consumer = {
        "Type": "AWS::Kinesis::StreamConsumer",
        "Properties": {"ConsumerName": "fan-out", "StreamARN": made_stream(endpoint, name)},
    }
    outputs = {"Ref": {"Ref": "C"}, "Arn": {"Fn::GetAtt": ["C", "ConsumerARN"]}}
    given = deployed(endpoint, name, {"C": consumer}, outputs)
    described = endpoint.client("kinesis").describe_stream_consumer(ConsumerARN=given["Arn"])
    assert given["Ref"] == given["Arn"]
    assert described["ConsumerDescription"]["ConsumerStatus"] == "ACTIVE"
    removed(endpoint, name)
    with pytest.raises(ClientError, match="ResourceNotFound"):
        endpoint.client("kinesis").describe_stream_consumer(ConsumerARN=given["Arn"])


def test_an_archive_of_a_template_takes_the_events_that_match_its_pattern(endpoint: LocalEndpoint, name: str) -> None:
    bus = {"Type": "AWS::Events::EventBus", "Properties": {"Name": name}}
    archive = {
        "Type": "AWS::Events::Archive",
        "Properties": {
            "ArchiveName": name,
            "SourceArn": {"Fn::GetAtt": ["Bus", "Arn"]},
            "RetentionDays": 3,
            "EventPattern": {"detail-type": [{"anything-but": "fault"}]},
        },
    }
    given = deployed(endpoint, name, {"Bus": bus, "A": archive}, {"Arn": {"Fn::GetAtt": ["A", "Arn"]}})
    events = endpoint.client("events")
    entry = {"EventBusName": name, "Source": "custom", "Detail": "{}"}
    events.put_events(Entries=[{**entry, "DetailType": "fault"}, {**entry, "DetailType": "item-submitted"}])
    described = events.describe_archive(ArchiveName=name)
    assert described["ArchiveArn"] == given["Arn"]
    assert described["RetentionDays"] == 3
    assert described["EventCount"] == 1


@pytest.mark.parametrize(
    "permission",
    [
        {"Action": "events:PutEvents", "Principal": "123456789012"},
        {"Statement": {"Effect": "Allow", "Principal": {"AWS": "123456789012"}, "Action": "events:PutEvents"}},
    ],
)
def test_a_bus_policy_of_a_template_is_the_policy_of_the_bus(
    endpoint: LocalEndpoint, name: str, permission: dict[str, Any]
) -> None:
    bus = {"Type": "AWS::Events::EventBus", "Properties": {"Name": name}}
    policy = {
        "Type": "AWS::Events::EventBusPolicy",
        "Properties": {"EventBusName": {"Ref": "Bus"}, "StatementId": "others", **permission},
    }
    deployed(endpoint, name, {"Bus": bus, "P": policy}, {})
    (statement,) = json.loads(endpoint.client("events").describe_event_bus(Name=name)["Policy"])["Statement"]
    assert statement["Sid"] == "others"
    assert "123456789012" in json.dumps(statement["Principal"])


def test_schema_discovery_of_a_template_is_recorded(endpoint: LocalEndpoint, name: str) -> None:
    bus = {"Type": "AWS::Events::EventBus", "Properties": {"Name": name}}
    discoverer = {"Type": "AWS::EventSchemas::Discoverer", "Properties": {"SourceArn": {"Fn::GetAtt": ["Bus", "Arn"]}}}
    registry = {"Type": "AWS::EventSchemas::Registry", "Properties": {"RegistryName": name}}
    given = deployed(
        endpoint,
        name,
        {"Bus": bus, "D": discoverer, "R": registry},
        {"D": {"Fn::GetAtt": ["D", "DiscovererArn"]}, "R": {"Fn::GetAtt": ["R", "RegistryArn"]}},
    )
    assert ":discoverer/" in given["D"]
    assert given["R"].endswith(f":registry/{name}")


def test_the_emulator_does_not_poll_streams_itself(endpoint: LocalEndpoint, name: str, made: Made) -> None:
    functions = made()
    functions.create_event_source_mapping(
        FunctionName=name, EventSourceArn=made_stream(endpoint, name), StartingPosition="TRIM_HORIZON", BatchSize=1
    )
    endpoint.client("kinesis").put_record(StreamName=name, Data=b"{}", PartitionKey="k")
    # The same loop serves SQS: once that has happened after the record was put, the stream's turn has passed as well.
    queue_url = endpoint.client("sqs").create_queue(QueueName=name)["QueueUrl"]
    attributes = endpoint.client("sqs").get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])
    functions.create_event_source_mapping(FunctionName=name, EventSourceArn=attributes["Attributes"]["QueueArn"])
    endpoint.client("sqs").send_message(QueueUrl=queue_url, MessageBody="from the queue")
    logs = endpoint.client("logs")
    deadline = time.monotonic() + 15
    while not (starts := starts_of(logs, name)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(starts) == 1


def starts_of(logs: Any, name: str) -> list[str]:
    try:
        events = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    except logs.exceptions.ResourceNotFoundException:
        return []
    return [event["message"] for event in events if event["message"].startswith("START")]


def test_a_function_sees_boto3_as_on_aws(name: str, made: Made) -> None:
    source = "import boto3\ndef handler(event, context): return boto3.client('sts').get_caller_identity()['Account']"
    assert invoked(made(source), name) == "000000000000"


@pytest.mark.parametrize("module", ["stream_runtime", "stream_cli", "pydash", "pytest", "ministack"])
def test_a_function_cannot_import_what_its_package_does_not_contain(name: str, module: str, made: Made) -> None:
    source = f"import {module}\ndef handler(event, context): return 'imported'"
    assert f"No module named '{module}'" in invoked(made(source), name)["errorMessage"]


def test_a_function_does_not_see_the_environment_of_the_caller(name: str, made: Made) -> None:
    source = "import os\ndef handler(event, context): return sorted(os.environ)"
    names = invoked(made(source), name)
    assert not {"PYTEST_CURRENT_TEST", "PYTHONPATH", "VIRTUAL_ENV"} & set(names)


def test_a_function_that_raises_keeps_its_process(name: str, made: Made) -> None:
    source = "import os\ndef handler(event, context):\n    return event['absent'] if event else os.getpid()\n"
    functions = made(source)
    first = invoked(functions, name)
    raised = functions.invoke(FunctionName=name, Payload=b'{"present": 1}', LogType="Tail")
    assert raised["FunctionError"] == "Unhandled"
    assert json.loads(raised["Payload"].read())["errorMessage"] == "'absent'"
    assert "KeyError" in base64.b64decode(raised["LogResult"]).decode()
    assert invoked(functions, name) == first


def test_a_function_whose_process_ends_gets_another_one(name: str, made: Made) -> None:
    source = "import os\ndef handler(event, context):\n    return os._exit(1) if event else os.getpid()\n"
    functions = made(source)
    first = invoked(functions, name)
    assert functions.invoke(FunctionName=name, Payload=b'{"end": 1}')["FunctionError"] == "Unhandled"
    assert invoked(functions, name) not in {first, None}


def test_an_injected_fault_fires_the_given_number_of_times(endpoint: LocalEndpoint, name: str) -> None:
    sqs = endpoint.client("sqs", attempts=1)
    queue_url = sqs.create_queue(QueueName=name)["QueueUrl"]
    fault_id = injected_faults.arm_fault(
        endpoint, target="AmazonSQS.SendMessage", contains=[name, "poison"], times=2, error="ThrottlingException"
    )
    outcomes = []
    for body in ("poison", "good", "poison", "poison"):
        try:
            sqs.send_message(QueueUrl=queue_url, MessageBody=body)
            outcomes.append("sent")
        except ClientError as error:
            outcomes.append(error.response["Error"]["Code"])
    (fault,) = [fault for fault in injected_faults.faults(endpoint) if fault["id"] == fault_id]
    assert outcomes == ["ThrottlingException", "sent", "ThrottlingException", "sent"]
    assert fault["fired"] == 2


def test_an_injected_fault_lasts_for_the_given_seconds(endpoint: LocalEndpoint, name: str) -> None:
    sqs = endpoint.client("sqs", attempts=1)
    queue_url = sqs.create_queue(QueueName=name)["QueueUrl"]
    armed = time.monotonic()
    fault_id = injected_faults.arm_fault(
        endpoint, target="AmazonSQS.SendMessage", contains=name, seconds=0.5, error="ThrottlingException"
    )
    refused = 0
    while time.monotonic() < armed + 10:
        try:
            sqs.send_message(QueueUrl=queue_url, MessageBody="late")
            break
        except ClientError:
            refused += 1
    assert 0.5 <= time.monotonic() - armed < 10
    (fault,) = [fault for fault in injected_faults.faults(endpoint) if fault["id"] == fault_id]
    assert fault["fired"] == refused > 1


@pytest.mark.parametrize(
    "fault",
    [
        [],
        {"target": "x"},
        {"target": "x", "error": "y", "when": 1},
        {"target": "x", "error": "y", "times": 0},
        {"target": "x", "error": "y", "times": None},
        {"target": "x", "error": "y", "seconds": 0},
        {"target": "x", "error": "y", "seconds": "long"},
    ],
)
def test_an_invalid_fault_is_refused(endpoint: LocalEndpoint, fault: Any) -> None:
    answer = httpx.post(f"{endpoint.url}{injected_faults.FAULTS_PATH}", json=fault, trust_env=False)
    assert answer.status_code == 400
    assert answer.json()["message"]


def test_every_event_of_a_log_group_can_be_read_page_by_page(endpoint: LocalEndpoint, name: str) -> None:
    logs = endpoint.client("logs")
    logs.create_log_group(logGroupName=name)
    for stream, numbers in (("even", range(0, 12, 2)), ("odd", range(1, 12, 2)), ("late", [99])):
        logs.create_log_stream(logGroupName=name, logStreamName=stream)
        events = [{"timestamp": 1_000 + n, "message": f"event {n}"} for n in numbers]
        logs.put_log_events(logGroupName=name, logStreamName=stream, logEvents=events)

    def read(**asked: Any) -> list[list[str]]:
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=name, **asked)
        return [[event["message"].removeprefix("event ") for event in page["events"]] for page in pages]

    assert read(limit=5) == [["0", "1", "2", "3", "4"], ["5", "6", "7", "8", "9"], ["10", "11", "99"]]
    assert read(logStreamNamePrefix="o", limit=4) == [["1", "3", "5", "7"], ["9", "11"]]
    assert read(logStreamNames=["even"], startTime=1_004, endTime=1_008) == [["4", "6", "8"]]
    assert read(filterPattern="99") == [["99"]]
    with pytest.raises(ClientError, match="InvalidParameterException"):
        logs.filter_log_events(logGroupName=name, nextToken="x")
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        logs.filter_log_events(logGroupName=f"{name}-absent")
