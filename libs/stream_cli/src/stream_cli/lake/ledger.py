"""What a replay has handed over, in a file that survives its interruption.

The first entry describes the replay: its range of time as it was understood when it began, and the objects that the
lake held then, so that a replay to the bus never comes upon what it has put there itself. Each further entry says up to
which line of which object all wanted events were taken. Entries are on disk before the next batch is sent: a replay
that is started again sends at most one batch twice, and leaves nothing out.
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
    """What a replay goes through.

    Attributes:
        began_ms: when it began, in ms.
        since_ms: the earliest time, in ms, where there is one.
        until_ms: the end, in ms, where there is one.
        objects: the objects, in the order of their delivery.
    """

    began_ms: int
    since_ms: int | None
    until_ms: int | None
    objects: Sequence[StoredObject]


class Ledger:
    """The ledger of one replay.

    Args:
        folder: where ledgers are kept.
        description: what is replayed, and where to; the same description finds the same ledger.

    Attributes:
        sent: how many events were taken in all.
        finished: how many objects were read to their end.
        line: up to which line of the next object all wanted events were taken.
        is_complete: whether nothing is left.
    """

    def __init__(self, folder: Path, description: Mapping[str, Any]) -> None:
        self._description = dict(description)
        text = json.dumps(self._description, sort_keys=True)
        self._journal = Journal(folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.jsonl")
        self.sent = self.finished = self.line = 0
        self.is_complete = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """See `Journal.held`."""
        with self._journal.held():
            yield

    def open(self, begin: Callable[[], Scope]) -> Scope:
        """Read what an earlier run has done, and go on from there.

        Args:
            begin: gives the scope of a new replay; that of an earlier run stays as it was.

        Raises:
            CommandError: the file cannot be read as a ledger.
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
        """Note how many objects are finished, the line up to which events of the next were taken, and how many more."""
        self.finished, self.line = finished, line
        self.sent += number
        self._journal.append({"finished": finished, "line": line, "sent": self.sent})

    def complete(self) -> None:
        """Note that nothing is left."""
        self.is_complete = True
        self._journal.append({"complete": True})

    def restart(self) -> None:
        """Forget what earlier runs have done; to be called before `open`."""
        self._journal.path.unlink(missing_ok=True)
