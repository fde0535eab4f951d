"""What is deployed: the compiled templates of the services as plain data, names and ARNs of one account resolved.

A `Deployment` never changes. Another one (a new filter, a new rule, another batch size) is a changed copy:
`dataclasses.replace(deployment, rules={**deployment.rules, name: replace(rule, pattern=...)})`.
"""

from __future__ import annotations

import functools
import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from stream_cli.mappings.settings import MappingSettings

from simulator.services.dynamodb.tables import STREAM_LABEL, TableDescription
from tests.templates.stacks import ACCOUNT, HUB, REGION, SERVICES, Stack, template_alone

HUB_SERVICE = "event-hub"
ON_DEMAND_SHARDS = 4
"""What a stream in on-demand mode starts with (Kinesis Data Streams developer guide, "Choose the right mode")."""


@dataclass(frozen=True)
class Stream:
    """A Kinesis stream, and how many shards it starts with."""

    name: str
    arn: str
    shards: int
    on_demand: bool
    retention_hours: int


@dataclass(frozen=True)
class Bus:
    """An EventBridge bus."""

    name: str
    arn: str


@dataclass(frozen=True)
class Archive:
    """An archive of a bus; `pattern` takes all events where it is None."""

    name: str
    arn: str
    bus_arn: str
    pattern: Mapping[str, Any] | None
    retention_days: int


@dataclass(frozen=True)
class RetryPolicy:
    """How long something is tried again; the defaults are EventBridge's."""

    age_s: int = 86_400
    retries: int = 185


@dataclass(frozen=True)
class Target:
    """A target of a rule.

    Attributes:
        given: the properties of the target as in PutTargets, for its input and its partition key.
    """

    id: str
    arn: str
    given: Mapping[str, Any]
    retry: RetryPolicy = RetryPolicy()
    dead_letter_arn: str | None = None


@dataclass(frozen=True)
class Rule:
    """A rule of a bus, by its bus's name."""

    name: str
    arn: str
    bus: str
    pattern: Mapping[str, Any]
    targets: tuple[Target, ...]
    enabled: bool = True


@dataclass(frozen=True)
class DeliveryStream:
    """A delivery stream of Firehose with an S3 destination.

    Attributes:
        delimiter: what is put behind each record.
    """

    name: str
    arn: str
    bucket: str
    prefix: str
    error_prefix: str
    interval_s: int
    size_mb: int
    compression: str
    delimiter: str


@dataclass(frozen=True)
class Notification:
    """What a bucket tells a function of: keys with this beginning and end."""

    function_arn: str
    events: tuple[str, ...]
    prefix: str = ""
    suffix: str = ""
    id: str = ""


@dataclass(frozen=True)
class Expiry:
    """A rule of a bucket's lifecycle: after how many days objects with this beginning expire, and versions that are no
    longer the latest; None for never."""

    prefix: str
    days: int | None
    noncurrent_days: int | None


@dataclass(frozen=True)
class Bucket:
    """An S3 bucket."""

    name: str
    arn: str
    versioned: bool
    notifications: tuple[Notification, ...] = ()
    lifecycle: tuple[Expiry, ...] = ()


@dataclass(frozen=True)
class Topic:
    """An SNS topic; its ARN is its Ref, too.

    Attributes:
        subscriptions: ARNs of queues.
    """

    name: str
    arn: str
    fifo: bool
    content_based: bool
    subscriptions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Queue:
    """An SQS queue.

    Attributes:
        dead_letter_arn: where a message goes that has been received `most_receives` times.
    """

    name: str
    arn: str
    url: str
    fifo: bool
    visibility_s: int
    retention_s: int
    dead_letter_arn: str | None = None
    most_receives: int = 0


@dataclass(frozen=True)
class Function:
    """A Lambda function.

    Attributes:
        service: the folder of its service.
        short: its name in serverless.yml.
        handler: as in the template, `control/handlers/job.handler`.
        environment: its variables of the template.
        reserved: its reserved concurrency.
        retries: of an asynchronous invocation.
        event_age_s: of an asynchronous invocation.
        failure_arn: the on-failure destination of asynchronous invocations.
    """

    name: str
    arn: str
    service: str
    short: str
    handler: str
    environment: Mapping[str, str]
    timeout_s: int
    memory_mb: int
    reserved: int | None = None
    retries: int = 2
    event_age_s: int = 21_600
    failure_arn: str | None = None


@dataclass(frozen=True)
class Schedule:
    """A schedule of EventBridge Scheduler.

    Attributes:
        flexible_s: within so many seconds after its moment the target is called.
        input: what the target gets; None gives the scheduler's own event.
    """

    name: str
    arn: str
    expression: str
    target_arn: str
    input: str | None
    flexible_s: int
    retry: RetryPolicy
    dead_letter_arn: str | None
    enabled: bool = True


