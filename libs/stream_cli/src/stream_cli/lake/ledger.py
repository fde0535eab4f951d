"""Records the progress of a replay in a file, so that an interrupted replay can go on.

The first entry describes the replay: its range of time, and the objects that the lake held when it began, so that a
replay to the bus does not replay its own events. Each further entry says up to which line of which object all selected
events were accepted. Entries are on disk before the next batch is sent: a replay that goes on sends at most one batch
twice, and skips nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream_cli import private_files
from stream_cli.errors import CommandError
from stream_cli.stored.history import StoredObject


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
        self._path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.jsonl"
        self.sent = self.finished = self.line = 0
        self.is_complete = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Lock the ledger against other processes; the lock ends with this process at the latest.

        Raises:
            CommandError: another process holds the lock.
        """
        private_files.make_folder(self._path.parent)
        with private_files.open_to_append(self._path.with_suffix(".lock")) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CommandError("Another process is already running this; wait for it.") from None
            yield

    def open(self, begin: Callable[[], Scope]) -> Scope:
        """Read the progress of an earlier run, or begin a new replay.

        Args:
            begin: gives the scope of a new replay; an earlier run keeps its scope.

        Raises:
            CommandError: the file is not a ledger.
        """
        scope = self.read()
        if scope is None:
            scope = begin()
            pairs = [[each.key, each.size] for each in scope.objects]
            self._append({"replay": self._description, **vars(scope), "objects": pairs})
        return scope

    def begun(self) -> Scope | None:
        """Read the scope of an earlier run, or None if there was none, which leaves no file behind.

        Raises:
            CommandError: another process holds the lock, or the file is not a ledger.
        """
        if not self._path.exists():
            return None
        with self.held():
            return self.read()

    def read(self) -> Scope | None:
        """Read the progress of an earlier run; returns its scope, or None if there was none. Hold the ledger.

        Raises:
            CommandError: the file is not a ledger.
        """
        scope = None
        for entry in self._entries():
            if "replay" in entry:
                objects = [StoredObject(key, size) for key, size in entry["objects"]]
                scope = Scope(entry["began_ms"], entry["since_ms"], entry["until_ms"], objects)
            elif "complete" in entry:
                self.is_complete = True
            else:
                self.finished, self.line, self.sent = entry["finished"], entry["line"], entry["sent"]
        return scope

    def take(self, finished: int, line: int, number: int) -> None:
        """Record that `number` more events were accepted: `finished` objects, and the next one up to `line`."""
        self.finished, self.line = finished, line
        self.sent += number
        self._append({"finished": finished, "line": line, "sent": self.sent})

    def complete(self) -> None:
        """Record that the replay is complete."""
        self.is_complete = True
        self._append({"complete": True})

    def restart(self) -> None:
        """Forget earlier runs; call it before `open`."""
        self._path.unlink(missing_ok=True)

    def _entries(self) -> Iterator[dict[str, Any]]:
        """The entries; an incomplete last line, from an interrupted run, is removed from the file."""
        try:
            *lines, torn = private_files.read(self._path).split("\n")
        except FileNotFoundError:
            return
        if torn:
            private_files.write(self._path, "".join(f"{line}\n" for line in lines).encode())
        for number, line in enumerate(lines, start=1):
            try:
                entry = json.loads(line)
            except ValueError as error:
                raise CommandError(
                    f"{self._path}, line {number} is not JSON: {error}. Repair or remove the file."
                ) from error
            if not isinstance(entry, dict):
                raise CommandError(f"{self._path}, line {number} is not an entry. Repair or remove the file.")
            yield entry

    def _append(self, entry: Mapping[str, Any]) -> None:
        """Write an entry; it is on disk when this returns."""
        private_files.make_folder(self._path.parent)
        with private_files.open_to_append(self._path) as file:
            file.write(json.dumps(entry).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
