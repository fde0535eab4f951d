"""Containers that know what has changed in them since it was last kept.

They are dicts and lists, and stand where ministack has such. A change in the depth of a value is told by ``touch``.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, SupportsIndex

from stream_cli.local.emulator.long_lists import LongList
from stream_cli.local.kept_file import Change, written

Place = tuple[Any, ...]
Told = Callable[["Kept"], None]

changing = threading.RLock()
"""Held where several changes belong together that are made in another thread than the event loop's."""


class Kept:
    """Something with changes that are not kept yet."""

    def changes(self) -> Iterator[Change]:
        """The rows that have changed; they are not told again."""
        raise NotImplementedError  # each kind of container says what its rows are


class KeptDict(dict[Any, Any], Kept):
    """A dict with a row for each key."""

    def __init__(self, place: Place, told: Told, content: Any = ()) -> None:
        super().__init__(content)
        self.place = place
        self._told = told
        self._changed: dict[Any, None] = {}

    def touch(self, key: Any) -> None:
        """Say that the value of a key has changed."""
        with changing:
            self._changed[key] = None
            self._told(self)

    def kept_as(self, key: Any, value: Any) -> None:
        """Take a value that is kept."""
        super().__setitem__(key, value)

    def row_of(self, value: Any) -> Any:
        """What is kept of a value."""
        return value

    def changes(self) -> Iterator[Change]:
        changed, self._changed = self._changed, {}
        for key in changed:
            yield Change(self.place, key, written(self.row_of(self[key])) if key in self else None)

    def anew(self) -> Iterator[Change]:
        """All of it, in place of whatever is kept at its place."""
        self._changed = {}
        yield Change(self.place, None, None)
        for key, value in list(self.items()):
            yield Change(self.place, key, written(self.row_of(value)))

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)
        self.touch(key)

    def __delitem__(self, key: Any) -> None:
        super().__delitem__(key)
        self.touch(key)

    def pop(self, key: Any, *default: Any) -> Any:
        if key in self:
            self.touch(key)
        return super().pop(key, *default)

    def setdefault(self, key: Any, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def update(self, *others: Any, **more: Any) -> None:
        for key, value in dict(*others, **more).items():
            self[key] = value

    def clear(self) -> None:
        for key in self:
            self.touch(key)
        super().clear()

    def __deepcopy__(self, memo: Any) -> dict[Any, Any]:
        import copy

        return copy.deepcopy(dict(self), memo)


class LogStreams(KeptDict):
    """The streams of a log group by their names; their lines have rows of their own."""

    def __init__(self, place: Place, told: Told, content: dict[str, Any], known: Callable[[str, Any], None]) -> None:
        """``known`` is told the name of each stream."""
        super().__init__(place, told, content)
        self._known = known
        for name, stream in self.items():
            known(name, stream)

    def __setitem__(self, name: str, stream: Any) -> None:
        self._known(name, stream)
        super().__setitem__(name, stream)

    def kept_as(self, name: str, stream: Any) -> None:
        self._known(name, stream)
        super().kept_as(name, stream)

    def row_of(self, stream: Any) -> Any:
        return {**stream, "events": []}


class Messages(list[dict[str, Any]], Kept):
    """The messages of a queue, which have distinct ids; their rows are numbered in the order of the queue."""

    def __init__(
        self, place: Place, told: Told, content: Iterable[dict[str, Any]] = (), before: Messages | None = None
    ) -> None:
        """``before`` are those that this list replaces; without, nothing of it is kept yet."""
        super().__init__(content)
        self.place = place
        self._told = told
        self._numbers: dict[str, int] = {} if before is None else before._numbers
        self._next: int = 0 if before is None else before._next
        self._changed: dict[str, dict[str, Any] | None] = {} if before is None else before._changed
        if before is not None:
            here = {message["id"]: message for message in self}
            for id in (self._numbers.keys() | self._changed.keys()) - here.keys():
                self._changed[id] = None
            for id, message in here.items():
                if id not in self._numbers:
                    self._changed[id] = message
            if self._changed:
                told(self)

    def touch(self, message: dict[str, Any]) -> None:
        """Say that a message has changed."""
        with changing:
            self._changed[message["id"]] = message
            self._told(self)

    def kept_as(self, number: int, message: dict[str, Any]) -> None:
        """Take a message that is kept under a number."""
        super().append(message)
        self._numbers[message["id"]] = number
        self._next = max(self._next, number + 1)

    def changes(self) -> Iterator[Change]:
        changed, self._changed = self._changed, {}
        for id, message in changed.items():
            if message is None:
                if (number := self._numbers.pop(id, None)) is not None:
                    yield Change(self.place, number, None)
            else:
                if id not in self._numbers:
                    self._numbers[id], self._next = self._next, self._next + 1
                yield Change(self.place, self._numbers[id], written(message))

    def anew(self) -> Iterator[Change]:
        """All of it, in place of whatever is kept at its place."""
        yield Change(self.place, None, None)
        self._numbers, self._changed = {}, {message["id"]: message for message in self}
        yield from self.changes()

    def append(self, message: dict[str, Any]) -> None:
        with changing:
            super().append(message)
            self._changed[message["id"]] = message
            self._told(self)

    def extend(self, messages: Iterable[dict[str, Any]]) -> None:
        for message in messages:
            self.append(message)

    def remove(self, message: dict[str, Any]) -> None:
        with changing:
            super().remove(message)
            self._gone(message)

    def pop(self, place: SupportsIndex = -1) -> dict[str, Any]:
        with changing:
            message = super().pop(place)
            self._gone(message)
            return message

    def __delitem__(self, place: SupportsIndex | slice) -> None:
        with changing:
            gone = self[place]
            super().__delitem__(place)
            for message in gone if isinstance(gone, list) else [gone]:
                self._gone(message)

    def clear(self) -> None:
        with changing:
            del self[:]

    def _gone(self, message: dict[str, Any]) -> None:
        self._changed[message["id"]] = None
        self._told(self)

    def __deepcopy__(self, memo: Any) -> list[Any]:
        import copy

        return copy.deepcopy(list(self), memo)


class Tail:
    """What is kept of a list that grows at its end and shrinks at its beginning; a row has all that came together.

    Elements are told apart by what they are, not by what is in them: none of them changes.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self._rows: deque[int] = deque()  # how many elements are in each; the last one's number is before the next
        self._next = 0
        self._count = 0
        self._last: Any = None
        self._long: LongList | None = None
        self._end = 0  # elements that the long list had in all

    def kept_as(self, number: int, elements: list[Any], records: list[Any] | LongList) -> None:
        """Take elements that are kept in a row, and put them at the end of a list."""
        records.extend(elements)
        self._rows.append(len(elements))
        self._next = number + 1
        self._count += len(elements)
        self._remember(records)

    def _remember(self, records: list[Any] | LongList) -> None:
        if isinstance(records, LongList):
            self._long, self._end = records, records.gone + len(records)
        else:
            self._last = records[-1] if records else None

    def _known(self, records: list[Any] | LongList) -> int:
        """How many elements at the beginning are kept."""
        if isinstance(records, LongList):
            return max(0, self._end - records.gone) if records is self._long else 0
        known = len(records)
        while known and records[known - 1] is not self._last:
            known -= 1
        return known

    def changes(self, records: list[Any] | LongList) -> Iterator[Change]:
        """What has changed of the list since."""
        count, known = len(records), self._known(records)
        if count == known == self._count:
            return
        if known == 0 and self._count:
            yield Change(self.place, None, None)
            self._rows.clear()
        elif known < self._count:
            yield from self._forget(self._count - known)
        elif known > self._count:
            raise RuntimeError(f"{self.place} has got elements before its last one")
        if new := records[known:]:
            yield Change(self.place, self._next, written(new))
            self._rows.append(len(new))
            self._next += 1
        self._count = count
        self._remember(records)

    def _forget(self, gone: int) -> Iterator[Change]:
        """Remove the rows of which all elements are gone."""
        while self._rows and self._rows[0] <= gone:
            yield Change(self.place, self._next - len(self._rows), None)
            gone -= self._rows.popleft()
        if gone:
            self._rows[0] -= gone