@dataclass(frozen=True)
class Alarm:
    """A CloudWatch alarm.

    Attributes:
        datapoints: breaching ones among `periods` that set it off (M of N).
        missing: TreatMissingData.
    """

    name: str
    arn: str
    namespace: str
    metric: str
    dimensions: tuple[tuple[str, str], ...]
    statistic: str
    period_s: int
    periods: int
    datapoints: int
    threshold: float
    comparison: str
    missing: str
    actions: tuple[str, ...] = ()
    ok_actions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Route:
    """A route of an HTTP API: `POST /stories`, the function behind it, and the scopes that a token needs."""

    key: str
    function_arn: str
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Deployment:
    """All services of a stage. What has a name stands under it; mappings under their logical ids' UUIDs."""

    stage: str
    account: str
    region: str
    tables: Mapping[str, TableDescription]
    streams: Mapping[str, Stream]
    buses: Mapping[str, Bus]
    archives: Mapping[str, Archive]
    rules: Mapping[str, Rule]
    delivery_streams: Mapping[str, DeliveryStream]
    buckets: Mapping[str, Bucket]
    topics: Mapping[str, Topic]
    queues: Mapping[str, Queue]
    functions: Mapping[str, Function]
    mappings: Mapping[str, MappingSettings]
    schedules: Mapping[str, Schedule]
    alarms: Mapping[str, Alarm]
    routes: tuple[Route, ...]
    log_groups: tuple[str, ...]
    outputs: Mapping[str, Mapping[str, str]]

    def function(self, service: str, short: str) -> Function:
        """A function by its service and its name in serverless.yml."""
        return self.functions[f"{service}-{self.stage}-{short}"]


@functools.cache
def deployed(stage: str = "prod") -> Deployment:
    """The services of this repository as they are at a stage: `prod` or `local`."""
    return deployment_of([_at_home(template_alone(service, stage)) for service in SERVICES])


def deployment_of(stacks: Iterable[Stack]) -> Deployment:
    """The deployment of some compiled services of one stage."""
    made = [*map(_Reading, stacks)]
    stage = made[0].stack.stage

    def by_name(read: Callable[[_Reading], Iterator[Any]]) -> dict[str, Any]:
        return {each.name: each for reading in made for each in read(reading)}

    return Deployment(
        stage=stage,
        account=ACCOUNT,
        region=REGION,
        tables=by_name(_Reading.tables),
        streams=by_name(_Reading.streams),
        buses=by_name(_Reading.buses),
        archives=by_name(_Reading.archives),
        rules=by_name(_Reading.rules),
        delivery_streams=by_name(_Reading.delivery_streams),
        buckets=by_name(_Reading.buckets),
        topics=by_name(_Reading.topics),
        queues=by_name(_Reading.queues),
        functions=by_name(_Reading.functions),
        mappings={each.uuid: each for reading in made for each in reading.mappings()},
        schedules=by_name(_Reading.schedules),
        alarms=by_name(_Reading.alarms),
        routes=tuple(each for reading in made for each in reading.routes()),
        log_groups=tuple(group for reading in made for group in reading.log_groups()),
        outputs={reading.stack.service: reading.outputs() for reading in made},
    )


def _at_home(stack: Stack) -> Stack:
    """The stack with the hub of its own stage in place of the hub that templates are compiled with."""
    elsewhere = HUB["busName"].removesuffix("bus")
    text = json.dumps(stack.template).replace(elsewhere, f"{HUB_SERVICE}-{stack.stage}-")
    return replace(stack, template=json.loads(text))


