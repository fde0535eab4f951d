"""The file in which a local cloud keeps its state: rows in SQLite, with a log of what has changed since.

A row has a place (what it is part of), a key and a value, each a pickle of plain values only; the value has a checksum.
Changes are appended to the log in one transaction before an answer is sent. They come into the rows some MB together:
what a queue holds has mostly gone until then, and what is left changes many rows of a page at once.

The file has a version. One that is damaged, of another version, or of another ministack is refused with what to do; it
is never taken for an empty one.

What was written is in the kernel's hands, so that it survives the end of every process. When the machine itself loses
power, the last moments may be missing, but nothing is torn: the log is emptied when its changes are on the disk.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import sqlite3
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from stream_cli import private_files
from stream_cli.errors import CommandError
from stream_cli.local.kept_log import KeptLog

FORMAT = 2
"""Raised by whoever changes what rows mean."""

FILE, LOG = "cloud.sqlite", "cloud.log"

_LOG_BYTES = 8_000_000
_BUSY_MS = 5_000
_LOG_NUMBER = "log"
_SUM_BYTES = 4
_PLAIN = {("builtins", "set"): set, ("builtins", "frozenset"): frozenset, ("builtins", "bytearray"): bytearray}


class Change(NamedTuple):
    """A row as it is now; None as the value removes it, and None as the key removes all rows of the place."""

    place: tuple[Any, ...]
    key: Any
    value: bytes | None


class Row(NamedTuple):
    """A row that was kept."""

    place: tuple[Any, ...]
    key: Any
    value: Any


class KeptFile:
    """The rows of a local cloud. All methods must be called by one thread at a time."""

    def __init__(self, folder: Path, made_by: Mapping[str, Any]) -> None:
        """Open the file in a folder, or make it.

        Args:
            made_by: what must be the same when it is opened again, such as the version of ministack.

        Raises:
            CommandError: it is damaged, of another version, or was made by something else.
        """
        private_files.make_folder(folder)
        self.path = folder / FILE
        is_new = not self.path.exists()
        os.close(private_files.open_file(self.path, os.O_RDWR | os.O_CREAT))
        with private_files.private_umask():
            self._database = _connected(self.path)
            try:
                if is_new or not _tables(self._database):
                    self._make({"format": FORMAT, **made_by})
                self.made_by = _checked(self.path, self._database, made_by)
                self._log = self._own_log(folder / LOG)
                self._take_log()
                self._places: dict[tuple[Any, ...], int] = {
                    _plain(name): number for number, name in self._database.execute("SELECT number, name FROM places")
                }
            except (sqlite3.DatabaseError, pickle.UnpicklingError, ValueError) as error:
                self._database.close()
                raise _damaged(self.path, error) from error
            except BaseException:
                self._database.close()
                raise

    def _make(self, about: Mapping[str, Any]) -> None:
        self._database.executescript(
            """
            BEGIN;
            CREATE TABLE about (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
            CREATE TABLE places (number INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE);
            CREATE TABLE rows (
                place INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (place, key)
            ) WITHOUT ROWID;
            COMMIT;
            """
        )
        self.note({**about, _LOG_NUMBER: 1})

    def _own_log(self, path: Path) -> KeptLog:
        """The log of this file: it is empty if its changes have been taken.

        Raises:
            ValueError: it is the log of another file.
        """
        log, number = KeptLog(path), self.made_by[_LOG_NUMBER]
        if log.number not in {0, number - 1, number}:
            log.close()
            raise ValueError(f"{path} is not the log of this file")
        if log.number != number:
            log.begin(number)
        return log

    def note(self, about: Mapping[str, Any]) -> None:
        """Keep something about the cloud itself."""
        self._database.executemany(
            "INSERT OR REPLACE INTO about VALUES (?, ?)", [(name, pickle.dumps(each)) for name, each in about.items()]
        )

    def rows(self) -> Iterator[Row]:
        """All rows, of one place after the other, those with numbers as keys in their order.

        Raises:
            CommandError: the file is damaged.
        """
        names = {number: place for place, number in self._places.items()}
        try:
            self._take_log()
            for number, key, value in self._database.execute("SELECT place, key, value FROM rows ORDER BY place, key"):
                yield Row(names[number], _key_of(key), _plain(_unsummed(value)))
        except (sqlite3.DatabaseError, pickle.UnpicklingError, ValueError, KeyError, EOFError) as error:
            raise _damaged(self.path, error) from error

    def write(self, changes: Iterable[Change]) -> None:
        """Make changes, in their order, all or none.

        Raises:
            OSError, sqlite3.Error: none could be made; the disk may be full.
        """
        if self._log.size >= _LOG_BYTES:
            self._take_log()
        new, logged = dict[tuple[Any, ...], int](), list[tuple[int, bytes | None, bytes | None]]()
        for place, key, value in changes:
            number = self._places.get(place) or new.get(place)
            if number is None:
                if value is None:
                    continue
                number = new[place] = len(self._places) + len(new) + 1
            logged.append((number, None if key is None else _bytes_of(key), value))
        self._log.append(written((new, logged)))
        self._places.update(new)

    def _take_log(self) -> None:
        """Make the changes of the log, of each row the last one."""
        places, emptied, rows = list[tuple[int, bytes]](), set[int](), defaultdict[int, dict[bytes, Any]](dict)
        for entry in self._log.entries():
            new, logged = _plain(entry)
            places += [(number, pickle.dumps(place)) for place, number in new.items()]
            for number, key, value in logged:
                if key is None:
                    emptied.add(number)
                    rows[number].clear()
                else:
                    rows[number][key] = value
        if not rows:
            return
        changed = [(number, *row) for number in sorted(rows) for row in sorted(rows[number].items())]
        next_number = self.made_by[_LOG_NUMBER] + 1
        with self._transaction() as database:
            database.executemany("INSERT INTO places VALUES (?, ?)", places)
            database.executemany("DELETE FROM rows WHERE place = ?", [(number,) for number in sorted(emptied)])
            gone = [(number, key) for number, key, value in changed if value is None]
            database.executemany("DELETE FROM rows WHERE place = ? AND key = ?", gone)
            left = [(number, key, _summed(value)) for number, key, value in changed if value is not None]
            database.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?, ?)", left)
            self.note({_LOG_NUMBER: next_number})
        self.made_by[_LOG_NUMBER] = next_number
        self._log.begin(next_number)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield self._database
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Close the file and its log."""
        self._database.close()
        self._log.close()


def kept_port(folder: Path, made_by: Mapping[str, Any]) -> int | None:
    """The port of the cloud that is kept in a folder, None if there is none.

    Queues, APIs and functions have it in their addresses, so that it stays the same.

    Raises:
        CommandError: the file is damaged, of another version, or was made by something else.
    """
    path = folder / FILE
    if not path.exists():
        return None
    private_files.check_file(path)
    try:
        with contextlib.closing(_connected(path)) as database:
            if not _tables(database):
                return None
            port = _checked(path, database, made_by).get("port")
    except sqlite3.DatabaseError as error:
        raise _damaged(path, error) from error
    return int(port) if port else None


def written(value: Any) -> bytes:
    """The form of a value in a row."""
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


def _connected(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=16)
    try:
        database.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
        # Rows are mostly new ones: SQLite's journal has what was before in the pages that change, its WAL all pages.
        database.execute("PRAGMA journal_mode = TRUNCATE")
        database.execute("PRAGMA synchronous = FULL")
    except sqlite3.DatabaseError as error:
        database.close()
        raise _damaged(path, error) from error
    return database


def _tables(database: sqlite3.Connection) -> set[str]:
    return {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _checked(path: Path, database: sqlite3.Connection, made_by: Mapping[str, Any]) -> dict[str, Any]:
    try:
        about = {name: _plain(value) for name, value in database.execute("SELECT name, value FROM about")}
    except pickle.UnpicklingError as error:
        raise _damaged(path, error) from error
    for name, wanted in {"format": FORMAT, **made_by}.items():
        if about.get(name) != wanted:
            raise CommandError(
                f"What is kept in {path} has {name} {about.get(name)}; this version works with {wanted}. "
                f"Use the version that made it, or begin empty with --fresh (what is kept is removed then)."
            )
    return about


def _damaged(path: Path, error: Exception) -> CommandError:
    return CommandError(
        f"What is kept in {path} cannot be read: {error}. Put a copy of that folder back, name another folder with "
        "--state, or begin empty with --fresh (what is kept is removed then)."
    )


def _bytes_of(key: Any) -> bytes:
    """Numbers are in their order; other keys are told apart."""
    return b"n" + key.to_bytes(8) if type(key) is int else b"p" + pickle.dumps(key, pickle.HIGHEST_PROTOCOL)


def _key_of(stored: bytes) -> Any:
    return int.from_bytes(stored[1:]) if stored[:1] == b"n" else _plain(stored[1:])


def _summed(value: bytes) -> bytes:
    return value + zlib.crc32(value).to_bytes(_SUM_BYTES)


def _unsummed(stored: bytes) -> bytes:
    value = stored[:-_SUM_BYTES]
    if zlib.crc32(value) != int.from_bytes(stored[-_SUM_BYTES:]):
        raise ValueError("the checksum of a row is wrong")
    return value


class _PlainValues(pickle.Unpickler):
    """Makes plain values, and nothing that runs code."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _PLAIN[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is no plain value") from None


def _plain(stored: bytes) -> Any:
    try:
        return _PlainValues(io.BytesIO(stored)).load()
    except pickle.UnpicklingError:
        raise
    except Exception as error:
        raise pickle.UnpicklingError(str(error)) from error
