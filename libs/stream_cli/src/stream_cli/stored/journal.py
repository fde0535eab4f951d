"""A file of JSON lines that a command appends to; it stays readable if the command is interrupted at any point."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stream_cli.errors import CommandError


class Journal:
    """A file of entries, in the order in which they were written."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def held(self) -> Iterator[None]:
        """Lock the journal against other processes; the lock ends with this process at the latest.

        Raises:
            CommandError: another process holds the lock.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CommandError("Another process is already running this; wait for it.") from None
            yield

    def entries(self) -> Iterator[dict[str, Any]]:
        """The entries; an incomplete last line, from an interrupted run, is removed from the file.

        Raises:
            CommandError: a line is not an entry.
        """
        if not self.path.exists():
            return
        *lines, torn = self.path.read_text(encoding="utf-8").split("\n")
        if torn:
            self.path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        for number, line in enumerate(lines, start=1):
            try:
                entry = json.loads(line)
            except ValueError as error:
                raise CommandError(
                    f"{self.path}, line {number} is not JSON: {error}. Repair or remove the file."
                ) from error
            if not isinstance(entry, dict):
                raise CommandError(f"{self.path}, line {number} is not an entry. Repair or remove the file.")
            yield entry

    def append(self, entry: Mapping[str, Any]) -> None:
        """Write an entry; it is on disk when this returns."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
            file.flush()
            os.fsync(file.fileno())
