"""Compiled templates are drawn as their stacks are once they are deployed: same names, same arrows."""

from __future__ import annotations

from stream_cli.structure.compiled import ACCOUNT, REGION, compiled_mappings, compiled_stacks
from stream_cli.structure.drawing import Live, drawing_of
from stream_cli.structure.stacks import parsed

HUB = """
Parameters:
  Mode: {Type: String, Default: one}
Conditions:
  HasMore: !Equals [!Ref Mode, more]
Resources:
  Bus: {Type: AWS::Events::EventBus, Properties: {Name: hub-prod-bus}}
  Stream1: {Type: AWS::Kinesis::Stream, Properties: {Name: hub-prod-s1, ShardCount: 2}}
  Stream2: {Type: AWS::Kinesis::Stream, Condition: HasMore, Properties: {Name: hub-prod-s2, ShardCount: 2}}
  Lost: {Type: AWS::SQS::Queue, Properties: {QueueName: !Sub "hub-${AWS::Region}-lost"}}
  Rule:
    Type: AWS::Events::Rule
    Properties:
      Name: all
      EventBusName: !Ref Bus
      EventPattern: {source: [{prefix: a}]}
      Targets:
        - {Id: one, Arn: !GetAtt Stream1.Arn, DeadLetterConfig: {Arn: !GetAtt Lost.Arn}}
Outputs:
  stream1Arn: {Value: !GetAtt Stream1.Arn}
  busName: {Value: !Ref Bus, Export: {Name: hub-bus}}
"""
SERVICE = """
Resources:
  Table:
    Type: AWS::DynamoDB::Table
    Properties: {StreamSpecification: {StreamViewType: NEW_IMAGE}}
  Role:
    Type: AWS::IAM::Role
    Properties:
      RoleName: listener-role
      Policies:
        - PolicyDocument:
            Statement:
              - {Effect: Allow, Action: "dynamodb:PutItem", Resource: !GetAtt Table.Arn}
  Listener:
    Type: AWS::Lambda::Function
    Properties:
      FunctionName: service-prod-listener
      Role: !GetAtt Role.Arn
      Environment: {Variables: {BUS: !ImportValue hub-bus}}
  Reading:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      FunctionName: !GetAtt Listener.Arn
      EventSourceArn: arn:aws:streamctl:us-east-1:000000000000:import/stream1Arn
      FilterCriteria: {Filters: [{Pattern: '{"data": {"type": ["a"]}}'}]}
  Consumer:
    Type: AWS::Kinesis::StreamConsumer
    Properties:
      ConsumerName: own
      StreamARN: arn:aws:streamctl:us-east-1:000000000000:import/stream1Arn
  Own:
    Type: AWS::Lambda::EventSourceMapping
    Properties: {FunctionName: !GetAtt Listener.Arn, EventSourceArn: !Ref Consumer}
  Again:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      FunctionName: !GetAtt Listener.Arn
      EventSourceArn: !GetAtt Table.StreamArn
      Enabled: false
"""


def _stacks():
    return compiled_stacks({"hub-prod": parsed(HUB), "service-prod": parsed(SERVICE)})


def test_arrows_cross_from_a_stack_to_another_by_its_outputs():
    stacks = _stacks()

    drawing = drawing_of(stacks, Live(list(compiled_mappings(stacks)), {}), REGION, ACCOUNT)

    assert {(each.kind, each.start, each.end, each.disabled) for each in drawing.arrows} == {
        ("match", "bus:hub-prod-bus", "rule:hub-prod-bus/all", False),
        ("target", "rule:hub-prod-bus/all", "stream:hub-prod-s1", False),
        ("failure", "rule:hub-prod-bus/all", "queue:hub-us-east-1-lost", False),
        ("mapping", "stream:hub-prod-s1", "function:service-prod-listener", False),
        ("mapping", "table:Table", "function:service-prod-listener", True),
        ("write", "function:service-prod-listener", "table:Table", False),
    }
    assert drawing.unknown == []


def test_a_variable_has_the_value_that_another_stack_exports():
    listener = _stacks()[1].resources["Listener"]

    assert listener.properties["Environment"]["Variables"] == {"BUS": "hub-prod-bus"}


def test_what_a_condition_leaves_out_is_not_there():
    assert [each for each in _stacks()[0].resources if each.startswith("Stream")] == ["Stream1"]


def test_a_mapping_has_its_filters_and_the_id_of_its_resource():
    mapping = next(compiled_mappings(_stacks()))

    assert mapping.id == "service-prod/Reading"
    assert mapping.patterns == ('{"data": {"type": ["a"]}}',)
    assert mapping.source == f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/hub-prod-s1"


def test_a_mapping_with_a_consumer_of_its_own_reads_the_stream():
    own = next(each for each in compiled_mappings(_stacks()) if each.id == "service-prod/Own")

    assert own.source == f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/hub-prod-s1/consumer/Consumer:0"
