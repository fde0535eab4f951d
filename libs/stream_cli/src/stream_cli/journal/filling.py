"""What lines add to the index of a journal: the tables, and how a file is read into them, portion by portion."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from stream_cli.journal.files import FILE_BYTES, JournalFile, head_of, opened, parsed, places, whole_lines
from stream_cli.journal.terms import GROUPING, Term, counts_of, each_term

CHUNK = 512
"""Lines of a file whose places are stored together."""

BUCKETS = 256
NEWEST = -1
_SETTLED = 4096
"""Lines of a file whose terms go into the buckets together: most of these change each time."""

_PORTION = 4 * 1024 * 1024
_PORTIONS = 8
"""In one transaction."""

_BYTES = array("I").itemsize

# The lines of a file are numbered. In `lines` each chunk of them has `at`, start and length of each line, one behind
# the other. In `terms`, a term that many lines have has a part of its own, with the lines of each chunk. Other terms,
# as numbers with their lines, are in buckets by the last bits of the number: new ones in the part NEWEST first, so that
# few pages of the database change with each line; those of a whole file in one row for each bucket.
TABLES = """
CREATE TABLE IF NOT EXISTS files (
  file INTEGER PRIMARY KEY, id TEXT, read INTEGER, lines INTEGER, torn INTEGER, lost INTEGER, unknown INTEGER,
  since INTEGER, until INTEGER, deleted INTEGER, deleted_until INTEGER, settled INTEGER
) STRICT;
CREATE TABLE IF NOT EXISTS lines (
  file INTEGER, chunk INTEGER, since INTEGER, until INTEGER, places BLOB, PRIMARY KEY (file, chunk)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS terms (
  file INTEGER, part INTEGER, chunk INTEGER, numbers BLOB, lines BLOB, PRIMARY KEY (file, part, chunk)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS flows (
  second INTEGER, file INTEGER, kind TEXT, start TEXT, end TEXT,
  count INTEGER, times INTEGER, failed INTEGER, ms INTEGER, most_ms INTEGER, last INTEGER,
  PRIMARY KEY (second, file, kind, start, end)
) STRICT, WITHOUT ROWID;
"""


@dataclass(slots=True)
class Known:
    """What the index has of a file: its id, how far it is read, and what is counted.

    Attributes:
        since: the time of its earliest line, as `until` of its latest one; None without lines.
        settled: how many of its lines have their terms in the buckets.
    """

    id: str = ""
    read: int = 0
    lines: int = 0
    torn: int = 0
    lost: int = 0
    unknown: int = 0
    since: int | None = None
    until: int | None = None
    deleted: int = 0
    deleted_until: int = 0
    settled: int = 0


@dataclass(slots=True)
class _Portion:
    """What lines add to the index.

    Attributes:
        places: of each line its ``at``, start and length, one behind the other.
        groups: the lines with a term that many have.
        numbers: of other terms, with their lines in ``lines``.
        flows: by second, kind, start and end the rest of `questions.Traffic`.
    """

    places: list[int] = field(default_factory=list)
    groups: dict[Term, list[int]] = field(default_factory=dict)
    numbers: list[int] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    flows: dict[tuple[int, str, str, str], list[int]] = field(default_factory=dict)


_Row = tuple[int, int, list[int], list[int]]
"""Of `terms`: part, chunk, numbers and lines. They come behind those that are there."""


def part_of(term: Term) -> tuple[int, int]:
    """The number that stands for a term, and the part of `terms` with its lines: below BUCKETS one with others."""
    number = crc32(term[1].encode("utf-8", "surrogatepass"), _SEEDS[term[0]])
    return number, BUCKETS + number if term[0] in GROUPING else number % BUCKETS


def lines_of(number: int, numbers: bytes, lines: bytes) -> list[int]:
    """The lines of a term with a number, among those of others."""
    found, wanted = [], number.to_bytes(_BYTES, sys.byteorder)
    place = numbers.find(wanted)
    while place >= 0:
        if place % _BYTES == 0:
            found.append(int.from_bytes(lines[place : place + _BYTES], sys.byteorder))
        place = numbers.find(wanted, place + 1)
    return found


class _Seeds(dict[str, int]):
    def __missing__(self, field: str) -> int:
        seed = self[field] = crc32(f"{field}\0".encode())
        return seed


_SEEDS = _Seeds()


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
    for table in ("files", "lines", "terms", "flows"):
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
        _store_known(database, file, known)
    return known


def _take_lines(database: sqlite3.Connection, file: JournalFile, known: Known, descriptor: int) -> None:
    content = whole_lines(descriptor, known.read, _PORTION)
    while content:
        with transaction(database):
            for _ in range(_PORTIONS):
                portion = _Portion()
                for start, line in places(content, known.read):
                    _add(portion, known, start, line)
                known.read += len(content)
                _store(database, file, known, portion)
                if not (content := whole_lines(descriptor, known.read, _PORTION)):
                    break


def _add(portion: _Portion, known: Known, offset: int, text: bytes) -> None:
    line = parsed(text)
    if line is None:
        known.torn += 1
        return
    if line["kind"] == "lost":
        known.lost += line["lines"] if type(line.get("lines")) is int else 0
        return
    at, number = line["at"], known.lines
    known.lines += 1
    portion.places += (at, offset, len(text))
    groups = portion.groups
    for term in each_term(line):
        field, value = term
        if value.__class__ is not str:
            continue
        if field in GROUPING:
            if (group := groups.get(term)) is None:
                groups[term] = [number]
            else:
                group.append(number)
        else:
            try:
                hashed = crc32(value.encode(), _SEEDS[field])
            except UnicodeEncodeError:
                hashed, _ = part_of(term)
            portion.numbers.append(hashed)
            portion.lines.append(number)
    second, flows = at // 1000, portion.flows
    for kind, start, end, many, failed, ms in counts_of(line):
        if start.__class__ is end.__class__ is str and many.__class__ is ms.__class__ is int:
            key = (second, kind, start, end)
            if (flow := flows.get(key)) is None:
                flows[key] = [many, 1, failed, ms, ms, at]
                continue
            flow[0] += many
            flow[1] += 1
            if failed or ms:
                flow[2] += failed
                flow[3] += ms
                flow[4] = max(flow[4], ms)
            if at > flow[5]:
                flow[5] = at


def _storable(value: Any) -> Any:
    """What SQLite stores: half of a surrogate pair, which JSON may hold, is no text for it."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) and not value.isascii() else value


def _store(database: sqlite3.Connection, file: JournalFile, known: Known, portion: _Portion) -> None:
    """One portion, with the place up to which the file is read."""
    if portion.places:
        _store_places(database, file, known, portion.places)
        _store_terms(database, file, known, portion)
    database.executemany(
        "INSERT INTO flows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
        "count = count + excluded.count, times = times + excluded.times, failed = failed + excluded.failed, "
        "ms = ms + excluded.ms, most_ms = MAX(most_ms, excluded.most_ms), last = MAX(last, excluded.last)",
        [(second, file.id, *map(_storable, arrow), *sums) for (second, *arrow), sums in sorted(portion.flows.items())],
    )
    _store_known(database, file, known)


def _store_places(database: sqlite3.Connection, file: JournalFile, known: Known, found: list[int]) -> None:
    first = known.lines - len(found) // 3
    rows = []
    for chunk in range(first // CHUNK, (known.lines - 1) // CHUNK + 1):
        own = found[max(chunk * CHUNK - first, 0) * 3 : ((chunk + 1) * CHUNK - first) * 3]
        rows.append((file.id, chunk, min(own[::3]), max(own[::3]), array("q", own).tobytes()))
    known.since = min(each for each in (known.since, *(row[2] for row in rows)) if each is not None)
    known.until = max(each for each in (known.until, *(row[3] for row in rows)) if each is not None)
    database.executemany(
        "INSERT INTO lines VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET since = MIN(since, excluded.since), "
        "until = MAX(until, excluded.until), places = CAST(places || excluded.places AS BLOB)",
        rows,
    )


def _store_terms(database: sqlite3.Connection, file: JournalFile, known: Known, portion: _Portion) -> None:
    rows: list[_Row] = []
    for term, lines in portion.groups.items():
        _, part = part_of(term)
        for chunk in range(lines[0] // CHUNK, lines[-1] // CHUNK + 1):
            if own := lines[bisect_left(lines, chunk * CHUNK) : bisect_left(lines, (chunk + 1) * CHUNK)]:
                rows.append((part, chunk, [], own))
    first = known.lines - len(portion.places) // 3
    rows.append((NEWEST, first // CHUNK, portion.numbers, portion.lines))
    _append_terms(database, file, rows)
    if known.read >= FILE_BYTES:
        _settle(database, file, known, BUCKETS)
    elif known.lines - known.settled >= _SETTLED:
        _settle(database, file, known, NEWEST + 1)


def _settle(database: sqlite3.Connection, file: JournalFile, known: Known, below: int) -> None:
    """Put the newest terms into their buckets, with those of all parts below one."""
    found = database.execute("DELETE FROM terms WHERE file = ? AND part < ? RETURNING numbers, lines", (file.id, below))
    buckets: list[tuple[list[int], list[int]]] = [([], []) for _ in range(BUCKETS)]
    for columns in found.fetchall():
        for number, line in zip(*map(_integers, columns), strict=True):
            numbers, lines = buckets[number % BUCKETS]
            numbers.append(number)
            lines.append(line)
    chunk = known.settled // CHUNK
    _append_terms(database, file, [(part, chunk, *bucket) for part, bucket in enumerate(buckets) if bucket[0]])
    known.settled = known.lines


def _append_terms(database: sqlite3.Connection, file: JournalFile, rows: list[_Row]) -> None:
    database.executemany(
        "INSERT INTO terms VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
        "numbers = CAST(numbers || excluded.numbers AS BLOB), lines = CAST(lines || excluded.lines AS BLOB)",
        (
            (file.id, part, chunk, array("I", numbers).tobytes(), array("I", lines).tobytes())
            for part, chunk, numbers, lines in sorted(rows)
        ),
    )


def _integers(content: bytes) -> memoryview:
    return memoryview(content).cast("I")


def _store_known(database: sqlite3.Connection, file: JournalFile, known: Known) -> None:
    names = tuple(Known.__slots__)
    database.execute(
        f"INSERT OR REPLACE INTO files (file, {', '.join(names)}) VALUES (?{', ?' * len(names)})",
        (file.id, *(getattr(known, name) for name in names)),
    )
