"""What compiled templates say of a stage: every field from its property, under names without the stage."""

from __future__ import annotations

import pytest
from stream_cli.plan.model import Archive, Bus, DeliveryStream, Function, Index, Notification, Route, Schedule, Target
from stream_cli.plan.system import every, inventory_of
from stream_cli.structure.compiled import ACCOUNT, compiled_stacks
from stream_cli.structure.stacks import parsed

HUB = """
Resources:
  Bus: {Type: AWS::Events::EventBus, Properties: {Name: hub-prod-bus}}
  Kept:
    Type: AWS::Events::Archive
    Properties:
      ArchiveName: hub-prod-archive
      SourceArn: !GetAtt Bus.Arn
      RetentionDays: 30
      EventPattern: {detail-type: [{anything-but: fault}]}
  Stream1:
    Type: AWS::Kinesis::Stream
    Properties: {Name: hub-prod-s1, ShardCount: 8, RetentionPeriodHours: 48}
  Stream2:
    Type: AWS::Kinesis::Stream
    Properties: {Name: hub-prod-s2, StreamModeDetails: {StreamMode: ON_DEMAND}}
  Rule:
    Type: AWS::Events::Rule
    Properties:
      Name: all
      EventBusName: !Ref Bus
      EventPattern: {account: [!Ref AWS::AccountId]}
      Targets: [{Id: one, Arn: !GetAtt Stream1.Arn}, {Id: two, Arn: !GetAtt Lake.Arn}]
  Off:
    Type: AWS::Events::Rule
    Properties: {EventBusName: !Ref Bus, State: DISABLED, EventPattern: {source: [a]}, Targets: []}
  Stray:
    Type: AWS::Events::Rule
    Properties: {Name: stray, EventBusName: elsewhere, EventPattern: {source: [a]}, Targets: []}
  Lake:
    Type: AWS::KinesisFirehose::DeliveryStream
    Properties:
      DeliveryStreamName: hub-prod-lake
      ExtendedS3DestinationConfiguration:
        BucketARN: !GetAtt LakeBucket.Arn
        BufferingHints: {IntervalInSeconds: 0, SizeInMBs: 64}
        CompressionFormat: GZIP
  LakeBucket:
    Type: AWS::S3::Bucket
    Properties:
      BucketName: hub-prod-lake
      NotificationConfiguration:
        LambdaConfigurations:
          - Event: s3:ObjectCreated:*
            Function: !GetAtt IngressLambdaFunction.Arn
            Filter: {S3Key: {Rules: [{Name: prefix, Value: a/}]}}
      LifecycleConfiguration:
        Rules:
          - {Id: forget, Status: Enabled, ExpirationInDays: 30}
          - {Id: clean, Status: Enabled, NoncurrentVersionExpiration: {NoncurrentDays: 7}}
  IngressLambdaFunction:
    Type: AWS::Lambda::Function
    Properties:
      FunctionName: hub-prod-ingress
      MemorySize: 256
      Timeout: 900
      ReservedConcurrentExecutions: 10
      Architectures: [arm64]
      TracingConfig: {Mode: Active}
  Logs:
    Type: AWS::Logs::LogGroup
    Properties: {LogGroupName: /aws/lambda/hub-prod-ingress, RetentionInDays: 7}
  Nightly:
    Type: AWS::Scheduler::Schedule
    Properties: {ScheduleExpression: rate(2 hours), Target: {Arn: !GetAtt IngressLambdaFunction.Arn}}
  Piped: {Type: AWS::Pipes::Pipe, Properties: {}}
Outputs:
  stream1Arn: {Value: !GetAtt Stream1.Arn}
"""
SERVICE = """
Resources:
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: a-service-prod-items
      BillingMode: PAY_PER_REQUEST
      StreamSpecification: {StreamViewType: NEW_IMAGE}
      GlobalSecondaryIndexes:
        - IndexName: ByDay
          KeySchema: [{AttributeName: day, KeyType: HASH}, {AttributeName: at, KeyType: RANGE}]
          Projection: {ProjectionType: KEYS_ONLY}
      TimeToLiveSpecification: {AttributeName: ttl, Enabled: true}
      PointInTimeRecoverySpecification: {PointInTimeRecoveryEnabled: true}
  ListenerLambdaFunction:
    Type: AWS::Lambda::Function
    Properties: {FunctionName: a-service-prod-listener}
  Consumer:
    Type: AWS::Kinesis::StreamConsumer
    Properties: {ConsumerName: a, StreamARN: arn:aws:streamctl:us-east-1:000000000000:import/stream1Arn}
  OfStream:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      FunctionName: !GetAtt ListenerLambdaFunction.Arn
      EventSourceArn: !Ref Consumer
      BatchSize: 500
      MaximumBatchingWindowInSeconds: 5
      ParallelizationFactor: 4
  OfTable:
    Type: AWS::Lambda::EventSourceMapping
    Properties: {FunctionName: !GetAtt ListenerLambdaFunction.Arn, EventSourceArn: !GetAtt Table.StreamArn}
  Off:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      {FunctionName: !GetAtt ListenerLambdaFunction.Arn, EventSourceArn: !GetAtt Table.StreamArn, Enabled: false}
  Wrong:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      {FunctionName: !GetAtt ListenerLambdaFunction.Arn, EventSourceArn: !GetAtt Table.StreamArn, BatchSize: 20000}
  Api: {Type: AWS::ApiGatewayV2::Api, Properties: {Name: api}}
  ApiStage:
    Type: AWS::ApiGatewayV2::Stage
    Properties: {ApiId: !Ref Api, DefaultRouteSettings: {ThrottlingRateLimit: 500, ThrottlingBurstLimit: 1000}}
  Integration:
    Type: AWS::ApiGatewayV2::Integration
    Properties: {ApiId: !Ref Api, IntegrationUri: !GetAtt ListenerLambdaFunction.Arn}
  Post:
    Type: AWS::ApiGatewayV2::Route
    Properties: {ApiId: !Ref Api, RouteKey: POST /a, Target: !Sub "integrations/${Integration}"}
"""


