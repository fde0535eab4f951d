"""A file of JSON lines that a command appends to and that survives its interruption at any point."""

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
    """Entries in the order in which they were written; each is on disk when `append` returns."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else writes it meanwhile; the kernel lets go of it when this process dies.

        Raises:
            CommandError: another process holds it.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CommandError("Another process is at this very work; see what it does, or wait for it.") from None
            yield

    def entries(self) -> Iterator[dict[str, Any]]:
        """The entries; a last line that was being written when a run ended is cut off.

        Raises:
            CommandError: a line is no entry.
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
                    f"{self.path}, line {number} is no JSON: {error}. Mend or remove the file."
                ) from error
            if not isinstance(entry, dict):
                raise CommandError(f"{self.path}, line {number} is no entry. Mend or remove the file.")
            yield entry

    def append(self, entry: Mapping[str, Any]) -> None:
        """Write an entry and force it to disk."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
            file.flush()
            os.fsync(file.fileno())
