"""The index of a journal: by term where the lines are, and what went over each arrow in each second.

It is an SQLite database beside the files, brought up to date by whoever asks. One process at a time writes it, under
a lock of the kernel's; others go on reading meanwhile. It is derived from the files: a killed process leaves it as it
was after the last portion, and one that is damaged, or was made by other code, is made anew under another name.

A term stands in it as a checksum of 32 bits. Readers compare the line itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from stream_cli import private_files
from stream_cli.errors import CommandError
from stream_cli.journal import files, filling, terms
from stream_cli.journal.files import files_in
from stream_cli.journal.filling import TABLES, Known, forget, read_file, term_number, transaction
from stream_cli.journal.terms import Term


def version_of(sources: Iterable[str | Path]) -> str:
    """The version of an index that code with these source files makes."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(Path(source).read_bytes())
    return digest.hexdigest()[:12]


VERSION = version_of((__file__, filling.__file__, terms.__file__, files.__file__))
"""Of the tables, and of what lines are found by: an index that other code has filled may find other lines."""

_NAME = re.compile(rf"index-{VERSION}-([0-9]+)\.db")
_ANY_VERSION = re.compile(r"index-[0-9a-z]+-[0-9]+\.db")
_UNUSED_S = 3600.0
_LOCK = "index.lock"
_BUSY_S = 30.0


class Place(NamedTuple):
    """Where a line is; places are in the order of time."""

    at: int
    file: int
    start: int
    length: int


class Index:
    """The index of the journal in a folder. Its methods must be called by one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._database: sqlite3.Connection | None = None
        self._inode = 0

    def close(self) -> None:
        """Close the database."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def refresh(self) -> None:
        """Take in what was written since; without a journal, nothing.

        Raises:
            CommandError: the index cannot be written, such as on a full disk.
        """
        try:
            with _locked(self._folder):
                self._mended(self._take_in)
        except FileNotFoundError:  # there is no journal, or it has just gone
            self.close()
        except sqlite3.Error as error:
            self.close()
            raise CommandError(f"The index of the journal in {self._folder} cannot be written: {error}.") from error

    def files(self) -> list[dict[str, Any]]:
        """What the index has of each file, the first of each process first."""
        names = ("file", "id", "read", "lines", "torn", "lost", "unknown", "since", "deleted", "deleted_until")
        rows = self._rows(f"SELECT {', '.join(names)} FROM files ORDER BY file", ())
        return [dict(zip(names, row, strict=True)) for row in rows]

    def places(
        self, term: Term, *, since: int | None = None, until: int | None = None, before: Place | None = None
    ) -> Iterator[Iterator[Place]]:
        """For each file the places of lines with a term, the latest first; another term may have the same number."""
        number = term_number(term)
        for (file,) in self._rows("SELECT file FROM files WHERE lines > 0", ()):
            yield self._places_in(file, number, since, until, before)

    def traffic(self, since: int, until: int) -> list[tuple[Any, ...]]:
        """Sums over the seconds from ``since`` to ``until``; the columns are those of `questions.Traffic`."""
        return self._rows(
            "SELECT kind, start, end, SUM(count), SUM(times), SUM(failed), SUM(ms), MAX(most_ms), MAX(last) FROM flows "
            "WHERE second >= ? AND second < ? GROUP BY kind, start, end ORDER BY kind, start, end",
            (since, until),
        )

    def _places_in(
        self, file: int, number: int, since: int | None, until: int | None, before: Place | None
    ) -> Iterator[Place]:
        end = (1 << 62, 0) if until is None else (until, -1)
        if before is not None:
            # At the same time, lines of later files come later.
            start = before.start if file == before.file else -1 if file > before.file else 1 << 62
            end = min(end, (before.at, start))
        most = 64
        while True:
            rows = self._rows(
                "SELECT at, start, length FROM terms WHERE file = ? AND term = ? AND at >= ? AND (at, start) < (?, ?) "
                "ORDER BY at DESC, start DESC LIMIT ?",
                (file, number, -(1 << 62) if since is None else since, *end, most),
            )
            for at, begin, length in rows:
                yield Place(at, file, begin, length)
            if len(rows) < most:
                return
            end, most = (rows[-1][0], rows[-1][1]), min(most * 4, 10_000)

    def _rows(self, statement: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        if self._database is None:
            return []
        return self._database.execute(statement, values).fetchall()

    # --- the database ---

    def _mended(self, work: Callable[[sqlite3.Connection], None]) -> None:
        """Work on the database, and once more on a new one if it is damaged."""
        try:
            work(self._connected())
        except sqlite3.OperationalError as error:
            if "malformed" not in str(error) and "no such" not in str(error) and "no column" not in str(error):
                raise
            work(self._made_anew())
        except sqlite3.DatabaseError:
            work(self._made_anew())

    def _connected(self) -> sqlite3.Connection:
        """The database that is there, which another process may have made anew."""
        found = self._databases()
        if not found:
            self._remove_unused()
        path = found[-1] if found else self._folder / f"index-{VERSION}-1.db"
        inode = path.stat().st_ino if found else 0
        if self._database is None or inode != self._inode:
            self._open(path)
        if self._database is None:
            raise RuntimeError("the index is not open")
        return self._database

    def _open(self, path: Path) -> None:
        self.close()
        os.close(private_files.open_file(path, os.O_RDWR | os.O_CREAT))  # SQLite gives its other files the same mode
        self._inode = path.stat().st_ino
        self._database = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute("PRAGMA cache_size = -65536")
        self._database.execute("PRAGMA journal_size_limit = 16777216")
        self._database.executescript(TABLES)

    def _databases(self) -> list[Path]:
        found = [(int(match[1]), name) for name in os.listdir(self._folder) if (match := _NAME.fullmatch(name))]
        return [self._folder / name for _, name in sorted(found)]

    def _made_anew(self) -> sqlite3.Connection:
        """A new database, with another name: whoever has the old one open ends its files when closing it."""
        self.close()
        before = self._databases()
        number = int(_NAME.fullmatch(before[-1].name)[1]) if before else 0  # type: ignore[index]
        self._open(self._folder / f"index-{VERSION}-{number + 1}.db")
        for path in before:
            _remove(path)
        if self._database is None:
            raise RuntimeError("the index is not open")
        return self._database

    def _remove_unused(self) -> None:
        """Remove the indexes of other versions, except of one whose process may still run."""
        for name in os.listdir(self._folder):
            path = self._folder / name
            if _ANY_VERSION.fullmatch(name) and time.time() - max(map(_changed, _files_of(path))) > _UNUSED_S:
                _remove(path)

    # --- what is new ---

    def _take_in(self, database: sqlite3.Connection) -> None:
        names = tuple(Known.__slots__)
        rows = database.execute(f"SELECT file, {', '.join(names)} FROM files").fetchall()
        known = {row[0]: Known(*row[1:]) for row in rows}
        files = files_in(self._folder)
        for gone in known.keys() - {file.id for file in files}:
            with transaction(database):
                forget(database, gone)
        for file in files:
            with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                read_file(database, file, known.get(file.id))


def _files_of(path: Path) -> list[Path]:
    return [path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")]


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # also when another process has just removed it
        return 0.0


def _remove(path: Path) -> None:
    for each in _files_of(path):
        each.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = private_files.open_file(folder / _LOCK, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
