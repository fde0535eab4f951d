"""What lines add to the index of a journal: the tables, and how a file is read into them, portion by portion."""

from __future__ import annotations

import contextlib
import functools
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from stream_cli.journal.files import JournalFile, head_of, opened, parsed, places, whole_lines
from stream_cli.journal.terms import Term, counts_of, terms_of

_PORTION = 4 * 1024 * 1024
_PORTIONS = 8
"""In one transaction: most pages of the database change with each portion."""

TABLES = """
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


@dataclass(slots=True)
class Known:
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


@contextlib.contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def forget(database: sqlite3.Connection, file: int) -> None:
    for table in ("files", "terms", "flows"):
        database.execute(f"DELETE FROM {table} WHERE file = ?", (file,))


def read_file(database: sqlite3.Connection, file: JournalFile, known: Known | None) -> None:
    """Read a file as far as its lines are whole; ``known`` is what the index has of it."""
    size = file.path.stat().st_size
    if known is not None and known.read == size and not known.unknown:
        return
    descriptor = opened(file)
    try:
        head, length = head_of(descriptor)
        if not length:
            return
        if known is None or size < known.read or known.id != (head["id"] if head else ""):
            known = _begun(database, file, head, length)
        if head is not None:
            _take_lines(database, file, known, descriptor)
    finally:
        os.close(descriptor)


def _begun(database: sqlite3.Connection, file: JournalFile, head: Mapping[str, Any] | None, length: int) -> Known:
    """Begin with a file, in whose place there may have been another; without a head it is of another format."""
    known = Known(read=length, unknown=1)
    if head is not None:
        deleted = head["deleted"]
        known = Known(head["id"], length, deleted=deleted["lines"], deleted_until=deleted["until"])
    with transaction(database):
        forget(database, file.id)
        _store(database, file, known, _Portion())
    return known


def _take_lines(database: sqlite3.Connection, file: JournalFile, known: Known, descriptor: int) -> None:
    content = whole_lines(descriptor, known.read, _PORTION)
    while content:
        with transaction(database):
            for _ in range(_PORTIONS):
                portion = _Portion()
                for start, line in places(content, known.read):
                    _add(portion, known, file.id, start, line)
                known.read += len(content)
                _store(database, file, known, portion)
                if not (content := whole_lines(descriptor, known.read, _PORTION)):
                    break


def _add(portion: _Portion, known: Known, file: int, start: int, text: bytes) -> None:
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


def _store(database: sqlite3.Connection, file: JournalFile, known: Known, portion: _Portion) -> None:
    """One portion, with the place up to which the file is read."""
    flows: Iterable[tuple[Any, ...]] = (
        (*map(_storable, key), *values) for key, values in sorted(portion.flows.items())
    )
    names = tuple(Known.__slots__)
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
