"""Targets that a template chooses by its conditions, mappings and parameters are drawn; of others it says why not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from stream_cli.structure.drawing import Drawing, Live, drawing_of
from stream_cli.structure.stacks import Described, stack_of

ACCOUNT = "000000000000"
TEMPLATE = """
Parameters:
  Stage: {Type: String}
  Hidden: {Type: String, NoEcho: true}
  Queues: {Type: CommaDelimitedList}
Mappings:
  Names:
    prod: {target: arn:aws:sqs:us-east-1:000000000000:mapped}
Conditions:
  IsProd: !Equals [!Ref Stage, prod]
  IsTest: !Not [!Condition IsProd]
  Both: !And [!Condition IsProd, !Not [!Equals [!Ref "AWS::Region", us-east-1]]]
  Either: !Or [!Condition IsTest, !Equals [!Sub "${Stage}-1", prod-1]]
  IsSecret: !Equals [!Ref Hidden, "****"]
  Round: !Not [!Condition Round]
Resources:
  One: {Type: AWS::SQS::Queue, Properties: {QueueName: one}}
  Two: {Type: AWS::SQS::Queue, Properties: {QueueName: !If [IsProd, two, other]}}
  Asked:
    Type: AWS::Scheduler::Schedule
    Properties:
      ScheduleExpression: rate(1 day)
      Target: TARGET
"""
NAMES = {
    "One": "https://sqs.us-east-1.amazonaws.com/000000000000/one",
    "Two": "https://sqs.us-east-1.amazonaws.com/000000000000/two",
    "Asked": "asked",
}


def drawn(target: str, template: str = TEMPLATE, names: Mapping[str, str] = NAMES) -> Drawing:
    parameters = {"Stage": "prod", "Hidden": "****", "Queues": "one, arn:aws:sqs:us-east-1:000000000000:listed"}
    described = Described.of(
        {
            "StackName": "hub-prod",
            "StackId": f"arn:aws:cloudformation:us-east-1:{ACCOUNT}:stack/hub-prod/1",
            "StackStatus": "CREATE_COMPLETE",
            "Parameters": [
                {"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()
            ],
        }
    )  # fmt: skip
    listed = [{"LogicalResourceId": name, "PhysicalResourceId": id} for name, id in names.items()]
    stack = stack_of(described, template.replace("TARGET", target), listed, {"hub-queue": "arn:aws:sqs:x:1:y"})
    return drawing_of([stack], Live((), {}), "us-east-1", ACCOUNT)


def ends(drawing: Drawing) -> set[tuple[str, str]]:
    return {(each.kind, each.end) for each in drawing.arrows}


@pytest.mark.parametrize(
    ("target", "end"),
    [
        ("{Arn: !If [IsProd, !GetAtt One.Arn, !GetAtt Two.Arn]}", "queue:one"),
        ("{Arn: !If [IsTest, !GetAtt One.Arn, !GetAtt Two.Arn]}", "queue:two"),
        ("{Arn: !If [Both, !GetAtt One.Arn, !If [Either, !GetAtt Two.Arn, x]]}", "queue:two"),
        ("!If [IsProd, {Arn: !GetAtt One.Arn}, {Arn: !GetAtt Two.Arn}]", "queue:one"),
        ("{Arn: !Select [1, [!GetAtt Two.Arn, !GetAtt One.Arn]]}", "queue:one"),
        ("{Arn: !Select [1, !Ref Queues]}", "queue:listed"),
        ("{Arn: !Select ['0', !Split ['|', !Sub '${Two.Arn}|${AWS::Region}']]}", "queue:two"),
        ("{Arn: !Sub ['arn:aws:sqs:us-east-1:${id}:one', {id: !Select [4, !Split [':', !GetAtt One.Arn]]}]}",
         "queue:one"),
        ("{Arn: !FindInMap [Names, !Ref Stage, target]}", "queue:mapped"),
        ("{Arn: !FindInMap [Names, dev, target, {DefaultValue: !GetAtt One.Arn}]}", "queue:one"),
        ("{Arn: !GetAtt One.Arn, DeadLetterConfig: !If [IsTest, {Arn: !GetAtt Two.Arn}, !Ref AWS::NoValue]}",
         "queue:one"),
    ],
)  # fmt: skip
def test_a_target_that_the_stack_chooses_is_drawn(target: str, end: str) -> None:
    drawing = drawn(target)
    assert ends(drawing) == {("invoke", end)}
    assert drawing.unknown == []


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("{Arn: !If [IsSecret, !GetAtt One.Arn, !GetAtt Two.Arn]}", "the condition IsSecret cannot be told here"),
        ("!If [IsSecret, {Arn: !GetAtt One.Arn}, {Arn: x}]", "the condition IsSecret cannot be told here"),
        ("{Arn: !If [Round, a, b]}", "the condition Round cannot be told here"),
        ("{Arn: !If [Nowhere, a, b]}", "the condition Nowhere cannot be told here"),
        ("{Arn: !Select [7, [a, b]]}", "Fn::Select cannot be told here"),
        ("{Arn: !Select [0, !GetAZs '']}", "Fn::Select cannot be told here"),
        ("{Arn: !FindInMap [Names, dev, target]}", "Fn::FindInMap cannot be told here"),
        ("{Arn: !Ref Hidden}", "the value of the parameter Hidden is not shown"),
        ("{Arn: !ImportValue other-queue}", "no stack of this stage exports other-queue"),
        ("{Arn: !GetAtt Gone.Arn}", "Gone.Arn is in no resource of the template"),
        ("{Arn: !GetAtt Two.Strange}", "only CloudFormation knows Two.Strange"),
        ("{Arn: !Select [0, !Split [',', 'a,b']]}", "this is no ARN"),
    ],
)  # fmt: skip
def test_of_a_target_that_cannot_be_told_it_is_said_why(target: str, why: str) -> None:
    drawing = drawn(target)
    assert ends(drawing) == set()
    (told,) = drawing.unknown
    assert told.startswith("Asked (AWS::Scheduler::Schedule) of hub-prod leads to ")
    assert told.endswith(f": {why}.")


def test_of_a_list_each_entry_is_drawn_or_told() -> None:
    rule = """
  Rule:
    Type: AWS::Events::Rule
    Properties:
      Name: rule
      EventPattern: {source: [a]}
      Targets:
        - !If [IsProd, {Id: one, Arn: !GetAtt One.Arn}, !Ref "AWS::NoValue"]
        - !If [IsTest, {Id: no, Arn: !GetAtt One.Arn}, !Ref "AWS::NoValue"]
        - !If [IsSecret, {Id: no, Arn: !GetAtt One.Arn}, !Ref "AWS::NoValue"]
        - Id: two
          Arn: !GetAtt Two.Arn
          DeadLetterConfig: !If [IsSecret, {Arn: !GetAtt One.Arn}, !Ref "AWS::NoValue"]