@pytest.fixture(scope="module")
def inventory():
    return inventory_of(compiled_stacks({"hub-prod": parsed(HUB), "a-service-prod": parsed(SERVICE)}), "prod")


@pytest.fixture(scope="module")
def system(inventory):
    return inventory.system


def test_rules_lead_from_their_bus_to_parts_of_the_plan(system):
    assert system.buses == {"hub/Bus": Bus("hub/Bus")}
    assert list(system.rules) == ["hub/Rule"]
    rule = system.rules["hub/Rule"]
    assert (rule.bus, rule.pattern) == ("hub/Bus", {"account": [ACCOUNT]})
    assert rule.targets == (Target("stream", "hub/Stream1"), Target("delivery_stream", "hub/Lake"))


def test_an_archive_has_its_bus_pattern_and_days(system):
    pattern = {"detail-type": [{"anything-but": "fault"}]}
    assert system.archives == {"hub/Kept": Archive("hub/Kept", "hub/Bus", pattern, 30)}


def test_streams_have_their_mode_shards_and_consumers(system):
    first, second = system.streams["hub/Stream1"], system.streams["hub/Stream2"]
    assert (first.mode, first.shards, first.retention_hours, first.consumers) == ("PROVISIONED", 8, 48, ("a",))
    assert (second.mode, second.shards, second.retention_hours, second.consumers) == ("ON_DEMAND", 4, 24, ())


def test_a_table_has_its_mode_indexes_and_what_keeps_it(system):
    table = system.tables["a-service/Table"]
    assert (table.mode, table.streamed, table.ttl, table.point_in_time_recovery) == (
        "PAY_PER_REQUEST",
        True,
        True,
        True,
    )
    assert table.indexes == (Index("ByDay", ("day", "at"), "KEYS_ONLY"),)


def test_functions_have_what_the_template_says_or_lambdas_defaults(system):
    assert system.functions == {
        "a-service/listener": Function("a-service/listener", 128, 3.0, None, "x86_64"),
        "hub/ingress": Function("hub/ingress", 256, 900.0, 10, "arm64"),
    }


def test_mappings_read_streams_through_consumers_and_tables(system):
    of_stream, of_table = system.mappings.values()
    assert (of_stream.name, of_stream.source, of_stream.fan_out) == ("a-service/listener", "hub/Stream1", True)
    settings = of_stream.settings
    assert (settings.batch_size, settings.batch_window, settings.parallelization_factor) == (500, 5.0, 4)
    assert (of_table.name, of_table.source) == ("a-service/listener (a-service/Table)", "a-service/Table")
    assert not of_table.fan_out


def test_deliveries_notifications_routes_and_schedules(system):
    assert system.delivery_streams == {
        "hub/Lake": DeliveryStream("hub/Lake", "hub/LakeBucket", 0.0, 64 * 1024 * 1024, "GZIP")
    }
    assert system.notifications == (Notification("hub/LakeBucket", "hub/ingress", "a/", ""),)
    assert system.routes == {"POST /a": Route("POST /a", "a-service/listener", 500.0, 1000.0)}
    assert system.schedules == {"hub/Nightly": Schedule("hub/Nightly", "hub/ingress", 7_200.0)}


def test_what_is_kept_how_long_and_what_is_traced(inventory):
    assert inventory.bucket_days == {"hub/LakeBucket": 30.0}
    assert inventory.log_days == {"hub/ingress": 7.0, "a-service/listener": None}
    assert inventory.traced == {"hub/ingress"}


def test_it_says_what_is_left_out_and_why(inventory):
    assert inventory.not_modelled == (
        "a-service/Wrong, a mapping to a-service/listener, is not simulated: BatchSize is 20000; expected 1 to 10000.",
        "hub/Stray is a rule of elsewhere, which is in none of the stacks.",
        "hub/Piped (AWS::Pipes::Pipe) is left out, with what goes through it.",
    )


@pytest.mark.parametrize(
    ("expression", "seconds"),
    [
        ("rate(1 minute)", 60),
        ("rate(3 days)", 259_200),
        ("cron(0 12 * * ? *)", 86_400),
        ("cron(*/15 * * * ? *)", 900),
        ("cron(0 8-17 ? * MON-FRI *)", 8_640),
        ("at(2026-01-01T00:00:00)", None),
    ],
)
def test_schedules_run_every_so_many_seconds(expression, seconds):
    assert every(expression) == seconds
