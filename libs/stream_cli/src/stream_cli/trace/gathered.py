"""Everything that was observed about an id or a key, and about what followed from it."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from stream_runtime.payload.attributes import unmarshall

from stream_cli.journal.lines import (
    AttemptLine,
    CallLine,
    ChangeLine,
    DeliveryLine,
    EventLine,
    MessageLine,
    ObjectLine,
    RefusedLine,
    StreamLine,
)
from stream_cli.journal.questions import Questions, RecordHistory
from stream_cli.journal.terms import terms_of

MOST_EVENTS = 200
"""Events of a timeline; beyond that, the newest are left out, and the timeline says so."""

_MOST_LINES = 1_000
_MOST_OF_A_NAME = 200
_MOST_OF_AN_EVENT = 20

RecordLine = StreamLine | ChangeLine
Place = tuple[str, str]
"""A stream and a sequence number."""


@dataclass
class Gathered:
    """What was observed.

    Attributes:
        records: the records of streams by place, of Kinesis and of tables.
        histories: what became of them at each mapping.
        cut: what was left out because there is too much, one a line.
        led_to: ids of the events that were asked for; what they led to is there, too.
    """

    asked: str
    events: list[EventLine] = field(default_factory=list)
    records: dict[Place, RecordLine] = field(default_factory=dict)
    histories: dict[Place, RecordHistory] = field(default_factory=dict)
    changes: list[ChangeLine] = field(default_factory=list)
    calls: dict[str, CallLine] = field(default_factory=dict)
    messages: list[MessageLine] = field(default_factory=list)
    objects: list[ObjectLine] = field(default_factory=list)
    refused: list[RefusedLine] = field(default_factory=list)
    undelivered: list[DeliveryLine] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    led_to: frozenset[str] = frozenset()

    @property
    def is_empty(self) -> bool:
        """Whether nobody has seen it."""
        seen = (self.events, self.records, self.changes, self.calls, self.messages, self.objects, self.refused)
        return not any(seen)

    def records_of(self, event: EventLine) -> Iterator[tuple[Place, StreamLine]]:
        """The records of Kinesis streams that hold an event."""
        ids = {event["id"], id_of(event)}
        for place, line in self.records.items():
            if line["kind"] == "stream" and {line.get("id"), line.get("bus_id")} & ids:
                yield place, line

    def requests(self) -> set[str]:
        """The invocations that were made for it."""
        return {
            *(each["request"] for history in self.histories.values() for each in history.attempts if "request" in each),
            *(each["by"] for each in self.events if "by" in each),
        }


def id_of(event: EventLine) -> str:
    """The id of the domain event; EventBridge's where it has none."""
    detail = event["detail"]
    return detail["id"] if isinstance(detail, dict) and isinstance(detail.get("id"), str) else event["id"]


def keys_of(event: EventLine) -> set[str]:
    """The partition key, and the ids of the entities in an event."""
    detail = event["detail"] if isinstance(event["detail"], dict) else {}
    entities = [each["id"] for each in detail.values() if isinstance(each, dict) and "id" in each]
    return {each for each in (detail.get("partition_key"), *entities) if isinstance(each, str)}


def image_of(change: ChangeLine, which: Literal["new", "old"] = "new") -> dict[str, Any]:
    """An image as plain values; empty where there is none."""
    return {name: _plain(value) for name, value in unmarshall(change.get(which) or {}).items()}


