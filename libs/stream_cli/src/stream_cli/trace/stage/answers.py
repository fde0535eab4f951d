"""The questions of a timeline, answered for a stage of AWS."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
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
from stream_cli.trace.deployed import Deployed
from stream_cli.trace.gathered import id_of
from stream_cli.trace.mismatches import mismatches
from stream_cli.trace.shapes import record_as_filters_see
from stream_cli.trace.stage.invocations import Invocations
from stream_cli.trace.stage.lake import LakeEvents
from stream_cli.trace.stage.rows import TableRows

CANNOT = (
    "Attempts of mappings and their errors are not recorded at a stage: a record counts as done where its effects, or "
    "the age of the last record that its function has processed, show it.",
    "Rows are shown as they are now, with the times of their events; changes before are not known.",
    "Messages in queues and topics are not known.",
    "Events reach the lake some minutes after they were published; what was published since is missing.",
)
"""What a stage cannot answer."""


class StageAnswers:
    """What a stage can know; it implements `questions.Questions`."""

    def __init__(self, lake: LakeEvents, rows: TableRows, invocations: Invocations, deployed: Deployed) -> None:
        self._lake = lake
        self._rows = rows
        self._invocations = invocations
        self._deployed = deployed

    # --- what the lake knows ---

    def events(
        self, *, id: str | None = None, key: str | None = None, type: str | None = None, source: str | None = None,
        text: str | None = None, by: str | None = None, unmatched: bool = False, since: int | None = None,
        until: int | None = None, before: str | None = None, limit: int = PAGE,
    ) -> LinePage[EventLine]:  # fmt: skip
        named = {"id": id, "key": key, "type": type, "source": source}
        found = self._lake.with_terms([(name, value) for name, value in named.items() if value is not None])
        wanted = [
            event
            for event in reversed(found)
            if (since is None or event["at"] >= since)
            and (until is None or event["at"] < until)
            and (text is None or text in str(event["detail"]))
            and (by is None or event.get("by") == by)
            and not (unmatched and event["rules"])
        ]
        return _page(wanted, before, limit)

    def followed(self, id: str) -> list[EventLine]:
        found: dict[str, EventLine] = {}
        waiting = [id]
        while waiting:
            for event in self._lake.with_terms([("cause", waiting.pop())]):
                if event["id"] not in found:
                    found[event["id"]] = event
                    waiting.append(id_of(event))
        return sorted(found.values(), key=lambda event: event["at"])

    def about(self, value: str, *, kinds: Collection[Kind] | None = None, limit: int = 1_000) -> Sequence[Observed]:
        lines: dict[str, Observed] = {
            event["id"]: event for name in NAMING for event in self._lake.with_terms([(name, value)])
        }
        found: list[Observed] = [*lines.values(), *self._changed(value), *self._invocations.about(value)]
        wanted = [line for line in found if kinds is None or line["kind"] in kinds]
        return sorted(wanted, key=lambda line: line["at"])[-limit:]

    def objects(
        self, *, bucket: str | None = None, key: str | None = None, event: str | None = None,
        since: int | None = None, until: int | None = None, before: str | None = None, limit: int = PAGE,
    ) -> LinePage[ObjectLine]:  # fmt: skip
        events = self._lake.with_terms([("id", event)]) if event is not None else []
        return _page([self._lake.objects[each["id"]] for each in events], before, limit)

    # --- what is computed from the lake and from what is deployed ---

    def records(
        self, *, id: str | None = None, stream: str | None = None, number: str | None = None,
        shard: str | None = None, since: int | None = None, until: int | None = None,
        before: str | None = None, limit: int = PAGE,
    ) -> LinePage[StreamLine]:  # fmt: skip
        """The record of an event in each stream that a rule has as its target; its number is the event's id."""
        events = self._lake.with_terms([("id", id)]) if id is not None else []
        found: list[StreamLine] = [
            {
                "kind": "stream", "at": event["at"], "stream": target, "shard": "", "number": event["id"],
                "key": str(event["detail"].get("partition_key")), "id": id_of(event), "type": event["type"],
            }
            for event in events
            for rule in event["rules"]
            for target in rule["targets"]
            if target.split(":")[2:3] == ["kinesis"]
        ]  # fmt: skip
        return _page(found, before, limit)

    def deliveries(self, stream: str, number: str) -> RecordHistory:
        history = RecordHistory([], [], [])
        events = self._lake.with_terms([("id", number)])
        records = [line for line in self.records(id=number).lines if line["stream"] == stream]
        for event, record in zip(events[:1], records[:1], strict=False):
            seen = record_as_filters_see(record, event)
            for mapping in self._deployed.readers(stream):
                line: dict[str, Any] = {
                    "at": event["at"], "mapping": mapping.id, "function": mapping.function, "stream": stream,
                    "shard": "", "numbers": [number],
                }  # fmt: skip
                if mapping.patterns and seen is not None and all(mismatches(each, seen) for each in mapping.patterns):
                    history.filtered.append({"kind": "filtered", **line})  # type: ignore[typeddict-item]
                elif self._has_passed(mapping.function, mapping.id, event):
                    done = {"attempt": 1, "start": event["at"], "outcome": "ok", "done": 1}
                    history.attempts.append({"kind": "attempt", **line, **done})  # type: ignore[typeddict-item]
        return history

    def _has_passed(self, function: str, mapping: str, event: EventLine) -> bool:
        """Whether a function has had a record: by what followed, logs and rows, or because its mapping is further."""
        id = id_of(event)
        for other in self._lake.with_terms([("cause", id)]):
            tags = other["detail"].get("tags")
            if isinstance(tags, dict) and tags.get("functionname") == function:
                return True
        if any(call["function"] == function for call in self._invocations.about(id)):
            return True
        rules = self._deployed.rules(function) or ()
        collects = any(rule.flavor == "collect" and rule.wants(event["type"]) is not False for rule in rules)
        if collects and any(row["keys"].get("sk") == {"S": "EVENT"} for row in self._rows.of_key(id)):
            return True
        lag = self._deployed.lag(mapping, "")
        return lag is not None and self._rows.clock() - lag.age_ms > event["at"]

    # --- what tables and logs know ---

    def changes(
        self, *, table: str | None = None, key: str | None = None, number: str | None = None, by: str | None = None,
        since: int | None = None, until: int | None = None, before: str | None = None, limit: int = PAGE,
    ) -> LinePage[ChangeLine]:  # fmt: skip
        found = list(self._changed(key, table)) if key is not None and by is None and number is None else []
        return _page(found[::-1], before, limit)

    def _changed(self, key: str, table: str | None = None) -> Iterator[ChangeLine]:
        """Rows of a key, and of the correlations by it."""
        suffixes = {
            rule.suffix
            for mapping in self._deployed.mappings
            if ":dynamodb:" in mapping.source
            for rule in self._deployed.rules(mapping.function) or ()
            if rule.flavor == "evaluate"
        }
        for value in (key, *(f"{key}.{each}" for each in sorted(suffixes) if each), f"DATA#{key}"):
            yield from self._rows.of_key(value, table)

    def calls(
        self, *, function: str | None = None, request: str | None = None, record: str | None = None,
        failed: bool = False, since: int | None = None, until: int | None = None,
        before: str | None = None, limit: int = PAGE,
    ) -> LinePage[CallLine]:  # fmt: skip
        # Functions log ids of their own events, and never EventBridge's.
        is_own = record is not None and any(id_of(event) == record for event in self._lake.with_terms([("id", record)]))
        found = self._invocations.about(record) if record is not None and is_own else []
        return _page([call for call in found if not failed or call["outcome"] != "ok"], before, limit)

    def refused(
        self, *, function: str | None = None, since: int | None = None, until: int | None = None,
        before: str | None = None, limit: int = PAGE,
    ) -> LinePage[RefusedLine]:  # fmt: skip
        found = [each for each in self._invocations.refused if function is None or each["function"] == function]
        return _page(found, before, limit)

    # --- what nobody knows ---

    def attempts(
        self, *, mapping: str | None = None, shard: str | None = None, request: str | None = None,
        failed: bool = False, since: int | None = None, until: int | None = None,
        before: str | None = None, limit: int = PAGE,
    ) -> LinePage[AttemptLine]:  # fmt: skip
        return LinePage([])

    def filtered(
        self, *, mapping: str | None = None, since: int | None = None, until: int | None = None,
        before: str | None = None, limit: int = PAGE,
    ) -> LinePage[FilteredLine]:  # fmt: skip
        return LinePage([])

    def undelivered(
        self, *, bus: str | None = None, id: str | None = None, since: int | None = None, until: int | None = None,
        before: str | None = None, limit: int = PAGE,
    ) -> LinePage[DeliveryLine]:  # fmt: skip
        return LinePage([])

    def held(self, request: str) -> list[StreamLine | ChangeLine]:
        return []

    def messages(
        self, *, to: str | None = None, id: str | None = None, event: str | None = None,
        since: int | None = None, until: int | None = None, before: str | None = None, limit: int = PAGE,
    ) -> LinePage[MessageLine]:  # fmt: skip
        return LinePage([])

    def traffic(self, since: int, until: int) -> list[Traffic]:
        return []

    def arrived(
        self, after: str | None = None, *, kinds: Collection[Kind] | None = None, limit: int = 1_000
    ) -> Arrived:
        return Arrived([], after or "")

    def coverage(self) -> Coverage:
        since = min((event["at"] for event in self._lake.events), default=None)
        return Coverage(since, len(self._lake.events), 0, 0, None, 0, 0, 0)

    def unknown(self) -> list[str]:
        """What was asked and could not be answered."""
        left_out = self._lake.left_out
        more = [f"{left_out} older events are left out; give a shorter --since."] if left_out else []
        return [*CANNOT, *more, *dict.fromkeys(self._invocations.problems)]


def _page(lines: list[Any], before: str | None, limit: int) -> LinePage[Any]:
    """A page of lines; a place is how many came before it."""
    start = int(before or 0)
    older = str(start + limit) if len(lines) > start + limit else None
    return LinePage(lines[start : start + limit], older)
