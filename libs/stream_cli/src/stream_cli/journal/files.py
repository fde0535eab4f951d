"""The files of a journal: ``<process>-<number>.jsonl`` in one folder, each with a head and a line for each observation.

Only whole lines are read: what stands behind the last line break is being written, or its writer was killed there.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from stream_cli import private_files
from stream_cli.journal.lines import FORMAT, PROCESSES

FILE_BYTES = 64 * 1024 * 1024
"""A file that has reached this size gets no more lines."""

_NAME = re.compile(rf"({'|'.join(PROCESSES)})-([0-9]{{3,6}})\.jsonl")
_PLACES = 64
_HEAD_BYTES = 4096
_LATEST = 1 << 60


@dataclass(frozen=True, slots=True, order=True)
class JournalFile:
    """A file of the journal. ``id`` tells the files of a folder apart; later files of a process have higher ones."""

    id: int
    path: Path

    @property
    def process(self) -> str:
        return PROCESSES[self.id % _PLACES]

    @property
    def number(self) -> int:
        return self.id // _PLACES


def file_of(folder: Path, id: int) -> JournalFile:
    """The file with an id."""
    return JournalFile(id, folder / f"{PROCESSES[id % _PLACES]}-{id // _PLACES:03}.jsonl")


def id_of(process: str, number: int) -> int:
    """The id of a file."""
    return number * _PLACES + PROCESSES.index(process)


def files_in(folder: Path) -> list[JournalFile]:
    """The files in a folder, the first one of each process first; none if there is no folder."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    named = [(name, match) for name in names if (match := _NAME.fullmatch(name))]
    return sorted(JournalFile(id_of(match[1], int(match[2])), folder / name) for name, match in named)


def opened(file: JournalFile) -> int:
    """A descriptor to read a file.

    Raises:
        FileNotFoundError: it was deleted.
        NotPrivate: something else is in its place.
    """
    return private_files.open_file(file.path, os.O_RDONLY)


def parsed(line: bytes) -> dict[str, Any] | None:
    """A line; None if it cannot be read."""
    try:
        content = orjson.loads(line)
    except ValueError:
        try:
            content = json.loads(line)  # which reads lone surrogates, as AWS does
        except (ValueError, RecursionError):
            return None
    if not isinstance(content, dict) or type(content.get("kind")) is not str:
        return None
    return content if type(at := content.get("at")) is int and abs(at) < _LATEST else None


def head_of(descriptor: int) -> tuple[dict[str, Any] | None, int]:
    """The head of an open file and its length; ``(None, 0)`` while it is not whole, ``(None, n)`` if there is no such.

    A file whose head has another format is not read.
    """
    content = os.pread(descriptor, _HEAD_BYTES, 0)
    end = content.find(b"\n") + 1
    if not end:
        return None, 0 if len(content) < _HEAD_BYTES else len(content)
    head = parsed(content[:end])
    known = head is not None and head.get("kind") == "journal" and head.get("format") == FORMAT
    return (head if known else None), end


def whole_lines(descriptor: int, start: int, most: int) -> bytes:
    """Some `most` bytes of whole lines from a place on, one line at least; none if no line is whole."""
    content = os.pread(descriptor, most, start)
    while (end := content.rfind(b"\n")) < 0:
        more = os.pread(descriptor, most, start + len(content))
        if not more:
            return b""
        content += more
    return content[: end + 1]


def places(content: bytes, start: int) -> Iterator[tuple[int, bytes]]:
    """The lines in some content that was read from `start` on, each with its place in the file."""
    for line in content.splitlines(keepends=True) if b"\r" not in content else _split(content):
        yield start, line
        start += len(line)


def _split(content: bytes) -> Iterator[bytes]:
    """Only line feeds end a line; a carriage return stands in one that is torn."""
    for line in content.split(b"\n")[:-1]:
        yield line + b"\n"
