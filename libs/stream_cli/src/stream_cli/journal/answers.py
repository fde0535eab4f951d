"""Answers the questions from the journal of a local cloud: the index says where lines are, the files what they say."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import json
import mmap
import os
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from stream_cli.journal import arriving
from stream_cli.journal.files import file_of, opened, parsed
from stream_cli.journal.index import Index, Place
from stream_cli.journal.lines import (
    AttemptLine,
    CallLine,
    ChangeLine,
    DeliveryLine,
    EventLine,
    FilteredLine,
    Kind,
    MessageLine,
    ObjectLine,
    Observed,
    RefusedLine,
    StreamLine,
)
from stream_cli.journal.questions import PAGE, Arrived, Coverage, LinePage, RecordHistory, Traffic
from stream_cli.journal.terms import NAMING, Term, terms_of

_ROOM = 64 * 1024
"""Bytes; with less the disk is taken for full."""
_MOST_EVENTS = 1_000
_MOST_DELIVERIES = 1_000
_EVENT = b'{"kind":"event"'

# Fields with few lines for a value come first: a question with several looks lines up by the first of them.
_SELECTIVE = (
    *("number", "request", "id", "record", "event", "cause", "by", "key", "failed call", "failed attempt", "unmatched"),
    *("mapping", "function", "to", "table", "bucket", "type", "source", "stream", "bus", "kind"),
)


class Journal:
    """The journal in a folder, which implements `questions.Questions`. Its methods may be called from any thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._index = Index(folder)
        self._guard = threading.RLock()

    def close(self) -> None:
        """Close the index."""
        with self._guard:
            self._index.close()

    # --- questions ---

    def events(
        self,
        *,
        id: str | None = None,
        key: str | None = None,
        type: str | None = None,
        source: str | None = None,
        text: str | None = None,
        by: str | None = None,
        unmatched: bool = False,
        since: int | None = None,
        until: int | None = None,
        before: str | None = None,
        limit: int = PAGE,
    ) -> LinePage[EventLine]:
        terms = _terms("event", id=id, key=key, type=type, source=source, by=by, unmatched="" if unmatched else None)
        return self._page(terms, since, until, before, limit, text=text)

    def followed(self, id: str) -> list[EventLine]:
        with self._asked() as reading:
            found: dict[Place, EventLine] = {}
            asked, waiting = {id}, [id]
            while waiting and len(found) < _MOST_EVENTS:
                for place, line in reading.lines([("cause", waiting.pop()), ("kind", "event")]):
                    found[place] = line  # type: ignore[assignment]
                    event = line["detail"].get("id")
                    if isinstance(event, str) and event not in asked:
                        asked.add(event)
                        waiting.append(event)
        return [line for place, line in sorted(found.items()) if place]

    def about(self, value: str, *, kinds: Collection[Kind] | None = None, limit: int = 1_000) -> Sequence[Observed]:
        with self._asked() as reading:
            each = [reading.lines([(name, value)]) for name in NAMING]
            merged = heapq.merge(*each, key=lambda found: found[0], reverse=True)
            wanted = (line for _, line in _distinct(merged) if kinds is None or line["kind"] in kinds)
            return list(itertools.islice(wanted, limit))[::-1]

    def records(
        self, *, id: str | None = None, stream: str | None = None, number: str | None = None,
        shard: str | None = None, since: int | None = None, until: int | None = None,
        before: str | None = None, limit: int = PAGE,
    ) -> LinePage[StreamLine]:  # fmt: skip
        terms = _terms("stream", id=id, stream=stream, number=number)
        return self._page(terms, since, until, before, limit, shard=shard)

    def deliveries(self, stream: str, number: str) -> RecordHistory:
        with self._asked() as reading:
            about = reading.lines([("number", number)], stream=stream)
            wanted = (line for _, line in about if line["kind"] in ("attempt", "filtered", "given_up"))
            lines: list[Any] = list(itertools.islice(wanted, _MOST_DELIVERIES))[::-1]
        attempts, filtered, given_up = (
            [line for line in lines if line["kind"] == kind] for kind in ("attempt", "filtered", "given_up")
        )
        return RecordHistory(attempts, filtered, given_up)

    def attempts(
        self, *, mapping: str | None = None, shard: str | None = None, request: str | None = None,
        failed: bool = False, since: int | None = None, until: int | None = None,
        before: str | None = None, limit: int = PAGE,
    ) -> LinePage[AttemptLine]:  # fmt: skip
        terms = _terms("attempt", mapping=mapping, request=request)
        if failed:
            terms.append(("failed attempt", mapping or ""))
        return self._page(terms, since, until, before, limit, shard=shard)

    def filtered(
        self, *, mapping: str | None = None, since: int | None = None, until: int | None = None,
        before: str | None = None, limit: int = PAGE,
    ) -> LinePage[FilteredLine]:  # fmt: skip
        return self._page(_terms("filtered", mapping=mapping), since, until, before, limit)

    def undelivered(
        self, *, bus: str | None = None, id: str | None = None, since: int | None = None, until: int | None = None,
        before: str | None = None, limit: int = PAGE,
    ) -> LinePage[DeliveryLine]:  # fmt: skip
        return self._page(_terms("delivery", bus=bus, id=id), since, until, before, limit)

    def changes(
        self, *, table: str | None = None, key: str | None = None, number: str | None = None, by: str | None = None,
        since: int | None = None, until: int | None = None, before: str | None = None, limit: int = PAGE,
    ) -> LinePage[ChangeLine]:  # fmt: skip
        terms = _terms("change", table=table, key=key, number=number, by=by)
        return self._page(terms, since, until, before, limit)

    def calls(
        self, *, function: str | None = None, request: str | None = None, record: str | None = None,
        failed: bool = False, since: int | None = None, until: int | None = None,
        before: str | None = None, limit: int = PAGE,
    ) -> LinePage[CallLine]:  # fmt: skip
        terms = _terms("call", function=function, request=request, record=record)
        if failed:
            terms.append(("failed call", function or ""))
        return self._page(terms, since, until, before, limit)

    def held(self, request: str) -> list[StreamLine | ChangeLine]:
        held: list[StreamLine | ChangeLine] = []
        with self._asked() as reading:
            for _, attempt in reading.lines([("request", request), ("kind", "attempt")]):
                for number in attempt["numbers"]:
                    records = reading.lines([("number", number)], stream=attempt["stream"])
                    held += [line for _, line in records if line["kind"] in ("stream", "change")]  # type: ignore[misc]
        return held

    def messages(
        self, *, to: str | None = None, id: str | None = None, event: str | None = None,
        since: int | None = None, until: int | None = None, before: str | None = None, limit: int = PAGE,
    ) -> LinePage[MessageLine]:  # fmt: skip
        return self._page(_terms("message", to=to, id=id, event=event), since, until, before, limit)

    def objects(
        self, *, bucket: str | None = None, key: str | None = None, event: str | None = None,
        since: int | None = None, until: int | None = None, before: str | None = None, limit: int = PAGE,
    ) -> LinePage[ObjectLine]:  # fmt: skip
        return self._page(_terms("object", bucket=bucket, key=key, event=event), since, until, before, limit)

    def refused(
        self, *, function: str | None = None, since: int | None = None, until: int | None = None,
        before: str | None = None, limit: int = PAGE,
    ) -> LinePage[RefusedLine]:  # fmt: skip
        return self._page(_terms("refused", function=function), since, until, before, limit)

    def traffic(self, since: int, until: int) -> list[Traffic]:
        with self._asked():
            return [Traffic(*row) for row in self._index.traffic(since // 1000, until // 1000)]

    def arrived(
        self, after: str | None = None, *, kinds: Collection[Kind] | None = None, limit: int = 1_000,
        most: int | None = None,
    ) -> Arrived:  # fmt: skip
        return arriving.since(self._folder, after, kinds, limit, most)

    def coverage(self) -> Coverage:
        with self._asked():
            files = self._index.files()
        sizes = {each["file"]: _size_of(file_of(self._folder, each["file"]).path) for each in files}
        latest = {file_of(self._folder, each["file"]).process: each for each in files}
        over = {file_of(self._folder, each["file"]).process: each["file"] for each in files}
        ended = [each for each in files if each["file"] != over[file_of(self._folder, each["file"]).process]]
        return Coverage(
            since=min((each["since"] for each in files if each["since"] is not None), default=None),
            lines=sum(each["lines"] for each in files),
            bytes=sum(sizes.values()),
            deleted=sum(each["deleted"] for each in latest.values()),
            deleted_until=max((each["deleted_until"] for each in latest.values()), default=0) or None,
            lost=sum(each["lost"] for each in files),
            torn=sum(each["torn"] for each in files)
            + sum(sizes[each["file"]] > each["read"] and not each["unknown"] for each in ended),
            unknown=sum(each["unknown"] for each in files),
            full=_is_full(self._folder),
        )

    # --- reading ---

    @contextlib.contextmanager
    def _asked(self) -> Iterator[_Reading]:
        """Read what had been written when the question was asked."""
        with self._guard, contextlib.ExitStack() as opened_files:
            self._index.refresh()
            opened_files.enter_context(self._index.unchanged())
            yield _Reading(self._folder, self._index, opened_files)

    def _page(
        self, terms: list[Term], since: int | None, until: int | None, before: str | None, limit: int,
        *, text: str | None = None, shard: str | None = None,
    ) -> LinePage[Any]:  # fmt: skip
        behind = _place_of(before) if before is not None else None
        with self._asked() as reading:
            if text and not _is_selective(terms):
                found = reading.texts(text, terms, since=since, until=until, before=behind)
            else:
                found = reading.lines(terms, since=since, until=until, before=behind, shard=shard, text=text)
            lines = list(itertools.islice(found, limit + 1))
        older = _text_of(lines[limit - 1][0]) if len(lines) > limit > 0 else None
        return LinePage([line for _, line in lines[:limit]], older)


class _Reading:
    """The lines of one question: each file is opened once."""

    def __init__(self, folder: Path, index: Index, opened_files: contextlib.ExitStack) -> None:
        self._folder = folder
        self._index = index
        self._opened = opened_files
        self._descriptors: dict[int, int] = {}

    def lines(
        self, terms: Sequence[Term], *, since: int | None = None, until: int | None = None,
        before: Place | None = None, stream: str | None = None, shard: str | None = None, text: str | None = None,
    ) -> Iterator[tuple[Place, dict[str, Any]]]:  # fmt: skip
        """Lines with all of these terms, the latest first."""
        first, *others = sorted(terms, key=lambda term: _SELECTIVE.index(term[0]))
        needles = _needles(text) if text else []
        for place in self._index.places(first, since=since, until=until, before=before):
            content = self._read(place)
            if not content or (needles and not any(needle in content for needle in needles)):
                continue
            line = parsed(content)
            if line is None or (stream is not None and line.get("stream") != stream):
                continue
            if (shard is None or line.get("shard") == shard) and {first, *others} <= {*terms_of(line)}:
                yield place, line

    def texts(
        self, text: str, terms: Sequence[Term], *, since: int | None, until: int | None, before: Place | None
    ) -> Iterator[tuple[Place, dict[str, Any]]]:
        """Events that contain a text, the latest first: the files are searched, 0.1 s for 100,000 events."""
        needles, wanted = _needles(text), set(terms)
        for known in reversed(self._index.files()):
            file, end = known["file"], known["read"]
            if not known["lines"] or (before is not None and file > before.file):
                continue
            if before is not None and file == before.file:
                end = before.start
            for start, content in self._found_in(file, end, needles):
                line = parsed(content) if content.startswith(_EVENT) else None
                if line is None or not wanted <= {*terms_of(line)}:
                    continue
                if (since is None or line["at"] >= since) and (until is None or line["at"] < until):
                    yield Place(line["at"], file, start, len(content)), line

    def _found_in(self, file: int, end: int, needles: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
        """The lines before a place that have one of the texts, the last first."""
        descriptor = self._descriptor(file)
        if descriptor < 0 or not end:
            return
        end = min(end, os.fstat(descriptor).st_size)
        with mmap.mmap(descriptor, end, prot=mmap.PROT_READ) as content:
            places = {needle: content.rfind(needle, 0, end) for needle in needles}
            while (place := max(places.values())) >= 0:
                start = content.rfind(b"\n", 0, place) + 1
                yield start, content[start : content.find(b"\n", place) + 1]
                for needle, last in places.items():
                    if last >= start:
                        places[needle] = content.rfind(needle, 0, start)

    def _read(self, place: Place) -> bytes:
        """A line; nothing if its file was deleted meanwhile."""
        descriptor = self._descriptor(place.file)
        return os.pread(descriptor, place.length, place.start) if descriptor >= 0 else b""

    def _descriptor(self, file: int) -> int:
        if file not in self._descriptors:
            try:
                self._descriptors[file] = opened(file_of(self._folder, file))
            except FileNotFoundError:
                return -1
            self._opened.callback(os.close, self._descriptors[file])
        return self._descriptors[file]


def _terms(kind: Kind, **values: str | None) -> list[Term]:
    return [*((name, value) for name, value in values.items() if value is not None), ("kind", kind)]


def _is_selective(terms: Iterable[Term]) -> bool:
    most = _SELECTIVE.index("key")
    return any(_SELECTIVE.index(name) <= most for name, _ in terms)


def _needles(text: str) -> list[bytes]:
    """The forms in which a text may stand in a line: as it is, in small and in capital letters, escaped or not."""
    cases = {text, text.lower(), text.upper(), text.capitalize()}
    texts = {json.dumps(each, ensure_ascii=escaped)[1:-1] for each in cases for escaped in (True, False)}
    return sorted(each.encode("utf-8", "replace") for each in texts)


def _distinct(found: Iterable[tuple[Place, dict[str, Any]]]) -> Iterator[tuple[Place, Any]]:
    """Without the repetitions that stand one behind the other."""
    last = None
    for place, line in found:
        if place != last:
            yield place, line
        last = place


def _text_of(place: Place) -> str:
    return ".".join(map(str, place))


def _place_of(text: str) -> Place:
    try:
        at, file, start, length = map(int, text.split("."))
    except ValueError:
        raise ValueError(f"{text!r:.80} is no place in the journal: give `older` of the page before") from None
    return Place(at, file, start, length)


def _is_full(folder: Path) -> bool:
    try:
        disk = os.statvfs(folder)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < _ROOM


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
