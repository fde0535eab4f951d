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
from heapq import heapify, heappop, heappush
from pathlib import Path
from typing import Any, NamedTuple

from stream_cli import private_files
from stream_cli.errors import CommandError
from stream_cli.journal import files, filling, terms
from stream_cli.journal.files import files_in
from stream_cli.journal.filling import (
    BUCKETS,
    CHUNK,
    NEWEST,
    TABLES,
    Known,
    forget,
    lines_of,
    part_of,
    read_file,
    transaction,
)
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
_EVER = 1 << 62
_NO_LINE = -_EVER
"""In the place of a file where no line waits, but a file with all of its chunks or one of them."""
_ALL = -1
_FEW = 4
"""Chunks that are looked at without asking for their times first."""

_Waiting = tuple[int, int, int, int]
"""Of a line `Place` with what is not its length negated; else the latest time negated, _NO_LINE, file and chunk."""


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

    @contextlib.contextmanager
    def unchanged(self) -> Iterator[None]:
        """Within, the index is as it is now, whoever writes to it."""
        if self._database is None:
            yield
            return
        self._database.execute("BEGIN")
        try:
            yield
        finally:
            if self._database.in_transaction:  # nothing was written; after some errors SQLite has ended it
                self._database.execute("ROLLBACK")

    def files(self) -> list[dict[str, Any]]:
        """What the index has of each file, the first of each process first."""
        names = ("file", *Known.__slots__)
        rows = self._rows(f"SELECT {', '.join(names)} FROM files ORDER BY file", ())
        return [dict(zip(names, row, strict=True)) for row in rows]

    def places(
        self, term: Term, *, since: int | None = None, until: int | None = None, before: Place | None = None
    ) -> Iterator[Place]:
        """The places of lines with a term, the latest first; another term may have the same number.

        Files, and chunks of them, wait with the latest time of their lines, and are looked at when it has come.
        """
        number, part = part_of(term)
        first = -_EVER if since is None else since
        behind = (_EVER if until is None else until, -1, -1)
        if before is not None:
            behind = min(behind, (before.at, before.file, before.start))
        numbers = self._numbers(number, part) if part < BUCKETS else {}
        if part >= BUCKETS:
            waiting = self._files_of(first, behind[0])
        elif len(numbers) <= _FEW:
            waiting = [(-_EVER, _NO_LINE, *chunk) for chunk in numbers]
        else:
            waiting = [
                each
                for file in {file for file, _ in numbers}
                for each in self._chunks_of(file, first, behind[0])
                if each[2:] in numbers
            ]
        heapify(waiting)
        while waiting:
            time, file, start, rest = heappop(waiting)
            if file != _NO_LINE:
                yield Place(-time, -file, -start, rest)
            elif rest == _ALL:
                for each in self._chunks_of(start, first, behind[0], part):
                    heappush(waiting, each)
            else:
                for place in self._places_in(start, rest, part, numbers.get((start, rest))):
                    if place.at >= first and place[:3] < behind:
                        heappush(waiting, (-place.at, -place.file, -place.start, place.length))

    def _numbers(self, number: int, part: int) -> dict[tuple[int, int], list[int]]:
        """By file and chunk the numbers of lines with a term that few lines have."""
        found: dict[tuple[int, int], list[int]] = {}
        for file, numbers, lines in self._rows(
            "SELECT file, numbers, terms.lines FROM files CROSS JOIN terms USING (file) WHERE part IN (?, ?)",
            (part, NEWEST),
        ):
            for line in lines_of(number, numbers, lines):
                found.setdefault((file, line // CHUNK), []).append(line)
        return found

    def _files_of(self, first: int, last: int) -> list[_Waiting]:
        rows = self._rows("SELECT file, until FROM files WHERE until >= ? AND since <= ?", (first, last))
        return [(-until, _NO_LINE, file, _ALL) for file, until in rows]

    def _chunks_of(self, file: int, first: int, last: int, part: int | None = None) -> list[_Waiting]:
        """The chunks of a file, of those with a part."""
        rows = self._rows(
            f"SELECT chunk, until FROM {'lines' if part is None else 'terms JOIN lines USING (file, chunk)'} "
            f"WHERE file = ? AND until >= ? AND since <= ? {'' if part is None else 'AND part = ?'}",
            (file, first, last) if part is None else (file, first, last, part),
        )
        return [(-until, _NO_LINE, file, chunk) for chunk, until in rows]

    def _places_in(self, file: int, chunk: int, part: int, numbers: Iterable[int] | None) -> Iterator[Place]:
        """The places of lines of a chunk with these numbers, or with those that a part has."""
        key = (file, chunk)
        if numbers is None:
            (of_part,) = self._rows("SELECT lines FROM terms WHERE file = ? AND chunk = ? AND part = ?", (*key, part))
            numbers = memoryview(of_part[0]).cast("I")
        (of_chunk,) = self._rows("SELECT places FROM lines WHERE file = ? AND chunk = ?", key)
        values = memoryview(of_chunk[0]).cast("q")
        for number in set(numbers):
            place = 3 * (number - CHUNK * chunk)
            at, start, length = values[place : place + 3]
            yield Place(at, file, start, length)

    def traffic(self, since: int, until: int) -> list[tuple[Any, ...]]:
        """Sums over the seconds from ``since`` to ``until``; the columns are those of `questions.Traffic`."""
        return self._rows(
            "SELECT kind, start, end, SUM(count), SUM(times), SUM(failed), SUM(ms), MAX(most_ms), MAX(last) FROM flows "
            "WHERE second >= ? AND second < ? GROUP BY kind, start, end ORDER BY kind, start, end",
            (since, until),
        )

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
        self._database.execute("PRAGMA page_size = 8192")
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