class _Reading:
    """One compiled service, resource by resource."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def _all(self, kind: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Logical id, ARN and resolved properties of each resource of a type."""
        for logical, properties in self.stack.of_type(kind).items():
            yield logical, self._own_arn(kind, logical), self._resolve(properties)

    def _own_arn(self, kind: str, logical: str) -> str:
        return str(self._resolve({"Fn::GetAtt": [logical, "Arn"]}))

    def _resolve(self, value: Any) -> Any:
        return _with_label(self.stack.resolve(value))

    def tables(self) -> Iterator[TableDescription]:
        for _, _, given in self._all("AWS::DynamoDB::Table"):
            yield TableDescription.of(given["TableName"], given, region=REGION, account=ACCOUNT)

    def streams(self) -> Iterator[Stream]:
        for _, arn, given in self._all("AWS::Kinesis::Stream"):
            on_demand = given.get("StreamModeDetails", {}).get("StreamMode") == "ON_DEMAND"
            shards = ON_DEMAND_SHARDS if on_demand else int(given["ShardCount"])
            yield Stream(given["Name"], arn, shards, on_demand, int(given.get("RetentionPeriodHours", 24)))

    def buses(self) -> Iterator[Bus]:
        for _, arn, given in self._all("AWS::Events::EventBus"):
            yield Bus(given["Name"], arn)

    def archives(self) -> Iterator[Archive]:
        for _, _, given in self._all("AWS::Events::Archive"):
            name = given["ArchiveName"]
            arn = f"arn:aws:events:{REGION}:{ACCOUNT}:archive/{name}"
            yield Archive(name, arn, given["SourceArn"], given.get("EventPattern"), int(given.get("RetentionDays", 0)))

    def rules(self) -> Iterator[Rule]:
        for _, arn, given in self._all("AWS::Events::Rule"):
            targets = tuple(_target(each) for each in given["Targets"])
            enabled = given.get("State", "ENABLED") == "ENABLED"
            yield Rule(given["Name"], arn, given["EventBusName"], given["EventPattern"], targets, enabled)

    def delivery_streams(self) -> Iterator[DeliveryStream]:
        for _, arn, given in self._all("AWS::KinesisFirehose::DeliveryStream"):
            to = given["ExtendedS3DestinationConfiguration"]
            delimiters = [
                parameter["ParameterValue"].encode().decode("unicode_escape")
                for processor in to.get("ProcessingConfiguration", {}).get("Processors", [])
                if processor["Type"] == "AppendDelimiterToRecord"
                for parameter in processor["Parameters"]
            ]
            yield DeliveryStream(
                name=given["DeliveryStreamName"],
                arn=arn,
                bucket=to["BucketARN"].rpartition(":")[2],
                prefix=to["Prefix"],
                error_prefix=to["ErrorOutputPrefix"],
                interval_s=int(to["BufferingHints"]["IntervalInSeconds"]),
                size_mb=int(to["BufferingHints"]["SizeInMBs"]),
                compression=to["CompressionFormat"],
                delimiter="".join(delimiters),
            )

    def buckets(self) -> Iterator[Bucket]:
        for _, arn, given in self._all("AWS::S3::Bucket"):
            notifications = [
                Notification(each["Function"], (each["Event"],), **_key_filter(each), id=str(place))
                for place, each in enumerate(given.get("NotificationConfiguration", {}).get("LambdaConfigurations", []))
            ]
            versioned = given.get("VersioningConfiguration", {}).get("Status") == "Enabled"
            rules = given.get("LifecycleConfiguration", {}).get("Rules", [])
            lifecycle = tuple(_expiry(each) for each in rules if each["Status"] == "Enabled")
            yield Bucket(given["BucketName"], arn, versioned, tuple(notifications), lifecycle)

    def topics(self) -> Iterator[Topic]:
        subscribed = [given for _, _, given in self._all("AWS::SNS::Subscription")]
        for _, arn, given in self._all("AWS::SNS::Topic"):
            yield Topic(
                name=given["TopicName"],
                arn=arn,
                fifo=bool(given.get("FifoTopic", False)),
                content_based=bool(given.get("ContentBasedDeduplication", False)),
                subscriptions=tuple(each["Endpoint"] for each in subscribed if each["TopicArn"] == arn),
            )

    def queues(self) -> Iterator[Queue]:
        for _, arn, given in self._all("AWS::SQS::Queue"):
            redrive = given.get("RedrivePolicy", {})
            yield Queue(
                name=given["QueueName"],
                arn=arn,
                url=f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{given['QueueName']}",
                fifo=bool(given.get("FifoQueue", False)),
                visibility_s=int(given.get("VisibilityTimeout", 30)),
                retention_s=int(given.get("MessageRetentionPeriod", 345_600)),
                dead_letter_arn=redrive.get("deadLetterTargetArn"),
                most_receives=int(redrive.get("maxReceiveCount", 0)),
            )

    def functions(self) -> Iterator[Function]:
        asynchronous = {given["FunctionName"]: given for _, _, given in self._all("AWS::Lambda::EventInvokeConfig")}
        for _, arn, given in self._all("AWS::Lambda::Function"):
            name = given["FunctionName"]
            about = asynchronous.get(name, {})
            yield Function(
                name=name,
                arn=arn,
                service=self.stack.service,
                short=name.removeprefix(f"{self.stack.service}-{self.stack.stage}-"),
                handler=given["Handler"],
                environment={key: str(value) for key, value in given["Environment"]["Variables"].items()},
                timeout_s=int(given.get("Timeout", 3)),
                memory_mb=int(given.get("MemorySize", 128)),
                reserved=given.get("ReservedConcurrentExecutions"),
                retries=int(about.get("MaximumRetryAttempts", 2)),
                event_age_s=int(about.get("MaximumEventAgeInSeconds", 21_600)),
                failure_arn=about.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination"),
            )

    def mappings(self) -> Iterator[MappingSettings]:
        for logical, _, given in self._all("AWS::Lambda::EventSourceMapping"):
            yield MappingSettings.from_configuration(
                {
                    **given,
                    "UUID": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.stack.service}/{self.stack.stage}/{logical}")),
                    "FunctionArn": given["FunctionName"],
                    "State": "Enabled" if given.get("Enabled", True) else "Disabled",
                }
            )

    def schedules(self) -> Iterator[Schedule]:
        for _, _, given in self._all("AWS::Scheduler::Schedule"):
            target, window = given["Target"], given["FlexibleTimeWindow"]
            yield Schedule(
                name=given["Name"],
                arn=f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/default/{given['Name']}",
                expression=given["ScheduleExpression"],
                target_arn=target["Arn"],
                input=target.get("Input"),
                flexible_s=int(window.get("MaximumWindowInMinutes", 0)) * 60,
                retry=_retry_policy(target),
                dead_letter_arn=target.get("DeadLetterConfig", {}).get("Arn"),
                enabled=given.get("State", "ENABLED") == "ENABLED",
            )

    def alarms(self) -> Iterator[Alarm]:
        for _, _, given in self._all("AWS::CloudWatch::Alarm"):
            periods = int(given["EvaluationPeriods"])
            yield Alarm(
                name=given["AlarmName"],
                arn=f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{given['AlarmName']}",
                namespace=given["Namespace"],
                metric=given["MetricName"],
                dimensions=tuple(sorted((each["Name"], each["Value"]) for each in given["Dimensions"])),
                statistic=given["Statistic"],
                period_s=int(given["Period"]),
                periods=periods,
                datapoints=int(given.get("DatapointsToAlarm", periods)),
                threshold=float(given["Threshold"]),
                comparison=given["ComparisonOperator"],
                missing=given.get("TreatMissingData", "missing"),
                actions=tuple(given.get("AlarmActions", ())),
                ok_actions=tuple(given.get("OKActions", ())),
            )

    def routes(self) -> Iterator[Route]:
        functions = {
            logical: given["IntegrationUri"] for logical, _, given in self._all("AWS::ApiGatewayV2::Integration")
        }
        for _, _, given in self._all("AWS::ApiGatewayV2::Route"):
            integration = given["Target"].rpartition("/")[2]
            yield Route(given["RouteKey"], functions[integration], tuple(given.get("AuthorizationScopes", ())))

    def log_groups(self) -> Iterator[str]:
        for _, _, given in self._all("AWS::Logs::LogGroup"):
            yield given["LogGroupName"]

    def outputs(self) -> dict[str, str]:
        urls = {queue.name: queue.url for queue in self.queues()}  # a queue's Ref is its URL
        values = {name: str(self._resolve(each["Value"])) for name, each in self.stack.outputs.items()}
        return {name: urls.get(value, value) for name, value in values.items()}


