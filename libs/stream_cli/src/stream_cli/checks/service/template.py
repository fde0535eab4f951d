"""A compiled CloudFormation template as typed resources: functions, mappings, roles, streams, tables, queues, topics.

`references` turns whatever names a resource into one text, so that a mapping's destination and a role's statement can
be compared however either is written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import pydash

from .policies import MANAGED_POLICIES, UNRELATED_POLICIES, Role, Statement
from .references import Resolver
from .resources import KINESIS, SQS, STREAMS, BusRule, EventSourceMapping, Function, Queue, Stream, Table, Topic
from .serverless_events import serverless_name
from .symbols import service_of, stand_in

Source = TypeVar("Source", Table, Stream, Queue, Topic)


@dataclass
class Template:
    """A template; its resources are read when they are first asked for."""

    body: Mapping[str, Any]
    resources: Mapping[str, Mapping[str, Any]] = field(init=False)
    resolver: Resolver = field(init=False)

    def __post_init__(self) -> None:
        self.resources = self.body.get("Resources") or {}
        self.resolver = Resolver(self.resources, self.body.get("Parameters") or {})

    def _of_type(self, *kinds: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for logical_id, resource in self.resources.items():
            if resource.get("Type") in kinds:
                yield logical_id, resource.get("Properties") or {}

    @cached_property
    def functions(self) -> Mapping[str, Function]:
        return {each: self._function(each, given) for each, given in self._of_type("AWS::Lambda::Function")}

    @cached_property
    def mappings(self) -> tuple[EventSourceMapping, ...]:
        """The event source mappings, in the order of the template."""
        return tuple(self._mapping(*each) for each in self._of_type("AWS::Lambda::EventSourceMapping"))

    @cached_property
    def bus_rules(self) -> tuple[BusRule, ...]:
        """The rules of event buses, in the order of the template."""
        return tuple(self._bus_rule(*each) for each in self._of_type("AWS::Events::Rule"))

    @cached_property
    def roles(self) -> Mapping[str, Role]:
        return {each: self._role(each, given) for each, given in self._of_type("AWS::IAM::Role")}

    @cached_property
    def _sources(self) -> Mapping[str, Table | Stream | Queue | Topic]:
        """Tables, streams, queues and topics by ARN."""
        made: dict[str, Table | Stream | Queue | Topic] = {}
        for logical_id, resource in self.resources.items():
            given, arn = resource.get("Properties") or {}, self.resolver.arn_of(logical_id) or ""
            match resource.get("Type"):
                case "AWS::DynamoDB::Table" | "AWS::DynamoDB::GlobalTable":
                    made[arn] = Table(logical_id, pydash.get(given, "StreamSpecification.StreamViewType"))
                case "AWS::Kinesis::Stream":
                    made[arn] = Stream(logical_id, _integer(given.get("RetentionPeriodHours"), 24))
                case "AWS::SQS::Queue":
                    timeout = _integer(given.get("VisibilityTimeout"), 30)
                    fifo = _boolean(given.get("FifoQueue"), False)
                    made[arn] = Queue(logical_id, fifo, timeout, has_redrive="RedrivePolicy" in given)
                case "AWS::SNS::Topic":
                    made[arn] = Topic(logical_id, _boolean(given.get("FifoTopic"), False))
        return made

    def tables_to_create(self) -> list[dict[str, Any]]:
        """Requests of CreateTable for the tables, with their keys and indexes only; `stand_in` makes their names."""
        kept = ("AttributeDefinitions", "GlobalSecondaryIndexes", "KeySchema", "LocalSecondaryIndexes")
        return [
            {
                "TableName": stand_in(self.resolver.name_of(logical_id)),
                "BillingMode": "PAY_PER_REQUEST",
                **{name: self.resolver.with_texts(value) for name, value in given.items() if name in kept},
            }
            for logical_id, given in self._of_type("AWS::DynamoDB::Table", "AWS::DynamoDB::GlobalTable")
        ]

    def function_of(self, mapping: EventSourceMapping) -> Function | None:
        """The function that a mapping invokes, None if it is not in the template."""
        return self.functions.get(mapping.function_id or "")

    def role_of(self, function: Function | None) -> Role | None:
        """The role of a function, None if it is not in the template."""
        return self.roles.get(function.role_id or "") if function else None

    def table_of(self, mapping: EventSourceMapping) -> Table | None:
        """The table whose stream a mapping reads, None if it is not in the template."""
        arn, stream, _ = mapping.stream.partition("/stream/")
        return self.find(Table, arn) if stream else None

    def find(self, kind: type[Source], arn: str | None) -> Source | None:
        """The table, stream, queue or topic with that ARN, None if there is none of this kind in the template."""
        found = self._sources.get(arn or "")
        return found if isinstance(found, kind) else None

    def find_table(self, arn: str) -> Table | None:
        """The table with that ARN, None if it is not in the template."""
        return self.find(Table, arn)

    def has_layers(self, function: Function) -> bool:
        """Whether a function has layers, beside its package."""
        return bool(pydash.get(self.resources, [function.logical_id, "Properties", "Layers"]))

    def functions_with(self, role: Role) -> tuple[Function, ...]:
        return tuple(each for each in self.functions.values() if each.role_id == role.logical_id)

    def _function(self, logical_id: str, given: Mapping[str, Any]) -> Function:
        environment = pydash.get(given, "Environment.Variables") or {}
        reserved = given.get("ReservedConcurrentExecutions")
        return Function(
            logical_id=logical_id,
            name=serverless_name(logical_id),
            handler=self.resolver.text(given.get("Handler", "")),
            timeout=_integer(given.get("Timeout"), 3),
            environment={name: self.resolver.text(value) for name, value in environment.items()},
            role_id=self._behind(given.get("Role"), "AWS::IAM::Role"),
            reserved_concurrency=None if reserved is None else _integer(reserved, -1),
        )

    def _mapping(self, logical_id: str, given: Mapping[str, Any]) -> EventSourceMapping:
        source = self.resolver.text(given.get("EventSourceArn"))
        registered = self._registered_stream(source[2:-1]) if source.startswith("${") else None
        stream = registered or re.sub(r"/consumer/[^/]*$", "", source)
        destination = pydash.get(given, "DestinationConfig.OnFailure.Destination")
        filters = pydash.get(given, "FilterCriteria.Filters") or []
        timestamp = given.get("StartingPositionTimestamp")
        return EventSourceMapping(
            logical_id=logical_id,
            function_id=self._function_behind(given.get("FunctionName")),
            source=source,
            stream=stream,
            kind=_kind(logical_id, stream, registered is not None),
            consumer=stream != source,
            batch_size=_integer(given.get("BatchSize"), 100),
            batch_window=_integer(given.get("MaximumBatchingWindowInSeconds"), 0),
            parallelization_factor=_integer(given.get("ParallelizationFactor"), 1),
            starting_position=given.get("StartingPosition"),
            starting_timestamp=None if timestamp is None else float(timestamp),
            enabled=_boolean(given.get("Enabled"), True),
            maximum_retry_attempts=_integer(given.get("MaximumRetryAttempts"), -1),
            maximum_record_age=_integer(given.get("MaximumRecordAgeInSeconds"), -1),
            bisect=_boolean(given.get("BisectBatchOnFunctionError"), False),
            reports_item_failures="ReportBatchItemFailures" in (given.get("FunctionResponseTypes") or []),
            tumbling_window=_integer(given.get("TumblingWindowInSeconds"), 0),
            destination=None if destination is None else self.resolver.text(destination),
            patterns=tuple(each["Pattern"] for each in filters if isinstance(each.get("Pattern"), str)),
        )

    def _bus_rule(self, logical_id: str, given: Mapping[str, Any]) -> BusRule:
        pattern = self.resolver.with_texts(given.get("EventPattern"), as_lists=True)
        if not isinstance(pattern, str):
            pattern = None if pattern is None else json.dumps(pattern)
        targets = [self.resolver.with_texts(each) for each in _list(given.get("Targets"))]
        return BusRule(
            logical_id,
            pattern if pattern is None or pattern.startswith("{") else None,
            tuple(each for each in targets if isinstance(each, Mapping)),
        )

    def _registered_stream(self, consumer_id: str) -> str | None:
        """The stream that a consumer of the template is registered with, None for any other resource."""
        consumer = self.resources.get(consumer_id) or {}
        if consumer.get("Type") != "AWS::Kinesis::StreamConsumer":
            return None
        return self.resolver.text(pydash.get(consumer, "Properties.StreamARN"))

    def _function_behind(self, value: Any) -> str | None:
        """The logical id of the function that a mapping names, directly or by a version or alias."""
        named = self._behind(value, "AWS::Lambda::Function")
        if named is not None:
            return named
        for kind in ("AWS::Lambda::Alias", "AWS::Lambda::Version"):
            qualified = self._behind(value, kind)
            if qualified is not None:
                name = pydash.get(self.resources, [qualified, "Properties", "FunctionName"])
                return self._behind(name, "AWS::Lambda::Function")
        return None

    def _behind(self, value: Any, kind: str) -> str | None:
        """The logical id of the resource of type `kind` that a value names by reference, name or ARN."""
        if value is None:
            return None
        text = self.resolver.text(value)
        for logical_id, _ in self._of_type(kind):
            named = (self.resolver.arn_of(logical_id), self.resolver.name_of(logical_id), f"${{{logical_id}}}")
            if text in named or text.startswith(f"${{{logical_id}."):
                return logical_id
        return None

    def _role(self, logical_id: str, given: Mapping[str, Any]) -> Role:
        documents = [each.get("PolicyDocument") or {} for each in given.get("Policies") or []]
        attached = [self.resolver.text(each) for each in given.get("ManagedPolicyArns") or []]
        for policy_id, policy in self._of_type("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::RolePolicy"):
            roles = [*(policy.get("Roles") or []), *([policy["RoleName"]] if "RoleName" in policy else [])]
            if f"${{{policy_id}}}" in attached or any(
                self._behind(each, "AWS::IAM::Role") == logical_id for each in roles
            ):
                documents.append(policy.get("PolicyDocument") or {})
        own = {f"${{{policy_id}}}" for policy_id, _ in self._of_type("AWS::IAM::ManagedPolicy")}
        statements = [self._statement(each) for document in documents for each in _list(document.get("Statement"))]
        unread = False
        for arn in attached:
            name = arn.rsplit("/", 1)[-1]
            if name in MANAGED_POLICIES:
                statements.append(Statement(True, MANAGED_POLICIES[name], ("*",), managed_by=name))
            elif arn not in own and name not in UNRELATED_POLICIES:
                unread = True
        return Role(logical_id, tuple(statements), unread)

    def _statement(self, given: Mapping[str, Any]) -> Statement:
        return Statement(
            allows=given.get("Effect") == "Allow",
            actions=self._texts(given.get("Action")),
            resources=self._texts(given.get("Resource")),
            conditional=bool(given.get("Condition")),
            but_actions=self._texts(given.get("NotAction")),
            but_resources=self._texts(given.get("NotResource")),
        )

    def _texts(self, values: Any) -> tuple[str, ...]:
        return tuple(self.resolver.text(each) for each in _list(values))


def _kind(logical_id: str, stream: str, by_consumer: bool) -> str | None:
    service = service_of(stream)
    if service is not None:
        return service if service in (*STREAMS, SQS) else None
    if by_consumer:
        return KINESIS
    # Another stack gives the ARN; the CLI writes the type from serverless.yml into the logical id.
    named = re.search(r"EventSourceMapping(Kinesis|Dynamodb|SQS)", logical_id)
    return named[1].lower() if named else None


def _list(value: Any) -> Sequence[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _integer(value: Any, default: int) -> int:
    """A number of the template; `default` if it is left out or only the deployment knows it."""
    if isinstance(value, str) and re.fullmatch(r"-?\d+", value):
        return int(value)
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else default


def _boolean(value: Any, default: bool) -> bool:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    return value if isinstance(value, bool) else default
