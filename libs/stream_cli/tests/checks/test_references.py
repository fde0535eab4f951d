"""Different references to one resource become one text, and policies are compared with it."""

from typing import Any

import pytest
from stream_cli.checks.service.references import Resolver
from stream_cli.checks.service.symbols import Verdict, covers, fields_of, service_of

RESOURCES: dict[str, dict[str, Any]] = {
    "Queue": {"Type": "AWS::SQS::Queue"},
    "NamedQueue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": {"Fn::Sub": "jobs-${Stage}"}}},
    "Topic": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "alarms"}},
    "Table": {"Type": "AWS::DynamoDB::Table", "Properties": {"TableName": "items"}},
    "Stream": {"Type": "AWS::Kinesis::Stream"},
    "Bus": {"Type": "AWS::Events::EventBus", "Properties": {"Name": "the-bus"}},
    "Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "lake"}},
    "Consumer": {"Type": "AWS::Kinesis::StreamConsumer", "Properties": {}},
    "Custom": {"Type": "Custom::Thing"},
}
HERE = "${AWS::Region}:${AWS::AccountId}"


@pytest.fixture
def resolver() -> Resolver:
    return Resolver(RESOURCES, {"Stage": {"Type": "String"}})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("arn:aws:sqs:us-east-1:1:q", "arn:aws:sqs:us-east-1:1:q"),
        ({"Ref": "AWS::Region"}, "${AWS::Region}"),
        ({"Ref": "Stage"}, "${parameter Stage}"),
        ({"Ref": "Table"}, "items"),
        ({"Ref": "Stream"}, "${Stream}"),
        ({"Ref": "Queue"}, "${Queue url}"),
        ({"Ref": "Topic"}, f"arn:${{AWS::Partition}}:sns:{HERE}:alarms"),
        ({"Ref": "Consumer"}, "${Consumer}"),
        ({"Ref": "Nothing"}, "${undefined Nothing}"),
        ({"Fn::GetAtt": ["Queue", "Arn"]}, f"arn:${{AWS::Partition}}:sqs:{HERE}:${{Queue}}"),
        ({"Fn::GetAtt": "Queue.QueueName"}, "${Queue}"),
        ({"Fn::GetAtt": ["NamedQueue", "Arn"]}, f"arn:${{AWS::Partition}}:sqs:{HERE}:jobs-${{parameter Stage}}"),
        (
            {"Fn::GetAtt": ["Table", "StreamArn"]},
            f"arn:${{AWS::Partition}}:dynamodb:{HERE}:table/items/stream/${{Table stream}}",
        ),
        ({"Fn::GetAtt": ["Consumer", "ConsumerARN"]}, "${Consumer}"),
        ({"Fn::GetAtt": ["Custom", "Arn"]}, "${Custom.Arn}"),
        ({"Fn::GetAtt": ["Nothing", "Arn"]}, "${undefined Nothing.Arn}"),
        ({"Fn::ImportValue": {"Fn::Sub": "hub-${Stage}-arn"}}, "${import hub-${parameter Stage}-arn}"),
        ({"Fn::Join": ["/", [{"Fn::GetAtt": ["Bucket", "Arn"]}, "*"]]}, "arn:${AWS::Partition}:s3:::lake/*"),
        ({"Fn::Sub": "${Table.Arn}/index/*"}, f"arn:${{AWS::Partition}}:dynamodb:{HERE}:table/items/index/*"),
        ({"Fn::Sub": ["${name}-${!kept}", {"name": {"Ref": "Table"}}]}, "items-${kept}"),
        ({"Fn::If": ["IsProd", "a", "b"]}, '${unknown {"Fn::If": ["IsProd", "a", "b"]}}'),
        ("arn:aws:streamctl:us-east-1:000000000000:import/busArn", "${import busArn}"),
        ({"Fn::Sub": "${AWS::Region}/streamctl-import-busName"}, "${AWS::Region}/${import busName}"),
    ],
    ids=str,
)
def test_a_value_becomes_a_text(value: Any, text: str, resolver: Resolver) -> None:
    assert resolver.text(value) == text


