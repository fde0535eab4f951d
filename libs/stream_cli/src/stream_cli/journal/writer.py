"""Writes the journal of a process: lines are taken at once, and written by a thread, many at a time.

The text of a line is made where it is put: what is in it is in the cache of the processor then, and takes a quarter of
the time. Whoever puts a line never waits for the disk, and gets no error. Lines that cannot be written are counted: the
log says so once, and the next line that can be written says how many there were.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson

from stream_cli import private_files
from stream_cli.journal.files import FILE_BYTES, JournalFile, file_of, files_in, head_of, id_of, opened
from stream_cli.journal.lines import FORMAT, Deleted, Process

BOUND = 1024 * 1024 * 1024
"""Bytes of the files of a process; beyond that, the oldest of them is deleted."""

GATHERED_S = 0.1
"""Lines that come within this time after the first are written together."""

BUSY_S = 0.25
"""As long as lines come, those of this time are: each time costs as much CPU as some dozens of lines."""

Waiting = Mapping[str, Any] | Callable[[], Iterable[Mapping[str, Any]]]
"""A line, or what makes some, if that takes time."""

_MOST_WAITING = 100_000
_TURN = 512
_LOOKED_EVERY_S = 1.0

logger = logging.getLogger("stream_cli.journal")


class _Unwritten(Exception):
    """Not all lines could be written, but so many."""

    def __init__(self, written: int, error: OSError) -> None:
        super().__init__(str(error))
        self.written = written


class Writer:
    """The journal of a process in a folder. ``put`` may be called from any thread."""

    def __init__(
        self,
        folder: Path,
        process: Process,
        *,
        file_bytes: int = FILE_BYTES,
        bound: int = BOUND,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Begin a file of its own; the folder is made if it is not there.

        Raises:
            NotPrivate: something that is not this user's is in the place of the folder.
        """
        self._folder = folder
        self._process: Process = process
        self._file_bytes, self._bound, self._clock = file_bytes, bound, clock
        self._lines: deque[Waiting | bytes] = deque()
        self._refused = self._lost = 0
        self._why = ""
        self._told = False
        self._file: JournalFile | None = None
        self._descriptor = -1
        self._size = self._count = 0
        self._counts: dict[int, int] = {}
        self._deleted: Deleted = {"lines": 0, "bytes": 0, "until": 0}
        self._looked = 0.0
        self._guard, self._writing = threading.Lock(), threading.Lock()
        self._wake, self._closed = threading.Event(), threading.Event()
        self._is_woken = False
        private_files.make_folder(folder)
        with contextlib.suppress(OSError, _Unwritten):  # it is tried again with the first lines, and told then
            self._begin()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def now(self) -> int:
        """The time of a line."""
        return int(self._clock() * 1000)

    def put(self, line: Waiting) -> None:
        """Take a line, or what makes some; a thread makes these, so nothing in them may change afterwards."""
        if len(self._lines) < _MOST_WAITING:
            try:
                self._lines.append(line if callable(line) else orjson.dumps(line, str, orjson.OPT_APPEND_NEWLINE))
            except Exception:  # whatever it is, what was observed goes on; the thread finds out
                self._lines.append(line)
        else:
            with self._guard:
                self._refused += 1
        if not self._is_woken:
            self._is_woken = True
            self._wake.set()

    def flush(self) -> None:
        """Write what was put so far; returns when that is done, or has failed."""
        with self._writing:
            lines = self._texts([self._lines.popleft() for _ in range(len(self._lines))])
            with self._guard:
                refused, self._refused = self._refused, 0
            if refused:
                self._missing(refused, "the disk is too slow")
            if lines:
                self._write(lines)

    def _texts(self, waiting: Iterable[Waiting | bytes]) -> list[bytes]:
        texts: list[bytes] = []
        for place, each in enumerate(waiting):
            if isinstance(each, bytes):
                texts.append(each)
                continue
            try:
                texts += map(_text_of, each() if callable(each) else (each,))
            except Exception as error:  # whatever it is, what was observed goes on
                self._missing(1, f"a line has no form in JSON: {type(error).__name__}: {error}")
            if place % _TURN == _TURN - 1:
                time.sleep(0)  # others need the interpreter, too
        return texts if b"".join(texts).count(b"\n") == len(texts) else [*map(_in_one_line, texts)]

    def close(self) -> None:
        """Write what is left, and end."""
        self._closed.set()
        self._wake.set()
        self._thread.join()
        with self._writing:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def _run(self) -> None:
        while not self._closed.is_set():
            self._wake.wait()
            self._closed.wait(GATHERED_S)
            while self._lines and not self._closed.is_set():  # nobody needs to wake it meanwhile
                self.flush()
                self._closed.wait(BUSY_S)
            self._wake.clear()
            self._is_woken = False  # before lines are taken: those that come now wake it again
            self.flush()
        self.flush()

    # --- files; all of it under `_writing` ---

    def _write(self, lines: list[bytes]) -> None:
        while lines:
            try:
                if self._descriptor < 0 or self._size >= self._file_bytes or self._is_gone():
                    self._begin()
                if self._lost:
                    self._append([self._notice()])
                    self._lost = 0
                    if self._told:
                        self._told = False
                        logger.warning("The journal is written again")
                most = self._fitting(lines)
                self._append(lines[:most])
                lines = lines[most:]
            except _Unwritten as error:
                self._missing(len(lines) - error.written if self._lost == 0 else len(lines), str(error))
                return
            except (OSError, private_files.NotPrivate) as error:
                self._missing(len(lines), str(error))
                return

    def _fitting(self, lines: list[bytes]) -> int:
        """How many lines go into the file: it may become longer than its size by one line."""
        left = self._file_bytes - self._size
        if sum(map(len, lines)) < left:
            return len(lines)
        for place, line in enumerate(lines):
            left -= len(line)
            if left <= 0:
                return place + 1
        return len(lines)

    def _append(self, lines: list[bytes]) -> None:
        content = b"".join(lines)
        written = 0
        try:
            while written < len(content):
                written += os.write(self._descriptor, content[written:] if written else content)
        except OSError as error:
            # Readers may have seen the whole lines, but never the part of one, which is taken back.
            whole = content.rfind(b"\n", 0, written) + 1
            self._wrote(whole, content.count(b"\n", 0, whole))
            if written > whole:
                self._take_back()
            raise _Unwritten(content.count(b"\n", 0, whole), error) from error
        self._wrote(len(content), len(lines))

    def _wrote(self, size: int, lines: int) -> None:
        self._size += size
        self._count += lines

    def _take_back(self) -> None:
        try:
            os.ftruncate(self._descriptor, self._size)
        except OSError:
            self._end()  # what follows goes into the next file

    def _missing(self, lines: int, why: str) -> None:
        self._lost += lines
        self._why = why
        if not self._told:
            self._told = True
            logger.warning("The journal of this cloud cannot be written (%s). What it misses is counted in it.", why)

    def _notice(self) -> bytes:
        lost = {"kind": "lost", "at": self.now(), "lines": self._lost, "why": self._why}
        return orjson.dumps(lost, option=orjson.OPT_APPEND_NEWLINE)

    def _is_gone(self) -> bool:
        """Whether somebody has deleted the file; looked up once a second."""
        if time.monotonic() < self._looked + _LOOKED_EVERY_S:
            return False
        self._looked = time.monotonic()
        return os.fstat(self._descriptor).st_nlink == 0

    def _begin(self) -> None:
        """Begin the next file, with room for it."""
        self._end()
        if not self._folder.exists():
            private_files.make_folder(self._folder)
        before = [file for file in files_in(self._folder) if file.process == self._process]
        if before and self._file is None:
            self._deleted = _deleted_before(before[-1])
        self._make_room(before)
        number = max([file.number for file in before], default=0) + 1
        file = file_of(self._folder, id_of(self._process, number))
        descriptor = private_files.open_file(file.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL)
        self._file, self._descriptor, self._size, self._count = file, descriptor, 0, 0
        head = {
            "kind": "journal",
            "at": self.now(),
            "format": FORMAT,
            "process": self._process,
            "pid": os.getpid(),
            "id": uuid.uuid4().hex,
            "deleted": self._deleted,
        }
        try:
            self._append([orjson.dumps(head, option=orjson.OPT_APPEND_NEWLINE)])
        except _Unwritten:
            self._end()
            self._file = before[-1] if before else None
            with contextlib.suppress(OSError):
                file.path.unlink()
            raise

    def _end(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            if self._file is not None:
                self._counts[self._file.id] = self._count - 1  # the head is none

    def _make_room(self, files: list[JournalFile]) -> None:
        """Delete the oldest files, so that another one fits into the bound."""
        sizes = {file: file.path.stat().st_size for file in files}
        for file in files:
            if sum(sizes.values()) + self._file_bytes <= self._bound:
                return
            count = self._counts.pop(file.id, None)
            self._deleted = {
                "lines": self._deleted["lines"] + (_lines_of(file) if count is None else count),
                "bytes": self._deleted["bytes"] + sizes.pop(file),
                "until": max(self._deleted["until"], int(file.path.stat().st_mtime * 1000)),
            }
            file.path.unlink(missing_ok=True)


def _deleted_before(last: JournalFile) -> Deleted:
    """What the process that wrote before this one had deleted."""
    none: Deleted = {"lines": 0, "bytes": 0, "until": 0}
    with contextlib.suppress(OSError, private_files.NotPrivate):
        descriptor = opened(last)
        try:
            head, _ = head_of(descriptor)
        finally:
            os.close(descriptor)
        return head["deleted"] if head else none
    return none


def _lines_of(file: JournalFile) -> int:
    with file.path.open("rb") as content:
        return max(sum(chunk.count(b"\n") for chunk in iter(lambda: content.read(1 << 20), b"")) - 1, 0)


def _text_of(line: Mapping[str, Any]) -> bytes:
    """The text of a line.

    Raises:
        TypeError, ValueError, RecursionError: it has no form in JSON.
    """
    try:
        text = orjson.dumps(line, str, orjson.OPT_APPEND_NEWLINE)
    except (TypeError, ValueError):  # orjson writes neither lone surrogates nor long integers
        text = json.dumps(line, separators=(",", ":"), default=_plain).encode() + b"\n"
    return text


def _in_one_line(text: bytes) -> bytes:
    """The text of a line as it is written."""
    if text.find(b"\n") < len(text) - 1:  # in JSON that was taken as it is; there it is a space
        text = text[:-1].replace(b"\n", b" ") + b"\n"
    return text


def _plain(value: object) -> object:
    return json.loads(orjson.dumps(value)) if isinstance(value, orjson.Fragment) else str(value)