def _plain(value: Any) -> Any:
    """A value of an item as JSON has it; a set is a list, binary data is text in base64."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, set | frozenset):
        return sorted(map(_plain, value), key=str)
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    return float(value) if isinstance(value, Decimal) else value


def key_values(change: ChangeLine) -> list[str]:
    """The values of the key attributes, as texts."""
    return [str(text) for value in change["keys"].values() for text in value.values()]


def place_of(line: RecordLine) -> Place | None:
    """The place of a record in its stream; None for a change of a table without one."""
    if "stream" not in line or "number" not in line:
        return None
    return line["stream"], line["number"]


def gather(questions: Questions, asked: str) -> Gathered:
    """Everything about an id or a key. Work and answers grow with the timeline, not with what else was observed."""
    found = Gathered(asked)
    _seeds(questions, found)
    _causes(questions, found)
    _followed(questions, found)
    for event in found.events:
        _of_event(questions, found, event)
    _changes(questions, found)
    for place, _line in list(found.records.items()):
        if place not in found.histories:
            found.histories[place] = questions.deliveries(*place)
    _calls(questions, found)
    return found


def _seeds(questions: Questions, found: Gathered) -> None:
    lines = questions.about(found.asked, limit=_MOST_LINES)
    if len(lines) == _MOST_LINES:
        found.cut.append(f"Only the newest {_MOST_LINES} lines that name {found.asked} are looked at.")
    other: set[str] = set()
    for line in lines:
        if line["kind"] == "event":
            found.events.append(line)
        elif line["kind"] == "stream":
            other.add(line.get("id", ""))
            found.records[line["stream"], line["number"]] = line
        elif line["kind"] == "change":
            _add_change(found, line)
        elif line["kind"] == "call":
            found.calls[line["request"]] = line
        elif line["kind"] == "message":
            found.messages.append(line)
            other.add(line.get("event", ""))
        elif line["kind"] == "object":
            found.objects.append(line)
        elif line["kind"] == "refused":
            found.refused.append(line)
    for id in sorted(other - {id_of(event) for event in found.events} - {""}):
        _add_events(found, questions.events(id=id, limit=_MOST_OF_AN_EVENT).lines)


def _causes(questions: Questions, found: Gathered) -> None:
    """The events that have led to those that were asked for, without what else these led to."""
    known = {id_of(event) for event in found.events}
    waiting = list(found.events)
    found.led_to = frozenset(known)
    while waiting and len(found.events) < MOST_EVENTS:
        for name, cause in terms_of(waiting.pop()):
            if name == "cause" and cause not in known:
                known.add(cause)
                lines = questions.events(id=cause, limit=_MOST_OF_AN_EVENT).lines
                _add_events(found, lines)
                waiting += lines


def _followed(questions: Questions, found: Gathered) -> None:
    for id in sorted(found.led_to):
        if len(found.events) > MOST_EVENTS:
            break
        _add_events(found, questions.followed(id))
    found.events.sort(key=lambda event: event["at"])
    if len(found.events) > MOST_EVENTS:
        found.cut.append(f"Of {len(found.events)} events, the first {MOST_EVENTS} are shown.")
        del found.events[MOST_EVENTS:]


def _add_events(found: Gathered, lines: Iterable[EventLine]) -> None:
    known = {event["id"] for event in found.events}
    for line in lines:
        if line["id"] not in known:
            known.add(line["id"])
            found.events.append(line)


def _of_event(questions: Questions, found: Gathered, event: EventLine) -> None:
    id = id_of(event)
    for each in dict.fromkeys((id, event["id"])):
        for record in questions.records(id=each, limit=_MOST_OF_AN_EVENT).lines:
            found.records.setdefault((record["stream"], record["number"]), record)
        for call in questions.calls(record=each, limit=_MOST_OF_AN_EVENT).lines:
            found.calls[call["request"]] = call
    found.undelivered += reversed(questions.undelivered(id=event["id"], limit=_MOST_OF_AN_EVENT).lines)
    known = {each["id"] for each in found.messages}
    for message in questions.messages(event=id, limit=_MOST_OF_AN_EVENT).lines:
        if message["id"] not in known:
            found.messages.append(message)
            for call in questions.calls(record=message["id"], limit=_MOST_OF_AN_EVENT).lines:
                found.calls[call["request"]] = call
    for written in questions.objects(event=id, limit=_MOST_OF_AN_EVENT).lines:
        if written not in found.objects:
            found.objects.append(written)


def _changes(questions: Questions, found: Gathered) -> None:
    """Changes of the rows of the events, and of those that the same keys name."""
    asked: set[str] = {found.asked}
    waiting = [name for event in found.events for name in (id_of(event), *sorted(keys_of(event)))]
    while waiting:
        name = waiting.pop(0)
        if name in asked:
            continue
        asked.add(name)
        for line in reversed(questions.changes(key=name, limit=_MOST_OF_A_NAME).lines):
            _add_change(found, line)
            if correlation := correlation_of(line):
                waiting.append(correlation)
    for line in list(found.changes):
        if (correlation := correlation_of(line)) and correlation not in asked:
            asked.add(correlation)
            for other in reversed(questions.changes(key=correlation, limit=_MOST_OF_A_NAME).lines):
                _add_change(found, other)
    found.changes.sort(key=lambda line: line["at"])


def correlation_of(line: ChangeLine) -> str | None:
    """The partition key of the rows of the correlation that a correlated or filed row belongs to."""
    image = line.get("new") or line.get("old") or {}
    if image.get("discriminator") in ({"S": "CORREL"}, {"S": "FILED"}, {"S": "ONCE"}):
        return str(image.get("pk", {}).get("S", "")) or None
    data = image.get("data", {}).get("S") if image.get("sk") == {"S": "EVENT"} else None
    return f"DATA#{data}" if data else None


def _add_change(found: Gathered, line: ChangeLine) -> None:
    place = place_of(line)
    if place is None:
        if line not in found.changes:
            found.changes.append(line)
    elif place not in found.records:
        found.records[place] = line
        found.changes.append(line)


def _calls(questions: Questions, found: Gathered) -> None:
    for request in sorted(found.requests() - found.calls.keys()):
        for call in questions.calls(request=request, limit=1).lines:
            found.calls[request] = call
    for number in sorted({number for event in found.events for number in _numbers_of(event)}):
        for call in questions.calls(record=number, limit=_MOST_OF_AN_EVENT).lines:
            found.calls[call["request"]] = call
    known = {(each["at"], each["action"], each["resource"]) for each in found.refused}
    for call in found.calls.values():
        asked = questions.refused(function=call["function"], since=call["start"], until=call["end"] + 1)
        for line in asked.lines:
            if line.get("by", call["request"]) == call["request"]:
                place = (line["at"], line["action"], line["resource"])
                if place not in known:
                    known.add(place)
                    found.refused.append(line)


def _numbers_of(event: EventLine) -> Iterator[str]:
    """The sequence numbers of the records in a fault: whoever resubmits it calls the function with them again."""
    detail = event["detail"]
    uow = detail.get("uow") if event["type"] == "fault" and isinstance(detail, Mapping) else None
    batch = uow.get("batch") if isinstance(uow, Mapping) else None
    for each in batch if isinstance(batch, list) else [uow]:
        record = each.get("record") if isinstance(each, Mapping) else None
        for name, number_in in (("kinesis", "sequenceNumber"), ("dynamodb", "SequenceNumber")):
            part = record.get(name) if isinstance(record, Mapping) else None
            number = part.get(number_in) if isinstance(part, Mapping) else None
            if isinstance(number, str):
                yield number


def is_done(attempt: AttemptLine, number: str) -> bool:
    """Whether an attempt has finished a record."""
    return attempt["outcome"] == "ok" or number in attempt["numbers"][: attempt["done"]]
