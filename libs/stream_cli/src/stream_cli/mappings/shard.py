"""One mapping on one shard: which records go into which invocation, when, and what happens after it.

No I/O and no clock: the owner hands in records, the time, and what became of the actions that it is given.

    processor.offer(records, now)         records read from the shard, in order, filtered ones among them
    processor.step(now) -> [action, ...]  `Attempt`: invoke the function; `GivenUp`: tell the on-failure destination
    processor.settle(id, outcome, now)    what became of an attempt
    processor.delivered(id)               the destination has been told
    processor.deadline()                  when to step again although nothing came in
    processor.checkpoint                  up to where all is done

The rules are those of the AWS Lambda developer guide on stream mappings. Where it leaves a choice:

- A batch window begins when the first record of the batch arrives at the engine, and is counted for each lane.
- Records older than the limit are given up from the front of a batch; the younger ones behind them go on.
- A split (bisect) is tried at once, in the middle, or at the reported sequence number when a partial failure names one
  behind the first record. A batch of several records is thus never retried as it is.
- Retries of a batch are counted together, however much of it partial failures have finished in between.
- The final invocation of a tumbling window takes the rest of its records if they fit into one batch.
"""

from __future__ import annotations

import itertools
import zlib
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import floor, inf
from typing import Any, Literal

from stream_cli.mappings.outcomes import Failed, Invocation, Outcome, Processed, Undelivered
from stream_cli.mappings.records import Record, WindowContext, to_json
from stream_cli.mappings.settings import MappingSettings

__all__ = ["Action", "Attempt", "Checkpoint", "Counters", "GivenUp", "ShardProcessor"]

PAYLOAD_LIMIT = 6 * 1024 * 1024
"""Bytes of one invocation's payload (Lambda quotas, synchronous invocation)."""

STATE_LIMIT = 1024 * 1024
"""Bytes of a tumbling window's state; more ends the window early."""

_ENVELOPE = len(b'{"Records":[]}')
_WINDOW_ENVELOPE = 1024

_PAUSE_FIRST = 0.25
_PAUSE_LONGEST = 5.0

