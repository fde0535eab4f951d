"""A stage's compiled templates as a `System`, by the reader that the console's map has (`stream_cli.structure`)."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from stream_cli.mappings.settings import InvalidMapping, MappingSettings
from stream_cli.plan import model
from stream_cli.structure.arrows import Names
from stream_cli.structure.compiled import ACCOUNT
from stream_cli.structure.nodes import full_name_of, id_of, kind_of, short_name
from stream_cli.structure.stacks import Resource, Stack, in_order

_TargetKind = Literal["stream", "delivery_stream", "queue", "topic", "function", "bus", "log_group", "other"]
_TARGETS: Mapping[str, _TargetKind] = {
    "stream": "stream",
    "delivery": "delivery_stream",
    "queue": "queue",
    "topic": "topic",
    "function": "function",
    "bus": "bus",
    "log": "log_group",
}
_ON_DEMAND_SHARDS = model.AWS.on_demand_shards
_UNITS = {"minute": 60.0, "hour": 3_600.0, "day": 86_400.0}
_DAY_S = 86_400.0
_CARRY_LOAD = ("AWS::Pipes::Pipe", "AWS::StepFunctions::StateMachine", "AWS::ApiGateway::RestApi", "AWS::Lambda::Url")
"""Types that events may go through, and that the model does not have."""

Part = TypeVar("Part")


@dataclass(frozen=True)
class Inventory:
    """What a stage has: what events go through, and what else costs money.

    Attributes:
        traced: functions whose invocations X-Ray samples.
        log_days: how long logs are kept, by the name of the function; None: for ever.
        bucket_days: how long objects are kept, by the name of the bucket; None: for ever.
        counts: how many resources there are of each type.
        not_modelled: what the simulation leaves out, for people.
    """

    system: model.System
    traced: frozenset[str] = frozenset()
    log_days: Mapping[str, float | None] = field(default_factory=dict)
    bucket_days: Mapping[str, float | None] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    not_modelled: tuple[str, ...] = ()


def inventory_of(stacks: Sequence[Stack], stage: str, region: str = "us-east-1") -> Inventory:
    """What the stacks of a stage have.

    Names are those of `plan.model`: the service, and a function's name in serverless.yml or a logical id.
    """
    return _Reading(stacks, stage, region).inventory()


def named(resource: Resource, stage: str) -> str:
    """The name of a resource in a plan: `control-service/listener`, `event-hub/Stream1`."""
    own = resource.logical_id
    if resource.type == "AWS::Lambda::Function":
        own = short_name(full_name_of(id_of(resource) or ""), resource)
    return f"{resource.stack.removesuffix(f'-{stage}')}/{own}"


class _Reading:
    """The resources of stacks, type by type."""

    def __init__(self, stacks: Sequence[Stack], stage: str, region: str) -> None:
        self.stage, self.region = stage, region
        self.resources = list(in_order(stacks))
        self.names = Names(ACCOUNT)
        self.by_id = {id: named(each, stage) for each in self.resources if (id := id_of(each)) is not None}
        self.notes: list[str] = []

    def inventory(self) -> Inventory:
        buses = {each.name: each for each in self._of("AWS::Events::EventBus", self._bus)}
        rules = dict(self._named(self._of("AWS::Events::Rule", self._rule)))
        functions = dict(self._named(self._of("AWS::Lambda::Function", self._function)))
        system = model.System(
            stage=self.stage,
            region=self.region,
            buses=buses,
            rules={name: rule for name, rule in rules.items() if rule.bus in buses},
            archives=dict(self._named(self._of("AWS::Events::Archive", self._archive))),
            streams=dict(self._named(self._of("AWS::Kinesis::Stream", self._stream))),
            tables=dict(self._named(self._of("AWS::DynamoDB::Table", self._table))),
            functions=functions,
            mappings=self._mappings(),
            delivery_streams=dict(self._named(self._of("AWS::KinesisFirehose::DeliveryStream", self._delivery))),
            notifications=tuple(self._notifications()),
            queues=dict(self._named(self._of("AWS::SQS::Queue", self._queue))),
            topics=dict(self._named(self._of("AWS::SNS::Topic", self._topic))),
            routes=self._routes(),
            schedules=dict(self._named(self._schedules())),
        )
        for rule in rules.values():
            if rule.bus not in buses:
                self.notes.append(f"{rule.name} is a rule of {rule.bus}, which is in none of the stacks.")
        for each in self.resources:
            if each.type in _CARRY_LOAD:
                self.notes.append(f"{named(each, self.stage)} ({each.type}) is left out, with what goes through it.")
        return Inventory(
            system,
            frozenset(self._traced()),
            {name: self._log_days(name) for name in functions},
            {named(each, self.stage): _expiration_days(each) for each in self._all("AWS::S3::Bucket")},
            Counter(each.type for each in self.resources),
            tuple(dict.fromkeys(self.notes)),
        )

    def _all(self, kind: str) -> Iterator[Resource]:
        return (each for each in self.resources if each.type == kind)

    def _of(self, kind: str, read: Callable[[Resource, str, Mapping[str, Any]], Part | None]) -> Iterator[Part]:
        for each in self._all(kind):
            part = read(each, named(each, self.stage), each.properties)
            if part is not None:
                yield part

    @staticmethod
    def _named(parts: Iterable[Part]) -> Iterator[tuple[str, Part]]:
        for each in parts:
            yield str(getattr(each, "name", "")), each

    def _name_of(self, text: Any) -> str:
        """The name in the plan of what an ARN names; the text itself where that is in no stack."""
        id = self.names.of(text)
        return self.by_id.get(id or "", str(text))

    def _bus(self, resource: Resource, name: str, given: Mapping[str, Any]) -> model.Bus:
        return model.Bus(name)

    def _rule(self, resource: Resource, name: str, given: Mapping[str, Any]) -> model.Rule | None:
        if given.get("State") == "DISABLED" or not given.get("EventPattern"):
            return None
        targets = tuple(self._target(each) for each in given.get("Targets") or () if isinstance(each, Mapping))
        bus = str(given.get("EventBusName") or "default")
        bus = self._name_of(bus) if bus.startswith("arn:") else self.by_id.get(f"bus:{bus}", bus)
        return model.Rule(name, bus, _pattern(given["EventPattern"]), targets)

    def _target(self, given: Mapping[str, Any]) -> model.Target:
        arn = str(given.get("Arn") or "")
        id = self.names.of(arn) or ""
        return model.Target(_TARGETS.get(kind_of(id), "other"), self.by_id.get(id, full_name_of(id) or arn))

    def _archive(self, resource: Resource, name: str, given: Mapping[str, Any]) -> model.Archive:
        pattern = given.get("EventPattern")
        return model.Archive(
            name,
            self._name_of(given.get("SourceArn")),
            None if pattern is None else _pattern(pattern),
            int(given.get("RetentionDays") or 0),
        )

    def _stream(self, resource: Resource, name: str, given: Mapping[str, Any]) -> model.Stream:
        on_demand = (given.get("StreamModeDetails") or {}).get("StreamMode") == "ON_DEMAND"
        id = id_of(resource)
        consumers = tuple(
            str(each.properties.get("ConsumerName", each.logical_id))
            for each in self._all("AWS::Kinesis::StreamConsumer")
            if self.names.of(each.properties.get("StreamARN")) == id
        )
        return model.Stream(
            name,
            "ON_DEMAND" if on_demand else "PROVISIONED",
            _ON_DEMAND_SHARDS if on_demand else int(given.get("ShardCount") or 1),
            int(given.get("RetentionPeriodHours") or 24),
            consumers,
        )

    def _table(self, resource: Resource, name: str, given: Mapping[str, Any]) -> model.Table:
        capacity = given.get("ProvisionedThroughput") or {}
        recovery = given.get("PointInTimeRecoverySpecification") or {}
        return model.Table(
            name,
            "PAY_PER_REQUEST" if given.get("BillingMode") == "PAY_PER_REQUEST" else "PROVISIONED",
            float(capacity.get("ReadCapacityUnits") or 0),
            float(capacity.get("WriteCapacityUnits") or 0),
            streamed=bool(given.get("StreamSpecification")),
            indexes=tuple(_index(each) for each in given.get("GlobalSecondaryIndexes") or ()),
            ttl=bool((given.get("TimeToLiveSpecification") or {}).get("Enabled")),
            point_in_time_recovery=_flag(recovery.get("PointInTimeRecoveryEnabled")),
        )

    def _function(self, resource: Resource, name: str, given: Mapping[str, Any]) -> model.Function:
        reserved = given.get("ReservedConcurrentExecutions")
        return model.Function(
            name,
            int(given.get("MemorySize") or 128),
            float(given.get("Timeout") or 3),
            None if reserved is None else int(reserved),
            "arm64" if "arm64" in (given.get("Architectures") or ()) else "x86_64",
        )

    def _mappings(self) -> dict[str, model.Mapping]:
        found: dict[str, model.Mapping] = {}
        for each in self._all("AWS::Lambda::EventSourceMapping"):
            function, source = self._name_of(each.properties.get("FunctionName")), each.properties.get("EventSourceArn")
            stream = str(source).partition("/consumer/")[0]
            where = f"{named(each, self.stage)}, a mapping to {function},"
            if self.by_id.get(self.names.of(stream) or "") is None:
                self.notes.append(f"{where} reads {source}, which is in none of the stacks.")
                continue
            try:
                settings = MappingSettings.from_configuration(
                    {
                        **each.properties,
                        "UUID": f"{each.stack}/{each.logical_id}",
                        "FunctionArn": str(each.properties.get("FunctionName")),
                        "State": "Enabled" if _flag(each.properties.get("Enabled", True)) else "Disabled",
                    }
                )
            except InvalidMapping as error:
                self.notes.append(f"{where} is not simulated: {error}.")
                continue
            if not settings.enabled:
                continue
            own = self._name_of(stream)
            name = function if function not in found else f"{function} ({own})"
            found[name] = model.Mapping(name, own, function, settings, fan_out="/consumer/" in str(source))
        return found

    def _delivery(self, resource: Resource, name: str, given: Mapping[str, Any]) -> model.DeliveryStream | None:
        to = given.get("ExtendedS3DestinationConfiguration") or given.get("S3DestinationConfiguration")
        if not to:
            self.notes.append(f"{name} delivers to another place than S3.")
            return None
        hints = to.get("BufferingHints") or {}
        seconds, size = hints.get("IntervalInSeconds"), hints.get("SizeInMBs")
        return model.DeliveryStream(
            name,
            self._name_of(to.get("BucketARN")),
            300.0 if seconds is None else float(seconds),
            float(size or 5) * 1024 * 1024,
            str(to.get("CompressionFormat") or "UNCOMPRESSED"),
        )

    def _notifications(self) -> Iterator[model.Notification]:
        for bucket in self._all("AWS::S3::Bucket"):
            for each in (bucket.properties.get("NotificationConfiguration") or {}).get("LambdaConfigurations") or ():
                rules = ((each.get("Filter") or {}).get("S3Key") or {}).get("Rules") or ()
                fixes = {str(rule["Name"]).lower(): str(rule["Value"]) for rule in rules}
                yield model.Notification(
                    named(bucket, self.stage),
                    self._name_of(each.get("Function")),
                    fixes.get("prefix", ""),
                    fixes.get("suffix", ""),
                )

    def _queue(self, resource: Resource, name: str, given: Mapping[str, Any]) -> model.Queue:
        return model.Queue(name, _flag(given.get("FifoQueue", False)))

    def _topic(self, resource: Resource, name: str, given: Mapping[str, Any]) -> model.Topic:
        subscribed = [each.properties for each in self._all("AWS::SNS::Subscription")]
        own = [each.get("Endpoint") for each in subscribed if each.get("TopicArn") == resource.physical_id]
        queues = tuple(self._name_of(each) for each in own if (self.names.of(each) or "").startswith("queue:"))
        return model.Topic(name, _flag(given.get("FifoTopic", False)), queues)

    def _routes(self) -> dict[str, model.Route]:
        found: dict[str, model.Route] = {}
        stages = {each.properties.get("ApiId"): each.properties for each in self._all("AWS::ApiGatewayV2::Stage")}
        functions = {
            f"integrations/{each.physical_id}": self._name_of(each.properties.get("IntegrationUri"))
            for each in self._all("AWS::ApiGatewayV2::Integration")
        }
        for each in self._all("AWS::ApiGatewayV2::Route"):
            key, function = str(each.properties.get("RouteKey")), functions.get(str(each.properties.get("Target")))
            if function is None:
                self.notes.append(f"The route {key} of {each.stack} leads to no function of the stacks.")
                continue
            limits = (stages.get(each.properties.get("ApiId")) or {}).get("DefaultRouteSettings") or {}
            rate, burst = limits.get("ThrottlingRateLimit"), limits.get("ThrottlingBurstLimit")
            found[key] = model.Route(key, function, float(rate or 0), float(burst or 0))
        return found

    def _schedules(self) -> Iterator[model.Schedule]:
        for each in (*self._all("AWS::Scheduler::Schedule"), *self._all("AWS::Events::Rule")):
            given = each.properties
            expression = str(given.get("ScheduleExpression") or "")
            if not expression or given.get("State") == "DISABLED":
                continue
            targets = given.get("Targets") or [given.get("Target") or {}]
            every_s = every(expression)
            if every_s is None:
                self.notes.append(f"{named(each, self.stage)} has a schedule that is not understood: {expression}.")
                continue
            yield model.Schedule(named(each, self.stage), self._name_of(targets[0].get("Arn")), every_s)

    def _traced(self) -> Iterator[str]:
        for each in self._all("AWS::Lambda::Function"):
            if (each.properties.get("TracingConfig") or {}).get("Mode") == "Active":
                yield named(each, self.stage)

    def _log_days(self, function: str) -> float | None:
        groups = {
            str(each.properties.get("LogGroupName")): each.properties.get("RetentionInDays")
            for each in self._all("AWS::Logs::LogGroup")
        }
        physical = {name: full_name_of(id) for id, name in self.by_id.items() if kind_of(id) == "function"}
        days = groups.get(f"/aws/lambda/{physical[function]}")
        return None if days is None else float(days)


def every(expression: str) -> float | None:
    """How many seconds are between two runs of a schedule, on average; None if the expression is not understood.

    >>> every("rate(15 minutes)"), every("cron(0/30 8-17 * * ? *)")
    (900.0, 4320.0)
    """
    rate = re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", expression)
    if rate:
        return int(rate[1]) * _UNITS[rate[2]]
    cron = re.fullmatch(r"cron\((\S+) (\S+) \S+ \S+ \S+ \S+\)", expression)
    if not cron:
        return None
    times = _times_of(cron[1], 60) * _times_of(cron[2], 24)
    return _DAY_S / times if times else None


def _times_of(field: str, length: int) -> int:
    """How many values a field of a cron expression has."""
    found: set[int] = set()
    for part in field.split(","):
        match = re.fullmatch(r"(\*|\d+)(?:-(\d+))?(?:/(\d+))?", part)
        if not match:
            return 0
        first = 0 if match[1] == "*" else int(match[1])
        last = int(match[2]) if match[2] else length - 1 if match[1] == "*" or match[3] else first
        found |= set(range(first, last + 1, int(match[3] or 1)))
    return len(found)


def _pattern(given: Any) -> Mapping[str, Any]:
    pattern = json.loads(given) if isinstance(given, str) else given
    return pattern if isinstance(pattern, Mapping) else {}


def _index(given: Mapping[str, Any]) -> model.Index:
    projection = (given.get("Projection") or {}).get("ProjectionType", "ALL")
    return model.Index(
        str(given["IndexName"]),
        tuple(str(each["AttributeName"]) for each in given.get("KeySchema") or ()),
        projection if projection in ("KEYS_ONLY", "INCLUDE") else "ALL",
    )


def _expiration_days(bucket: Resource) -> float | None:
    """The longest time after which a lifecycle rule deletes current objects, of rules for all keys or for most."""
    rules = (bucket.properties.get("LifecycleConfiguration") or {}).get("Rules") or ()
    kept = [
        each.get("ExpirationInDays")
        for each in rules
        if each.get("Status") == "Enabled" and ("ExpirationInDays" in each or each.get("Transitions"))
    ]
    days = [None if each is None else float(each) for each in kept]
    return None if not days or None in days else max(each for each in days if each is not None)


def _flag(value: Any) -> bool:
    return value.lower() == "true" if isinstance(value, str) else bool(value)
