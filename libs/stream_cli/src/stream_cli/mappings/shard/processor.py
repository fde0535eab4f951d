"""Distributes the records of a shard over its lanes, and keeps its checkpoint."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from math import inf
from typing import Any

from stream_cli.mappings.outcomes import Outcome
from stream_cli.mappings.records import Record
from stream_cli.mappings.settings import MappingSettings

from .actions import Action, Checkpoint, Counters
from .lane import Lane
from .state import Backlog, PendingRecord, ShardState, Window


class ShardProcessor:
    """Batches, lanes, windows, retries and the checkpoint of one shard; the docstring of the package shows its use."""

    def __init__(
        self, settings: MappingSettings, *, window: Mapping[str, Any] | None = None, position: str | None = None
    ) -> None:
        """Begin behind the record `position` (None: nothing done yet), in the open `window` of a checkpoint."""
        self._backlog = Backlog(position)
        self._shard = ShardState(settings, self._backlog)
        self._lanes = [Lane(self._shard, number) for number in range(settings.parallelization_factor)]
        self._waiting: dict[int, Lane] = {}
        if window is not None and settings.tumbling_window:
            self._lanes[0].window = Window.restored(window)

    @property
    def counters(self) -> Counters:
        """What has happened since the engine started."""
        return self._shard.counters

    def offer(self, records: Iterable[Record], now: float) -> None:
        """Take the next records of the shard, in order."""
        lanes = self._lanes
        for record in records:
            if not record.kept:
                self.counters.filtered += 1
                self._backlog.skip(record.sequence_number)
                continue
            entry = PendingRecord(record, now, record.sequence_number)
            self._backlog.add(entry)
            lane = lanes[zlib.crc32(record.key.encode("utf-8", "surrogatepass")) % len(lanes)]
            lane.queue.append(entry)
            lane.queued_bytes += len(record.body) + 1

    def read_up_to(self, moment: float) -> None:
        """Note that every record that arrived before `moment` (Unix seconds) has been offered."""
        self._shard.read_through = max(self._shard.read_through, moment)

    def end(self) -> None:
        """Note that the shard is closed and all of it has been offered: no batch waits for more records."""
        self._shard.read_through = inf

    def step(self, now: float) -> list[Action]:
        """The actions to carry out now; each lane has one at a time."""
        actions = [action for lane in self._lanes if (action := lane.next(now)) is not None]
        for action in actions:
            self._waiting[action.id] = self._lanes[action.lane]
        return actions

    def settle(self, action_id: int, outcome: Outcome, now: float) -> float | None:
        """Process the outcome of an attempt; returns when what is left of its batch is tried again, None if not."""
        return self._waiting.pop(action_id).settle(outcome, now)

    def delivered(self, action_id: int) -> None:
        """Note that given-up records have been reported, or need no report."""
        self._waiting.pop(action_id).abandon()

    def forget_backoff(self) -> None:
        """End the wait of every failed batch; its next wait is the first again. Its retries still count."""
        for lane in self._lanes:
            lane.forget_backoff()

    def deadline(self) -> float | None:
        """When to call `step` if neither records nor outcomes arrive (Unix seconds); None: not before they do."""
        return min((moment for lane in self._lanes if (moment := lane.deadline()) is not None), default=None)

    @property
    def checkpoint(self) -> Checkpoint:
        """Up to where everything is done."""
        window = self._lanes[0].window
        return Checkpoint(self._backlog.position, None if window is None else window.snapshot())

    @property
    def backlog(self) -> int:
        """How many records that filters keep have been offered and are not done."""
        return self._backlog.unfinished

    @property
    def held(self) -> int:
        """How many records are in memory: those that are not done, and those behind them that other lanes finished."""
        return len(self._backlog)

    @property
    def backlog_bytes(self) -> int:
        """How many bytes of records wait for their first batch."""
        return sum(lane.queued_bytes for lane in self._lanes)

    @property
    def oldest(self) -> Record | None:
        """The first record that is not done."""
        return self._backlog.oldest

    @property
    def in_flight(self) -> int:
        """How many actions are not settled."""
        return len(self._waiting)

    @property
    def finished(self) -> bool:
        """Whether the shard is closed and everything in it is done, its last window included."""
        return (
            self._shard.read_through == inf
            and not self._waiting
            and not len(self._backlog)
            and all(lane.window is None for lane in self._lanes)
        )
