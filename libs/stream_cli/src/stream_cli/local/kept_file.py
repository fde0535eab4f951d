"""The file in which a local cloud keeps its state: rows in SQLite, written in one transaction before an answer is sent.

A row has a place (what it is part of), a key and a value, each a pickle of plain values only; the value has a checksum.
The file has a version. One that is damaged, of another version, or of another ministack is refused with what to do; it
is never taken for an empty one.

A commit is in the kernel's hands when it returns, so that what was committed survives the end of every process. When
the machine itself loses power, the last moments may be missing (``synchronous=NORMAL``), but nothing is torn.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from stream_cli import private_files
from stream_cli.errors import CommandError

FORMAT = 1
"""Raised by whoever changes what rows mean."""

FILE = "cloud.sqlite"

_CHECKPOINT_PAGES = 2_000
_BUSY_MS = 5_000
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
                self._places: dict[tuple[Any, ...], int] = {
                    _plain(name): number for number, name in self._database.execute("SELECT number, name FROM places")
                }
            except sqlite3.DatabaseError as error:
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
        self.note(about)

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
            for number, key, value in self._database.execute("SELECT place, key, value FROM rows ORDER BY place, key"):
                if zlib.crc32(value[:-_SUM_BYTES]) != int.from_bytes(value[-_SUM_BYTES:]):
                    raise ValueError(f"the checksum of a row of {names[number]} is wrong")
                yield Row(names[number], _key_of(key), _plain(value[:-_SUM_BYTES]))
        except (sqlite3.DatabaseError, pickle.UnpicklingError, ValueError, KeyError, EOFError) as error:
            raise _damaged(self.path, error) from error

    def write(self, changes: Iterable[Change]) -> None:
        """Make changes, in their order, all or none.

        Raises:
            sqlite3.Error: none could be made; the disk may be full.
        """
        database, new = self._database, dict[tuple[Any, ...], int]()
        database.execute("BEGIN IMMEDIATE")
        try:
            for place, key, value in changes:
                number = self._places.get(place) or new.get(place)
                if number is None:
                    if value is None:
                        continue
                    made = database.execute("INSERT INTO places (name) VALUES (?)", (pickle.dumps(place),))
                    number = new[place] = int(made.lastrowid or 0)
                if key is None:
                    database.execute("DELETE FROM rows WHERE place = ?", (number,))
                elif value is None:
                    database.execute("DELETE FROM rows WHERE place = ? AND key = ?", (number, _bytes_of(key)))
                else:
                    checked = value + zlib.crc32(value).to_bytes(_SUM_BYTES)
                    database.execute("INSERT OR REPLACE INTO rows VALUES (?, ?, ?)", (number, _bytes_of(key), checked))
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise
        self._places.update(new)

    def close(self) -> None:
        """Close the file; it is one file then."""
        self._database.close()


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
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        database.execute(f"PRAGMA journal_size_limit = {_CHECKPOINT_PAGES * 4096}")
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
