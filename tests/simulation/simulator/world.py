"""A whole simulated system: the deployed services of a stage in a simulated AWS, in virtual time, from a seed.

world = World(seed, deployed("prod"))
with world.playing():
    world.request("POST", "/stories", {...})
    world.publish({"type": "story-analyzed", ...})
    world.run(60)
"""

from __future__ import annotations

import functools
import gc
import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from refusals import Refusal
from stream_cli.mappings.failures import object_key
from stream_cli.mappings.outcomes import Invocation
from stream_cli.mappings.settings import MappingSettings
from stream_runtime.events import to_api_gateway_request_v2

from simulator import clients
from simulator.aws import SimulatedAws
from simulator.faults import Faults, Trouble
from simulator.functions import ACCOUNT_CONCURRENCY, Functions
from simulator.kernel import MICROSECONDS, Kernel
from simulator.mappings import Records, StreamMapping
from simulator.services.cloudwatch import CloudWatch
from simulator.services.dynamodb import DynamoDB
from simulator.services.eventbridge import Chances, EventBridge
from simulator.services.firehose import Firehose
from simulator.services.kinesis import Kinesis
from simulator.services.logs import Logs
from simulator.services.s3 import S3
from simulator.services.s3 import Chances as NotificationChances
from simulator.services.scheduler import Scheduler
from simulator.services.sns import Sns
from simulator.services.sqs import Sqs
from simulator.topology import Deployment
from simulator.virtual import virtual

SECOND = MICROSECONDS

LIES_IN_WAIT_S = 120
"""How long a function whose process is to be killed may take to begin."""

GARBAGE_THRESHOLD = 500_000
"""Objects between two collections of garbage: about 50 MB."""

CLAIMS = {"iss": "https://login.my-company.example/", "sub": "writer", "scope": "stories/read stories/write"}
"""Of the token of a client that says nothing else."""


class Happening(NamedTuple):
    """Something that happened, and to whom.

    Attributes:
        what: one of the following, or what a service says of itself.
        about: by `what`:
            ``requested``: method, path, body; ``responded``: method, path, `Answer`;
            ``invoked``: function, request id, process, payload; ``answered``: the same with an `Invocation`;
            ``throttled``: function, request id; ``event given up``: function, request id, condition;
            ``called``: process, service, operation, request, response; ``refused``: the same with a `Refusal`;
            ``trouble``: process or service that calls, service, operation, kind, request;
            ``settled``: function, shard, `Attempt`, `Outcome`; ``given up``: function, shard, `GivenUp`;
            ``restarted``: function, shard; ``updated``: function, `MappingSettings`;
            ``logged``: process, text; ``killed``: process; ``deployed``.
    """

    at_us: int
    what: str
    about: tuple[Any, ...]


@dataclass(frozen=True)
class Plan:
    """What is out of the ordinary in a world.

    Attributes:
        troubles: what fails.
        concurrency: invocations of all functions at once.
        skewed_s: by how much the clocks of functions are off at most.
        doubled: share of asynchronous events that come once more, and of those of the bus and of buckets, if that is
            more than usual.
        late: share of events of the bus that reach a target late.
        client: which clients the functions have: one of `clients.KINDS`.
    """

    troubles: tuple[Trouble, ...] = ()
    concurrency: int = ACCOUNT_CONCURRENCY
    skewed_s: float = 0.0
    doubled: float = 0.0
    late: float = Chances.late
    client: str = "direct"


QUIET = Plan()
"""Nothing is out of the ordinary."""


