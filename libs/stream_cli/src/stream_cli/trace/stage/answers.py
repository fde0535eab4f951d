"""The questions of `journal.questions`, answered for a stage of AWS."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

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
from stream_cli.journal.terms import NAMING
from stream_cli.journal.unknown import NotKnown, note
from stream_cli.trace.deployed import Deployed
from stream_cli.trace.gathered import id_of
from stream_cli.trace.mismatches import mismatches
from stream_cli.trace.shapes import record_as_filters_see
from stream_cli.trace.stage.asking import Kept
from stream_cli.trace.stage.invocations import Invocations
from stream_cli.trace.stage.lake import LakeEvents
from stream_cli.trace.stage.rows import TableRows

ATTEMPTS = NotKnown(
    "attempts of mappings and their errors",
    "AWS records none; a record counts as done where its effects, or the age of the last record that its function has "
    "processed, show it",
)
FILTERED = NotKnown("records that filters drop", "AWS records none; metrics of a mapping may count them")
MESSAGES = NotKnown("messages in queues and topics", "SQS and SNS do not list them")
UNDELIVERED = NotKnown("events that a target of a rule did not take", "EventBridge does not list them")
PUBLISHERS = NotKnown("which invocation an event is of", "EventBridge does not record it")
CHANGES = NotKnown("changes of the rows of a whole table", "a table holds its rows as they are now; give a key")
INVOKED_WITH = NotKnown("the records that an invocation had", "Lambda does not record them")
OBJECTS = NotKnown("objects but those of the lake with an event", "S3 does not list them by their events")
RECORDS = NotKnown("records of a stream but those of an event", "they are computed from the events of the lake")

TICK_S = 60.0
"""Pages of the console are told so often to load anew: CloudWatch has a point a minute."""
_LAKE_S = 30.0

Figured = Callable[[int, int], list[Traffic]]


class StageAnswers:
    """What a stage can know; it implements `questions.Questions`, and notes what it cannot answer (`journal.unknown`).

    Its methods may be called from any thread.
    """

    def __init__(
        self, lake: LakeEvents, rows: TableRows, invocations: Invocations, deployed: Callable[[], Deployed],
        figured: Figured, kept: Kept, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._held = lake
        self._rows = rows
        self._invocations = invocations
        self._look = deployed
        self._figured = figured
        self._kept = kept
        self._clock = clock

    @property
    def _lake(self) -> LakeEvents:
        """The events of the lake, with those that came since."""
        self._kept.answer("lake", _LAKE_S, self._held.refresh)
        return self._held

    @property
    def _deployed(self) -> Deployed:
        return self._look()

    # --- what the lake knows ---

    def events(
        self, *, id: str | None = None, key: str | None = None, type: str | None = None, source: str | None = None,
        text: str | None = None, by: str | None = None, unmatched: bool = False, since: int | None = None,
        until: int | None = None, before: str | None = None, limit: int = PAGE,
    ) -> LinePage[EventLine]:  # fmt: skip
        if by is not None:
            note(PUBLISHERS)
            return LinePage([])
        named = {"id": id, "key": key, "type": type, "source": source}
        last = _place_of(before)
        found: list[EventLine] = []
        for event in self._lake.newest([(name, value) for name, value in named.items() if value is not None]):
            if (
                (last is None or (event["at"], event["id"]) < last)
                and (since is None or event["at"] >= since)
                and (until is None or event["at"] < until)
                and (text is None or text in _text_of(event))
                and not (unmatched and event["rules"])
            ):
                found.append(event)
                if len(found) > limit:
                    break
        older = f"{found[limit - 1]['at']} {found[limit - 1]['id']}" if len(found) > limit > 0 else None
        return LinePage(found[:limit], older)

    def followed(self, id: str) -> list[EventLine]:
        lake, found = self._lake, dict[str, EventLine]()
        waiting = [id]
        while waiting:
            for event in lake.with_terms(("cause", waiting.pop())):
                if event["id"] not in found:
                    found[event["id"]] = event
                    waiting.append(id_of(event))
        return sorted(found.values(), key=lambda event: event["at"])

    def about(self, value: str, *, kinds: Collection[Kind] | None = None, limit: int = 1_000) -> Sequence[Observed]:
        lake = self._lake
        lines: dict[str, Observed] = {event["id"]: event for name in NAMING for event in lake.with_terms((name, value))}
        found: list[Observed] = [*lines.values(), *self._changed(value), *self._invocations.about(value)]
        wanted = [line for line in found if kinds is None or line["kind"] in kinds]
        return sorted(wanted, key=lambda line: line["at"])[-limit:]

    def objects(
        self, *, bucket: str | None = None, key: str | None = None, event: str | None = None,
        since: int | None = None, until: int | None = None, before: str | None = None, limit: int = PAGE,
    ) -> LinePage[ObjectLine]:  # fmt: skip
        if event is None:
            note(OBJECTS)
            return LinePage([])
        lake = self._lake
        return _page([lake.written(each) for each in lake.newest([("id", event)])], before, limit)

    # --- what is computed from the lake and from what is deployed ---

    def records(
        self, *, id: str | None = None, stream: str | None = None, number: str | None = None,
        shard: str | None = None, since: int | None = None, until: int | None = None,
        before: str | None = None, limit: int = PAGE,
    ) -> LinePage[StreamLine]:  # fmt: skip
        """The record of an event in each stream that a rule has as its target; its number is the event's id."""
        if id is None:
            note(RECORDS)
            return LinePage([])
        found: list[StreamLine] = [
            {
                "kind": "stream", "at": event["at"], "stream": target, "shard": "", "number": event["id"],
                "key": str(event["detail"].get("partition_key")), "id": id_of(event), "type": event["type"],
            }
            for event in self._lake.with_terms(("id", id))
            for rule in event["rules"]
            for target in rule["targets"]
            if target.split(":")[2:3] == ["kinesis"]
        ]  # fmt: skip
        return _page(found, before, limit)

    def deliveries(self, stream: str, number: str) -> RecordHistory:
        note(ATTEMPTS)
        history, deployed = RecordHistory([], [], []), self._deployed
        events = self._lake.with_terms(("id", number))
        records = [line for line in self.records(id=number).lines if line["stream"] == stream]
        for event, record in zip(events[:1], records[:1], strict=False):
            seen = record_as_filters_see(record, event)
            for mapping in deployed.readers(stream):
                line: dict[str, Any] = {
                    "at": event["at"], "mapping": mapping.id, "function": mapping.function, "stream": stream,
                    "shard": "", "numbers": [number],
                }  # fmt: skip
                if mapping.patterns and seen is not None and all(mismatches(each, seen) for each in mapping.patterns):
                    history.filtered.append({"kind": "filtered", **line})  # type: ignore[typeddict-item]
                elif self._has_passed(deployed, mapping.function, mapping.id, event):
                    done = {"attempt": 1, "start": event["at"], "outcome": "ok", "done": 1}
                    history.attempts.append({"kind": "attempt", **line, **done})  # type: ignore[typeddict-item]
        return history

    def _has_passed(self, deployed: Deployed, function: str, mapping: str, event: EventLine) -> bool:
        """Whether a function has had a record: by what followed, logs and rows, or because its mapping is further."""
        id = id_of(event)
        for other in self._lake.with_terms(("cause", id)):
            tags = other["detail"].get("tags")
            if isinstance(tags, dict) and tags.get("functionname") == function:
                return True
        if any(call["function"] == function for call in self._invocations.about(id)):
            return True
        rules = deployed.rules(function) or ()
        collects = any(rule.flavor == "collect" and rule.wants(event["type"]) is not False for rule in rules)
        if collects and any(row["keys"].get("sk") == {"S": "EVENT"} for row in self._rows.of_key(id)):
            return True
        lag = deployed.lag(mapping, "")
        return lag is not None and self._rows.clock() - lag.age_ms > event["at"]

    # --- what tables and logs know ---

    def changes(
        self, *, table: str | None = None, key: str | None = None, number: str | None = None, by: str | None = None,
        since: int | None = None, until: int | None = None, before: str | None = None, limit: int = PAGE,
    ) -> LinePage[ChangeLine]:  # fmt: skip
        """The rows of a key as they are now."""
        if key is None:
            note(CHANGES)
            return LinePage([])
        found = list(self._changed(key, table)) if by is None and number is None else []
        return _page(found[::-1], before, limit)

    def _changed(self, key: str, table: str | None = None) -> Iterator[ChangeLine]:
        """Rows of a key, and of the correlations by it."""
        deployed = self._deployed
        suffixes = {
            rule.suffix
            for mapping in deployed.mappings
            if ":dynamodb:" in mapping.source
            for rule in deployed.rules(mapping.function) or ()
            if rule.flavor == "evaluate"
        }
        for value in (key, *(f"{key}.{each}" for each in sorted(suffixes) if each), f"DATA#{key}"):
            yield from self._rows.of_key(value, table)

    def calls(
        self, *, function: str | None = None, request: str | None = None, record: str | None = None,
        failed: bool = False, since: int | None = None, until: int | None = None,
        before: str | None = None, limit: int = PAGE,
    ) -> LinePage[CallLine]:  # fmt: skip
        found: list[CallLine] = []
        if record is not None:
            # Functions log ids of their own events, and never EventBridge's.
            if any(id_of(event) == record for event in self._lake.with_terms(("id", record))):
                found = self._invocations.about(record)
        elif request is not None:
            found = [call for call in self._invocations.about(request) if call["request"] == request]
        elif function is not None:
            now = self._rows.clock()
            most = int(before or 0) + limit + 1
            return _page(
                self._invocations.latest(
                    function, self._invocations.since if since is None else since, now if until is None else until,
                    most, failed=failed,
                ), before, limit,
            )  # fmt: skip
        wanted = [call for call in found if function in (None, call["function"])]
        return _page([call for call in wanted if not failed or call["outcome"] != "ok"], before, limit)

    def refused(
        self, *, function: str | None = None, since: int | None = None, until: int | None = None,
        before: str | None = None, limit: int = PAGE,
    ) -> LinePage[RefusedLine]:  # fmt: skip
        """What functions have logged of it, in the invocations that were asked about."""
        found = [each for each in self._invocations.refused() if function is None or each["function"] == function]
        return _page(found, before, limit)

    def traffic(self, since: int, until: int) -> list[Traffic]:
        events: dict[tuple[str, str, str], list[int]] = {}
        for event in self._lake.newest([]):
            if since <= event["at"] < until:
                arrows = [("event", event["source"], event["bus"])]
                arrows += [("unmatched", event["bus"], event["type"])] if not event["rules"] else []
                for arrow in arrows:
                    events.setdefault(arrow, []).append(event["at"])
        own = [Traffic(*arrow, len(times), len(times), 0, 0, 0, max(times)) for arrow, times in events.items()]
        return [*own, *self._figured(since, until)]

    # --- what nobody knows ---

    def attempts(
        self, *, mapping: str | None = None, shard: str | None = None, request: str | None = None,
        failed: bool = False, since: int | None = None, until: int | None = None,
        before: str | None = None, limit: int = PAGE,
    ) -> LinePage[AttemptLine]:  # fmt: skip
        note(ATTEMPTS)
        return LinePage([])

    def filtered(
        self, *, mapping: str | None = None, since: int | None = None, until: int | None = None,
        before: str | None = None, limit: int = PAGE,
    ) -> LinePage[FilteredLine]:  # fmt: skip
        note(FILTERED)
        return LinePage([])

    def undelivered(
        self, *, bus: str | None = None, id: str | None = None, since: int | None = None, until: int | None = None,
        before: str | None = None, limit: int = PAGE,
    ) -> LinePage[DeliveryLine]:  # fmt: skip
        note(UNDELIVERED)
        return LinePage([])

    def held(self, request: str) -> list[StreamLine | ChangeLine]:
        note(INVOKED_WITH)
        return []

    def messages(
        self, *, to: str | None = None, id: str | None = None, event: str | None = None,
        since: int | None = None, until: int | None = None, before: str | None = None, limit: int = PAGE,
    ) -> LinePage[MessageLine]:  # fmt: skip
        note(MESSAGES)
        return LinePage([])

    def arrived(
        self, after: str | None = None, *, kinds: Collection[Kind] | None = None, limit: int = 1_000,
        most: int | None = None,
    ) -> Arrived:  # fmt: skip
        """Nothing, but that it is time to load anew: a stage does not tell what comes."""
        now = str(int(self._clock() // TICK_S))
        return Arrived([], now, missed=after not in (None, now))

    def coverage(self) -> Coverage:
        return Coverage(self._held.first, self._held.number, 0, 0, None, 0, 0, 0)


def _place_of(before: str | None) -> tuple[int, str] | None:
    """Where a page of events ended.

    Raises:
        ValueError: it is no such place.
    """
    if before is None:
        return None
    at, _, id = before.partition(" ")
    return int(at), id


def _text_of(event: EventLine) -> str:
    return json.dumps([event["source"], event["type"], event["detail"]], ensure_ascii=False, separators=(",", ":"))


def _page(lines: list[Any], before: str | None, limit: int) -> LinePage[Any]:
    """A page of lines; a place is how many came before it."""
    start = int(before or 0)
    older = str(start + limit) if len(lines) > start + limit else None
    return LinePage(lines[start : start + limit], older)
