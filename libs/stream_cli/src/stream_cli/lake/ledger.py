"""Records the progress of a replay in a file, so that an interrupted replay can go on.

The first entry describes the replay: its range of time, and the objects that the lake held when it began, so that a
replay to the bus does not replay its own events. Each further entry says up to which line of which object all selected
events were accepted. Entries are on disk before the next batch is sent: a replay that goes on sends at most one batch
twice, and skips nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream_cli.stored.history import StoredObject
from stream_cli.stored.journal import Journal


@dataclass(frozen=True)
class Scope:
    """What a replay reads: the objects, in the order of their delivery, that the lake held when it began."""

    began_ms: int
    since_ms: int | None
    until_ms: int | None
    objects: Sequence[StoredObject]


class ReplayLedger:
    """The ledger of one replay.

    Args:
        folder: the folder of the ledgers.
        description: what is replayed, and to which target; the same description finds the same ledger.

    Attributes:
        sent: how many events were accepted in all.
        finished: how many objects were read to their end.
        line: the line of the next object up to which all selected events were accepted.
        is_complete: whether the replay is complete.
    """

    def __init__(self, folder: Path, description: Mapping[str, Any]) -> None:
        self._description = dict(description)
        text = json.dumps(self._description, sort_keys=True)
        self._journal = Journal(folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.jsonl")
        self.sent = self.finished = self.line = 0
        self.is_complete = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Lock the ledger; see `Journal.held`."""
        with self._journal.held():
            yield

    def open(self, begin: Callable[[], Scope]) -> Scope:
        """Read the progress of an earlier run, or begin a new replay.

        Args:
            begin: gives the scope of a new replay; an earlier run keeps its scope.

        Raises:
            CommandError: the file is not a ledger.
        """
        scope = None
        for entry in self._journal.entries():
            if "replay" in entry:
                objects = [StoredObject(key, size) for key, size in entry["objects"]]
                scope = Scope(entry["began_ms"], entry["since_ms"], entry["until_ms"], objects)
            elif "complete" in entry:
                self.is_complete = True
            else:
                self.finished, self.line, self.sent = entry["finished"], entry["line"], entry["sent"]
        if scope is None:
            scope = begin()
            pairs = [[each.key, each.size] for each in scope.objects]
            self._journal.append({"replay": self._description, **vars(scope), "objects": pairs})
        return scope

    def take(self, finished: int, line: int, number: int) -> None:
        """Record that `number` more events were accepted: `finished` objects, and the next one up to `line`."""
        self.finished, self.line = finished, line
        self.sent += number
        self._journal.append({"finished": finished, "line": line, "sent": self.sent})

    def complete(self) -> None:
        """Record that the replay is complete."""
        self.is_complete = True
        self._journal.append({"complete": True})

    def restart(self) -> None:
        """Forget earlier runs; call it before `open`."""
        self._journal.path.unlink(missing_ok=True)