@pytest.mark.parametrize(
    "value",
    [
        {"Fn::GetAtt": ["Bus", "Arn"]},
        {"Fn::Sub": "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:event-bus/the-bus"},
        {"Fn::Sub": "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:event-bus/${Bus}"},
        {
            "Fn::Join": [
                ":",
                [
                    "arn",
                    {"Ref": "AWS::Partition"},
                    "events",
                    {"Ref": "AWS::Region"},
                    {"Ref": "AWS::AccountId"},
                    {"Fn::Join": ["/", ["event-bus", {"Fn::GetAtt": ["Bus", "Name"]}]]},
                ],
            ]
        },
    ],
    ids=["GetAtt", "Sub", "Sub of Ref", "Join"],
)
def test_different_references_to_one_bus_are_equal(value: Any, resolver: Resolver) -> None:
    assert resolver.text(value) == resolver.text({"Fn::GetAtt": ["Bus", "Arn"]})


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"Ref": "Stream"}, "Stream gives the name of the resource, not its ARN"),
        ({"Ref": "Table"}, "items is a name, not an ARN"),
        ({"Ref": "Queue"}, "Ref of Queue gives the URL of the queue, not its ARN"),
        ({"Ref": "Nothing"}, "Nothing is neither a resource nor a parameter of the template"),
        ({"Ref": "Stage"}, None),
        ({"Ref": "Consumer"}, None),
        ({"Fn::ImportValue": "x"}, None),
        ({"Fn::GetAtt": ["Custom", "Arn"]}, None),
    ],
    ids=str,
)
def test_a_text_that_is_not_an_arn_is_explained(value: Any, why: str | None, resolver: Resolver) -> None:
    assert resolver.why_no_arn(resolver.text(value)) == why


QUEUE = f"arn:${{AWS::Partition}}:sqs:{HERE}:${{Queue}}"


@pytest.mark.parametrize(
    ("pattern", "resource", "verdict"),
    [
        ("*", "${import x}", Verdict.YES),
        (QUEUE, QUEUE, Verdict.YES),
        ("arn:aws:sqs:*:*:jobs", "arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:jobs", Verdict.YES),
        ("arn:aws:sqs:us-east-1:1:jobs-*", "arn:aws:sqs:us-east-1:1:jobs-failed", Verdict.YES),
        ("arn:aws:sqs:us-east-1:1:jobs-?", "arn:aws:sqs:us-east-1:1:jobs-12", Verdict.NO),
        ("arn:aws:sqs:us-east-1:1:jobs", "arn:aws:sqs:us-west-2:1:jobs", Verdict.NO),
        ("arn:aws:sns:us-east-1:1:jobs", "arn:aws:sqs:us-east-1:1:jobs", Verdict.NO),
        (f"arn:${{AWS::Partition}}:sqs:{HERE}:${{Other}}", QUEUE, Verdict.NO),
        ("${import x}", QUEUE, Verdict.UNKNOWN),
        (QUEUE, "${parameter QueueArn}", Verdict.UNKNOWN),
        # CloudFormation chooses the name of the queue; it may begin with this prefix.
        ("arn:aws:sqs:us-east-1:1:shop-dev-*", QUEUE, Verdict.UNKNOWN),
        ("jobs", QUEUE, Verdict.NO),
    ],
)
def test_a_policy_covers_a_resource_or_not_or_it_is_unknown(pattern: str, resource: str, verdict: Verdict) -> None:
    assert covers(pattern, resource) is verdict


def test_the_colons_of_a_symbol_do_not_split_an_arn() -> None:
    assert fields_of("arn:${AWS::Partition}:sqs:${AWS::Region}:1:a:b") == [
        "arn",
        "${AWS::Partition}",
        "sqs",
        "${AWS::Region}",
        "1",
        "a:b",
    ]


@pytest.mark.parametrize(("arn", "service"), [(QUEUE, "sqs"), ("jobs", None), ("arn:aws:${import x}:r:1:q", None)])
def test_the_service_of_an_arn_is_known_if_it_is_literal(arn: str, service: str | None) -> None:
    assert service_of(arn) == service
