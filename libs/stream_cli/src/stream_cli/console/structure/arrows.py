"""Arrows of the map: what leads to what, and which figures are of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stream_cli.console.structure.nodes import bus_of, full_name_of, id_of, id_of_arn
from stream_cli.console.structure.stacks import Resource, name_in
from stream_cli.trace.deployed import DeployedMapping

Flow = tuple[str, str, str]
"""``kind``, ``start`` and ``end`` of `journal.questions.Traffic`; of an empty ``start`` it may be any."""

_ROUTES_SHOWN = 3
_EVERYTHING = {"source": [{"prefix": ""}]}
"""The pattern of a rule that takes every event: the journal does not name such a rule."""


@dataclass(frozen=True)
class Arrow:
    """An arrow from a node to another.

    Attributes:
        kind: ``match`` (of a rule), ``target`` (of a rule), ``mapping``, ``invoke``, ``deliver``, ``write`` or
            ``failure`` (what is given up).
        why: how this is known, or more about it.
        flow: what goes over it; None if nobody counts that.
        mapping: the id of the event source mapping that it is.
    """

    start: str
    end: str
    kind: str
    why: str = ""
    flow: Flow | None = None
    mapping: str = ""
    disabled: bool = False

    @property
    def id(self) -> str:
        """Its id: two mappings may read the same stream for the same function."""
        return " ".join(filter(None, (self.kind, self.start, self.end, self.mapping)))


@dataclass(frozen=True)
class Names:
    """Finds nodes by what a template calls them."""

    account: str

    def of(self, text: Any) -> str | None:
        """The id of the node that an ARN or the URL of a queue names; None if it does not tell."""
        text = str(text or "")
        if text.startswith("arn:"):
            return id_of_arn(text, self.account)
        if text.startswith(("http:", "https:")) and "${" not in text:
            return f"queue:{name_in(text)}"
        return None


@dataclass(frozen=True)
class Unknown:
    """A resource leads to something that its template does not tell."""

    resource: Resource
    text: str


Found = Iterator[Arrow | Unknown]


def arrows_of(resource: Resource, names: Names, others: Sequence[Resource]) -> Found:
    """The arrows that a resource of a template says.

    Args:
        others: the resources of its stack.
    """
    of_type = _TYPES.get(resource.type)
    return of_type(resource, names, others) if of_type is not None else iter(())


def of_mapping(mapping: DeployedMapping, account: str) -> Iterator[Arrow]:
    """The arrows of an event source mapping, as Lambda has it now."""
    source = id_of_arn(mapping.source, account)
    function = f"function:{mapping.function.partition(':')[0]}"
    if source is None:
        return
    counted: Flow = ("attempt", "", mapping.id)
    if source.startswith("queue:"):
        counted = ("call", mapping.source, mapping.function.partition(":")[0])
    filters = (
        f"{len(mapping.patterns)} filters" if len(mapping.patterns) > 1 else "filter: " + "".join(mapping.patterns)
    )
    yield Arrow(
        source, function, "mapping", filters if mapping.patterns else "every record", counted, mapping.id,
        not mapping.enabled,
    )  # fmt: skip
    failures = id_of_arn(mapping.destination or "", account)
    if failures is not None:
        yield Arrow(
            function,
            failures,
            "failure",
            f"what it gives up of {full_name_of(source)}",
            ("given_up", "", mapping.id),
            mapping.id,
        )


def _leads(
    resource: Resource, start: str, to: Any, names: Names, kind: str, why: str = "", flow: Flow | None = None
) -> Found:
    """An arrow to what a property names, if it is there at all."""
    if not to:
        return
    end = names.of(to)
    if end is None:
        yield Unknown(resource, str(to))
    else:
        yield Arrow(start, end, kind, why, flow)


def _rule(rule: Resource, names: Names, others: Sequence[Resource]) -> Found:
    own = id_of(rule) or ""
    key = own.partition(":")[2]
    targets = [each for each in rule.properties.get("Targets") or () if isinstance(each, Mapping)]
    is_schedule = own.startswith("schedule:")
    takes_all: Flow | None = ("event", "", bus_of(rule)) if rule.properties.get("EventPattern") == _EVERYTHING else None
    if not is_schedule:
        first = str(targets[0].get("Arn", "")) if targets else ""
        yield Arrow(f"bus:{bus_of(rule)}", own, "match", flow=takes_all or ("rule", key, first))
    for target in targets:
        arn = str(target.get("Arn", ""))
        function = (names.of(arn) or "").removeprefix("function:")
        flow = ("call", "", function) if is_schedule else takes_all or ("rule", key, arn)
        yield from _leads(rule, own, arn, names, "invoke" if is_schedule else "target", flow=flow)
        failures = (target.get("DeadLetterConfig") or {}).get("Arn")
        given_up = ("delivery", key, arn)
        yield from _leads(rule, own, failures, names, "failure", "what its target does not take", given_up)


def _schedule(schedule: Resource, names: Names, others: Sequence[Resource]) -> Found:
    own, target = id_of(schedule) or "", schedule.properties.get("Target") or {}
    function = (names.of(target.get("Arn")) or "").removeprefix("function:")
    yield from _leads(schedule, own, target.get("Arn"), names, "invoke", flow=("call", "", function))
    failures = (target.get("DeadLetterConfig") or {}).get("Arn")
    yield from _leads(schedule, own, failures, names, "failure", "what its target does not take")


def _delivery(delivery: Resource, names: Names, others: Sequence[Resource]) -> Found:
    own = id_of(delivery) or ""
    for name in ("ExtendedS3DestinationConfiguration", "S3DestinationConfiguration"):
        bucket = (delivery.properties.get(name) or {}).get("BucketARN")
        objects = ("object", name_in(str(bucket or "")), "put")
        yield from _leads(delivery, own, bucket, names, "deliver", "objects", objects)
    source = (delivery.properties.get("KinesisStreamSourceConfiguration") or {}).get("KinesisStreamARN")
    if source and (start := names.of(source)) is not None:
        yield Arrow(start, own, "deliver", "every record")


def _bucket(bucket: Resource, names: Names, others: Sequence[Resource]) -> Found:
    own, given = id_of(bucket), bucket.properties.get("NotificationConfiguration") or {}
    if own is None:
        return
    for name, field in (
        ("LambdaConfigurations", "Function"),
        ("QueueConfigurations", "Queue"),
        ("TopicConfigurations", "Topic"),
    ):
        for each in given.get(name) or ():
            rules = ((each.get("Filter") or {}).get("S3Key") or {}).get("Rules") or ()
            where = ", ".join(f"{rule.get('Name')} {rule.get('Value')}" for rule in rules)
            why = f"{each.get('Event')}{f' with {where}' if where else ''}"
            function = (names.of(each.get(field)) or "").removeprefix("function:")
            flow = ("call", "aws:s3", function) if field == "Function" else ("message", "", str(each.get(field)))
            yield from _leads(
                bucket, own, each.get(field), names, "invoke" if field == "Function" else "deliver", why, flow
            )


def _subscription(subscription: Resource, names: Names, others: Sequence[Resource]) -> Found:
    given, topic = subscription.properties, subscription.properties.get("TopicArn")
    yield from _subscribed(subscription, topic, given.get("Protocol"), given.get("Endpoint"), names)
    failures = (_content(given.get("RedrivePolicy")) or {}).get("deadLetterTargetArn")
    if start := names.of(topic):
        yield from _leads(subscription, start, failures, names, "failure", "what a subscriber does not take")


def _topic(topic: Resource, names: Names, others: Sequence[Resource]) -> Found:
    for each in topic.properties.get("Subscription") or ():
        yield from _subscribed(topic, topic.physical_id, each.get("Protocol"), each.get("Endpoint"), names)


def _subscribed(resource: Resource, topic: Any, protocol: Any, endpoint: Any, names: Names) -> Found:
    start = names.of(topic)
    if start is None:
        yield Unknown(resource, str(topic))
    elif protocol == "lambda":
        function = (names.of(endpoint) or "").removeprefix("function:")
        yield from _leads(resource, start, endpoint, names, "invoke", flow=("call", str(topic), function))
    elif protocol in ("sqs", "firehose"):
        yield from _leads(resource, start, endpoint, names, "deliver", flow=("message", "", str(endpoint)))
    else:  # an address may be of a person
        yield Arrow(start, f"outside:{protocol}", "deliver")


def _queue(queue: Resource, names: Names, others: Sequence[Resource]) -> Found:
    failures = (_content(queue.properties.get("RedrivePolicy")) or {}).get("deadLetterTargetArn")
    yield from _leads(queue, id_of(queue) or "", failures, names, "failure", "what is received too often")


def _invoke_config(config: Resource, names: Names, others: Sequence[Resource]) -> Found:
    start = f"function:{name_in(str(config.properties.get('FunctionName', '')))}"
    destinations = config.properties.get("DestinationConfig") or {}
    failures = (destinations.get("OnFailure") or {}).get("Destination")
    yield from _leads(
        config, start, failures, names, "failure", "events that it fails for", ("message", "", str(failures))
    )
    success = (destinations.get("OnSuccess") or {}).get("Destination")
    yield from _leads(config, start, success, names, "write", "its results")


def _function(function: Resource, names: Names, others: Sequence[Resource]) -> Found:
    failures = (function.properties.get("DeadLetterConfig") or {}).get("TargetArn")
    flow = ("message", "", str(failures))
    yield from _leads(function, id_of(function) or "", failures, names, "failure", "events that it fails for", flow)


def _integration(integration: Resource, names: Names, others: Sequence[Resource]) -> Found:
    """An HTTP API's routes to a function."""
    uri = str(integration.properties.get("IntegrationUri", ""))
    if not uri or uri.startswith("http"):
        return
    target = f"integrations/{integration.physical_id}"
    routes = [
        str(each.properties.get("RouteKey"))
        for each in others
        if each.type == "AWS::ApiGatewayV2::Route" and each.properties.get("Target") == target
    ]
    end = names.of(_function_in(uri))
    more = f" and {len(routes) - _ROUTES_SHOWN} more" if len(routes) > _ROUTES_SHOWN else ""
    why = ", ".join(routes[:_ROUTES_SHOWN]) + more
    start = f"api:{integration.properties.get('ApiId')}"
    if end is None:
        yield Unknown(integration, uri)
    else:
        yield Arrow(start, end, "invoke", why, ("call", "", end.removeprefix("function:")))


