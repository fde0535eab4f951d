"""The index of a journal: by term where the lines are, and what went over each arrow in each second.

It is an SQLite database beside the files, brought up to date by whoever asks. One process at a time writes it, under
a lock of the kernel's; others go on reading meanwhile. It is derived from the files: a killed process leaves it as it
was after the last portion, and one that is damaged, or was made by other code, is made anew under another name.

A term stands in it as a checksum of 32 bits. Readers compare the line itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

from stream_cli import private_files
from stream_cli.errors import CommandError
from stream_cli.journal import files, terms
from stream_cli.journal.files import JournalFile, files_in, head_of, opened, parsed, places, whole_lines
from stream_cli.journal.terms import Term, counts_of, terms_of


def version_of(sources: Iterable[str | Path]) -> str:
    """The version of an index that code with these source files makes."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(Path(source).read_bytes())
    return digest.hexdigest()[:12]


VERSION = version_of((__file__, terms.__file__, files.__file__))
"""Of the tables, and of what lines are found by: an index that other code has filled may find other lines."""

_NAME = re.compile(rf"index-{VERSION}-([0-9]+)\.db")
_ANY_VERSION = re.compile(r"index-[0-9a-z]+-[0-9]+\.db")
_UNUSED_S = 3600.0
_LOCK = "index.lock"
_PORTION = 4 * 1024 * 1024
_BUSY_S = 30.0
_PORTIONS = 8
"""In one transaction: most pages of the database change with each portion."""

_TABLES = """
CREATE TABLE IF NOT EXISTS files (
  file INTEGER PRIMARY KEY, id TEXT, read INTEGER, lines INTEGER, torn INTEGER, lost INTEGER, unknown INTEGER,
  since INTEGER, deleted INTEGER, deleted_until INTEGER
) STRICT;
CREATE TABLE IF NOT EXISTS terms (
  file INTEGER, term INTEGER, at INTEGER, start INTEGER, length INTEGER, PRIMARY KEY (file, term, at, start)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS flows (
  second INTEGER, file INTEGER, kind TEXT, start TEXT, end TEXT,
  count INTEGER, times INTEGER, failed INTEGER, ms INTEGER, most_ms INTEGER, last INTEGER,
  PRIMARY KEY (second, file, kind, start, end)
) STRICT, WITHOUT ROWID;
"""


class Place(NamedTuple):
    """Where a line is; places are in the order of time."""

    at: int
    file: int
    start: int
    length: int


@dataclass(slots=True)
class _Known:
    """What the index has of a file: its id, how far it is read, and what is counted."""

    id: str = ""
    read: int = 0
    lines: int = 0
    torn: int = 0
    lost: int = 0
    unknown: int = 0
    since: int | None = None
    deleted: int = 0
    deleted_until: int = 0


@dataclass(slots=True)
class _Portion:
    """What lines add to the index."""

    terms: list[tuple[int, int, int, int, int]] = field(default_factory=list)
    flows: dict[tuple[int, int, str, str, str], list[int]] = field(default_factory=dict)


def term_number(term: Term) -> int:
    """The number that stands for a term."""
    return crc32(term[1].encode("utf-8", "surrogatepass"), _seed(term[0]))


@functools.cache
def _seed(field: str) -> int:
    return crc32(f"{field}\0".encode())


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
        self._database.executescript(_TABLES)

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
        names = tuple(_Known.__slots__)
        rows = database.execute(f"SELECT file, {', '.join(names)} FROM files").fetchall()
        known = {row[0]: _Known(*row[1:]) for row in rows}
        files = files_in(self._folder)
        for gone in known.keys() - {file.id for file in files}:
            with _transaction(database):
                _forget(database, gone)
        for file in files:
            with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                _read(database, file, known.get(file.id))


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


@contextlib.contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def _forget(database: sqlite3.Connection, file: int) -> None:
    for table in ("files", "terms", "flows"):
        database.execute(f"DELETE FROM {table} WHERE file = ?", (file,))


def _read(database: sqlite3.Connection, file: JournalFile, known: _Known | None) -> None:
    """Read a file as far as its lines are whole."""
    size = file.path.stat().st_size
    if known is not None and known.read == size and not known.unknown:
        return
    descriptor = opened(file)
    try:
        head, length = head_of(descriptor)
        if not length:
            return
        if known is not None and (size < known.read or known.id != (head["id"] if head else "")):
            with _transaction(database):
                _forget(database, file.id)
            known = None
        if known is None:
            deleted = head["deleted"] if head else {"lines": 0, "until": 0}
            known = _Known(
                id=head["id"] if head else "",
                read=length,
                unknown=int(head is None),
                deleted=deleted["lines"],
                deleted_until=deleted["until"],
            )
            with _transaction(database):
                _store(database, file, known, _Portion())
        if head is None:
            return
        content = whole_lines(descriptor, known.read, _PORTION)
        while content:
            with _transaction(database):
                for _ in range(_PORTIONS):
                    portion = _Portion()
                    for start, line in places(content, known.read):
                        _add(portion, known, file.id, start, line)
                    known.read += len(content)
                    _store(database, file, known, portion)
                    if not (content := whole_lines(descriptor, known.read, _PORTION)):
                        break
    finally:
        os.close(descriptor)


def _add(portion: _Portion, known: _Known, file: int, start: int, text: bytes) -> None:
    line = parsed(text)
    if line is None:
        known.torn += 1
        return
    if line["kind"] == "lost":
        known.lost += line["lines"] if type(line.get("lines")) is int else 0
        return
    at, length = line["at"], len(text)
    known.lines += 1
    known.since = at if known.since is None else min(known.since, at)
    for term in terms_of(line):
        portion.terms.append((file, term_number(term), at, start, length))
    for count in counts_of(line):
        key = (at // 1000, file, count.kind, count.start, count.end)
        flow = portion.flows.setdefault(key, [0, 0, 0, 0, 0, 0])
        flow[0] += count.many
        flow[1] += 1
        flow[2] += count.failed
        flow[3] += count.ms
        flow[4] = max(flow[4], count.ms)
        flow[5] = max(flow[5], at)


def _storable(value: Any) -> Any:
    """What SQLite stores: half of a surrogate pair, which JSON may hold, is no text for it."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) and not value.isascii() else value


def _store(database: sqlite3.Connection, file: JournalFile, known: _Known, portion: _Portion) -> None:
    """One portion, with the place up to which the file is read."""
    flows: Iterable[tuple[Any, ...]] = (
        (*map(_storable, key), *values) for key, values in sorted(portion.flows.items())
    )
    names = tuple(_Known.__slots__)
    database.executemany("INSERT OR IGNORE INTO terms VALUES (?, ?, ?, ?, ?)", sorted(portion.terms))
    database.executemany(
        "INSERT INTO flows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
        "count = count + excluded.count, times = times + excluded.times, failed = failed + excluded.failed, "
        "ms = ms + excluded.ms, most_ms = MAX(most_ms, excluded.most_ms), last = MAX(last, excluded.last)",
        flows,
    )
    database.execute(
        f"INSERT OR REPLACE INTO files (file, {', '.join(names)}) VALUES (?{', ?' * len(names)})",
        (file.id, *(getattr(known, name) for name in names)),
    )
