"""What the lanes of a shard work on: the records between its checkpoint and the tip that was read, its open window."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import floor, inf
from typing import Any

from stream_cli.mappings.records import Record, WindowContext
from stream_cli.mappings.settings import MappingSettings

from .actions import Counters

_DONE = Record("", "", 0.0)


@dataclass(slots=True)
class PendingRecord:
    """A record that was read and is not behind the checkpoint yet.

    Attributes:
        offered: when it was read, in Unix seconds.
        through: the sequence number that the checkpoint reaches with it: its own, or of the filtered records behind it.
    """

    record: Record
    offered: float
    through: str
    done: bool = False


class Backlog:
    """The pending records of all lanes, in shard order.

    Attributes:
        position: the sequence number up to which everything is done, None at the beginning.
        unfinished: how many records are not done.
    """

    def __init__(self, position: str | None) -> None:
        self.position = position
        self.unfinished = 0
        self._entries: deque[PendingRecord] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def oldest(self) -> Record | None:
        """The first record that is not done."""
        return self._entries[0].record if self._entries else None

    def add(self, entry: PendingRecord) -> None:
        """Append the next record of the shard."""
        self._entries.append(entry)
        self.unfinished += 1

    def skip(self, sequence_number: str) -> None:
        """Pass over a filtered record: it is done when all records before it are."""
        if self._entries:
            self._entries[-1].through = sequence_number
        else:
            self.position = sequence_number

    def finish(self, entries: Sequence[PendingRecord]) -> None:
        """Mark records as done, and move the position as far as all records before it are done."""
        for entry in entries:
            entry.done = True
            entry.record = _DONE
        self.unfinished -= len(entries)
        waiting = self._entries
        # Parallel lanes finish out of order: records behind an unfinished one stay until it is done.
        while waiting and waiting[0].done:
            self.position = waiting.popleft().through


@dataclass(slots=True)
class Window:
    """A tumbling window; times are Unix seconds.

    Attributes:
        state: what the function returned for the window.
        terminated: whether the state became too large, which ends the window early.
        last: the last record that was processed or given up in it.
    """

    start: float
    end: float
    state: Any = field(default_factory=dict)
    terminated: bool = False
    last: Record | None = None

    @classmethod
    def around(cls, arrival: float, length: float) -> Window:
        """The window of a record's arrival time."""
        start = floor(arrival / length) * length
        return cls(start, start + length)

    @classmethod
    def restored(cls, snapshot: Mapping[str, Any]) -> Window:
        """The window of a checkpoint, which `snapshot` made."""
        last = snapshot.get("last")
        return cls(
            start=float(snapshot["start"]),
            end=float(snapshot["end"]),
            state=snapshot["state"],
            terminated=bool(snapshot["terminated"]),
            last=None if last is None else Record(last["sequence_number"], "", float(last["arrival"])),
        )

    def snapshot(self) -> dict[str, Any]:
        """The window as JSON, for the checkpoint."""
        last = self.last
        return {
            "start": self.start,
            "end": self.end,
            "state": self.state,
            "terminated": self.terminated,
            "last": None if last is None else {"sequence_number": last.sequence_number, "arrival": last.arrival},
        }

    def context(self, *, final: bool) -> WindowContext:
        """What an invocation is told about the window."""
        return WindowContext(self.start, self.end, self.state, final, self.terminated)


@dataclass(slots=True)
class ShardState:
    """What the lanes of a shard share.

    Attributes:
        read_through: every record that arrived before this time (Unix seconds) has been offered.
        ids: numbers for actions.
    """

    settings: MappingSettings
    backlog: Backlog
    counters: Counters = field(default_factory=Counters)
    ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    read_through: float = -inf
