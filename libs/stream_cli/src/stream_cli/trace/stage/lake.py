"""The events of a stage: those of the lake and of the fault monitor, since a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from stream_cli.errors import CommandError
from stream_cli.journal.lines import EventLine, MatchedRule, ObjectLine
from stream_cli.journal.terms import Term, terms_of
from stream_cli.journal.unknown import NotKnown, note
from stream_cli.stored.history import History, Selection, StoredEvent, to_ms
from stream_cli.stored.output import utc
from stream_cli.trace.stage.asking import unless_denied

MOST = 200_000
"""Events that are held; of more, the newest."""

LATE = NotKnown("events of the last minutes", "they reach the lake some minutes after they were published")


@dataclass
class LakeEvents:
    """Events by their terms. Its methods may be called from any thread.

    Attributes:
        histories: where they are stored.
        taken_by: the rules that take an event.
        is_cut: whether there are older ones, which are too many.
    """

    bus: Callable[[], str]
    taken_by: Callable[[EventLine], list[MatchedRule]]
    histories: Callable[[], Iterable[History]]
    selection: Selection
    is_cut: bool = False
    _damaged: list[NotKnown] = field(default_factory=list)
    _events: list[EventLine] = field(default_factory=list)
    _objects: dict[str, ObjectLine] = field(default_factory=dict)
    _by_term: dict[Term, list[EventLine]] = field(default_factory=dict)
    _read: set[tuple[str, str]] = field(default_factory=set)
    _guard: threading.RLock = field(default_factory=threading.RLock)

    def refresh(self) -> None:
        """Read the objects that were written since the last time, the newest first, and note what is not known."""
        with self._guard:
            before = len(self._events)
            for history in self.histories():
                what = f"events in s3://{history.bucket}/{history.prefix}"
                unless_denied(what, "s3:ListBucket or s3:GetObject", partial(self._read_new, history), None)
            if len(self._events) > before:
                self._events.sort(key=_place)
            if len(self._events) > MOST:
                self.is_cut = True
                self._hold(self._events[-MOST:])
        since, first = self.selection.since, self.first
        if self.is_cut and first is not None:
            note(NotKnown(f"events before {utc(first)}", f"more than {MOST} are not read; a shorter --since has less"))
        elif since is not None:
            note(NotKnown(f"events before {utc(to_ms(since))}", "they are not read; --since says since when"))
        note(LATE, *self._damaged)

    def newest(self, terms: Sequence[Term]) -> Iterator[EventLine]:
        """The events with all of these terms, the newest first; all events without terms. Their rules are known."""
        with self._guard:
            lists = sorted((self._by_term.get(term, []) for term in terms), key=len)
            found = list(lists[0]) if lists else list(self._events)
        found.sort(key=_place, reverse=True)
        others = set(terms)
        for event in found:
            if len(terms) < 2 or others <= set(terms_of(event)):
                yield self._with_rules(event)

    def with_terms(self, *terms: Term) -> list[EventLine]:
        """The events with all of these terms, in the order of time."""
        return list(self.newest(terms))[::-1]

    def written(self, event: EventLine) -> ObjectLine:
        """The object that an event is in."""
        return self._objects[event["id"]]

    @property
    def number(self) -> int:
        """How many events are held."""
        return len(self._events)

    @property
    def first(self) -> int | None:
        """When the oldest of them was published."""
        return self._events[0]["at"] if self._events else None

    def _read_new(self, history: History) -> None:
        fresh = [each for each in history.objects(self.selection) if (history.bucket, each.key) not in self._read]
        fresh.reverse()
        for content in history.contents(fresh):
            if len(self._events) > MOST:
                self.is_cut = True
                break
            try:
                for stored in content.events():
                    if self.selection.wants(stored):
                        self._add(*self._line(history.bucket, stored))
            except CommandError as error:
                self._damaged.append(NotKnown("events of an object of the lake", str(error).rstrip(".")))
        self._read.update((history.bucket, each.key) for each in fresh)

    def _add(self, event: EventLine, written: ObjectLine) -> None:
        if event["id"] in self._objects:
            return  # Firehose may deliver an event again
        self._objects[event["id"]] = written
        self._events.append(event)
        for term in terms_of({**event, "rules": [{}]}):
            self._by_term.setdefault(term, []).append(event)

    def _hold(self, events: list[EventLine]) -> None:
        """Hold these alone."""
        objects = self._objects
        self._events, self._objects, self._by_term = [], {}, {}
        for event in events:
            self._add(event, objects[event["id"]])

    def _with_rules(self, event: EventLine) -> EventLine:
        if not event["rules"]:
            event["rules"] = self.taken_by(event)
        return event

    def _line(self, bucket: str, stored: StoredEvent) -> tuple[EventLine, ObjectLine]:
        at = stored.published_ms
        id = str(stored.envelope.get("id") or stored.event.get("id"))
        event: EventLine = {
            "kind": "event",
            "at": at,
            "bus": self.bus(),
            "id": id,
            "source": str(stored.envelope.get("source") or ""),
            "type": str(stored.event.get("type") or stored.envelope.get("detail-type") or ""),
            "detail": stored.event,
            "rules": [],
        }
        written: ObjectLine = {
            "kind": "object", "at": at, "bucket": bucket, "key": stored.place.key, "change": "put",
            "events": [str(stored.event.get("id"))],
        }  # fmt: skip
        return event, written


def _place(event: EventLine) -> tuple[int, str]:
    return event["at"], event["id"]
