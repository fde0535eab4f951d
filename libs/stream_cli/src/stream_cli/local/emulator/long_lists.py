"""Records of streams and events of archives: the newest are in memory, those before in files that have no name.

ministack holds a day of records and changes, and all events of an archive, as trees of dicts: 5 to 8 KB for a change of
an item with its two images. Readers follow what is written, so that hardly anything is read again once it is old.

Archives lose what is older than their retention, which ministack keeps, and an archive is described without its events.
"""

from __future__ import annotations

import marshal
import pickle
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, Any, NamedTuple, overload

INTERNALS = {
    "ministack.services.dynamodb": ("_stream_records",),
    "ministack.services.eventbridge": ("_archive_event", "_archives", "_describe_archive", "_now_ts", "json_response"),
    "ministack.services.kinesis": ("_expire_records",),
}

CHUNK = 128
"""Elements that are written and read together. At most two such are in memory, and the two that were read last."""

_FILE_BYTES = 8_000_000


class _Chunk(NamedTuple):
    """Elements that are in a file, at a place, or in memory because they could not be written."""

    read: Callable[[bytes], Any]
    file: IO[bytes] | None
    place: int
    size: int
    content: bytes = b""

    def elements(self) -> list[Any]:
        content = self.content
        if self.file is not None:
            self.file.seek(self.place)
            content = self.file.read(self.size)
        found: list[Any] = self.read(content)
        return found


class LongList(Sequence[Any]):
    """A list that grows at its end and shrinks at its beginning; its elements are plain values that do not change.

    Attributes:
        gone: how many elements have been removed at its beginning so far.
    """

    def __init__(self, elements: Iterable[Any] = ()) -> None:
        self.gone = 0
        self._chunks: deque[_Chunk] = deque()
        self._skipped = 0  # elements of the first chunk that are removed
        self._end = list[Any]()
        self._read: deque[tuple[_Chunk, list[Any]]] = deque(maxlen=2)
        self._file: IO[bytes] | None = None
        self._guard = threading.RLock()
        self.extend(elements)

    def __len__(self) -> int:
        with self._guard:
            return len(self._chunks) * CHUNK - self._skipped + len(self._end)

    @overload
    def __getitem__(self, place: int) -> Any: ...
    @overload
    def __getitem__(self, place: slice) -> list[Any]: ...
    def __getitem__(self, place: int | slice) -> Any:
        with self._guard:
            if isinstance(place, slice):
                return [self._at(each) for each in range(*place.indices(len(self)))]
            count = len(self)
            if not -count <= place < count:
                raise IndexError(place)
            return self._at(place % count)

    def __iter__(self) -> Iterator[Any]:
        place = self.gone
        while place - self.gone < len(self):
            yield self[max(place - self.gone, 0)]
            place += 1

    def _at(self, place: int) -> Any:
        chunk, within = divmod(place + self._skipped, CHUNK)
        if chunk >= len(self._chunks):
            return self._end[(chunk - len(self._chunks)) * CHUNK + within]
        wanted = self._chunks[chunk]
        for known, elements in self._read:
            if known is wanted:
                return elements[within]
        elements = wanted.elements()
        self._read.append((wanted, elements))
        return elements[within]

    def append(self, element: Any) -> None:
        """Put an element at the end."""
        with self._guard:
            self._end.append(element)
            if len(self._end) >= 2 * CHUNK:
                self._chunks.append(self._written(self._end[:CHUNK]))
                del self._end[:CHUNK]

    def extend(self, elements: Iterable[Any]) -> None:
        """Put elements at the end."""
        for element in elements:
            self.append(element)

    def __delitem__(self, place: slice) -> None:
        """Remove elements at the beginning."""
        start, stop, _ = place.indices(len(self))
        if start:
            raise IndexError(f"{place} is not at the beginning")
        with self._guard:
            self.gone += stop
            self._skipped += stop
            while self._chunks and self._skipped >= CHUNK:
                self._chunks.popleft()
                self._skipped -= CHUNK
            if not self._chunks:
                del self._end[: self._skipped]
                self._skipped = 0

    def clear(self) -> None:
        """Remove all elements."""
        with self._guard:
            del self[: len(self)]

    def _written(self, elements: list[Any]) -> _Chunk:
        read: Callable[[bytes], Any] = marshal.loads
        try:
            content = marshal.dumps(elements)  # this process alone reads it
        except ValueError:  # there is more in it than dicts, lists, texts and numbers
            content, read = pickle.dumps(elements, pickle.HIGHEST_PROTOCOL), pickle.loads
        try:
            if self._file is None or self._file.seek(0, 2) >= _FILE_BYTES:
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  it goes with the last chunk that is in it
            place = self._file.seek(0, 2)
            if self._file.write(content) == len(content):
                return _Chunk(read, self._file, place, len(content))
        except OSError:
            pass  # the disk is full: it stays in memory
        return _Chunk(read, None, 0, 0, content)


class _LongLists(dict[Any, Any]):
    """A store whose lists are long; what leaves it is an ordinary list."""

    def __setitem__(self, key: Any, elements: Any) -> None:
        super().__setitem__(key, elements if isinstance(elements, LongList) else LongList(elements))

    def setdefault(self, key: Any, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, key: Any, *default: Any) -> Any:
        found = super().pop(key, *default)
        return list(found) if isinstance(found, LongList) else found


def patch() -> None:
    """Put long lists where ministack has lists that it holds for long."""
    from ministack.services import dynamodb, eventbridge, kinesis

    archive, expire, describe = eventbridge._archive_event, kinesis._expire_records, eventbridge._describe_archive
    dynamodb._stream_records._data = _LongLists()

    def archived(*event: Any) -> None:
        for each in eventbridge._archives.values():
            expire_events(each, lengthened(each, "Events"))
        archive(*event)

    def expire_events(archive: dict[str, Any], events: LongList) -> None:
        days = archive.get("RetentionDays") or 0  # 0: for ever
        while days and events and events[0]["Time"] < eventbridge._now_ts() - days * 86_400:
            del events[:1]
            archive["EventCount"] -= 1

    def described(data: dict[str, Any]) -> Any:
        found = eventbridge._archives.get(data.get("ArchiveName"))
        if found is None:
            return describe(data)  # which refuses it
        return eventbridge.json_response({name: each for name, each in found.items() if name != "Events"})

    def expire_records(stream: dict[str, Any]) -> None:
        for shard in list(stream["shards"].values()):
            lengthened(shard, "records")
        expire(stream)

    eventbridge._archive_event, kinesis._expire_records = archived, expire_records
    eventbridge._describe_archive = described


def lengthened(holder: dict[str, Any], name: str) -> LongList:
    """The long list of a name, with what was in an ordinary one."""
    found = holder.get(name, ())
    if not isinstance(found, LongList):
        found = holder[name] = LongList(found)
    return found
