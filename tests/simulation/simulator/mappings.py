"""Event source mappings: the shard logic of the local cloud's engine, driven in virtual time.

A poller per shard reads at most once a second while nothing is told, as Lambda does, and here only when something has
arrived. What it does with the records is decided by `ShardProcessor`; filters, outcomes, events and on-failure records
are the engine's, too. A poller that begins again goes on behind the last checkpoint, so that a batch comes again.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Mapping, Sequence
from math import ceil
from typing import Any, Literal, Protocol

from refusals import Refusal
from stream_cli.mappings.backoff import backoff_s
from stream_cli.mappings.failures import on_failure_record
from stream_cli.mappings.filters import Filter, compile_filters
from stream_cli.mappings.outcomes import Invocation, Outcome, Undelivered, interpret
from stream_cli.mappings.records import (
    Record,
    dynamodb_event_record,
    invocation_event,
    item_key,
    kinesis_event_record,
    to_json,
)
from stream_cli.mappings.settings import MappingSettings, Source
from stream_cli.mappings.shard import Attempt, Checkpoint, GivenUp, ShardProcessor

from simulator.kernel import MICROSECONDS, Kernel

SECOND = MICROSECONDS
MILLISECOND = 1_000

POLL_US = SECOND
"""Lambda polls each shard at a base rate of once a second (Lambda developer guide, "Using Lambda to process records
from Amazon Kinesis Data Streams")."""

LISTING_US = 2 * SECOND
UPDATE_S = (1, 60)
"""How long a change of a mapping takes to apply. AWS documents "several minutes" for a creation."""

MOST_AHEAD = 10_000
"""Records that wait in a poller before it reads no further; as in the engine."""

ROLE_ARN = "arn:aws:iam::123456789012:role/function"
"""In `invokeIdentityArn`, which nothing reads; the same for all functions, so that they share records."""


class Page(Protocol):
    """Records of a shard, and whether it is closed and these are its last."""

    records: Sequence[Mapping[str, Any]]
    closed: bool


class Stream(Protocol):
    """A stream as `services` has it; its docstring says what the parts mean."""

    on_change: list[Callable[[str], None]]

    def shards(self) -> Sequence[Any]: ...

    def read(self, shard_id: str, after: str | None = None, limit: int = 1000) -> Any: ...

    def latest(self, shard_id: str) -> str: ...


class Functions(Protocol):
    """What invokes."""

    def start(self, name: str, payload: bytes, done: Callable[[Invocation], None]) -> None: ...


class Records:
    """The records of a stream in the shape that functions get, made once for all mappings of the stream."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._made: dict[str, tuple[Mapping[str, Any], Record]] = {}

    def of(self, raw: Mapping[str, Any], shard_id: str) -> tuple[Mapping[str, Any], Record]:
        """The event of a record as filters see it, and the record of the engine."""
        kinesis = self._source.kind == "kinesis"
        number = raw["SequenceNumber"] if kinesis else raw["dynamodb"]["SequenceNumber"]
        found = self._made.get(number)
        if found is None:
            if kinesis:
                event = kinesis_event_record(raw, shard_id, self._source, ROLE_ARN)
                key, arrival = raw["PartitionKey"], raw["ApproximateArrivalTimestamp"]
            else:
                event, change = dynamodb_event_record(raw, self._source), raw["dynamodb"]
                key, arrival = item_key(raw), change["ApproximateCreationDateTime"]
            found = self._made[number] = event, Record(number, key, float(arrival), to_json(event))
        return found


class StreamMapping:
    """One event source mapping.

    Args:
        send: tells a destination by its ARN; False if it has failed and may be tried again.
        measure: takes the metrics of Lambda: the name, the function's name, and a value.
        aged: takes how old the last record was that was read from a stream of Kinesis, in ms.
        told: takes what happens, for stories: what, function, and more.
        stalled: whether a shard cannot be read now, by the kind of its stream and its id.
    """

    def __init__(
        self,
        kernel: Kernel,
        seed: int,
        settings: MappingSettings,
        stream: Stream,
        records: Records,
        functions: Functions,
        *,
        send: Callable[[str, Mapping[str, Any]], bool],
        measure: Callable[[str, str, float], None],
        aged: Callable[[str, float], None],
        told: Callable[..., None],
        stalled: Callable[[str, str], bool] = lambda kind, shard_id: False,
    ) -> None:
        self.settings = settings
        self.kernel = kernel
        self.stream = stream
        self.records = records
        self.functions = functions
        self.send = send
        self.measure = measure
        self.aged = aged
        self.told = told
        self.stalled = stalled
        self.chance = random.Random(f"{seed}/mapping/{settings.uuid}")
        self.keeps = _filter(settings.source.kind, settings.filter_patterns)
        self.checkpoints: dict[str, Checkpoint] = {}
        self.drained: set[str] = set()
        self._pollers: dict[str, _Poller] = {}
        self._listing = False
        stream.on_change.append(self._changed)
        kernel.at(0, self._follow)

    @property
    def label(self) -> str:
        """The function's name."""
        return self.settings.function_arn.rpartition(":function:")[2]

    @property
    def is_busy(self) -> bool:
        """Whether there is something to read or to finish."""
        return any(poller.is_busy for poller in self._pollers.values())

    def between(self, shard_id: str, first: str, last: str) -> list[Record]:
        """The records of a shard that the filters keep, from one sequence number to another."""
        found = [self.record(raw, shard_id) for raw in self.stream.read(shard_id, None, 1_000_000).records]
        return [each for each in found if each.kept and int(first) <= int(each.sequence_number) <= int(last)]

    def record(self, raw: Mapping[str, Any], shard_id: str) -> Record:
        """A record of the stream as the engine has it."""
        event, record = self.records.of(raw, shard_id)
        return record if self.keeps(event) else Record(record.sequence_number, record.key, record.arrival, kept=False)

    def restart(self, shard_id: str | None = None) -> None:
        """Let the pollers, or one of them, begin again at their checkpoints; what they have in flight goes on alone."""
        for poller in list(self._pollers.values()):
            if shard_id in (None, poller.shard_id):
                self.told("restarted", self.label, poller.shard_id)
                poller.stop()
                self._start(poller.shard_id)

    def update(self, settings: MappingSettings) -> None:
        """Take other settings; what is in flight may or may not be waited for."""
        self.kernel.at(int(self.chance.uniform(*UPDATE_S) * SECOND), lambda: self._update(settings))

    def _update(self, settings: MappingSettings) -> None:
        self.settings = settings
        self.keeps = _filter(settings.source.kind, settings.filter_patterns)
        self.told("updated", self.label, settings)
        for poller in list(self._pollers.values()):
            if self.chance.random() < 0.5:
                poller.stop()
                self._start(poller.shard_id)
            else:
                poller.replace()

    def _changed(self, shard_id: str) -> None:
        poller = self._pollers.get(shard_id)
        if poller is not None:
            poller.arrived()
        elif shard_id not in self.drained and not self._listing:
            self._listing = True
            self.kernel.at(int(self.chance.random() * LISTING_US), self._follow)

    def _follow(self) -> None:
        """Start pollers on the shards that may be read: parents before their children."""
        self._listing = False
        if not self.settings.enabled:
            return
        listed = self.stream.shards()
        first_time = not self.checkpoints
        for shard in listed:
            if shard.id not in self.checkpoints:
                at_tip = first_time and self.settings.starting_position == "LATEST"
                self.checkpoints[shard.id] = Checkpoint(self.stream.latest(shard.id) if at_tip else None)
        waiting = {shard.id for shard in listed} - self.drained
        for shard in listed:
            if shard.id in waiting and shard.id not in self._pollers and not waiting.intersection(_parents(shard)):
                self._start(shard.id)

    def _start(self, shard_id: str) -> None:
        self._pollers[shard_id] = _Poller(self, shard_id, self.checkpoints[shard_id])

    def ended(self, poller: _Poller) -> None:
        """Go on after a poller that has finished its shard, or that has been stopped to take other settings."""
        if poller.processor.finished:
            self.drained.add(poller.shard_id)
            del self._pollers[poller.shard_id]
            self._follow()
        else:
            self._start(poller.shard_id)


@functools.cache
def _filter(kind: Literal["kinesis", "dynamodb"], patterns: tuple[str, ...]) -> Filter:
    return compile_filters(kind, patterns)


def _parents(shard: Any) -> tuple[str, ...]:
    """The shards that a shard was made from: two of a merged one of Kinesis, one of a table's stream."""
    found: tuple[str, ...] | None = getattr(shard, "parents", None)
    return found if found is not None else (shard.parent,) if shard.parent else ()


class _Poller:
    """Reads one shard and carries out what its processor decides, until it is stopped."""

    def __init__(self, mapping: StreamMapping, shard_id: str, checkpoint: Checkpoint) -> None:
        self.shard_id = shard_id
        self.processor = ShardProcessor(mapping.settings, window=checkpoint.window, position=checkpoint.sequence_number)
        self._mapping = mapping
        self._settings = mapping.settings
        self._kernel = mapping.kernel
        self._read_to = checkpoint.sequence_number
        self._poll_due = self._held_back = False
        self._step_at: int | None = None
        self._stopped = self._replaced = False
        self.arrived()

    @property
    def is_busy(self) -> bool:
        return self._poll_due or bool(self.processor.backlog)

    def stop(self) -> None:
        """Do nothing more; what is in flight is not settled."""
        self._stopped = True

    def replace(self) -> None:
        """Start nothing new, and end when everything in flight is settled."""
        self._replaced = True
        self._step()

    # --- reading ---

    def arrived(self) -> None:
        """Read at the next turn of the poller."""
        if not self._poll_due:
            self._poll_due = True
            self._kernel.at(int(self._mapping.chance.random() * POLL_US), self._poll)

    def _poll(self) -> None:
        self._poll_due = False
        if self._stopped or self._replaced:
            return
        if self.processor.backlog >= MOST_AHEAD:
            self._held_back = True
            return
        if self._mapping.stalled(self._settings.source.kind, self.shard_id):
            self.arrived()
            return
        limit = 10_000 if self._settings.source.kind == "kinesis" else 1_000
        page = self._mapping.stream.read(self.shard_id, self._read_to, limit)
        records = [self._mapping.record(raw, self.shard_id) for raw in page.records]
        if records:
            self._read_to = records[-1].sequence_number
            if self._settings.source.kind == "kinesis":
                self._mapping.aged(self._settings.source.name, (self._now() - records[-1].arrival) * 1_000)
            self.processor.offer(records, self._now())
            self._save()
        if page.closed:
            self.processor.end()
        elif len(records) == limit:
            self.arrived()
        if self._settings.tumbling_window:
            self.processor.read_up_to(self._now())
        self._step()

    def _now(self) -> float:
        return self._kernel.now_us / SECOND

    def _save(self) -> None:
        self._mapping.checkpoints[self.shard_id] = self.processor.checkpoint

    # --- doing ---

    def _step_later(self, at_us: int) -> None:
        if self._step_at is None or at_us < self._step_at:
            self._step_at = at_us
            self._kernel.at(at_us - self._kernel.now_us, lambda: self._due(at_us))

    def _due(self, at_us: int) -> None:
        if self._step_at == at_us:
            self._step_at = None
            self._step()

    def _step(self) -> None:
        if self._stopped:
            return
        if self._replaced:
            if not self.processor.in_flight:
                self._stopped = True
                self._mapping.ended(self)
            return
        for action in self.processor.step(self._now()):
            if isinstance(action, Attempt):
                self._invoke(action)
            else:
                self._report(action, 0)
        if self.processor.finished:
            self._stopped = True
            self._mapping.ended(self)
            return
        deadline = self.processor.deadline()
        if deadline is not None:
            self._step_later(max(ceil(deadline * SECOND), self._kernel.now_us + MILLISECOND))

    def _invoke(self, attempt: Attempt) -> None:
        settings = self._settings
        bodies = (record.body for record in attempt.records)
        event = invocation_event(bodies, attempt.window, self.shard_id, settings.source.arn)
        if attempt.records:
            age_ms = (self._now() - attempt.records[-1].arrival) * 1_000
            self._mapping.measure("IteratorAge", self._mapping.label, max(0.0, age_ms))

        def answered(invocation: Invocation) -> None:
            if self._stopped:
                return
            outcome = interpret(
                invocation,
                [record.sequence_number for record in attempt.records],
                report_failures=settings.report_failures,
                windowed=bool(settings.tumbling_window),
            )
            self._settle(attempt, outcome)

        try:
            self._mapping.functions.start(settings.function_arn, event, answered)
        except Refusal as refusal:  # there is no such function
            undelivered = Undelivered(str(refusal))
            self._kernel.at(MILLISECOND, lambda: self._settle(attempt, undelivered))

    def _settle(self, attempt: Attempt, outcome: Outcome) -> None:
        if self._stopped:
            return
        self.processor.settle(attempt.id, outcome, self._now())
        self._save()
        self._mapping.told("settled", self._mapping.label, self.shard_id, attempt, outcome)
        self._step()
        self._read_on()

    def _report(self, action: GivenUp, failures: int) -> None:
        """Tell the on-failure destination; while it does not answer, the shard waits."""
        if self._stopped:
            return
        settings, mapping = self._settings, self._mapping
        if settings.destination_arn is not None:
            record = on_failure_record(action, settings, self.shard_id, self._now())
            if not mapping.send(settings.destination_arn, record):
                wait_s = backoff_s(failures + 1, 0.1, 2.0)
                self._kernel.at(int(wait_s * SECOND), lambda: self._report(action, failures + 1))
                return
        mapping.told("given up", mapping.label, self.shard_id, action)
        self._kernel.at(MILLISECOND, lambda: self._reported(action))

    def _reported(self, action: GivenUp) -> None:
        if self._stopped:
            return
        self.processor.delivered(action.id)
        self._save()
        self._step()
        self._read_on()

    def _read_on(self) -> None:
        """Read again if reading has waited for what has just been done."""
        if self._held_back and self.processor.backlog < MOST_AHEAD:
            self._held_back = False
            self.arrived()
