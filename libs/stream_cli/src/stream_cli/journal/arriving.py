"""Lines as they are written: a reader that has got some asks for those behind them."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from stream_cli.journal.files import JournalFile, files_in, head_of, opened, parsed, places, whole_lines
from stream_cli.journal.lines import KINDS, Kind
from stream_cli.journal.questions import Arrived

_PORTION = 1024 * 1024
_ID_CHARACTERS = 8
_BEGIN = b'{"kind":"'
_KINDS: Mapping[bytes, Kind] = {kind.encode(): kind for kind in KINDS}


@dataclass(frozen=True, slots=True)
class _Position:
    """Behind a line of a file."""

    file: int
    start: int
    id: str


class _Found(NamedTuple):
    """A line that has not been parsed."""

    file: int
    start: int
    kind: Kind
    text: bytes


def since(
    folder: Path, after: str | None, kinds: Collection[Kind] | None, limit: int, most: int | None = None
) -> Arrived:
    """Lines behind `after`, at most ``limit`` of each process; without it none, and the place behind all there are.

    What is not wanted, or is of a kind with more than ``most`` lines, is not parsed.
    """
    before = {} if after is None else _positions_of(after)
    files: dict[str, list[JournalFile]] = {}
    for file in files_in(folder):
        files.setdefault(file.process, []).append(file)
    found: list[_Found] = []
    positions: list[_Position] = []
    missed = False
    for process, own in files.items():
        if after is None:
            position = _end_of(own[-1])
        else:
            position, jumped = _lines_behind(own, before.get(process), kinds or KINDS, limit, found)
            missed = missed or jumped
        if position is not None:
            positions.append(position)
    positions += [position for process, position in before.items() if process not in files]
    left_out = {kind: many for kind, many in Counter(each.kind for each in found).items() if most and many > most}
    lines: list[tuple[_Found, Any]] = [
        (each, line) for each in found if each.kind not in left_out and (line := parsed(each.text)) is not None
    ]
    lines.sort(key=lambda each: (each[1]["at"], each[0].file, each[0].start))
    return Arrived([line for _, line in lines], _text_of(positions), missed, left_out)


def _lines_behind(
    own: list[JournalFile], before: _Position | None, kinds: Collection[Kind], limit: int, found: list[_Found]
) -> tuple[_Position | None, bool]:
    """Add the lines of a process; returns the position behind them, and whether some were deleted before."""
    position, missed, count = before, False, 0
    for file in own:
        if position is not None and file.id < position.file:
            continue
        with contextlib.suppress(FileNotFoundError), _reading(file) as descriptor:
            head, length = head_of(descriptor)
            if head is None:
                continue
            id = head["id"][:_ID_CHARACTERS]
            if position is None or position.file != file.id or position.id != id:
                continues = position is None or (position.file < file.id and _is_next(own, position, file))
                missed = missed or not continues
                position = _Position(file.id, length, id)
            start = position.start
            for start, kind, text in _lines_from(descriptor, position.start):
                if kind in kinds:
                    found.append(_Found(file.id, start, kind, text))
                    count += 1
                if count == limit:
                    return _Position(file.id, start, id), missed
            position = _Position(file.id, start, id)
    if position is not None and own and position.file > own[-1].id:
        # The folder was emptied: what is there now is another journal.
        position, _ = _lines_behind(own, None, kinds, limit, found)
        return position, True
    return position, missed


def _is_next(own: list[JournalFile], position: _Position, file: JournalFile) -> bool:
    """Whether no file between the two was deleted; the reader has read the first of them to its end."""
    place = own.index(file)
    return place > 0 and own[place - 1].id == position.file


def _lines_from(descriptor: int, start: int) -> Iterator[tuple[int, Kind, bytes]]:
    """Lines that observe something, with the place behind them and their kind."""
    while content := whole_lines(descriptor, start, _PORTION):
        for begin, text in places(content, start):
            if (kind := _kind_of(text)) is not None:
                yield begin + len(text), kind, text
        start += len(content)


def _kind_of(text: bytes) -> Kind | None:
    """Writers begin a line with its kind; others may have written it, too."""
    if text.startswith(_BEGIN):
        return _KINDS.get(text[len(_BEGIN) : text.find(b'"', len(_BEGIN))])
    line = parsed(text)
    return _KINDS.get(line["kind"].encode("utf-8", "replace")) if line is not None else None


def _end_of(file: JournalFile) -> _Position | None:
    """Behind the last whole line of a file."""
    with contextlib.suppress(FileNotFoundError), _reading(file) as descriptor:
        head, length = head_of(descriptor)
        if head is None:
            return None
        end = size = os.fstat(descriptor).st_size
        while end > length:
            begin = max(end - _PORTION, length)
            content = os.pread(descriptor, end - begin, begin)
            if (found := content.rfind(b"\n")) >= 0:
                return _Position(file.id, min(begin + found + 1, size), head["id"][:_ID_CHARACTERS])
            end = begin
        return _Position(file.id, length, head["id"][:_ID_CHARACTERS])
    return None


@contextlib.contextmanager
def _reading(file: JournalFile) -> Iterator[int]:
    descriptor = opened(file)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _text_of(positions: list[_Position]) -> str:
    return ",".join(f"{each.file}:{each.start}:{each.id}" for each in positions)


def _positions_of(text: str) -> dict[str, _Position]:
    try:
        parts = [part.split(":") for part in text.split(",") if part]
        positions = [_Position(int(file), int(start), id) for file, start, id in parts]
    except ValueError:
        raise ValueError(f"{text!r:.80} is no place in the journal: give `after` of the lines before") from None
    return {JournalFile(each.file, Path()).process: each for each in positions}