def _method(method: Resource, names: Names, others: Sequence[Resource]) -> Found:
    """A REST API's method that invokes a function."""
    uri = str((method.properties.get("Integration") or {}).get("Uri", ""))
    function = names.of(_function_in(uri))
    if function is not None and function.startswith("function:"):
        start = f"api:{method.properties.get('RestApiId')}"
        yield Arrow(start, function, "invoke", flow=("call", "", function.removeprefix("function:")))


def _url(url: Resource, names: Names, others: Sequence[Resource]) -> Found:
    function = name_in(str(url.properties.get("TargetFunctionArn", "")))
    yield Arrow(id_of(url) or "", f"function:{function}", "invoke", "its URL", ("call", "", function))


def _pipe(pipe: Resource, names: Names, others: Sequence[Resource]) -> Found:
    own = id_of(pipe) or ""
    source = names.of(pipe.properties.get("Source"))
    if source is not None:
        yield Arrow(source, own, "deliver")
    for name in ("Enrichment", "Target"):
        yield from _leads(
            pipe, own, pipe.properties.get(name), names, "deliver", "" if name == "Target" else "enrichment"
        )


def _function_in(uri: str) -> str:
    """The ARN of the function in the URI of an integration: it stands there as it is, or between slashes."""
    return uri.partition("/functions/")[2].rpartition("/invocations")[0] or uri


