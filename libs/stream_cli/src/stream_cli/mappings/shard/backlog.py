"""The records of a shard between its checkpoint and the tip that was read."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from stream_cli.mappings.records import Record

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