@dataclass
class Answer:
    """What a client of the HTTP API gets; `status` is 0 until it has come.

    Attributes:
        of_function: whether the function has answered, rather than API Gateway in its place.
    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    of_function: bool = False


class World:
    """A deployment in a simulated AWS.

    Attributes:
        happened: what has happened so far, in order.
    """

    def __init__(self, seed: int, deployment: Deployment, plan: Plan = QUIET) -> None:
        kernel = self.kernel = Kernel(seed)
        self.seed = seed
        self.deployment = deployment
        self.plan = plan
        self.happened: list[Happening] = []
        self._to_kill: dict[str, float] = {}
        self.start_us = kernel.now_us
        self.troubles = Faults(seed, plan.troubles, kernel.now_us)
        self._services: dict[str, Any] = {}
        self.aws = SimulatedAws(kernel, self._services, self.troubles, self.tell)
        between = self.aws.between
        self.cloudwatch = CloudWatch(kernel, seed, deployment.alarms.values(), self._untroubled)
        metrics, gauge = self.cloudwatch.add, self.cloudwatch.gauge
        self.dynamodb = DynamoDB(kernel, seed, deployment.tables.values())
        self.kinesis = Kinesis(kernel, seed, deployment.streams.values(), metrics)
        self.sqs = Sqs(kernel, seed, deployment.queues.values(), gauge)
        self.events = EventBridge(
            kernel,
            seed,
            deployment.buses.values(),
            deployment.rules.values(),
            deployment.archives.values(),
            between("events"),
            chances=Chances(late=plan.late, doubled=max(Chances.doubled, plan.doubled)),
            metrics=metrics,
            told=self.tell,
        )
        notified = NotificationChances(doubled=max(NotificationChances.doubled, plan.doubled))
        self.s3 = S3(kernel, seed, deployment.buckets.values(), between("s3"), chances=notified, told=self.tell)
        self.firehose = Firehose(
            kernel,
            seed,
            deployment.delivery_streams.values(),
            between("firehose"),
            metrics=metrics,
            told=self.tell,
        )
        self.sns = Sns(kernel, seed, deployment.topics.values(), between("sns"))
        self.functions = Functions(
            kernel,
            seed,
            deployment,
            measure=self._measure,
            measured=self._measured,
            send=self._sender("lambda"),
            told=self.tell,
            concurrency=plan.concurrency,
            skewed_us=int(plan.skewed_s * SECOND),
            doubled=plan.doubled,
        )
        self.scheduler = Scheduler(kernel, seed, deployment.schedules.values(), between("scheduler"), told=self.tell)
        self._services |= {
            "cloudwatch": self.cloudwatch,
            "dynamodb": self.dynamodb,
            "events": self.events,
            "firehose": self.firehose,
            "kinesis": self.kinesis,
            "lambda": self.functions,
            "logs": Logs(deployment.log_groups),
            "s3": self.s3,
            "sns": self.sns,
            "sqs": self.sqs,
        }
        self._records: dict[str, Records] = {}
        self.mappings = {uuid: self._mapping(each) for uuid, each in deployment.mappings.items()}
        _collect_little()
        self._api = {
            each.metric: each.dimensions for each in deployment.alarms.values() if each.namespace == "AWS/ApiGateway"
        }

    @contextmanager
    def playing(self) -> Iterator[None]:
        """Play in virtual time, with the clients of the plan."""
        with clients.KINDS[self.plan.client](self.aws), virtual(self.kernel, self.seed):
            yield

    # --- what happens to it ---

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.kernel.run(self.kernel.now_us + int(seconds * SECOND))

    def settle(self, most_s: float = 86_400, quiet_s: float = 400) -> None:
        """Let time pass until nothing has been going on for a while: longer than anything is buffered.

        Raises:
            AssertionError: it does not come to rest.
        """
        kernel = self.kernel
        end_us, rested_us = kernel.now_us + int(most_s * SECOND), 0
        while rested_us < quiet_s * SECOND:
            began, calls = kernel.now_us, len(self.happened)
            self.run(20)
            is_quiet = calls == len(self.happened) and not self.is_busy
            rested_us = rested_us + kernel.now_us - began if is_quiet else 0
            if kernel.now_us > end_us:
                raise AssertionError(f"not at rest after {most_s} s: {self.happened[-5:]}")

    @property
    def is_busy(self) -> bool:
        """Whether functions run, events are on their way or wait, or mappings have not read all of their streams."""
        return (
            self.troubles.end_us > self.kernel.now_us
            or self.functions.is_busy
            or self.events.is_busy
            or any(mapping.is_busy for mapping in self.mappings.values())
            or any(stream.is_busy for stream in self.firehose.streams.values())
            or bool(self.s3.notifying or self.scheduler.calling)
        )

    def at(self, after_s: float, act: Callable[[], Any]) -> None:
        """Do something a time after the first moment."""
        self.kernel.at(self.start_us + int(after_s * SECOND) - self.kernel.now_us, act)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        claims: Mapping[str, str] | None = None,
        then: Callable[[Answer], None] = lambda answer: None,
    ) -> Answer:
        """Send a request to the HTTP API, with the claims of a token that the authorizer takes; the answer comes later,
        and `then` gets it at once, unless it is API Gateway's own.

        API Gateway itself refuses what has no route, and tokens without a scope of the route. It answers 500 if the
        function fails, and 503 if it is throttled or does not answer within 30 s (API Gateway developer guide, "Quotas
        for configuring and running an HTTP API"). Content without a type is text. For 500 and the type, what AWS's own
        Lambda test tool has recorded of HTTP APIs decides (aws/aws-lambda-dotnet, ``ApiGatewayResponseExtensions`` and
        ``InvokeResponseExtensions``): 502, as the Lambda developer guide has it, is a REST API's answer.
        """
        answer, began_us = Answer(), self.kernel.now_us
        path, _, query = path.partition("?")
        route = next((each for each in self.deployment.routes if _is_route(each.key, method, path)), None)
        claims = {**CLAIMS, **(claims or {})}
        if route is None:
            answer.status, answer.body = 404, {"message": "Not Found"}
            return answer
        if route.scopes and not set(route.scopes).intersection(claims["scope"].split()):
            answer.status, answer.body = 403, {"message": "Forbidden"}
            return answer
        event = to_api_gateway_request_v2(
            method=method,
            path=path,
            body=body,
            path_parameters=_path_parameters(route.key, path),
            query_string_parameters=dict(part.split("=", 1) for part in query.split("&")) if query else None,
            headers={"content-type": "application/json", **(headers or {})},
            authorizer={"jwt": {"claims": claims, "scopes": list(route.scopes)}},
            route_key=route.key,
        )
        self.tell("requested", method, path, body)

        def responded() -> None:
            self._measure_api("Latency", (self.kernel.now_us - began_us) / 1000)
            self._measure_api("5xx", float(answer.status >= 500))
            self.tell("responded", method, path, answer)
            then(answer)

        def done(outcome: Invocation) -> None:
            if answer.status:
                return
            if outcome.throttled:
                answer.status, answer.body = 503, {"message": "Service Unavailable"}
            elif outcome.function_error is not None:
                answer.status, answer.body = 500, {"message": "Internal Server Error"}
            else:
                returned = json.loads(outcome.payload)
                answer.headers = {"Content-Type": "text/plain; charset=utf-8", **(returned.get("headers") or {})}
                answer.body = json.loads(returned["body"]) if returned.get("body") else None
                answer.status, answer.of_function = returned["statusCode"], True
            responded()

        def too_late() -> None:
            if not answer.status:
                answer.status, answer.body = 503, {"message": "Service Unavailable"}
                responded()

        self.kernel.at(30 * SECOND, too_late)
        self.functions.start(route.function_arn, json.dumps(event).encode(), done)
        return answer

    def publish(self, *events: Mapping[str, Any], source: str = "custom", detail_type: str = "") -> None:
        """Put events on the hub's bus, as another system does that has no trouble; their type is that of the entries,
        too, if that is not given."""
        bus = next(iter(self.deployment.buses))
        entries = [
            {
                "EventBusName": bus,
                "Source": source,
                "DetailType": detail_type or each["type"],
                "Detail": json.dumps(each),
            }
            for each in events
        ]
        self.events.PutEvents({"Entries": entries})

    @functools.cached_property
    def claims(self) -> str:
        """The bucket for the bodies of large events."""
        return next(name for name in self.deployment.buckets if "-claims-" in name)

    def publish_large(self, event: Mapping[str, Any]) -> None:
        """Put the body of an event into the hub's bucket and a pointer to it on the bus."""
        key = f"claimchecks/others/{event['id']}"
        self.s3.PutObject({"Bucket": self.claims, "Key": key, "Body": json.dumps(event)})
        kept = {name: event[name] for name in ("id", "type", "timestamp", "partition_key")}
        self.publish({**kept, "claim_check": {"bucket": self.claims, "key": key}})

    def body_of(self, pointer: Mapping[str, Any]) -> dict[str, Any]:
        """The event that a pointer stands for."""
        claim = pointer["claim_check"]
        body: dict[str, Any] = json.loads(self.s3.GetObject({"Bucket": claim["bucket"], "Key": claim["key"]})["Body"])
        return body

    def land(self, key: str, content: bytes) -> None:
        """Put an object into the landing bucket."""
        bucket = next(name for name in self.deployment.buckets if "-landing-" in name)
        self.s3.PutObject({"Bucket": bucket, "Key": key, "Body": content})

    def kill(self, function: str, after_s: float = 0.0) -> None:
        """End the processes of a function that are busy, in the midst of whatever they do; if none is, the next one,
        some time after it has begun."""
        busy = [
            each
            for each in self.functions.environments
            if each.function.name == function and each.invocation is not None
        ]
        if not busy:
            self._to_kill[function] = after_s
            self.kernel.at(LIES_IN_WAIT_S * SECOND, lambda: self._to_kill.pop(function, None))
        for environment in busy:
            self.tell("killed", environment.name)
            self.kernel.end(environment)

    def _kill_later(self, process: str, after_s: float) -> None:
        (environment,) = (each for each in self.functions.environments if each.name == process)
        invocation = environment.invocation

        def end() -> None:
            if environment.invocation is invocation and not environment.dead:
                self.tell("killed", process)
                self.kernel.end(environment)

        self.kernel.at(int(after_s * SECOND), end)

    def suffer(self, troubles: Faults) -> None:
        """Have other troubles from now on."""
        self.troubles = self.aws.faults = troubles

    def deploy(self, deployment: Deployment) -> None:
        """Have functions, rules and mappings of another deployment from now on; all else stays."""
        self.deployment = deployment
        self.tell("deployed")
        self.functions.deploy(deployment)
        self.events.deploy(deployment.rules.values())
        self.scheduler.deploy(deployment.schedules.values())
        self.cloudwatch.deploy(deployment.alarms.values())
        for uuid, settings in deployment.mappings.items():
            if uuid not in self.mappings:
                self.mappings[uuid] = self._mapping(settings)
            elif self.mappings[uuid].settings != settings:
                self.mappings[uuid].update(settings)

    def tell(self, what: str, *about: Any) -> None:
        """Note that something has happened."""
        self.happened.append(Happening(self.kernel.now_us, what, about))
        if what == "invoked" and about[0] in self._to_kill:
            self._kill_later(about[2], self._to_kill.pop(about[0]))

    # --- what it holds ---

    def stored(self, service: str) -> list[dict[str, Any]]:
        """The envelopes in the objects that a service's delivery stream has written, as often as they are there."""
        streams = [each for name, each in self.deployment.delivery_streams.items() if name.startswith(service)]
        objects = [item for each in streams for item in self.s3.objects(each.bucket).items()]
        bodies = [body for key, body in objects if not key.startswith("claims/")]  # those of large events
        return [json.loads(line) for body in bodies for line in gzip.decompress(body).splitlines()]

    def lake(self) -> list[dict[str, Any]]:
        """The events in the lake."""
        return [each["detail"] for each in self.stored("event-lake-s3")]

    def faults(self) -> dict[str, dict[str, Any]]:
        """The fault events that were stored, the latest of each id."""
        found = sorted(
            (each["detail"] for each in self.stored("event-fault-monitor")), key=lambda each: each["timestamp"]
        )
        return {each["id"]: each for each in found}

    def published(self, event_type: str) -> Counter[str]:
        """How often each id of a type was put on the bus."""
        (archive,) = self.events.archives
        details = [event.envelope["detail"] for event in self.events.archived(archive)]
        return Counter(each["id"] for each in details if each["type"] == event_type)

    def dead_letters(self) -> dict[str, list[str]]:
        """The messages in queues, by the names of those that have any."""
        found = {name: [each.body for each in self.sqs.messages(name)] for name in self.deployment.queues}
        return {name: bodies for name, bodies in found.items() if bodies}

    # --- its parts ---

    def _mapping(self, settings: MappingSettings) -> StreamMapping:
        source = settings.source
        stream: Any
        if source.kind == "kinesis":
            stream = self.kinesis.streams[source.name]
        else:
            stream = self.dynamodb.streams[source.stream_arn]
        return StreamMapping(
            self.kernel,
            self.seed,
            settings,
            stream,
            self._records.setdefault(source.stream_arn, Records(source)),
            self.functions,
            send=self._sender("mapping"),
            measure=self._measure,
            aged=self._measure_age,
            told=self.tell,
            stalled=self._stalled,
        )

    def _stalled(self, kind: str, shard_id: str) -> bool:
        """Whether a poller cannot read its shard now."""
        now_us = self.kernel.now_us
        if self.troubles.end_us <= now_us:
            return False
        fate = self.troubles.fate(now_us, kind, "GetRecords", "mapping", {"Key": shard_id})
        return fate is not None

    def _untroubled(self, service: str, operation: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """A call that does not fail: that an alarm reaches people is not what is simulated."""
        answer: Mapping[str, Any] = getattr(self._services[service], operation)(request)
        return answer

    def _measure(self, metric: str, function: str, value: float) -> None:
        self.cloudwatch.add("AWS/Lambda", metric, (("FunctionName", function),), float(value))

    def _measure_api(self, metric: str, value: float) -> None:
        if metric in self._api:
            self.cloudwatch.add("AWS/ApiGateway", metric, self._api[metric], value)

    def _measure_age(self, stream: str, age_ms: float) -> None:
        self.cloudwatch.add("AWS/Kinesis", "GetRecords.IteratorAgeMilliseconds", (("StreamName", stream),), age_ms)

    def _measured(self, line: str) -> bool:
        return line.startswith("{") and self.cloudwatch.put_embedded(line)

    def _sender(self, caller: str) -> Callable[[str, Mapping[str, Any]], bool]:
        """Tells on-failure destinations; False if that may succeed later."""
        call = self.aws.between(caller)

        def send(arn: str, record: Mapping[str, Any]) -> bool:
            service, name, body = arn.split(":")[2], arn.rpartition(":")[2], json.dumps(record)
            try:
                if service == "sqs":
                    call("sqs", "SendMessage", {"QueueUrl": self.deployment.queues[name].url, "MessageBody": body})
                elif service == "sns":
                    call("sns", "Publish", {"TopicArn": arn, "Message": body})
                else:
                    key = object_key(caller, "shard", self.kernel.now_us / SECOND)
                    call("s3", "PutObject", {"Bucket": name, "Key": key, "Body": body.encode()})
            except Refusal:
                return False
            return True

        return send


def _collect_little() -> None:
    """Collect garbage rarely from now on, also between histories, and leave what has been imported out of it.

    Else it takes a fifth of the time of a history: each collection goes through all that the history still holds, and
    through boto3's and moto's models.
    """
    _keep_what_is_imported()
    gc.set_threshold(GARBAGE_THRESHOLD, 1_000, 1_000)


@functools.cache
def _keep_what_is_imported() -> None:
    gc.collect()
    gc.freeze()


def _is_route(key: str, method: str, path: str) -> bool:
    wanted, _, pattern = key.partition(" ")
    parts, given = pattern.split("/"), path.split("/")
    return (
        wanted == method
        and len(parts) == len(given)
        and all(part == there or part.startswith("{") for part, there in zip(parts, given, strict=True))
    )


def _path_parameters(key: str, path: str) -> dict[str, str]:
    pairs = zip(key.partition(" ")[2].split("/"), path.split("/"), strict=True)
    return {part.strip("{}"): there for part, there in pairs if part.startswith("{")}