def _content(value: Any) -> Mapping[str, Any] | None:
    return value if isinstance(value, Mapping) else None


_TYPES: Mapping[str, Callable[[Resource, Names, Sequence[Resource]], Found]] = {
    "AWS::ApiGateway::Method": _method,
    "AWS::ApiGatewayV2::Integration": _integration,
    "AWS::Events::Rule": _rule,
    "AWS::KinesisFirehose::DeliveryStream": _delivery,
    "AWS::Lambda::EventInvokeConfig": _invoke_config,
    "AWS::Lambda::Function": _function,
    "AWS::Lambda::Url": _url,
    "AWS::Pipes::Pipe": _pipe,
    "AWS::S3::Bucket": _bucket,
    "AWS::SNS::Subscription": _subscription,
    "AWS::SNS::Topic": _topic,
    "AWS::SQS::Queue": _queue,
    "AWS::Scheduler::Schedule": _schedule,
}

ARROWS = frozenset({*_TYPES, "AWS::ApiGatewayV2::Route", "AWS::Lambda::EventSourceMapping"})
"""The types that say what leads where."""


def merged(arrows: Iterable[Arrow]) -> list[Arrow]:
    """Each arrow once; reasons of the same arrow are joined."""
    found: dict[str, Arrow] = {}
    for arrow in arrows:
        known = found.setdefault(arrow.id, arrow)
        if arrow.why and arrow.why not in known.why.split("; "):
            why = "; ".join(filter(None, (known.why, arrow.why)))
            found[arrow.id] = Arrow(
                known.start, known.end, known.kind, why, known.flow or arrow.flow, known.mapping, known.disabled
            )
    return list(found.values())
