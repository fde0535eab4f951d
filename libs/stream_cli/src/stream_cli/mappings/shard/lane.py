"""One lane of a shard: forms batches, and decides what follows the outcome of each."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from stream_cli.mappings.backoff import backoff_s
from stream_cli.mappings.outcomes import Failed, Invocation, Outcome, Processed, Undelivered
from stream_cli.mappings.records import WindowContext, to_json

from .actions import PAYLOAD_LIMIT, STATE_LIMIT, Action, Attempt, Condition, GivenUp
from .state import PendingRecord, ShardState, Window

_ENVELOPE = len(b'{"Records":[]}')
_WINDOW_ENVELOPE = 1024

_PAUSE_FIRST = 0.25
_PAUSE_LONGEST = 5.0


@dataclass(slots=True)
class Batch:
    entries: list[PendingRecord]
    final: bool = False
    retries: int = 0
    waits: int = 0
    invocations: int = 0
    undelivered: int = 0
    not_before: float = -inf
    exhausted: bool = False
    partial: bool = False
    invocation: Invocation | None = None


class Lane:
    """A queue of records, and the batch at its head: after failures, what is left of it, possibly in several parts."""

    def __init__(self, shard: ShardState, number: int) -> None:
        self.queue: deque[PendingRecord] = deque()
        self.queued_bytes = 0
        self.window: Window | None = None
        self._shard = shard
        self._settings = shard.settings
        self._number = number
        self._batches: deque[Batch] = deque()
        self._attempted: Batch | None = None
        self._abandoned: list[PendingRecord] | None = None

    @property
    def _busy(self) -> bool:
        return self._attempted is not None or self._abandoned is not None

    # --- what to do next ---

    def next(self, now: float) -> Action | None:
        """The next action, None while one is in flight or there is nothing to do yet."""
        if self._busy:
            return None
        if self.window is not None and self.window.terminated and not (self._batches and self._batches[0].final):
            self._batches.appendleft(Batch([], final=True))
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
        self._shard.counters.invocations += 1
        self._attempted = batch
        return Attempt(
            id=next(self._shard.ids),
            lane=self._number,
            records=tuple(e.record for e in batch.entries),
            window=self._context(batch),
            number=batch.invocations,
        )

    def _form(self, now: float) -> Batch | None:
        queue = self.queue
        if not queue:
            return None
        settings = self._settings
        if (
            len(queue) < settings.batch_size
            and self.queued_bytes + _ENVELOPE < PAYLOAD_LIMIT
            and now < queue[0].offered + settings.batch_window
            and self._shard.read_through < inf
        ):
            return None
        return Batch(self._take(len(queue), _ENVELOPE))

    def _form_in_window(self, now: float) -> Batch | None:
        queue, settings = self.queue, self._settings
        if self.window is None:
            if not queue:
                return None
            self.window = Window.around(queue[0].record.arrival, settings.tumbling_window)
        window = self.window
        inside = next((i for i, e in enumerate(queue) if e.record.arrival >= window.end), len(queue))
        over = inside < len(queue) or self._shard.read_through >= window.end
        envelope = _ENVELOPE + _WINDOW_ENVELOPE + len(to_json(window.state))
        if over:
            entries = self._take(inside, envelope)
            return Batch(entries, final=len(entries) == inside)
        if inside and (
            inside >= settings.batch_size
            or self.queued_bytes + envelope >= PAYLOAD_LIMIT
            or now >= queue[0].offered + settings.batch_window
        ):
            return Batch(self._take(inside, envelope))
        return None

    def _take(self, available: int, envelope: int) -> list[PendingRecord]:
        """Take records from the queue until the batch is full by number or payload; at least one if there is any."""
        entries: list[PendingRecord] = []
        size = envelope
        while available > len(entries) < self._settings.batch_size:
            needed = len(self.queue[0].record.body) + 1
            if entries and size + needed > PAYLOAD_LIMIT:
                break
            size += needed
            self.queued_bytes -= needed
            entries.append(self.queue.popleft())
        return entries

    def _aged(self, batch: Batch, now: float) -> int | None:
        """How many records at the front are too old for another attempt; None if the first is not."""
        limit = self._settings.max_age
        if limit < 0:
            return None
        if not batch.entries:
            last = self.window.last if self.window is not None else None
            return 0 if last is not None and now - last.arrival > limit else None
        aged = next((i for i, e in enumerate(batch.entries) if now - e.record.arrival <= limit), len(batch.entries))
        return aged or None

    def _give_up(self, batch: Batch, count: int, condition: Condition) -> GivenUp:
        self._abandoned = batch.entries[:count]
        return GivenUp(
            id=next(self._shard.ids),
            lane=self._number,
            records=tuple(entry.record for entry in self._abandoned),
            condition=condition,
            invocations=batch.invocations,
            partial=batch.partial,
            invocation=batch.invocation,
            window=self._context(batch),
            reference=self.window.last if self.window is not None else None,
        )

    def _context(self, batch: Batch) -> WindowContext | None:
        return None if self.window is None else self.window.context(final=batch.final)

    def deadline(self) -> float | None:
        """When `next` may have an action if nothing arrives (Unix seconds), None if only then."""
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

    # --- after the outcome ---

    def settle(self, outcome: Outcome, now: float) -> float | None:
        """Process the outcome of the attempt in flight; returns when what is left of the batch is tried again."""
        batch = self._attempted
        if batch is None:
            raise RuntimeError("settled a lane that has no attempt")
        self._attempted = None
        if isinstance(outcome, Undelivered):
            batch.invocations -= 1
            self._shard.counters.invocations -= 1
            batch.undelivered += 1
            batch.not_before = now + backoff_s(batch.undelivered, _PAUSE_FIRST, _PAUSE_LONGEST)
            return batch.not_before
        batch.undelivered = 0
        counters = self._shard.counters
        counters.last_outcome_at = now
        done = len(batch.entries) if isinstance(outcome, Processed) else outcome.done
        counters.processed += done
        if self.window is not None:
            self._carry(self.window, batch.entries[:done], outcome)
        self._shard.backlog.finish(batch.entries[:done])
        if isinstance(outcome, Processed):
            counters.last_outcome = "ok"
            self._batches.popleft()
            if batch.final:
                self._close_window()
            return None
        counters.last_outcome = outcome.problem
        batch.invocation, batch.partial = outcome.invocation, outcome.partial
        self._after_failure(batch, done, now)
        return None if batch.exhausted else max(now, self._batches[0].not_before)

    def _carry(self, window: Window, done: Sequence[PendingRecord], outcome: Processed | Failed) -> None:
        """Keep the returned state for the next invocation of the window, and the last record that is done."""
        if done:
            window.last = done[-1].record
        if isinstance(outcome, Processed) or outcome.partial:
            window.state = {} if outcome.state is None else outcome.state
            window.terminated = window.terminated or len(to_json(window.state)) > STATE_LIMIT

    def _after_failure(self, batch: Batch, done: int, now: float) -> None:
        counters, size = self._shard.counters, len(batch.entries)
        if done:
            counters.splits += self._settings.bisect
            self._replace(batch, [batch.entries[done:]])
        elif self._settings.bisect and size > 1:
            counters.splits += 1
            self._replace(batch, [batch.entries[: size // 2], batch.entries[size // 2 :]])
        elif 0 <= self._settings.max_retries <= batch.retries:
            batch.exhausted = True
        else:
            batch.retries += 1
            batch.waits += 1
            counters.retries += 1
            batch.not_before = now + self._settings.backoff(batch.waits)

    def forget_backoff(self) -> None:
        """Try the batch at the head without a wait; its next wait is the first again."""
        for batch in self._batches:
            batch.waits = batch.undelivered = 0
            batch.not_before = -inf

    def _replace(self, batch: Batch, parts: Sequence[list[PendingRecord]]) -> None:
        """Put fresh batches in the place of the batch at the head."""
        self._batches.popleft()
        for index, entries in reversed(list(enumerate(parts))):
            final = batch.final and index == len(parts) - 1
            self._batches.appendleft(Batch(entries, final=final))

    def abandon(self) -> None:
        """Drop the records that were given up and have been reported."""
        entries, batch = self._abandoned, self._batches[0]
        if entries is None:
            raise RuntimeError("delivered for a lane that has given nothing up")
        self._abandoned = None
        self._shard.counters.given_up += len(entries)
        was_empty = not batch.entries
        if self.window is not None and entries:
            self.window.last = entries[-1].record
        self._shard.backlog.finish(entries)
        batch.entries = batch.entries[len(entries) :]
        if batch.entries:
            return
        self._batches.popleft()
        if batch.final and was_empty:
            self._close_window()
        # The records of a final batch are given up, the window's state is not: an empty final batch comes next.

    def _close_window(self) -> None:
        window = self.window
        if window is None:
            return
        # The rest of a window that ended early goes into a new window over the same time.
        reopened = window.terminated and bool(self._batches)
        self.window = Window(window.start, window.end) if reopened else None