def _with_label(value: Any) -> Any:
    """The value with the label of a table's stream where `Stack.resolve` leaves a placeholder."""
    if isinstance(value, dict):
        return {name: _with_label(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_with_label(each) for each in value]
    if isinstance(value, str) and value.endswith("/stream/x"):
        return value.removesuffix("x") + STREAM_LABEL
    return value


def _retry_policy(target: Mapping[str, Any]) -> RetryPolicy:
    given, ours = target.get("RetryPolicy", {}), RetryPolicy()
    return RetryPolicy(
        int(given.get("MaximumEventAgeInSeconds", ours.age_s)), int(given.get("MaximumRetryAttempts", ours.retries))
    )


def _target(given: Mapping[str, Any]) -> Target:
    dead_letter = given.get("DeadLetterConfig", {}).get("Arn")
    return Target(given["Id"], given["Arn"], given, _retry_policy(given), dead_letter)


def _expiry(rule: Mapping[str, Any]) -> Expiry:
    days, noncurrent = rule.get("ExpirationInDays"), rule.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays")
    return Expiry(rule.get("Prefix", ""), days and int(days), noncurrent and int(noncurrent))


def _key_filter(notification: Mapping[str, Any]) -> dict[str, str]:
    rules = notification.get("Filter", {}).get("S3Key", {}).get("Rules", [])
    return {each["Name"].lower(): each["Value"] for each in rules}
