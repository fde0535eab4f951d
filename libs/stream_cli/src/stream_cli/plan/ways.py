"""Where each kind of record goes: rules and filters of the templates, applied to an example of each kind."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, field
from typing import Any, Literal

from stream_cli.mappings.filters import compile_filters
from stream_cli.patterns import compile_pattern
from stream_cli.plan.model import Event, Load, System, Times

FAULT = "fault"
"""The type of the events that poison becomes."""

SCHEDULE = "schedule"
"""The kind of what a schedule sends."""

FAULT_BYTES = 2_000.0
"""Size of a fault where `Times.events` does not say it; it holds the event that failed."""


@dataclass(frozen=True)
class Kind:
    """One kind of record.

    Attributes:
        place: where it appears: on the buses, at a route, or in the stream of a table.
        table: the table's name.
        keys, skew: as in `EventLoad`.
    """

    name: str
    place: Literal["bus", "route", "table"]
    bytes: float
    keys: int = 0
    skew: float = 0.0
    table: str = ""


@dataclass(frozen=True)
class Ways:
    """All kinds that a load leads to, and where they go, by the kind's name.

    Attributes:
        targets: kind and name of each target of rules, of events; repeated if several rules have it.
        archives: of events.
        mappings: those whose filters keep a record of the kind.
        filtered: those whose filters drop it.
    """

    kinds: AnyMapping[str, Kind]
    targets: AnyMapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    archives: AnyMapping[str, tuple[str, ...]] = field(default_factory=dict)
    mappings: AnyMapping[str, tuple[str, ...]] = field(default_factory=dict)
    filtered: AnyMapping[str, tuple[str, ...]] = field(default_factory=dict)

    def of_type(self, kind: str, target: str) -> tuple[str, ...]:
        """The names of an event's targets of one kind."""
        return tuple(name for which, name in self.targets.get(kind, ()) if which == target)

    def functions(self, kind: str, system: System) -> tuple[str, ...]:
        """The functions that handle records of a kind, through mappings, routes or rules."""
        through = tuple(system.mappings[name].function for name in self.mappings.get(kind, ()))
        route = (system.routes[kind].function,) if kind in system.routes else ()
        return (*route, *through, *self.of_type(kind, "function"))


def ways_of(system: System, times: Times, load: Load) -> Ways:
    """Follow everything in the load through rules, mappings and functions."""
    finder = _Finder(system, times)
    for name, each in load.types.items():
        if name in system.routes:
            finder.follow(Kind(name, "route", each.bytes_mean, each.keys, each.skew))
        else:
            finder.follow(Kind(name, "bus", each.bytes_mean, each.keys, each.skew))
        if each.poison:
            finder.follow(Kind(FAULT, "bus", finder.event(FAULT).bytes, each.keys, each.skew))
    for schedule in system.schedules.values():
        work = times.functions.get(schedule.function)
        if work is not None:
            finder.outputs(schedule.function, Kind(SCHEDULE, "route", 0.0))
    return finder.ways()


class _Finder:
    def __init__(self, system: System, times: Times) -> None:
        self._system = system
        self._times = times
        self._kinds: dict[str, Kind] = {}
        self._targets: dict[str, tuple[tuple[str, str], ...]] = {}
        self._archives: dict[str, tuple[str, ...]] = {}
        self._kept: dict[str, tuple[str, ...]] = {}
        self._filtered: dict[str, tuple[str, ...]] = {}
        self._rules = [(rule, compile_pattern(rule.pattern)) for rule in system.rules.values()]
        self._patterns = {
            archive.name: compile_pattern(archive.pattern) if archive.pattern is not None else None
            for archive in system.archives.values()
        }
        self._filters = {
            mapping.name: compile_filters(mapping.settings.source.kind, mapping.settings.filter_patterns)
            for mapping in system.mappings.values()
        }

    def ways(self) -> Ways:
        return Ways(self._kinds, self._targets, self._archives, self._kept, self._filtered)

    def event(self, type_: str) -> Event:
        return self._times.events.get(type_) or Event(bytes=FAULT_BYTES if type_ == FAULT else 1_000.0)

    def follow(self, kind: Kind) -> None:
        """Note where a kind goes, and follow what the functions there make of it."""
        if kind.name in self._kinds:
            return
        self._kinds[kind.name] = kind
        if kind.place == "bus":
            self._from_bus(kind)
        elif kind.place == "table":
            record = self._change(kind)
            self._read(kind, kind.table, record)
        for function in self.ways().functions(kind.name, self._system):
            self.outputs(function, kind)

    def outputs(self, function: str, kind: Kind) -> None:
        """Follow what a function makes of a kind."""
        given = self._times.functions.get(function)
        if given is None:
            return
        work = given.of(kind.name)
        for type_ in work.emits:
            self.follow(Kind(type_, "bus", self.event(type_).bytes, kind.keys, kind.skew))
        for change in work.changes:
            if change.streamed and self._system.tables[change.table].streamed:
                keys, skew = {"same": (kind.keys, kind.skew), "own": (0, 0.0), "one": (1, 0.0)}[change.key]
                self.follow(Kind(change.kind, "table", change.bytes, keys, skew, change.table))

    def _from_bus(self, kind: Kind) -> None:
        detail = {"id": "1", "type": kind.name, "timestamp": 0, "partition_key": "1", **self.event(kind.name).fields}
        envelope = {
            "version": "0", "id": "1", "detail-type": kind.name, "source": "custom", "account": self._system.account,
            "time": "1970-01-01T00:00:00Z", "region": self._system.region, "resources": [], "detail": detail,
        }  # fmt: skip
        targets = [target for rule, matches in self._rules if matches(envelope) for target in rule.targets]
        self._targets[kind.name] = tuple((target.kind, target.name) for target in targets)
        self._archives[kind.name] = tuple(
            name for name, matches in self._patterns.items() if matches is None or matches(envelope)
        )
        data = base64.b64encode(json.dumps(detail).encode()).decode()
        record = {"kinesis": {"partitionKey": "1", "data": data}, "eventName": "aws:kinesis:record"}
        for target in targets:
            if target.kind == "stream":
                self._read(kind, target.name, record)

    def _change(self, kind: Kind) -> AnyMapping[str, Any]:
        for function in self._times.functions.values():
            for work in function.work.values():
                for change in work.changes:
                    if (change.table, change.kind) == (kind.table, kind.name):
                        return change.record
        return {}

    def _read(self, kind: Kind, source: str, record: AnyMapping[str, Any]) -> None:
        for mapping in self._system.mappings.values():
            if mapping.source == source and mapping.settings.enabled:
                kept = self._filters[mapping.name](record)
                into = self._kept if kept else self._filtered
                into[kind.name] = (*into.get(kind.name, ()), mapping.name)
