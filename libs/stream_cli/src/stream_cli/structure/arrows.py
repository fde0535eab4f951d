"""Arrows of the map: what leads to what, and which figures are of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stream_cli.structure.nodes import bus_of, full_name_of, id_of, id_of_arn
from stream_cli.structure.stacks import Resource, name_in
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
    targets = _entries(rule.properties.get("Targets"))
    is_schedule = own.startswith("schedule:")
    takes_all: Flow | None = ("event", "", bus_of(rule)) if rule.properties.get("EventPattern") == _EVERYTHING else None
    if not is_schedule:
        first = str(_member(targets[0], "Arn") or "") if targets else ""
        yield Arrow(f"bus:{bus_of(rule)}", own, "match", flow=takes_all or ("rule", key, first))
    for target in targets:
        arn = str(_member(target, "Arn") or "")
        function = (names.of(arn) or "").removeprefix("function:")
        flow = ("call", "", function) if is_schedule else takes_all or ("rule", key, arn)
        yield from _leads(rule, own, arn, names, "invoke" if is_schedule else "target", flow=flow)
        failures = _member(target, "DeadLetterConfig", "Arn")
        given_up = ("delivery", key, arn)
        yield from _leads(rule, own, failures, names, "failure", "what its target does not take", given_up)


def _schedule(schedule: Resource, names: Names, others: Sequence[Resource]) -> Found:
    own, target = id_of(schedule) or "", _member(schedule.properties, "Target", "Arn")
    function = (names.of(target) or "").removeprefix("function:")
    yield from _leads(schedule, own, target, names, "invoke", flow=("call", "", function))
    failures = _member(schedule.properties, "Target", "DeadLetterConfig", "Arn")
    yield from _leads(schedule, own, failures, names, "failure", "what its target does not take")


def _delivery(delivery: Resource, names: Names, others: Sequence[Resource]) -> Found:
    own = id_of(delivery) or ""
    for name in ("ExtendedS3DestinationConfiguration", "S3DestinationConfiguration"):
        bucket = _member(delivery.properties, name, "BucketARN")
        objects = ("object", name_in(str(bucket or "")), "put")
        yield from _leads(delivery, own, bucket, names, "deliver", "objects", objects)
    source = _member(delivery.properties, "KinesisStreamSourceConfiguration", "KinesisStreamARN")
    if source and (start := names.of(source)) is not None:
        yield Arrow(start, own, "deliver", "every record")


def _bucket(bucket: Resource, names: Names, others: Sequence[Resource]) -> Found:
    own = id_of(bucket)
    if own is None:
        return
    for name, field in (
        ("LambdaConfigurations", "Function"),
        ("QueueConfigurations", "Queue"),
        ("TopicConfigurations", "Topic"),
    ):
        for each in _entries(_member(bucket.properties, "NotificationConfiguration", name)):
            to, rules = _member(each, field), _entries(_member(each, "Filter", "S3Key", "Rules"))
            where = ", ".join(f"{_member(rule, 'Name')} {_member(rule, 'Value')}" for rule in rules)
            why = f"{_member(each, 'Event')}{f' with {where}' if where else ''}"
            function = (names.of(to) or "").removeprefix("function:")
            flow = ("call", "aws:s3", function) if field == "Function" else ("message", "", str(to))
            yield from _leads(bucket, own, to, names, "invoke" if field == "Function" else "deliver", why, flow)


def _subscription(subscription: Resource, names: Names, others: Sequence[Resource]) -> Found:
    given, topic = subscription.properties, subscription.properties.get("TopicArn")
    yield from _subscribed(subscription, topic, given.get("Protocol"), given.get("Endpoint"), names)
    failures = _member(given, "RedrivePolicy", "deadLetterTargetArn")
    if start := names.of(topic):
        yield from _leads(subscription, start, failures, names, "failure", "what a subscriber does not take")


def _topic(topic: Resource, names: Names, others: Sequence[Resource]) -> Found:
    for each in _entries(topic.properties.get("Subscription")):
        yield from _subscribed(topic, topic.physical_id, _member(each, "Protocol"), _member(each, "Endpoint"), names)


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
    failures = _member(queue.properties, "RedrivePolicy", "deadLetterTargetArn")
    yield from _leads(queue, id_of(queue) or "", failures, names, "failure", "what is received too often")


def _invoke_config(config: Resource, names: Names, others: Sequence[Resource]) -> Found:
    start = f"function:{name_in(str(config.properties.get('FunctionName', '')))}"
    failures = _member(config.properties, "DestinationConfig", "OnFailure", "Destination")
    yield from _leads(
        config, start, failures, names, "failure", "events that it fails for", ("message", "", str(failures))
    )
    success = _member(config.properties, "DestinationConfig", "OnSuccess", "Destination")
    yield from _leads(config, start, success, names, "write", "its results")


def _function(function: Resource, names: Names, others: Sequence[Resource]) -> Found:
    failures = _member(function.properties, "DeadLetterConfig", "TargetArn")
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
    uri = str(_member(method.properties, "Integration", "Uri") or "")
    function = names.of(_function_in(uri))
    if uri.startswith("${"):
        yield Unknown(method, uri)
    elif function is not None and function.startswith("function:"):
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


def _member(given: Any, *names: str) -> Any:
    """What is below these names; of a structure that its template does not tell, the text that stands in its place."""
    for name in names:
        if not isinstance(given, Mapping):
            break
        given = given.get(name)
    return given


def _entries(given: Any) -> Sequence[Any]:
    """The entries of a list; the text that stands in its place is the only one."""
    return given if isinstance(given, list) else [given] if given else []


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
