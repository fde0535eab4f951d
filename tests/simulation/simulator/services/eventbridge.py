"""EventBridge: buses with rules, delivery to targets with retries and dead-letter queues, archives and replays.

Delivery is at least once and in no order. A target that refuses for now is tried again with exponential backoff and
jitter; one that is not there, or not allowed, is not (EventBridge user guide, "How EventBridge retries delivering
events" and "Using dead-letter queues to process undelivered events").
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from refusals import Refusal
from stream_cli.local.rule_targets import InvalidOutput, InvalidPath, partition_key, target_input
from stream_cli.local.target_streams import Failure
from stream_cli.patterns import compile_pattern

from simulator.chance import fraction, fractions, uuid_of
from simulator.constraints import check_length
from simulator.kernel import MICROSECONDS, Kernel
from simulator.services.cloudwatch import Metrics, ignored
from simulator.topology import ACCOUNT, REGION, Archive, Bus, Rule, Target

Request = Mapping[str, Any]
Call = Callable[[str, str, Request], Mapping[str, Any]]

MOST_ENTRIES = 10
MOST_BYTES = 1_048_576
"""Of a request with all of its entries (EventBridge user guide, "Calculating PutEvents event entry size")."""
MINUTE_US = 60 * MICROSECONDS
ARCHIVED_WITHIN_US = 600 * MICROSECONDS
"""Events may be that late in an archive ("Archiving and replaying events in Amazon EventBridge")."""
MOST_REDIRECTIONS = 5
"""Dead letters that a queue refuses are sent again so often; AWS gives no figure."""

_NAMESPACE = "AWS/Events"
_ENDED = ("COMPLETED", "CANCELLED")
_REQUIRED = ("Source", "DetailType", "Detail")
_TIME_BYTES = 14
_FEW_VALUES = frozenset({"account", "detail-type", "region", "source", "version"})
_OTHER_NAMES = {
    "AWS.SimpleQueueService.NonExistentQueue": "ResourceNotFoundException",
    "NotFound": "ResourceNotFoundException",
    "AccessDenied": "AccessDeniedException",
    "AuthorizationError": "AccessDeniedException",
}
"""What SQS and SNS call what other services call so."""
_GONE = frozenset({"AWS.SimpleQueueService.NonExistentQueue", "NotFound"})
"""What SQS and SNS answer where other services answer ResourceNotFoundException."""
_BACKOFF_FIRST_US, _BACKOFF_LONGEST_US = 1 * MICROSECONDS, 600 * MICROSECONDS
"""AWS documents that waits grow and are random, and no figures."""


@dataclass(frozen=True)
class Chances:
    """How delivery goes by chance; AWS says that there are such cases, and not how often.

    Attributes:
        latency_us: of half of the deliveries at most ("about half a second" in AWS's announcement of lower latency).
        late: share of deliveries that take seconds to minutes.
        doubled: share of deliveries that happen twice.
    """

    latency_us: int = 300_000
    late: float = 0.01
    late_us: tuple[int, int] = (2 * MICROSECONDS, 90 * MICROSECONDS)
    doubled: float = 0.01


@dataclass(eq=False, slots=True)
class Event:
    """An event on a bus.

    Attributes:
        envelope: as rules and targets see it, detail included.
        detail: the text of its detail, in one line.
        fate: what its chances follow from.
    """

    envelope: dict[str, Any]
    detail: str
    taken_us: int
    fate: str
    _text: str | None = None

    @property
    def id(self) -> str:
        return str(self.envelope["id"])

    @property
    def text(self) -> str:
        """The envelope as JSON, written once."""
        if self._text is None:
            head = {name: value for name, value in self.envelope.items() if name != "detail"}
            self._text = f'{json.dumps(head, separators=(",", ":"), ensure_ascii=False)[:-1]},"detail":{self.detail}}}'
        return self._text

    @property
    def about(self) -> str:
        """The id of the domain event in it, for stories; else its own."""
        return str(self.envelope["detail"].get("id", self.envelope["id"]))


@dataclass(eq=False, slots=True)
class Delivery:
    """An event on its way to a target."""

    event: Event
    rule: Rule
    target: Target
    attempts: int = 0
    doubled: bool = False

    @property
    def fate(self) -> str:
        """What its chances follow from."""
        return f"{self.event.fate}/{self.rule.name}/{self.target.id}/{self.attempts}/{self.doubled}"


@dataclass(eq=False)
class Replay:
    """A replay of an archive."""

    name: str
    description: Mapping[str, Any]
    state: str = "STARTING"
    replayed_until: float = 0.0


class _Pattern:
    """A compiled pattern that remembers what it said, where that follows from names that few events differ in."""

    def __init__(self, pattern: Mapping[str, Any]) -> None:
        self._compiled = compile_pattern(pattern)
        self._fields = tuple(sorted(self._compiled.fields)) if self._compiled.fields <= _FEW_VALUES else ()
        self._known: dict[tuple[Any, ...], bool] = {}

    def __call__(self, envelope: Mapping[str, Any]) -> bool:
        if not self._fields:
            return self._compiled(envelope)
        values = tuple([envelope[name] for name in self._fields])
        found = self._known.get(values)
        if found is None:
            found = self._known[values] = self._compiled(envelope)
        return found


@functools.lru_cache(maxsize=256)
def _pattern_of(text: str) -> _Pattern:
    """The pattern of a text, compiled once for all histories."""
    return _Pattern(json.loads(text))


@dataclass(eq=False)
class _Compiled:
    rule: Rule
    matches: _Pattern


@dataclass(eq=False)
class _Kept:
    archive: Archive
    matches: _Pattern | None
    events: list[Event] = field(default_factory=list)


class EventBridge:
    """The buses of a deployment.

    Args:
        call: calls another service for a target: ``("kinesis", "PutRecord", request)``; raises `Refusal`. Any other
            exception is none of its answers and ends the history.
        told: takes what happens, for stories: what, the domain event's id, rule, target, and more.

    Attributes:
        taken: how many events each bus has taken.
        delivering: how many deliveries are on their way, or wait for another attempt.
        lost: deliveries that neither the target nor a dead-letter queue took.
    """

    def __init__(
        self,
        kernel: Kernel,
        seed: object,
        buses: Iterable[Bus],
        rules: Iterable[Rule],
        archives: Iterable[Archive],
        call: Call,
        *,
        account: str = ACCOUNT,
        region: str = REGION,
        chances: Chances = Chances(),
        metrics: Metrics = ignored,
        told: Callable[..., None] = lambda *happened: None,
    ) -> None:
        self._kernel = kernel
        self._seed = f"{seed}/events"
        self._puts: dict[str, int] = {}
        self._call = call
        self._account, self._region = account, region
        self._chances = chances
        self._metrics = metrics
        self._told = told
        self.buses = {each.name: each for each in buses}
        self.archives = {each.name: each for each in archives}
        self.taken = dict.fromkeys(self.buses, 0)
        self.delivering = 0
        self.lost: list[Delivery] = []
        self.replays: dict[str, Replay] = {}
        self._kept = {
            each.name: _Kept(each, _pattern_of(json.dumps(each.pattern)) if each.pattern else None)
            for each in self.archives.values()
        }
        self._rules: dict[str, list[_Compiled]] = {}
        self._times: dict[int, str] = {}
        self.deploy(rules)

    @property
    def is_busy(self) -> bool:
        """Whether something is on its way to a target, or a replay goes on."""
        return self.delivering > 0 or any(each.state not in _ENDED for each in self.replays.values())

    def deploy(self, rules: Iterable[Rule]) -> None:
        """Have these rules from now on; what is on its way stays so."""
        compiled: dict[str, list[_Compiled]] = {name: [] for name in self.buses}
        for rule in rules:
            if rule.enabled:
                compiled[rule.bus].append(_Compiled(rule, _pattern_of(json.dumps(rule.pattern))))
        self._rules = compiled

    # --- putting ---

    def PutEvents(self, request: Request, left: frozenset[int] = frozenset()) -> dict[str, Any]:
        entries = request["Entries"]
        shown = "[PutEventsRequestEntry, ...]" if entries else "[]"
        check_length("entries", len(entries), MOST_ENTRIES, value=shown)
        if sum(map(_bytes_of, entries)) > MOST_BYTES:
            raise Refusal(400, "ValidationException", "Total size of the entries in the request is over the limit.")
        results: list[dict[str, str]] = []
        failed = 0
        for place, entry in enumerate(entries):
            if place in left:
                result = {"ErrorCode": "ThrottlingException", "ErrorMessage": "Rate exceeded"}
            else:
                result = self._put(entry)
            failed += "ErrorCode" in result
            results.append(result)
        return {"FailedEntryCount": failed, "Entries": results}

    def DescribeEventBus(self, request: Request) -> dict[str, Any]:
        bus = self.buses.get(request["Name"])
        if bus is None:
            raise Refusal(400, "ResourceNotFoundException", f"Event bus {request['Name']} does not exist.")
        return {"Name": bus.name, "Arn": bus.arn}

    def _put(self, entry: Request) -> dict[str, str]:
        for name in _REQUIRED:
            if not entry.get(name):
                reason = f"Parameter {name} is not valid. Reason: {name} is a required argument."
                return {"ErrorCode": "InvalidArgument", "ErrorMessage": reason}
        text = entry["Detail"]
        try:
            detail = _decode(text)
        except (ValueError, RecursionError):
            detail = None
        if not isinstance(detail, dict):
            return {"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."}
        if entry["Source"].startswith("aws."):
            reason = "Not authorized for the source."
            return {"ErrorCode": "NotAuthorizedForSourceException", "ErrorMessage": reason}
        now = self._kernel.now_us
        about = str(detail.get("id", text))
        count = self._puts[about] = self._puts.get(about, 0) + 1
        fate = f"{self._seed}/{about}/{count}"
        event_id = uuid_of(fate)
        envelope = {
            "version": "0",
            "id": event_id,
            "detail-type": entry["DetailType"],
            "source": entry["Source"],
            "account": self._account,
            "time": self._iso(entry.get("Time"), now),
            "region": self._region,
            "resources": entry.get("Resources") or [],
            "detail": detail,
        }
        if "\n" in text or "\r" in text:
            text = json.dumps(detail, separators=(",", ":"), ensure_ascii=False)
        # An entry for a bus that is not there is taken, and reaches nobody (LocalStack recorded it on AWS:
        # `test_put_events_nonexistent_event_bus`).
        bus = str(entry.get("EventBusName", "default")).rpartition("/")[2]
        if bus in self.buses:
            self._take(bus, Event(envelope, text, now, fate))
        return {"EventId": event_id}

    def _take(self, bus: str, event: Event, only: frozenset[str] | None = None) -> None:
        """Match an event with the rules of a bus, and keep it in archives."""
        self.taken[bus] += 1
        envelope = event.envelope
        for compiled in self._rules[bus]:
            if (only is None or compiled.rule.arn in only) and compiled.matches(envelope):
                for target in compiled.rule.targets:
                    self._begin(Delivery(event, compiled.rule, target))
        # A replayed event is not archived again: the pattern of an archive's own rule excludes it.
        if "replay-name" not in envelope:
            arn = self.buses[bus].arn
            for kept in self._kept.values():
                if kept.archive.bus_arn == arn and (kept.matches is None or kept.matches(envelope)):
                    kept.events.append(event)

    # --- delivery ---

    def _begin(self, delivery: Delivery) -> None:
        self.delivering += 1
        doubled = self._start(delivery)
        if doubled < self._chances.doubled:
            self.delivering += 1
            self._start(Delivery(delivery.event, delivery.rule, delivery.target, doubled=True))

    def _start(self, delivery: Delivery) -> float:
        """Attempt it after its latency; returns a draw that is still free."""
        chances = self._chances
        late, when, doubled, _ = fractions(delivery.fate)
        if late < chances.late:
            first, last = chances.late_us
            latency = first + int((last - first) * when)
        else:
            latency = int(2 * chances.latency_us * when)
        self._kernel.at(latency, lambda: self._attempt(delivery))
        return doubled

    def _attempt(self, delivery: Delivery) -> None:
        delivery.attempts += 1
        try:
            self._send(delivery)
        except Refusal as refusal:
            self._failed(delivery, _failure(refusal))
        except (InvalidPath, InvalidOutput) as error:
            self._failed(delivery, Failure("ValidationException", str(error)))
        else:
            self.delivering -= 1
            about = (delivery.event.about, delivery.rule.name, delivery.target.id)
            self._told("delivered again" if delivery.doubled else "delivered", *about)

    def _send(self, delivery: Delivery) -> None:
        arn = delivery.target.arn
        service, resource = arn.split(":")[2], arn.split(":", 5)[5]
        match service:
            case "kinesis":
                request = {
                    "StreamARN": arn,
                    "Data": self._given(delivery).encode(),
                    "PartitionKey": self._partition_key(delivery),
                }
                self._call("kinesis", "PutRecord", request)
            case "firehose":
                record = {"Data": self._given(delivery).encode()}
                self._call(
                    "firehose", "PutRecord", {"DeliveryStreamName": resource.partition("/")[2], "Record": record}
                )
            case "sqs":
                url = f"https://sqs.{self._region}.amazonaws.com/{arn.split(':')[4]}/{resource}"
                self._call("sqs", "SendMessage", {"QueueUrl": url, "MessageBody": self._given(delivery)})
            case "sns":
                self._call("sns", "Publish", {"TopicArn": arn, "Message": self._given(delivery)})
            case "lambda":
                request = {"FunctionName": arn, "InvocationType": "Event", "Payload": self._given(delivery).encode()}
                self._call("lambda", "Invoke", request)
            case "logs":
                line = {"timestamp": delivery.event.taken_us // 1_000, "message": self._given(delivery)}
                request = {
                    "logGroupName": resource.split(":")[1],
                    "logStreamName": uuid_of(delivery.fate),
                    "logEvents": [line],
                }
                self._call("logs", "PutLogEvents", request)
            case "events":
                self._to_bus(arn, delivery.event)
            case _:
                raise TypeError(f"targets of {service} are not simulated")

    def _to_bus(self, arn: str, event: Event) -> None:
        """An event keeps its id, source and account on another bus, whose rules see it anew."""
        bus = arn.rpartition("/")[2]
        if bus not in self.buses or self.buses[bus].arn != arn:
            raise Refusal(400, "ResourceNotFoundException", f"Event bus {bus} does not exist.")
        self._take(bus, event)

    def _given(self, delivery: Delivery) -> str:
        given, event = delivery.target.given, delivery.event
        if given.get("InputPath") == "$.detail":
            return event.detail
        if not given.keys() & {"Input", "InputPath", "InputTransformer"}:
            return event.text
        rule = {"Name": delivery.rule.name, "Arn": delivery.rule.arn}
        return target_input(given, event.envelope, rule, received_at=self._iso(None, event.taken_us))

    def _partition_key(self, delivery: Delivery) -> str:
        given, envelope = delivery.target.given, delivery.event.envelope
        path = given.get("KinesisParameters", {}).get("PartitionKeyPath", "")
        name = path.removeprefix("$.detail.")
        if name != path and name.isidentifier():  # the usual path, without the search for one
            key = envelope["detail"].get(name)
            if isinstance(key, str) and key:
                return key
        return partition_key(given, envelope)

    def _failed(self, delivery: Delivery, failure: Failure) -> None:
        names = (delivery.event.about, delivery.rule.name, delivery.target.id)
        retry, now = delivery.target.retry, self._kernel.now_us
        if failure.is_permanent:
            self._give_up(delivery, failure, None)
        elif delivery.attempts > retry.retries:
            self._give_up(delivery, failure, "MaximumRetryAttempts")
        else:
            longest = min(_BACKOFF_LONGEST_US, _BACKOFF_FIRST_US * 2 ** min(delivery.attempts - 1, 20))
            wait = int(longest * (0.5 + fraction(delivery.fate) / 2))
            if now + wait - delivery.event.taken_us > retry.age_s * MICROSECONDS:
                self._give_up(delivery, failure, "MaximumEventAgeInSeconds")
            else:
                self._told("not delivered", *names, failure.code, delivery.attempts)
                self._kernel.at(wait, lambda: self._attempt(delivery))

    def _give_up(self, delivery: Delivery, failure: Failure, exhausted: str | None) -> None:
        names = (delivery.event.about, delivery.rule.name, delivery.target.id)
        self._told("undeliverable", *names, failure.code, failure.message)
        arn = delivery.target.dead_letter_arn
        if arn is None:
            self._lose(delivery)
            return
        attributes = {
            "RULE_ARN": delivery.rule.arn,
            "TARGET_ARN": delivery.target.arn,
            "ERROR_CODE": failure.dead_letter_code,
            "ERROR_MESSAGE": failure.message or failure.code,
            "RETRY_ATTEMPTS": str(delivery.attempts - 1),
            **({"EXHAUSTED_RETRY_CONDITION": exhausted} if exhausted else {}),
        }
        request = {
            "QueueUrl": f"https://sqs.{self._region}.amazonaws.com/{arn.split(':')[4]}/{arn.rpartition(':')[2]}",
            "MessageBody": delivery.event.text,
            "MessageAttributes": {n: {"DataType": "String", "StringValue": v} for n, v in attributes.items()},
        }
        self._bury(delivery, request, MOST_REDIRECTIONS)

    def _bury(self, delivery: Delivery, request: Request, attempts: int) -> None:
        """Send to the dead-letter queue."""
        try:
            self._call("sqs", "SendMessage", request)
        except Refusal as refusal:
            if attempts > 1 and not _failure(refusal).is_permanent:
                self._kernel.at(MINUTE_US, lambda: self._bury(delivery, request, attempts - 1))
                return
            self._count(delivery, "InvocationsFailedToBeSentToDlq")
            self._lose(delivery)
        else:
            self.delivering -= 1
            self._count(delivery, "InvocationsSentToDlq")

    def _lose(self, delivery: Delivery) -> None:
        self.delivering -= 1
        self.lost.append(delivery)
        self._count(delivery, "FailedInvocations")

    def _count(self, delivery: Delivery, metric: str) -> None:
        """By bus and rule (EventBridge user guide, "Monitoring Amazon EventBridge")."""
        dimensions = (("EventBusName", delivery.rule.bus), ("RuleName", delivery.rule.name))
        self._metrics(_NAMESPACE, metric, dimensions, 1.0)

    # --- archive and replay ---

    def archived(self, name: str) -> list[Event]:
        """What an archive holds."""
        kept = self._kept[name]
        if kept.archive.retention_days:
            oldest = self._kernel.now_us - kept.archive.retention_days * 86_400 * MICROSECONDS
            if kept.events and kept.events[0].taken_us < oldest:
                kept.events = [each for each in kept.events if each.taken_us >= oldest]
        return kept.events

    def StartReplay(self, request: Request) -> dict[str, Any]:
        """Send archived events to their bus again: those of a minute in any order, minute after minute.

        They have a `replay-name`, and reach the rules in FilterArns, or all (EventBridge user guide, "Replaying
        archived events"). What came in the last minutes may not be in the archive yet.
        """
        name, archive = request["ReplayName"], str(request["EventSourceArn"]).rpartition("/")[2]
        destination = request["Destination"]
        if archive not in self.archives:
            raise Refusal(
                400,
                "ValidationException",
                f"Parameter EventSourceArn is not valid. Reason: Archive {archive} does not exist.",
            )
        if self.archives[archive].bus_arn != destination["Arn"]:
            raise Refusal(
                400,
                "ValidationException",
                "Parameter Destination.Arn is not valid. Reason: Cross event bus replay is not permitted.",
            )
        first, last = _seconds(request["EventStartTime"]), _seconds(request["EventEndTime"])
        if last <= first:
            raise Refusal(
                400,
                "ValidationException",
                "Parameter EventEndTime is not valid. Reason: EventStartTime must be before EventEndTime.",
            )
        if name in self.replays:
            raise Refusal(400, "ResourceAlreadyExistsException", f"Replay {name} already exists.")
        now = self._kernel.now_us
        minutes: dict[int, list[Event]] = {}
        for event in self.archived(archive):
            is_there = now - event.taken_us > fraction(f"{event.fate}/archived") * ARCHIVED_WITHIN_US
            if first * MICROSECONDS <= event.taken_us < last * MICROSECONDS and is_there:
                minutes.setdefault(event.taken_us // MINUTE_US, []).append(event)
        replay = self.replays[name] = Replay(name, dict(request), replayed_until=first)
        only = frozenset(destination["FilterArns"]) if destination.get("FilterArns") else None
        bus = str(destination["Arn"]).rpartition("/")[2]
        self._kernel.at(MICROSECONDS, lambda: self._replay(replay, bus, sorted(minutes.items()), only))
        arn = f"arn:aws:events:{self._region}:{self._account}:replay/{name}"
        return {"ReplayArn": arn, "State": "STARTING"}

    def _replay(
        self, replay: Replay, bus: str, minutes: list[tuple[int, list[Event]]], only: frozenset[str] | None
    ) -> None:
        if replay.state == "CANCELLING" or not minutes:
            replay.state = "CANCELLED" if replay.state == "CANCELLING" else "COMPLETED"
            return
        replay.state = "RUNNING"
        (minute, events), *rest = minutes
        for event in sorted(events, key=lambda event: fraction(f"{event.fate}/{replay.name}")):
            again = {**event.envelope, "replay-name": replay.name}
            fate = f"{event.fate}/{replay.name}"
            self._take(bus, Event(again, event.detail, self._kernel.now_us, fate), only)
        replay.replayed_until = (minute + 1) * 60.0
        self._kernel.at(MICROSECONDS, lambda: self._replay(replay, bus, rest, only))

    def DescribeReplay(self, request: Request) -> dict[str, Any]:
        replay = self._replay_named(request["ReplayName"])
        return {
            "ReplayName": replay.name,
            "State": replay.state,
            "EventLastReplayedTime": replay.replayed_until,
            **{name: replay.description[name] for name in ("EventSourceArn", "EventStartTime", "EventEndTime")},
        }

    def CancelReplay(self, request: Request) -> dict[str, Any]:
        replay = self._replay_named(request["ReplayName"])
        if replay.state not in ("STARTING", "RUNNING"):
            raise Refusal(
                400, "IllegalStatusException", f"Replay {replay.name} is not in a valid state for this operation."
            )
        replay.state = "CANCELLING"
        return {"State": replay.state}

    def _replay_named(self, name: str) -> Replay:
        if name not in self.replays:
            raise Refusal(400, "ResourceNotFoundException", f"Replay {name} does not exist.")
        return self.replays[name]

    # --- within ---

    def _iso(self, given: Any, now_us: int) -> str:
        second = now_us // MICROSECONDS if given is None else int(_seconds(given))
        known = self._times.get(second)
        if known is None:
            if len(self._times) > 1_000:
                self._times.clear()
            known = self._times[second] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))
        return known


def _failure(refusal: Refusal) -> Failure:
    return Failure(_OTHER_NAMES.get(refusal.code, refusal.code), str(refusal))


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_decode = json.JSONDecoder(parse_constant=_refuse).decode


def _bytes_of(entry: Request) -> int:
    size = _TIME_BYTES if entry.get("Time") is not None else 0
    for text in (entry.get("Source"), entry.get("DetailType"), entry.get("Detail"), *(entry.get("Resources") or ())):
        if text:
            size += len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return size


def _seconds(value: Any) -> float:
    return float(value.timestamp() if hasattr(value, "timestamp") else value)
