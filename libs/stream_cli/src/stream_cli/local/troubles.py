"""What goes wrong, or nowhere, in a local cloud: told once when it begins, and shown with its counts.

These end in no effect and no fault: a batch that fails again and again, records that are given up or that no filter of
any mapping lets through, events that no rule of their bus takes, those that the target of a rule does not take, and
invocations that fail, such as those of an API or a schedule. So does what the journal could not write down.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stream_cli.amounts import amount
from stream_cli.errors import CommandError
from stream_cli.journal.answers import Journal
from stream_cli.journal.lines import GivenUpLine, Kind, Observed
from stream_cli.journal.questions import Coverage, Traffic
from stream_cli.local.state import StateFolder
from stream_cli.mappings.failing import sentence
from stream_cli.mappings.status import (
    StatusUnavailable,
    admits_nothing,
    failing_in,
    filtered_in,
    name_of,
    read_status,
    unadmitted_in,
)

TOLD_FROM = 2
"""Failures in a row after which a mapping is told; again after twice as many."""

MOST_TYPES = 50
_MANY = 20
_MOST_FAULTS = 1_000
_KINDS: tuple[Kind, ...] = ("event", "delivery", "given_up", "call")
_EVER = (0, 1 << 43)
_UNREADABLE = (CommandError, OSError, sqlite3.Error)


@dataclass(frozen=True)
class Untaken:
    """Events of a type that no rule of a bus takes: how many, and the last of them."""

    bus: str
    type: str
    count: int
    last: str

    def __str__(self) -> str:
        last = f", the last one {self.last}" if self.last else ""
        return f"no rule of the bus {self.bus} takes {self.type}: {amount(self.count, 'event')} so far{last}"


class Troubles:
    """The troubles of the cloud in a state folder. `new` tells each once, `lines` all that there are."""

    def __init__(self, state: StateFolder) -> None:
        self._state = state
        self._journal: Journal | None = None
        self._failures: dict[tuple[str, str], int] = {}
        self._told: set[tuple[str, ...]] = set()
        self._after: str | None = None
        self._lost = 0

    def close(self) -> None:
        """Close the journal."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def lines(self) -> list[str]:
        """Everything that is in the way now, and the counts of what nothing takes, since the cloud was started."""
        status = self._status()
        found: list[str] = []
        for mapping in status["mappings"]:
            about = [mapping["problem"]] if mapping["problem"] else []
            about += failing_in(mapping)
            about += [text] if (text := filtered_in(mapping)) else []
            found += [f"{_label(mapping)}: {text}" for text in about]
        return [*found, *unadmitted_in(status), *self._in_the_journal(status)]

    def new(self) -> Iterator[str]:
        """What has begun, got worse or ended since the last call; that it cannot be read ends no cloud."""
        try:
            yield from self._new()
        except _UNREADABLE as error:
            if self._first("unreadable", str(error)):
                yield _unreadable(error)

    def _new(self) -> Iterator[str]:
        status = self._status()
        for mapping in status["mappings"]:
            yield from self._of_mapping(mapping)
        for stream in status.get("streams", ()):
            for count in stream["unadmitted"]:
                if self._first("unadmitted", stream["stream"], count["type"]):
                    last = f" (such as {count['last']})" if count.get("last") else ""
                    yield f"no mapping on {name_of(stream['stream'])} lets through {count['type']}{last}"
        yield from self._unwritten_now()
        yield from self._arrived(status)

    def untaken(self) -> list[Untaken]:
        """Events that no rule of their bus takes, by type."""
        journal = self._opened()
        if journal is None:
            return []
        found = []
        counted = [each for each in journal.traffic(*_EVER) if each.kind == "unmatched"]
        for each in sorted(counted, key=lambda each: -each.last)[:MOST_TYPES]:
            lines = journal.events(type=each.end, unmatched=True, limit=_MANY).lines
            last = next((line for line in lines if line["bus"] == each.start), None)
            found.append(Untaken(each.start, each.end, each.count, _id_of(last)))
        return sorted(found, key=lambda each: (each.bus, each.type))

    def _in_the_journal(self, status: dict[str, Any]) -> Iterator[str]:
        try:
            yield from (*self._given_up(status), *self._failed(status), *map(str, self.untaken()))
            yield from (*self._undelivered(), *self._faults(), *self._unwritten())
        except _UNREADABLE as error:
            yield _unreadable(error)

    def _unwritten(self) -> Iterator[str]:
        coverage = self._coverage()
        if coverage is not None and coverage.full:
            yield self._full()
        if coverage is not None and coverage.lost:
            yield _lost(coverage.lost)

    def _unwritten_now(self) -> Iterator[str]:
        coverage = self._coverage()
        if coverage is None:
            return
        if not coverage.full:
            self._told.discard(("full",))
        elif self._first("full"):
            yield self._full()
        if coverage.lost > self._lost:
            yield _lost(coverage.lost - self._lost)
        self._lost = coverage.lost

    def _full(self) -> str:
        return f"the disk of {self._state.journal} is full, so that the journal misses what happens now"

    def _coverage(self) -> Coverage | None:
        journal = self._opened()
        return None if journal is None else journal.coverage()

    def _arrived(self, status: dict[str, Any]) -> Iterator[str]:
        journal = self._opened()
        if journal is None:
            return
        if self._after is None:
            self._after = journal.arrived().after
            for each in self.untaken():
                if self._first("untaken", each.bus, each.type):
                    yield f"no rule of the bus {each.bus} takes {each.type} (such as {each.last})"
            return
        arrived = journal.arrived(self._after, kinds=_KINDS)
        self._after = arrived.after
        mapped = _sources(status)
        for line in arrived.lines:
            yield from self._of_line(line, mapped)

    def _of_line(self, line: Observed, mapped: set[str]) -> Iterator[str]:
        if line["kind"] == "event" and not line["rules"] and self._first("untaken", line["bus"], line["type"]):
            yield f"no rule of the bus {line['bus']} takes {line['type']} (such as {_id_of(line)})"
        if line["kind"] == "given_up":
            yield gives_up(line)
        if (
            line["kind"] == "call"
            and line["outcome"] == "failed"
            and line.get("source") not in mapped
            and self._first("failed", line["function"])
        ):
            yield f"{line['function']} failed; {_log_of(line['function'])}"
        if line["kind"] == "delivery" and line["attempts"] >= TOLD_FROM:
            about = (line["bus"], line["rule"], line["target"], line["outcome"])
            if self._first("delivery", *about):
                ends = f", at attempt {line['attempts']}" if line["outcome"] == "failed" else "; the event is given up"
                rule = f"{line['bus']}/{line['rule']}"
                yield f"{_delivery(rule, line['target'])}: {line['problem']}{ends}"

    def _given_up(self, status: dict[str, Any]) -> Iterator[str]:
        """How many records each mapping has given up."""
        labels = {mapping["uuid"]: _label(mapping) for mapping in status["mappings"]}
        journal = self._opened()
        for each in journal.traffic(*_EVER) if journal is not None else ():
            if each.kind == "given_up" and each.end in labels:
                yield f"{labels[each.end]}: {amount(each.count, 'record')} given up"

    def _failed(self, status: dict[str, Any]) -> Iterator[str]:
        """How many invocations of each function failed, without those of the mappings, which tell it themselves."""
        journal, mapped = self._opened(), _sources(status)
        calls: dict[str, list[Traffic]] = {}
        for each in journal.traffic(*_EVER) if journal is not None else ():
            if each.kind == "call" and each.start not in mapped:
                calls.setdefault(each.end, []).append(each)
        for function, counts in calls.items():
            if failed := sum(each.failed for each in counts):
                times = sum(each.times for each in counts)
                yield f"{function}: {failed} of {times} invocations failed; {_log_of(function)}"

    def _undelivered(self) -> Iterator[str]:
        journal = self._opened()
        for each in journal.traffic(*_EVER) if journal is not None else ():
            if each.kind == "delivery":
                given_up = f", {amount(each.count, 'event')} given up" if each.count else ""
                yield f"{_delivery(each.start, each.end)}: {each.failed} deliveries have failed{given_up}"

    def _faults(self) -> Iterator[str]:
        """How many faults there were; what they say is for `faults`, which hides secrets."""
        journal = self._opened()
        faults = journal.events(type="fault", limit=_MOST_FAULTS).lines if journal is not None else []
        if number := len({_id_of(line) for line in faults}):
            more = " or more" if len(faults) == _MOST_FAULTS else ""
            if lost := list(dict.fromkeys(_id_of(line) for line in faults if not line["rules"])):
                yield (
                    f"{number}{more} faults on the bus, of which nothing keeps {len(lost)} (event-fault-monitor is not "
                    f"deployed, or was not): `streamctl trace ID` shows each, such as {lost[0]}"
                )
            else:
                yield f"{number}{more} faults on the bus; `streamctl faults ls` lists them"

    def _of_mapping(self, mapping: dict[str, Any]) -> Iterator[str]:
        label = _label(mapping)
        if mapping["problem"] and self._first("problem", mapping["uuid"], mapping["problem"]):
            yield f"{label}: {mapping['problem']}"
        filtered = sum(shard.get("filtered", 0) for shard in mapping["shards"])
        if filtered >= _MANY and admits_nothing(mapping) and self._first("admits nothing", mapping["uuid"]):
            yield f"{label}: {filtered_in(mapping)}"
        for shard in mapping["shards"]:
            failing, key = shard.get("failing"), (mapping["uuid"], shard["shard"])
            told = self._failures.get(key, 0)
            failures = failing["failures"] if failing else 0
            if failing and failures >= max(TOLD_FROM, told * 2):
                self._failures[key] = failures
                yield f"{label} {sentence(failing)}"
            elif told and failures < told:
                del self._failures[key]
                yield f"{label} goes on; its last outcome is {shard.get('last_outcome') or 'not known'}"

    def _first(self, *about: str) -> bool:
        if about in self._told:
            return False
        self._told.add(about)
        return True

    def _status(self) -> dict[str, Any]:
        try:
            return read_status(self._state.mappings)
        except StatusUnavailable:
            return {"mappings": [], "streams": []}

    def _opened(self) -> Journal | None:
        if self._journal is None and self._state.journal.is_dir():
            self._journal = Journal(self._state.journal)
        return self._journal