Condition = Literal["RetryAttemptsExhausted", "RecordAgeExceeded"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """Invoke the function with `records`, in `window` if the mapping has tumbling windows."""

    id: int
    lane: int
    records: tuple[Record, ...]
    window: WindowContext | None = None


@dataclass(frozen=True, slots=True)
class GivenUp:
    """`records` will not be tried again; `invocation` is the last answer to them, None when there was none.

    `invocations` counts how often they were tried as a batch. An empty final batch of a window refers to the window's
    last record by `reference`.
    """

    id: int
    lane: int
    records: tuple[Record, ...]
    condition: Condition
    invocations: int
    partial: bool = False
    invocation: Invocation | None = None
    window: WindowContext | None = None
    reference: Record | None = None


Action = Attempt | GivenUp


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All records up to and with `sequence_number` are done; `window` is the open tumbling window, as JSON."""

    sequence_number: str | None = None
    window: Mapping[str, Any] | None = None


@dataclass(slots=True)
class Counters:
    """What has happened on a shard since the engine started."""

    invocations: int = 0
    processed: int = 0
    filtered: int = 0
    retries: int = 0
    splits: int = 0
    given_up: int = 0
    last_outcome: str = ""
    last_outcome_at: float = 0.0


_DONE = Record("", "", 0.0)


class _Entry:
    """A record between the stream and the checkpoint."""

    __slots__ = ("done", "offered", "record", "through")

    def __init__(self, record: Record, offered: float) -> None:
        self.record = record
        self.offered = offered
        self.through = record.sequence_number
        self.done = False


@dataclass(slots=True)
class _Batch:
    entries: list[_Entry]
    final: bool = False
    retries: int = 0
    invocations: int = 0
    undelivered: int = 0
    not_before: float = -inf
    exhausted: bool = False
    partial: bool = False
    invocation: Invocation | None = None


@dataclass(slots=True)
class _Window:
    start: float
    end: float
    state: Any = field(default_factory=dict)
    terminated: bool = False
    last: Record | None = None


class ShardProcessor:
    """Batches, lanes, windows, retries and the checkpoint of one shard. See the module's docstring for its use."""

    def __init__(
        self, settings: MappingSettings, *, window: Mapping[str, Any] | None = None, position: str | None = None
    ) -> None:
        """Begin behind the record `position` (None: nothing done yet), in the open `window` of a checkpoint."""
        self.settings = settings
        self.counters = Counters()
        self._progress = _Progress(position)
        self._ids = itertools.count(1)
        self._lanes = [_Lane(self, number) for number in range(settings.parallelization_factor)]
        self._waiting: dict[int, _Lane] = {}
        if window is not None and settings.tumbling_window:
            self._lanes[0].window = _restored(window)
        self.read_through = -inf

    def offer(self, records: Iterable[Record], now: float) -> None:
        """Take the next records of the shard, in order."""
        lanes = self._lanes
        for record in records:
            if not record.kept:
                self.counters.filtered += 1
                self._progress.skip(record.sequence_number)
                continue
            entry = _Entry(record, now)
            self._progress.add(entry)
            lane = lanes[zlib.crc32(record.key.encode("utf-8", "surrogatepass")) % len(lanes)]
            lane.queue.append(entry)
            lane.queued_bytes += len(record.body) + 1

    def read_up_to(self, moment: float) -> None:
        """Learn that every record which arrived before `moment` has been offered."""
        self.read_through = max(self.read_through, moment)

    def end(self) -> None:
        """Learn that the shard is closed and all of it has been offered: no batch waits for more."""
        self.read_through = inf

    def step(self, now: float) -> list[Action]:
        """Tell what is to be done now; each lane has one action at a time."""
        actions = [action for lane in self._lanes if (action := lane.next(now)) is not None]
        for action in actions:
            self._waiting[action.id] = self._lanes[action.lane]
        return actions

    def settle(self, action_id: int, outcome: Outcome, now: float) -> None:
        """Take the outcome of the attempt with this id."""
        self._waiting.pop(action_id).settle(outcome, now)

    def delivered(self, action_id: int) -> None:
        """Take note that the given-up records with this id have been reported, or that nobody wants to know."""
        self._waiting.pop(action_id).abandon()

    def deadline(self) -> float | None:
        """Tell when `step` may have something to do although neither records nor outcomes come in; None: never."""
        return min((moment for lane in self._lanes if (moment := lane.deadline()) is not None), default=None)

    @property
    def checkpoint(self) -> Checkpoint:
        """Up to where everything is done."""
        window = self._lanes[0].window
        return Checkpoint(self._progress.position, _snapshot(window) if window is not None else None)

    @property
    def backlog(self) -> int:
        """How many kept records have been offered and are not done."""
        return self._progress.unfinished

    @property
    def held(self) -> int:
        """How many records are kept in memory: those not done, and those done behind them in other lanes."""
        return len(self._progress)

    @property
    def backlog_bytes(self) -> int:
        """How many bytes of records wait for their first batch."""
        return sum(lane.queued_bytes for lane in self._lanes)

    @property
    def oldest(self) -> Record | None:
        """The first record that is not done."""
        return self._progress.oldest

    @property
    def in_flight(self) -> int:
        """How many actions have been handed out and not been settled."""
        return len(self._waiting)

    @property
    def finished(self) -> bool:
        """Whether the shard is closed and everything in it is done, its last window included."""
        return (
            self.read_through == inf
            and not self._waiting
            and not len(self._progress)
            and all(lane.window is None for lane in self._lanes)
        )

    def next_id(self) -> int:
        """Number an action."""
        return next(self._ids)

    def finish(self, entries: Sequence[_Entry]) -> None:
        """Move the checkpoint over `entries` as far as everything before them is done."""
        self._progress.finish(entries)


class _Progress:
    """The records between the stream and the checkpoint, in shard order, over all lanes."""

    def __init__(self, position: str | None) -> None:
        self.position = position
        self.unfinished = 0
        self._entries: deque[_Entry] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def oldest(self) -> Record | None:
        return self._entries[0].record if self._entries else None

    def add(self, entry: _Entry) -> None:
        self._entries.append(entry)
        self.unfinished += 1

    def skip(self, sequence_number: str) -> None:
        """Count a filtered record as done once all before it are."""
        if self._entries:
            self._entries[-1].through = sequence_number
        else:
            self.position = sequence_number

    def finish(self, entries: Sequence[_Entry]) -> None:
        for entry in entries:
            entry.done = True
            entry.record = _DONE
        self.unfinished -= len(entries)
        waiting = self._entries
        # Parallel lanes finish out of order; entries behind an unfinished one stay until it is done.
        while waiting and waiting[0].done:
            self.position = waiting.popleft().through


class _Lane:
    """A queue of records and the batch at its head, with all that is left of it after failures."""

    def __init__(self, owner: ShardProcessor, number: int) -> None:
        self.queue: deque[_Entry] = deque()
        self.queued_bytes = 0
        self.window: _Window | None = None
        self._owner = owner
        self._settings = owner.settings
        self._number = number
        self._batches: deque[_Batch] = deque()
        self._attempted: _Batch | None = None
        self._abandoned: list[_Entry] | None = None

    @property
    def _busy(self) -> bool:
        return self._attempted is not None or self._abandoned is not None

    # --- what to do next ---

    def next(self, now: float) -> Action | None:
        if self._busy:
            return None
        if self.window is not None and self.window.terminated and not (self._batches and self._batches[0].final):
            self._batches.appendleft(_Batch([], final=True))
        elif not self._batches:
            formed = self._form_in_window(now) if self._settings.tumbling_window else self._form(now)
            if formed is None:
                return None
            self._batches.append(formed)
        batch = self._batches[0]
        if batch.exhausted:
            return self._give_up(batch, len(batch.entries), "RetryAttemptsExhausted")
        if batch.not_before > now:
            return None
        aged = self._aged(batch, now)
        if aged is not None:
            return self._give_up(batch, aged, "RecordAgeExceeded")
        batch.invocations += 1
        self._owner.counters.invocations += 1
        self._attempted = batch
        return Attempt(
            self._owner.next_id(), self._number, tuple(e.record for e in batch.entries), self._context(batch)
        )

    def _form(self, now: float) -> _Batch | None:
        queue = self.queue
        if not queue:
            return None
        settings = self._settings
        if (
            len(queue) < settings.batch_size
            and self.queued_bytes + _ENVELOPE < PAYLOAD_LIMIT
            and now < queue[0].offered + settings.batch_window
            and self._owner.read_through < inf
        ):
            return None
        return _Batch(self._take(len(queue), _ENVELOPE))

    def _form_in_window(self, now: float) -> _Batch | None:
        queue, settings = self.queue, self._settings
        if self.window is None:
            if not queue:
                return None
            length = settings.tumbling_window
            start = floor(queue[0].record.arrival / length) * length
            self.window = _Window(start, start + length)
        window = self.window
        inside = next((i for i, e in enumerate(queue) if e.record.arrival >= window.end), len(queue))
        over = inside < len(queue) or self._owner.read_through >= window.end
        envelope = _ENVELOPE + _WINDOW_ENVELOPE + len(to_json(window.state))
        if over:
            entries = self._take(inside, envelope)
            return _Batch(entries, final=len(entries) == inside)
        if inside and (
            inside >= settings.batch_size
            or self.queued_bytes + envelope >= PAYLOAD_LIMIT
            or now >= queue[0].offered + settings.batch_window
        ):
            return _Batch(self._take(inside, envelope))
        return None

    def _take(self, available: int, envelope: int) -> list[_Entry]:
        """Take records off the queue until the batch is full by number or by payload; always one if there is any."""
        entries: list[_Entry] = []
        size = envelope
        while available > len(entries) < self._settings.batch_size:
            needed = len(self.queue[0].record.body) + 1
            if entries and size + needed > PAYLOAD_LIMIT:
                break
            size += needed
            self.queued_bytes -= needed
            entries.append(self.queue.popleft())
        return entries

    def _aged(self, batch: _Batch, now: float) -> int | None:
        """Count the records at the front that are too old for another attempt; None when the first is not."""
        limit = self._settings.max_age
        if limit < 0:
            return None
        if not batch.entries:
            last = self.window.last if self.window is not None else None
            return 0 if last is not None and now - last.arrival > limit else None
        aged = next((i for i, e in enumerate(batch.entries) if now - e.record.arrival <= limit), len(batch.entries))
        return aged or None

    def _give_up(self, batch: _Batch, count: int, condition: Condition) -> GivenUp:
        self._abandoned = batch.entries[:count]
        return GivenUp(
            id=self._owner.next_id(),
            lane=self._number,
            records=tuple(entry.record for entry in self._abandoned),
            condition=condition,
            invocations=batch.invocations,
            partial=batch.partial,
            invocation=batch.invocation,
            window=self._context(batch),
            reference=self.window.last if self.window is not None else None,
        )

    def _context(self, batch: _Batch) -> WindowContext | None:
        window = self.window
        if window is None:
            return None
        return WindowContext(window.start, window.end, window.state, batch.final, window.terminated)

    def deadline(self) -> float | None:
        if self._busy:
            return None
        if self._batches:
            return self._batches[0].not_before
        moments = []
        if self.queue:
            moments.append(self.queue[0].offered + self._settings.batch_window)
        if self.window is not None:
            moments.append(self.window.end)
        return min(moments, default=None)

    # --- what became of it ---

    def settle(self, outcome: Outcome, now: float) -> None:
        batch = self._attempted
        if batch is None:
            raise RuntimeError("settled a lane that has no attempt")
        self._attempted = None
        if isinstance(outcome, Undelivered):
            batch.invocations -= 1
            self._owner.counters.invocations -= 1
            batch.not_before = now + min(_PAUSE_LONGEST, _PAUSE_FIRST * 2.0 ** min(batch.undelivered, 30))
            batch.undelivered += 1
            return
        batch.undelivered = 0
        counters = self._owner.counters
        counters.last_outcome_at = now
        done = len(batch.entries) if isinstance(outcome, Processed) else outcome.done
        counters.processed += done
        if self.window is not None:
            self._carry(self.window, batch.entries[:done], outcome)
        self._owner.finish(batch.entries[:done])
        if isinstance(outcome, Processed):
            counters.last_outcome = "ok"
            self._batches.popleft()
            if batch.final:
                self._close_window()
            return
        counters.last_outcome = outcome.problem
        batch.invocation, batch.partial = outcome.invocation, outcome.partial
        self._after_failure(batch, done, now)

    def _carry(self, window: _Window, done: Sequence[_Entry], outcome: Processed | Failed) -> None:
        """Hand the returned state to the next invocation of the window, and remember how far the window has come."""
        if done:
            window.last = done[-1].record
        if isinstance(outcome, Processed) or outcome.partial:
            window.state = {} if outcome.state is None else outcome.state
            window.terminated = window.terminated or len(to_json(window.state)) > STATE_LIMIT

    def _after_failure(self, batch: _Batch, done: int, now: float) -> None:
        rest = batch.entries[done:]
        if self._settings.bisect and done:
            self._split(batch, [rest])
        elif self._settings.bisect and len(rest) > 1:
            middle = len(rest) // 2
            self._split(batch, [rest[:middle], rest[middle:]])
        else:
            batch.entries = rest
            if 0 <= self._settings.max_retries <= batch.retries:
                batch.exhausted = True
                return
            batch.retries += 1
            self._owner.counters.retries += 1
            batch.not_before = now + self._settings.backoff(batch.retries)

    def _split(self, batch: _Batch, parts: Sequence[list[_Entry]]) -> None:
        self._batches.popleft()
        self._owner.counters.splits += 1
        for index, entries in reversed(list(enumerate(parts))):
            final = batch.final and index == len(parts) - 1
            self._batches.appendleft(_Batch(entries, final=final))

    def abandon(self) -> None:
        entries, batch = self._abandoned, self._batches[0]
        if entries is None:
            raise RuntimeError("delivered for a lane that has given nothing up")
        self._abandoned = None
        self._owner.counters.given_up += len(entries)
        was_empty = not batch.entries
        if self.window is not None and entries:
            self.window.last = entries[-1].record
        self._owner.finish(entries)
        batch.entries = batch.entries[len(entries) :]
        if batch.entries:
            return
        self._batches.popleft()
        if batch.final and was_empty:
            self._close_window()
        # Of a final batch with records these are lost, the window's state is not: an empty final batch comes next.

    def _close_window(self) -> None:
        window = self.window
        if window is None:
            return
        # What is left of a window that ended early goes into a new one over the same time.
        reopened = window.terminated and bool(self._batches)
        self.window = _Window(window.start, window.end) if reopened else None


def _snapshot(window: _Window) -> dict[str, Any]:
    last = window.last
    return {
        "start": window.start,
        "end": window.end,
        "state": window.state,
        "terminated": window.terminated,
        "last": None if last is None else {"sequence_number": last.sequence_number, "arrival": last.arrival},
    }


def _restored(snapshot: Mapping[str, Any]) -> _Window:
    last = snapshot.get("last")
    return _Window(
        start=float(snapshot["start"]),
        end=float(snapshot["end"]),
        state=snapshot["state"],
        terminated=bool(snapshot["terminated"]),
        last=None if last is None else Record(last["sequence_number"], "", float(last["arrival"])),
    )