"""
    drawing = drawn("{Arn: !GetAtt One.Arn}", TEMPLATE + rule, {**NAMES, "Rule": "default|rule"})
    assert {end for kind, end in ends(drawing) if kind == "target"} == {"queue:one", "queue:two"}
    assert len(drawing.unknown) == 2
    assert all("the condition IsSecret cannot be told here" in each for each in drawing.unknown)


@pytest.mark.parametrize("value", ["!If [IsSecret, {}, {}]", "text"])
@pytest.mark.parametrize(
    ("kind", "properties"),
    [
        ("AWS::Events::Rule", "{EventPattern: {source: [a]}, Targets: VALUE}"),
        ("AWS::Scheduler::Schedule", "{ScheduleExpression: rate(1 day), Target: VALUE}"),
        ("AWS::KinesisFirehose::DeliveryStream", "{S3DestinationConfiguration: VALUE, "
         "KinesisStreamSourceConfiguration: VALUE}"),
        ("AWS::S3::Bucket", "{NotificationConfiguration: VALUE}"),
        ("AWS::S3::Bucket", "{NotificationConfiguration: {QueueConfigurations: VALUE}}"),
        ("AWS::S3::Bucket", "{NotificationConfiguration: {QueueConfigurations: [{Queue: x, Filter: VALUE}]}}"),
        ("AWS::SNS::Topic", "{Subscription: VALUE}"),
        ("AWS::SNS::Subscription", "{TopicArn: VALUE, Protocol: VALUE, Endpoint: VALUE, RedrivePolicy: VALUE}"),
        ("AWS::SQS::Queue", "{RedrivePolicy: VALUE}"),
        ("AWS::Lambda::EventInvokeConfig", "{FunctionName: VALUE, DestinationConfig: VALUE}"),
        ("AWS::Lambda::Function", "{DeadLetterConfig: VALUE, Environment: VALUE}"),
        ("AWS::Lambda::Function", "{Environment: {Variables: VALUE}}"),
        ("AWS::ApiGateway::Method", "{Integration: VALUE}"),
        ("AWS::Pipes::Pipe", "{Source: VALUE, Target: VALUE}"),
    ],
)  # fmt: skip
def test_whatever_stands_where_a_structure_is_expected_the_map_is_drawn(kind: str, properties: str, value: str) -> None:
    resource = f"\n  Any: {{Type: {kind}, Properties: {properties.replace('VALUE', value)}}}\n"
    drawing = drawn("{Arn: !GetAtt One.Arn}", TEMPLATE + resource, {**NAMES, "Any": "any"})
    assert ("invoke", "queue:one") in ends(drawing)


def test_what_a_structure_may_lead_to_is_told() -> None:
    queue = "\n  Any: {Type: AWS::SQS::Queue, Properties: {RedrivePolicy: !If [IsSecret, {}, !Ref AWS::NoValue]}}\n"
    drawing = drawn("{Arn: !GetAtt One.Arn}", TEMPLATE + queue, {**NAMES, "Any": "any"})
    (told,) = drawing.unknown
    assert "Any (AWS::SQS::Queue)" in told


def test_of_a_role_the_statements_that_the_stack_chooses_count() -> None:
    role = """
  Function:
    Type: AWS::Lambda::Function
    Properties: {FunctionName: f, Role: !GetAtt Role.Arn}
  Role:
    Type: AWS::IAM::Role
    Properties:
      RoleName: role
      Policies:
        - PolicyName: all
          PolicyDocument:
            Statement:
              - Effect: Allow
                Action: sqs:SendMessage
                Resource: !If [IsProd, !GetAtt One.Arn, !GetAtt Two.Arn]
              - !If [IsTest, {Effect: Allow, Action: "sqs:*", Resource: !GetAtt Two.Arn}, !Ref "AWS::NoValue"]
"""
    names: dict[str, Any] = {**NAMES, "Function": "f", "Role": "role"}
    drawing = drawn("{Arn: !GetAtt One.Arn}", TEMPLATE + role, names)
    assert {end for kind, end in ends(drawing) if kind == "write"} == {"queue:one"}