def _unreadable(error: Exception) -> str:
    return f"what goes wrong in this cloud cannot be read: {error}"


def _lost(lines: int) -> str:
    return (
        f"{amount(lines, 'line')} of the journal could not be written; trace and console do not know what was in them"
    )


def _sources(status: dict[str, Any]) -> set[str]:
    return {mapping["source"] for mapping in status["mappings"]}


def gives_up(line: GivenUpLine) -> str:
    """That a mapping gives records up, and where they are now."""
    queue = line.get("destination", "").rpartition(":")[2]
    kept = f"now in the queue {queue}" if queue else "and nothing keeps them"
    records = len(line["numbers"])
    what = f"{amount(records, 'record')} after {line['attempts']} attempts, {kept}"
    return f"{line['function']} ← {name_of(line['stream'])} gives up {what}; {_log_of(line['function'])}"


def _log_of(function: str) -> str:
    return f"its log says why: streamctl logs {function}"


def _delivery(rule: str, target: str) -> str:
    bus, _, name = rule.rpartition("/")
    return f"rule {name} of the bus {bus} to {target.rpartition(':')[2]}"


def _label(mapping: dict[str, Any]) -> str:
    return f"{mapping['function'].rpartition(':function:')[2]} ← {name_of(mapping['source'])}"


def _id_of(line: Any) -> str:
    if line is None:
        return ""
    detail = line["detail"]
    return str(detail.get("id") if isinstance(detail, dict) and detail.get("id") else line["id"])
