"""The objects that Firehose wrote, and the events in them.

The key of an object is ``<prefix>dt=YYYY-MM-DD/hour=HH/...``, by the hour (UTC) of its delivery. An object holds one
EventBridge envelope per line and may be compressed with gzip. Events are delivered within minutes; if Firehose has to
retry, within 24 hours (Firehose developer guide, "Understand data delivery").
"""

from __future__ import annotations

import gzip
import json
import re
import shutil
import tempfile
import zlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import IO, Any, NamedTuple

from stream_cli.errors import CommandError

_DELIVERED_WITHIN = timedelta(hours=25)
_CLOCKS_DIFFER_BY = timedelta(hours=1)
_AHEAD = 8
_IN_MEMORY_BYTES = 16 * 1024 * 1024
_YEAR_10000_MS = 253_402_300_800_000
_LONGEST_LINE = 16 * 1024 * 1024  # bytes; an entry of the bus has at most 1 MiB
_HOUR_OF_KEY = re.compile(r"dt=(\d{4}-\d\d-\d\d)/hour=(\d\d)/")


class ObjectLine(NamedTuple):
    """Where an event is stored: the key of the object, and the line (from 1)."""

    key: str
    line: int


@dataclass(frozen=True)
class StoredEvent:
    """An event and where it is stored.

    Attributes:
        event: the domain event, ``{"id", "type", "timestamp" (ms), ...}``.
        envelope: the EventBridge event around it; the event itself if it was stored without one.
        place: where it is stored.
    """

    event: dict[str, Any]
    envelope: dict[str, Any]
    place: ObjectLine

    @property
    def external(self) -> bool:
        """Whether it comes from another system, or is for others: such events are not on the hub's stream."""
        return str(self.envelope.get("source") or "").startswith("external")

    @property
    def source(self) -> str:
        """The service that published it (``tags.source``), else the Source of its PutEvents entry.

        An external event's is always that Source, which the policy of the bus holds; its tags are the sender's claim.
        """
        tags = self.event.get("tags")
        named = tags.get("source") if isinstance(tags, dict) and not self.external else None
        return str(named or self.envelope.get("source") or "")

    @property
    def type(self) -> str:
        """The event's type, empty if it has none."""
        return str(self.event.get("type") or "")

    @property
    def published_ms(self) -> int:
        """When the bus received it (ms, rounded to seconds); without an envelope its own timestamp, or 0.

        The event's own timestamp may be much older than its delivery, whose hour is in the key of the object.
        """
        try:
            return to_ms(datetime.fromisoformat(self.envelope["time"]))
        except (KeyError, OverflowError, TypeError, ValueError):
            return timestamp_ms(self.event)


@dataclass(frozen=True)
class StoredObject:
    """An object of the history; `size` is its stored size in bytes."""

    key: str
    size: int


@dataclass(frozen=True)
class Selection:
    """Which events to select, by id, type, service and time of publication; without attributes, all but faults."""

    ids: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    type_prefix: str | None = None
    type_pattern: re.Pattern[str] | None = None
    source: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    with_faults: bool = False
    with_external: bool = True

    def wants(self, stored: StoredEvent) -> bool:
        """Whether the selection includes an event."""
        return (
            (self.with_faults or stored.type != "fault")
            and (self.with_external or not stored.external)
            and (not self.ids or str(stored.event.get("id")) in self.ids)
            and (not self.types or stored.type in self.types)
            and (self.type_prefix is None or stored.type.startswith(self.type_prefix))
            and (self.type_pattern is None or self.type_pattern.search(stored.type) is not None)
            and (self.source is None or stored.source == self.source)
            and (self.since is None or stored.published_ms >= to_ms(self.since))
            and (self.until is None or stored.published_ms < to_ms(self.until))
        )


