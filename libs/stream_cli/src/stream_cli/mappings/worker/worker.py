"""The thread of one shard: reads it, lets `ShardProcessor` decide, and starts what it decides on other threads.

Invocations and destinations run on threads of the pool, which put the outcome into the worker's inbox.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from stream_cli.mappings.checkpoints import ShardProgress
from stream_cli.mappings.failing import Failing, failing_of, sentence
from stream_cli.mappings.outcomes import Failed, Outcome, Processed, Undelivered
from stream_cli.mappings.shard import PAYLOAD_LIMIT, Attempt, GivenUp, ShardProcessor

from .context import WorkerContext
from .delivering import failing, invoke, report
from .observing import attempted, given_up
from .reading import ShardReader

_READ_AHEAD_RECORDS = 10_000
_READ_AHEAD_BYTES = 32 * 1024 * 1024
_HELD = 500_000


class ShardWorker:
    """One shard of one mapping, from `start()` until the shard is drained or `stop()` has taken effect."""

    def __init__(self, context: WorkerContext, shard_id: str, progress: ShardProgress) -> None:
        """Continue from `progress`."""
        self.shard_id = shard_id
        self.starting = progress.starting
        self._context = context
        self._settings = context.settings
        self._processor = ShardProcessor(context.settings, window=progress.window, position=progress.after)
        self._reader = ShardReader(context, shard_id, progress, self._processor)
        self._progress = progress
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._unsent = 0
        self._failing: dict[int, Failing] = {}
        self._thread = threading.Thread(target=self._run, name=f"{context.label}/{shard_id}", daemon=True)
        self.status = self._status()

    # --- for the mapping's runner, on its thread ---

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Start nothing new, and end when everything in flight is settled."""
        self._stop.set()
        self._inbox.put(lambda: None)

    def reopen(self, starting: str) -> None:
        """Look the position up again: the shard has been replaced by another one with the same name."""
        self.starting = starting
        self._reader.reopen()

    def records_arrived(self) -> None:
        """Read at once. May be called from any thread."""
        self._inbox.put(self._reader.due)

    def function_changed(self) -> None:
        """Try what has failed at once, and begin with short waits again. May be called from any thread."""
        self._inbox.put(self._processor.forget_backoff)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def finished(self) -> bool:
        """Whether the shard is closed and everything in it is done."""
        return self._processor.finished

    # --- the worker's own thread ---

    def _status(self) -> dict[str, Any]:
        processor = self._processor
        oldest = processor.oldest
        return {
            "shard": self.shard_id,
            "state": "gone" if self._reader.gone else "closed" if self._reader.closed else "open",
            "position": processor.checkpoint.sequence_number,
            "behind": processor.backlog,
            "read_to_tip": self._reader.at_tip,
            "oldest_arrival": oldest.arrival if oldest is not None else None,
            "in_flight": processor.in_flight,
            "failing": max(self._failing.values(), key=lambda each: each["failures"], default=None),
            "last_filtered": self._reader.last_filtered,
            **asdict(processor.counters),
        }

    def _run(self) -> None:
        while not self._turn():
            pass
        self._publish()

    def _turn(self) -> bool:
        """Do everything that is due, then wait for more; True if there will be nothing more."""
        now = self._context.clock()
        stopping = self._stop.is_set()
        if not stopping:
            for action in self._processor.step(now):
                self._start_action(action)
        self._publish()
        if self._processor.finished or (stopping and self._processor.in_flight <= self._unsent):
            return True
        deadline = self._processor.deadline()
        until = deadline if deadline is not None and deadline > now and not stopping else None
        reader = self._reader
        if not stopping and not reader.closed and self._wants_more():
            if now >= reader.next_poll:
                reader.poll()
                self._take_inbox(0.0)
                return False
            until = reader.next_poll if until is None else min(until, reader.next_poll)
        self._take_inbox(None if until is None else until - now)
        return False

    def _start_action(self, action: Attempt | GivenUp) -> None:
        if isinstance(action, Attempt):
            self._context.pool.run(lambda: self._invoke(action))
        else:
            self._context.pool.run(lambda: self._report(action))

    def _wants_more(self) -> bool:
        """Whether to read on: far enough ahead to fill the next batch of every lane, and no further."""
        processor, lanes = self._processor, self._settings.parallelization_factor
        return (
            processor.backlog < max(_READ_AHEAD_RECORDS, self._settings.batch_size * (lanes + 1))
            and processor.backlog_bytes < max(_READ_AHEAD_BYTES, PAYLOAD_LIMIT * (lanes + 1))
            and processor.held < _HELD
        )

    def _take_inbox(self, timeout: float | None) -> None:
        """Do what other threads have asked for; wait up to `timeout` seconds (None: without limit) for the first."""
        try:
            task = self._inbox.get(timeout=timeout) if timeout != 0.0 else self._inbox.get_nowait()
            while True:
                task()
                task = self._inbox.get_nowait()
        except queue.Empty:
            return

    def _settle(self, attempt: Attempt, outcome: Outcome, began: float) -> None:
        again = self._processor.settle(attempt.id, outcome, self._context.clock())
        self._context.observe(attempted(self._context, self.shard_id, attempt, outcome, began, again))
        self._note_failure(attempt, outcome, again)
        self._settled()

    def _note_failure(self, attempt: Attempt, outcome: Outcome, again: float | None) -> None:
        """Count failures in a row; the log tells them after 2, 4, 8, ... of them."""
        if isinstance(outcome, Processed):
            self._failing.pop(attempt.lane, None)
            return
        context, before = self._context, self._failing.get(attempt.lane)
        kind = self._settings.source.kind
        failing = failing_of(kind, attempt.records, outcome, before, context.clock(), again)
        self._failing[attempt.lane] = failing
        failures = failing["failures"]
        # That it cannot be invoked at all is told when it begins.
        if isinstance(outcome, Failed) and failures > 1 and failures & (failures - 1) == 0:
            context.notices.say(f"{context.label}: {self.shard_id}: {sentence(failing)}")

    def _reported(self, action: GivenUp, reported: bool) -> None:
        if reported:
            self._processor.delivered(action.id)
            self._failing.pop(action.lane, None)
            self._context.observe(given_up(self._context, self.shard_id, action))
            self._settled()
        elif self._stop.is_set():
            self._unsent += 1
        else:
            raise RuntimeError("an on-failure record could not be made")

    def _settled(self) -> None:
        if not self._processor.backlog:
            context = self._context
            context.notices.over(
                failing(context, self.shard_id), f"{context.label}: {self.shard_id} has no failed records any more"
            )

    def _publish(self) -> None:
        self.status = self._status()
        checkpoint = self._processor.checkpoint
        reached = ShardProgress(
            after=checkpoint.sequence_number,
            timestamp=self._progress.timestamp if checkpoint.sequence_number is None else None,
            window=checkpoint.window,
            drained=self._processor.finished and not self._reader.gone,
            starting=self.starting,
        )
        if reached != self._progress:
            self._progress = reached
            self._context.report(self.shard_id, reached)

    # --- on threads of the pool ---

    def _invoke(self, attempt: Attempt) -> None:
        outcome: Outcome = Undelivered("the engine failed")
        began = self._context.clock()
        try:
            outcome = invoke(self._context, self.shard_id, attempt, with_log=attempt.lane in self._failing)
        finally:
            self._inbox.put(lambda: self._settle(attempt, outcome, began))

    def _report(self, action: GivenUp) -> None:
        reported = False
        try:
            reported = report(self._context, self.shard_id, action, self._stop)
        finally:
            self._inbox.put(lambda: self._reported(action, reported))
