"""What a replay has handed over, in a file that survives its interruption.

The first entry describes the replay, with its range of time as it was understood when it began; each further one says
up to which line of which object all wanted events were taken. Entries are on disk before the next batch is sent: a
replay that is started again sends at most one batch twice, and leaves nothing out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stream_cli.stored.history import Place
from stream_cli.stored.journal import Journal


class Ledger:
    """The ledger of one replay.

    Args:
        folder: where ledgers are kept.
        description: what is replayed, and where to; the same description finds the same ledger.

    Attributes:
        sent: how many events were taken in all.
        is_complete: whether nothing is left.
        range_ms: earliest time and end of the replay, in ms, once it has begun.
    """

    def __init__(self, folder: Path, description: Mapping[str, Any]) -> None:
        self._description = dict(description)
        text = json.dumps(self._description, sort_keys=True)
        self._journal = Journal(folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.jsonl")
        self.sent = 0
        self.is_complete = False
        self.range_ms: tuple[int | None, int] | None = None
        self._taken: dict[str, int] = {}

    @property
    def is_begun(self) -> bool:
        """Whether an earlier run has handed anything over."""
        return bool(self._taken)

    def open(self, range_ms: tuple[int | None, int]) -> None:
        """Read what an earlier run has done, and go on from there.

        Args:
            range_ms: earliest time and end of a new replay, in ms; an earlier run's stay as they were.

        Raises:
            CloudError: the file cannot be read as a ledger.
        """
        for entry in self._journal.entries():
            if "replay" in entry:
                self.range_ms = tuple(entry["range_ms"])
            elif "complete" in entry:
                self.is_complete = True
            else:
                self._taken[entry["key"]] = entry["line"]
                self.sent = entry["sent"]
        if self.range_ms is None:
            self.range_ms = range_ms
            self._journal.append({"replay": self._description, "range_ms": range_ms})

    def is_taken(self, place: Place) -> bool:
        """Whether an event was handed over by an earlier run."""
        return place.line <= self._taken.get(place.key, 0)

    def take(self, place: Place, sent: int) -> None:
        """Note that all wanted events of an object up to a place were taken, and how many in all."""
        self.sent = sent
        self._taken[place.key] = place.line
        self._journal.append({"key": place.key, "line": place.line, "sent": sent})

    def complete(self) -> None:
        """Note that nothing is left."""
        self.is_complete = True
        self._journal.append({"complete": True})

    def restart(self) -> None:
        """Forget what earlier runs have done; to be called before `open`."""
        self._journal.path.unlink(missing_ok=True)