@dataclass
class History:
    """The events below a prefix of a bucket.

    Attributes:
        prefix: the part of the keys before ``dt=...``.
        on_unreadable: called for each line without an event, with its place and the reason.
    """

    s3: Any
    bucket: str
    prefix: str
    on_unreadable: Callable[[ObjectLine, str], None]

    def objects(self, selection: Selection) -> list[StoredObject]:
        """The objects that may hold selected events, in the order of their delivery."""
        first = selection.since - _CLOCKS_DIFFER_BY if selection.since else None
        last = selection.until + _DELIVERED_WITHIN if selection.until else None
        found = []
        for prefix in self._prefixes(first, last):
            for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
                for each in page.get("Contents", []):
                    hour = _hour_of(each["Key"])
                    if hour is not None and first is not None and hour + timedelta(hours=1) <= first:
                        continue
                    if hour is not None and last is not None and hour >= last:
                        continue
                    found.append(StoredObject(each["Key"], each["Size"]))
        return sorted(found, key=lambda each: each.key)

    def _prefixes(self, first: datetime | None, last: datetime | None) -> list[str]:
        """One prefix for each day of a short range, else the prefix of the whole history."""
        if first is None:
            return [self.prefix]
        end = min(last, datetime.now(UTC) + timedelta(days=1)) if last else datetime.now(UTC) + timedelta(days=1)
        days = (end.date() - first.date()).days + 1
        if days > 400:
            return [self.prefix]
        return [f"{self.prefix}dt={first.date() + timedelta(days=day)}/" for day in range(max(days, 0))]

    def contents(self, objects: Iterable[StoredObject]) -> Generator[Content, None, None]:
        """The contents of objects, in their order; a few are fetched ahead, since most are small.

        An object is fetched as a whole, since S3 closes a connection that is read too slowly.
        """
        ahead: deque[tuple[str, Future[IO[bytes]]]] = deque()

        def first() -> Content:
            key, fetching = ahead.popleft()
            return Content(self, key, fetching.result())

        with ThreadPoolExecutor(_AHEAD) as pool:
            try:
                for each in objects:
                    ahead.append((each.key, pool.submit(self._fetched, each.key)))
                    if len(ahead) == _AHEAD:
                        yield first()
                while ahead:
                    yield first()
            finally:
                for _, fetching in ahead:
                    fetching.cancel()

    def _fetched(self, key: str) -> IO[bytes]:
        with ExitStack() as opened:
            stored = opened.enter_context(tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES))
            with self.s3.get_object(Bucket=self.bucket, Key=key)["Body"] as body:
                shutil.copyfileobj(body, stored)
            stored.seek(0)
            opened.pop_all()
        return stored

    def select(self, selection: Selection) -> Iterator[StoredEvent]:
        """The selected events, in the order of their delivery."""
        for content in self.contents(self.objects(selection)):
            yield from (stored for stored in content.events() if selection.wants(stored))


@dataclass
class Content:
    """A fetched object; its decompressed text is never in memory as a whole."""

    history: History
    key: str
    stored: IO[bytes]

    def events(self, on_read: Callable[[int], None] = lambda _: None) -> Generator[StoredEvent, None, None]:
        """All events, line by line. Can be called once.

        Args:
            on_read: called after each line with the number of stored bytes that were read.

        Raises:
            CommandError: the object is truncated or damaged.
        """
        with self.stored as stored:
            is_compressed = stored.read(2) == b"\x1f\x8b"
            stored.seek(0)
            lines = gzip.GzipFile(fileobj=stored, mode="rb") if is_compressed else stored
            for number, line in enumerate(self._to_the_end(_bounded(lines)), start=1):
                event = self._event(ObjectLine(self.key, number), line) if line.strip() else None
                on_read(stored.tell())
                if event is not None:
                    yield event

    def _event(self, place: ObjectLine, line: bytes) -> StoredEvent | None:
        try:
            envelope = json.loads(line)
        except (ValueError, RecursionError) as error:
            self.history.on_unreadable(place, f"not JSON: {error}")
            return None
        event = envelope.get("detail", envelope) if isinstance(envelope, dict) else None
        if not isinstance(event, dict):
            self.history.on_unreadable(place, "not an event: expected an object")
            return None
        return StoredEvent(event, envelope, place)

    def _to_the_end(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        try:
            yield from lines
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            where = f"s3://{self.history.bucket}/{self.key}"
            raise CommandError(f"{where} cannot be read to its end: {error}") from error


def _bounded(content: IO[bytes] | gzip.GzipFile) -> Iterator[bytes]:
    """The lines of a file, the beginning of those that are too long."""
    while line := content.readline(_LONGEST_LINE):
        yield line
        while not line.endswith(b"\n") and (line := content.readline(_LONGEST_LINE)):
            pass


def _hour_of(key: str) -> datetime | None:
    found = _HOUR_OF_KEY.search(key)
    return datetime.fromisoformat(f"{found[1]}T{found[2]}:00:00+00:00") if found else None


def timestamp_ms(event: Mapping[str, Any]) -> int:
    """The timestamp of an event in ms; 0 where it is no time before the year 10000."""
    timestamp = event.get("timestamp")
    return int(timestamp) if isinstance(timestamp, int | float) and 0 <= timestamp < _YEAR_10000_MS else 0


def to_ms(time: datetime) -> int:
    """Unix time in ms, as in events."""
    return int(time.timestamp() * 1000)
