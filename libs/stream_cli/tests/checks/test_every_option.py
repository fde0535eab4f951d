"""What the Serverless CLI compiles from every option of stream events, and how the checks read it.

`tests/fixtures/check-every-option` has one function for each form; what is expected of it stands here under its name.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from stream_cli.checks.findings import run
from stream_cli.checks.kinds import CHECKS
from stream_cli.checks.service.packaged import Service, read_service
from stream_cli.checks.service.resources import EventSourceMapping

pytestmark = pytest.mark.packaging

BY_STRING = "arn:aws:kinesis:us-east-1:123456789012:stream/by-string"
BY_OBJECT = "arn:aws:kinesis:us-east-1:123456789012:stream/by-object"
TABLE_STRING = "arn:aws:dynamodb:us-east-1:123456789012:table/by-string/stream/2026-01-01T00:00:00.000"
GET_ATT = {"Fn::GetAtt": ["Stream", "Arn"]}
REF = {"Ref": "StreamArn"}
IMPORT = {"Fn::ImportValue": "shared-stream-arn"}
TABLE_GET_ATT = {"Fn::GetAtt": ["Table", "StreamArn"]}
TABLE_REF = {"Ref": "TableStreamArn"}
TABLE_IMPORT = {"Fn::ImportValue": "shared-table-stream-arn"}
TABLE_JOIN = {"Fn::Join": ["/", [{"Fn::GetAtt": ["Table", "Arn"]}, "stream", "2026-01-01T00:00:00.000"]]}
QUEUE_STRING, TOPIC_STRING = (
    "arn:aws:sqs:us-east-1:123456789012:failures",
    "arn:aws:sns:us-east-1:123456789012:failures",
)
QUEUE, TOPIC = {"Fn::GetAtt": ["Failures", "Arn"]}, {"Ref": "FailuresTopic"}
QUEUE_SUB = {"Fn::Sub": "arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:failures"}
CONSUMER_STRING = f"{BY_STRING}/consumer/registered:1700000000"
CONSUMER_JOIN = {"Fn::Join": ["/", [GET_ATT, "consumer", "registered:1700000000"]]}


def join(service: str, name: str) -> dict[str, Any]:
    here = [{"Ref": "AWS::Region"}, {"Ref": "AWS::AccountId"}]
    return {"Fn::Join": [":", ["arn", {"Ref": "AWS::Partition"}, service, *here, name]]}


JOIN = join("kinesis", "stream/by-join")


def statement(actions: list[str], resource: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": [resource]}


def reads_kinesis(stream: Any) -> dict[str, Any]:
    actions = ["GetRecords", "GetShardIterator", "DescribeStream", "ListStreams"]
    return statement([f"kinesis:{each}" for each in actions], stream)


def reads_table(stream: Any) -> dict[str, Any]:
    actions = ["GetRecords", "GetShardIterator", "DescribeStream", "ListStreams"]
    return statement([f"dynamodb:{each}" for each in actions], stream)


def reads_by_consumer(stream: Any, consumer: Any) -> list[dict[str, Any]]:
    actions = ["GetRecords", "GetShardIterator", "DescribeStreamSummary", "ListShards"]
    return [
        statement([f"kinesis:{each}" for each in actions], stream),
        statement(["kinesis:SubscribeToShard"], consumer),
    ]


def sends(queue: Any) -> dict[str, Any]:
    return statement(["sqs:ListQueues", "sqs:SendMessage"], queue)


def publishes(topic: Any) -> dict[str, Any]:
    return statement(["sns:Publish"], topic)


def registered(function: str, stream: str) -> dict[str, str]:
    """The reference to the consumer that `consumer: true` makes; `stream` is its name as the CLI reads it."""
    upper = function[0].upper() + function[1:]
    return {"Ref": f"{upper}{stream}every-optiondevConsumerStreamConsumer".replace("-", "Dash")}


PLAIN = {"BatchSize": 10, "Enabled": True, "StartingPosition": "TRIM_HORIZON"}
ONCE = {**PLAIN, "EventSourceArn": BY_STRING, "MaximumRetryAttempts": 1}


def gives_up_to(destination: Any) -> dict[str, Any]:
    return {**ONCE, "DestinationConfig": {"OnFailure": {"Destination": destination}}}


MAPPINGS: Mapping[str, Mapping[str, Any]] = {
    "kinesisString": {**PLAIN, "EventSourceArn": BY_STRING},
    "dynamodbString": {**PLAIN, "EventSourceArn": TABLE_STRING},
    "kinesisObject": {**PLAIN, "EventSourceArn": BY_OBJECT},
    "kinesisGetAtt": {**PLAIN, "EventSourceArn": GET_ATT},
    "kinesisRef": {**PLAIN, "EventSourceArn": REF},
    "kinesisImport": {**PLAIN, "EventSourceArn": IMPORT},
    "kinesisJoin": {**PLAIN, "EventSourceArn": JOIN},
    "dynamodbGetAtt": {**PLAIN, "EventSourceArn": TABLE_GET_ATT},
    "dynamodbRef": {**PLAIN, "EventSourceArn": TABLE_REF},
    "dynamodbImport": {**PLAIN, "EventSourceArn": TABLE_IMPORT},
    "dynamodbJoin": {**PLAIN, "EventSourceArn": TABLE_JOIN},
    "consumerOfString": {**PLAIN, "EventSourceArn": registered("consumerOfString", "by-string")},
    "consumerOfGetAtt": {**PLAIN, "EventSourceArn": registered("consumerOfGetAtt", "Stream")},
    "consumerOfRef": {**PLAIN, "EventSourceArn": registered("consumerOfRef", "StreamArn")},
    "consumerOfImport": {**PLAIN, "EventSourceArn": registered("consumerOfImport", "shared-stream-arn")},
    "consumerOfJoin": {**PLAIN, "EventSourceArn": registered("consumerOfJoin", "by-join")},
    "consumerByArn": {**PLAIN, "EventSourceArn": CONSUMER_STRING},
    "consumerByGetAtt": {**PLAIN, "EventSourceArn": {"Fn::GetAtt": ["Registered", "ConsumerARN"]}},
    "consumerByRef": {**PLAIN, "EventSourceArn": {"Ref": "Registered"}},
    "consumerByImport": {**PLAIN, "EventSourceArn": {"Fn::ImportValue": "shared-consumer-arn"}},
    "consumerByJoin": {**PLAIN, "EventSourceArn": CONSUMER_JOIN},
    "consumerAtTimestamp": {
        **PLAIN,
        "EventSourceArn": registered("consumerAtTimestamp", "Stream"),
        "StartingPosition": "AT_TIMESTAMP",
        "StartingPositionTimestamp": 1700000000,
    },
    "toQueueString": gives_up_to(QUEUE_STRING),
    "toTopicString": gives_up_to(TOPIC_STRING),
    "toQueueObject": gives_up_to(QUEUE_STRING),
    "toTopicObject": gives_up_to(TOPIC_STRING),
    "toQueueGetAtt": gives_up_to(QUEUE),
    "toTopicRef": gives_up_to(TOPIC),
    "toQueueImport": gives_up_to({"Fn::ImportValue": "shared-failures-arn"}),
    "toTopicImport": gives_up_to({"Fn::ImportValue": "shared-failures-topic-arn"}),
    "toQueueJoin": gives_up_to(join("sqs", "failures")),
    "toTopicJoin": gives_up_to(join("sns", "failures")),
    "toQueueSub": gives_up_to(QUEUE_SUB),
    "leastOfAll": {
        "BatchSize": 1,
        "BisectBatchOnFunctionError": False,
        "Enabled": False,
        "EventSourceArn": GET_ATT,
        "FilterCriteria": [{"partitionKey": ["a"]}],
        "MaximumBatchingWindowInSeconds": 0,
        "MaximumRecordAgeInSeconds": -1,
        "MaximumRetryAttempts": -1,
        "ParallelizationFactor": 1,
        "StartingPosition": "TRIM_HORIZON",
        "TumblingWindowInSeconds": 0,
    },
    "mostOfAll": {
        "BatchSize": 10000,
        "BisectBatchOnFunctionError": True,
        "DestinationConfig": {"OnFailure": {"Destination": QUEUE}},
        "Enabled": True,
        "EventSourceArn": GET_ATT,
        "FilterCriteria": [
            {"data": {"type": ["story-submitted"]}},
            {"data": {"type": [{"prefix": "story-"}], "story": {"score": [{"numeric": [">=", 0.5]}]}}},
            {
                "data": {
                    "$or": [
                        {"type": [{"anything-but": {"suffix": "-expired"}}]},
                        {"story": {"status": [{"exists": False}]}},
                    ]
                }
            },
            {"partitionKey": [{"equals-ignore-case": "A"}]},
            {"data": {"source": [{"cidr": "10.0.0.0/8"}, {"wildcard": "a*z"}]}},
        ],
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "MaximumBatchingWindowInSeconds": 300,
        "MaximumRecordAgeInSeconds": 604800,
        "MaximumRetryAttempts": 10000,
        "ParallelizationFactor": 10,
        "StartingPosition": "LATEST",
    },
    "windowed": {
        **PLAIN,
        "DestinationConfig": {"OnFailure": {"Destination": TOPIC}},
        "EventSourceArn": TABLE_GET_ATT,
        "FilterCriteria": [{"eventName": ["INSERT", "MODIFY"], "dynamodb": {"NewImage": {"status": {"S": ["ready"]}}}}],
        "MaximumRecordAgeInSeconds": 60,
        "MaximumRetryAttempts": 0,
        "TumblingWindowInSeconds": 900,
    },
}

CONSUMERS: Mapping[str, tuple[Any, str]] = {
    "consumerOfString": (BY_STRING, "by-string"),
    "consumerOfGetAtt": (GET_ATT, "Stream"),
    "consumerOfRef": (REF, "StreamArn"),
    "consumerOfImport": (IMPORT, "shared-stream-arn"),
    "consumerOfJoin": (JOIN, "by-join"),
    "consumerAtTimestamp": (GET_ATT, "Stream"),
}

STATEMENTS: Mapping[str, list[dict[str, Any]]] = {
    "kinesisString": [reads_kinesis(BY_STRING)],
    "dynamodbString": [reads_table(TABLE_STRING)],
    "kinesisObject": [reads_kinesis(BY_OBJECT)],
    "kinesisGetAtt": [reads_kinesis(GET_ATT)],
    "kinesisRef": [reads_kinesis(REF)],
    "kinesisImport": [reads_kinesis(IMPORT)],
    "kinesisJoin": [reads_kinesis(JOIN)],
    "dynamodbGetAtt": [reads_table(TABLE_GET_ATT)],
    "dynamodbRef": [reads_table(TABLE_REF)],
    "dynamodbImport": [reads_table(TABLE_IMPORT)],
    "dynamodbJoin": [reads_table(TABLE_JOIN)],
    **{name: reads_by_consumer(stream, registered(name, named)) for name, (stream, named) in CONSUMERS.items()},
    "consumerByArn": reads_by_consumer(BY_STRING, CONSUMER_STRING),
    "consumerByGetAtt": reads_by_consumer(GET_ATT, {"Fn::GetAtt": ["Registered", "ConsumerARN"]}),
    "consumerByRef": reads_by_consumer(GET_ATT, {"Ref": "Registered"}),
    "consumerByImport": reads_by_consumer(IMPORT, {"Fn::ImportValue": "shared-consumer-arn"}),
    "consumerByJoin": reads_by_consumer(GET_ATT, CONSUMER_JOIN),
    "toQueueString": [reads_kinesis(BY_STRING), sends(QUEUE_STRING)],
    "toTopicString": [reads_kinesis(BY_STRING), publishes(TOPIC_STRING)],
    "toQueueObject": [reads_kinesis(BY_STRING), sends(QUEUE_STRING)],
    "toTopicObject": [reads_kinesis(BY_STRING), publishes(TOPIC_STRING)],
    "toQueueGetAtt": [reads_kinesis(BY_STRING), sends(QUEUE)],
    "toTopicRef": [reads_kinesis(BY_STRING), publishes(TOPIC)],
    "toQueueImport": [reads_kinesis(BY_STRING), sends({"Fn::ImportValue": "shared-failures-arn"})],
    "toTopicImport": [reads_kinesis(BY_STRING), publishes({"Fn::ImportValue": "shared-failures-topic-arn"})],
    "toQueueJoin": [reads_kinesis(BY_STRING), sends(join("sqs", "failures"))],
    "toTopicJoin": [reads_kinesis(BY_STRING), publishes(join("sns", "failures"))],
    "toQueueSub": [reads_kinesis(BY_STRING), sends(QUEUE_SUB)],
    "leastOfAll": [reads_kinesis(GET_ATT)],
    "mostOfAll": [reads_kinesis(GET_ATT), sends(QUEUE)],
    "windowed": [reads_table(TABLE_GET_ATT), publishes(TOPIC)],
}


@pytest.fixture(scope="session")
def resources(packaged: Callable[[str], Any]) -> dict[str, Any]:
    """The resources of the compiled template."""
    return packaged("check-every-option").resources


@pytest.fixture(scope="session")
def every_option(packaged: Callable[[str], Any]) -> Service:
    """The service as the checks read it."""
    compiled = packaged("check-every-option")
    assert compiled.template is not None, compiled.error
    return read_service(compiled.template, compiled.folder)


def logical(function: str) -> str:
    return function[0].upper() + function[1:]


def mapping_of(function: str, resources: Mapping[str, Any]) -> dict[str, Any]:
    """The properties of the only mapping of a function, without its function and with its patterns decoded."""
    found = [
        dict(each["Properties"])
        for each in resources.values()
        if each["Type"] == "AWS::Lambda::EventSourceMapping"
        and each["Properties"]["FunctionName"] == {"Fn::GetAtt": [f"{logical(function)}LambdaFunction", "Arn"]}
    ]
    assert len(found) == 1
    del found[0]["FunctionName"]
    if "FilterCriteria" in found[0]:
        found[0]["FilterCriteria"] = [json.loads(each["Pattern"]) for each in found[0]["FilterCriteria"]["Filters"]]
    return found[0]


def test_each_function_of_the_fixture_is_expected(every_option: Service) -> None:
    assert set(every_option.function_names) == set(MAPPINGS) == set(STATEMENTS)


@pytest.mark.parametrize("function", MAPPINGS)
def test_the_mapping_has_the_options_of_the_event(function: str, resources: dict[str, Any]) -> None:
    assert mapping_of(function, resources) == MAPPINGS[function]


@pytest.mark.parametrize("function", CONSUMERS)
def test_a_consumer_is_registered_with_the_stream(function: str, resources: dict[str, Any]) -> None:
    stream, name = CONSUMERS[function]

    consumer = resources[registered(function, name)["Ref"]]

    assert consumer["Properties"] == {"StreamARN": stream, "ConsumerName": f"{function}{name}every-optiondevConsumer"}


def test_no_other_consumer_is_created(resources: dict[str, Any]) -> None:
    made = {name for name, each in resources.items() if each["Type"] == "AWS::Kinesis::StreamConsumer"}

    assert made == {"Registered", *(registered(each, name)["Ref"] for each, (_, name) in CONSUMERS.items())}


@pytest.mark.parametrize("function", STATEMENTS)
def test_the_role_gets_the_statements_of_the_mapping(function: str, resources: dict[str, Any]) -> None:
    role = resources["IamRoleLambdaExecution"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]

    assert [each for each in STATEMENTS[function] if each not in role] == []


def test_the_role_gets_no_other_statements_except_those_for_logs(resources: dict[str, Any]) -> None:
    role = resources["IamRoleLambdaExecution"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    expected = [each for statements in STATEMENTS.values() for each in statements]

    assert [each for each in role if each not in expected and not each["Action"][0].startswith("logs:")] == []


@pytest.mark.parametrize("function", MAPPINGS)
def test_the_checks_find_the_event_of_a_mapping(function: str, every_option: Service) -> None:
    (mapping,) = read(function, every_option)

    event = every_option.event_of(mapping)

    assert event is not None
    assert (event.function, event.index) == (function, 0)


@pytest.mark.parametrize("function", MAPPINGS)
def test_the_checks_know_the_kind_of_the_stream(function: str, every_option: Service) -> None:
    (mapping,) = read(function, every_option)

    assert mapping.kind == ("dynamodb" if function.startswith(("dynamodb", "windowed")) else "kinesis")


@pytest.mark.parametrize("function", [each for each in MAPPINGS if each.startswith("consumer")])
def test_the_checks_see_the_consumer(function: str, every_option: Service) -> None:
    (mapping,) = read(function, every_option)

    # What another stack exports may be a consumer or a stream; nothing here tells.
    assert mapping.consumer is (function != "consumerByImport")


def test_the_checks_find_only_what_the_fixture_leaves_out_on_purpose(every_option: Service) -> None:
    """Most functions are given one option each, so nothing keeps poison from blocking their shards."""
    found = {(each.check.code, each.function) for each in run(CHECKS, every_option)}

    assert {code for code, _ in found} == {"SM210", "SM301", "SM405"}
    assert {name for code, name in found if code == "SM210"} == {"mostOfAll"}
    assert {name for code, name in found if code == "SM405"} == {"leastOfAll"}
    assert "mostOfAll" not in {name for code, name in found if code == "SM301"}


def read(function: str, service: Service) -> list[EventSourceMapping]:
    wanted = f"{logical(function)}LambdaFunction"
    return [mapping for mapping in service.template.mappings if mapping.function_id == wanted]
