"""The events of a stage: those of the lake and of the fault monitor, since a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from stream_cli.journal.lines import EventLine, MatchedRule, ObjectLine
from stream_cli.journal.terms import Term, terms_of
from stream_cli.stored.history import History, Selection, StoredEvent

MOST = 200_000
"""Events that are held; of more, the newest."""


@dataclass
class LakeEvents:
    """Events by their terms.

    Attributes:
        taken_by: the rules that take an event.
        unreadable: lines without events.
        left_out: how many events were too many.
    """

    bus: str
    taken_by: Callable[[EventLine], list[MatchedRule]]
    events: list[EventLine] = field(default_factory=list)
    objects: dict[str, ObjectLine] = field(default_factory=dict)
    left_out: int = 0
    _places: dict[Term, list[int]] = field(default_factory=dict)

    def read(self, histories: Iterable[History], selection: Selection) -> None:
        """Read the objects of the hours that the selection may have."""
        found: list[tuple[EventLine, ObjectLine]] = []
        for history in histories:
            found += [self._line(history.bucket, stored) for stored in history.select(selection)]
        found.sort(key=lambda each: each[0]["at"])
        self.left_out = max(len(found) - MOST, 0)
        for event, written in found[self.left_out :]:
            self.objects[event["id"]] = written
            for term in terms_of(event):
                self._places.setdefault(term, []).append(len(self.events))
            self.events.append(event)

    def with_terms(self, terms: Sequence[Term]) -> list[EventLine]:
        """The events with all of these terms, in the order of time; all without terms."""
        if not terms:
            return self.events
        places = [self._places.get(term, ()) for term in terms]
        wanted = set(places[0]).intersection(*places[1:])
        return [self._with_rules(self.events[place]) for place in sorted(wanted)]

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
            "bus": self.bus,
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
