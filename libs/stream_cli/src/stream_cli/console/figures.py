"""What goes over the arrows of the map and through its nodes at the moment, and what goes wrong there."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream_cli.faults.secret_text import redacted_text
from stream_cli.journal.questions import Questions, Traffic
from stream_cli.mappings.status import StatusUnavailable, admits_nothing, failing_in, read_status, unadmitted_in
from stream_cli.structure.arrows import Arrow
from stream_cli.structure.drawing import Drawing
from stream_cli.structure.nodes import Node
from stream_cli.trace.deployed import ShardLag

TOLD_S = 3600
_TOLD_EVERY_S = 5.0
_SHARE = 100
"""The sums over an hour take long when much happens; they are made so much more rarely than that."""

_SETTLED_MS = 5_000
"""Lines of a second that is so long ago have been written."""

GIVEN_UP = "given up in the last hour"
_MOST_NAMED = 3

Trouble = tuple[str, str]
"""In a word or two, and in full."""


@dataclass(frozen=True)
class Windows:
    """The times that rates are of, in s; they end at a whole ``step``."""

    short: int = 10
    long: int = 60
    step: int = 1


OF_A_STAGE = Windows(short=300, long=300, step=60)
"""CloudWatch counts by the minute, and a minute or two late."""


@dataclass(slots=True)
class Sums:
    """Sums of flows, as in `Traffic`."""

    count: int = 0
    times: int = 0
    failed: int = 0
    ms: int = 0
    most_ms: int = 0

    def add(self, flow: Traffic) -> None:
        """Add a flow."""
        self.count += flow.count
        self.times += flow.times
        self.failed += flow.failed
        self.ms += flow.ms
        self.most_ms = max(self.most_ms, flow.most_ms)


class Flows:
    """The traffic of a time, by arrow and by what it starts from or leads to alone."""

    def __init__(self, traffic: Iterable[Traffic]) -> None:
        self._sums: dict[tuple[str, str, str], Sums] = defaultdict(Sums)
        self.unmatched: dict[str, Counter[str]] = defaultdict(Counter)
        self.refused: dict[str, Counter[str]] = defaultdict(Counter)
        for flow in traffic:
            end = flow.end.partition(":")[0] if flow.kind == "call" else flow.end
            for key in {(flow.kind, flow.start, end), (flow.kind, "*", end), (flow.kind, flow.start, "*")}:
                self._sums[key].add(flow)
            if flow.kind == "unmatched":
                self.unmatched[flow.start][flow.end] += flow.count
            if flow.kind == "refused":
                self.refused[flow.start.partition(":")[0]][flow.end] += flow.count

    def of(self, kind: str, start: str, end: str) -> Sums:
        """The sums of one arrow; ``*`` stands for any start or end."""
        return self._sums.get((kind, start, end), _NOTHING)


_NOTHING = Sums()


@dataclass(frozen=True)
class Recent:
    """The traffic of the two windows."""

    short: Flows
    long: Flows
    windows: Windows

    def rates(self, kind: str, start: str, end: str) -> dict[str, Any]:
        """How much went over an arrow in a second; nothing if nothing did."""
        short, long = self.short.of(kind, start, end).count, self.long.of(kind, start, end).count
        if not long:
            return {}
        return {"rate": round(short / self.windows.short, 2), "minute": round(long / self.windows.long, 3)}


@dataclass(frozen=True)
class _Told:
    until: int
    traffic: Sequence[Traffic]
    again_at: float


class Figures:
    """Figures of a drawing.

    Args:
        folder: of the mapping engine.
    """

    def __init__(self, questions: Questions, folder: Path, windows: Windows) -> None:
        self._questions = questions
        self._folder = folder
        self._windows = windows
        self._told: _Told | None = None

    def of(self, drawing: Drawing, lags: Mapping[tuple[str, str], ShardLag]) -> dict[str, Any]:
        """Of arrows and nodes, by id; what has nothing to tell is left out.

        Each has ``rate`` and ``minute`` (a second, over the short and the long window), of mappings ``behind``
        (records; None if only their age is known) and ``lag_ms``, of functions ``ms`` (the average of the long window),
        ``troubles`` and ``notes`` as texts, with the first of the troubles in a word or two (``short``).
        """
        windows, step = self._windows, self._windows.step * 1000
        now = time.time_ns() // 1_000_000 // step * step
        long = Flows(self._questions.traffic(now - windows.long * 1000, now))
        short = long
        if windows.short != windows.long:
            short = Flows(self._questions.traffic(now - windows.short * 1000, now))
        recent = Recent(short, long, windows)
        told, status = self._over_an_hour(now), self._status()
        behind = _behind(lags)
        only = _only_invoked(drawing.arrows)
        arrows = {
            arrow.id: figure
            for arrow in drawing.arrows
            if (figure := _of_arrow(arrow, recent, told, behind, status.get(arrow.mapping), only))
        }
        nodes = {node.id: figure for node in drawing.nodes if (figure := _of_node(node, recent, told, status))}
        return {"at": now, "windows": [windows.short, windows.long], "arrows": arrows, "nodes": nodes}

    def _over_an_hour(self, now: int) -> Flows:
        """The traffic of an hour: of most of it as it was some seconds ago, of what has come since as it is now."""
        if self._windows.step > 1:
            return Flows(self._questions.traffic(now - TOLD_S * 1000, now))
        began = time.monotonic()
        if self._told is None or began >= self._told.again_at:
            until = now - _SETTLED_MS
            traffic = self._questions.traffic(now - TOLD_S * 1000, until)
            ended = time.monotonic()
            self._told = _Told(until, traffic, ended + max(_TOLD_EVERY_S, _SHARE * (ended - began)))
        return Flows([*self._told.traffic, *self._questions.traffic(self._told.until, now + 1000)])

    def _status(self) -> dict[str, dict[str, Any]]:
        """Of each mapping what its engine says, and what no mapping lets through by the stream's ARN."""
        try:
            status = read_status(self._folder)
        except StatusUnavailable:
            return {}
        streams = {each["stream"]: {"streams": [each]} for each in status.get("streams", ())}
        return {**{each["uuid"]: each for each in status["mappings"]}, **streams}


def _of_arrow(
    arrow: Arrow, recent: Recent, told: Flows, behind: Mapping[str, ShardLag],
    status: Mapping[str, Any] | None, only: Mapping[tuple[str, str, str], int],
) -> dict[str, Any]:  # fmt: skip
    figure: dict[str, Any] = {}
    if arrow.flow is not None and only.get(arrow.flow, 1) == 1:
        flow = _asked(arrow.flow)
        figure = recent.rates(*flow)
    troubles: list[Trouble] = []
    notes: list[Trouble] = []
    if arrow.kind == "mapping":
        lag = behind.get(arrow.mapping)
        if lag is not None and lag.behind:
            figure |= {"behind": lag.behind, "lag_ms": lag.age_ms}
        elif lag is not None and lag.behind is None and (late := recent.long.of("attempt", "*", arrow.mapping).most_ms):
            # Lags of a stage are bounds, which hold what CloudWatch has not counted yet.
            figure |= {"behind": None, "lag_ms": late}
        if status is not None:
            troubles += [("failing", f"shard {redacted_text(each)}") for each in failing_in(status)]
            troubles += [("broken", redacted_text(status["problem"]))] if status.get("problem") else []
            troubles += [("filtered", "its filters let nothing through")] if admits_nothing(status) else []
        failed = recent.long.of("attempt", "*", arrow.mapping).failed
        troubles += _count(failed, "failing", "failed attempt", f"in the last {recent.windows.long} s")
        troubles += _count(told.of("given_up", "*", arrow.mapping).count, "given up", "record", GIVEN_UP)
        notes += _count(told.of("filtered", "*", arrow.mapping).count, "", "record", "of the last hour filtered out")
    elif arrow.kind == "target" and arrow.flow is not None:
        delivery = told.of("delivery", *arrow.flow[1:])
        troubles += _count(delivery.count, "given up", "event", GIVEN_UP)
        troubles += _count(
            delivery.failed - delivery.count, "failing", "delivery", "failed in the last hour", "deliveries"
        )
    elif arrow.kind == "failure" and arrow.flow is not None:
        given_up = told.of(*_asked(arrow.flow)).count
        troubles += _count(given_up, f"{given_up:,}", "record", GIVEN_UP)
    return _with(figure, troubles, notes)


def _of_node(node: Node, recent: Recent, told: Flows, status: Mapping[str, Any]) -> dict[str, Any]:
    name, figure = node.full_name, dict[str, Any]()
    troubles: list[Trouble] = []
    notes: list[Trouble] = []
    if (flow := _NODES.get(node.kind)) is not None:
        kind, at_start = flow
        key = (kind, name, "*") if at_start else (kind, "*", name)
        minute = recent.long.of(*key)
        figure = recent.rates(*key)
        if kind == "call":
            figure |= {"ms": round(minute.ms / minute.times)} if minute.times else {}
            failed = told.of(*key).failed
            troubles += _count(failed, f"{failed:,} failed", "failed invocation", "in the last hour")
            refused = sorted(told.refused[name].items())[:_MOST_NAMED]
            troubles += [
                ("not allowed", f"its role did not allow {action} ({times} times)") for action, times in refused
            ]
    if node.kind == "bus":
        unmatched = told.unmatched[name]
        count = sum(unmatched.values())
        troubles += _count(count, f"{count:,} no rule", "event", "of the last hour taken by no rule")
        most = sorted(unmatched.items(), key=lambda each: -each[1])[:_MOST_NAMED]
        notes += [("", f"{type} taken by no rule: {times:,}") for type, times in most]
    if node.kind in ("stream", "table"):
        streams = (f"stream/{name}", f"table/{name}")
        own = [each for arn, each in status.items() if "/".join(arn.rpartition(":")[2].split("/")[:2]) in streams]
        troubles += [("filtered", redacted_text(text)) for each in own for text in unadmitted_in(each)]
    return _with(figure, troubles, notes)


# The kind of the flow that is of a node, and whether it starts there.
_NODES: Mapping[str, tuple[str, bool]] = {
    "bucket": ("object", True),
    "bus": ("event", False),
    "function": ("call", False),
    "table": ("change", True),
}


def _asked(flow: tuple[str, str, str]) -> tuple[str, str, str]:
    """A flow as `Flows.of` is asked; calls of no source have an empty one."""
    kind, start, end = flow
    return (kind, start or ("" if kind in ("call", "message") else "*"), end)


def _only_invoked(arrows: Sequence[Arrow]) -> Mapping[tuple[str, str, str], int]:
    """How many arrows share a flow: what is counted for two of them is of neither."""
    shared: dict[tuple[str, str, str], int] = defaultdict(int)
    for arrow in arrows:
        if arrow.flow is not None and arrow.flow[0] in ("call", "message", "object"):
            shared[arrow.flow] += 1
    return shared


def _behind(lags: Mapping[tuple[str, str], ShardLag]) -> dict[str, ShardLag]:
    """How far mappings are behind, over all their shards."""
    found: dict[str, ShardLag] = {}
    for (mapping, _), lag in lags.items():
        before = found.get(mapping)
        known = [each.behind for each in (before, lag) if each is not None and each.behind is not None]
        age = max(lag.age_ms, before.age_ms if before else 0)
        found[mapping] = ShardLag(sum(known) if known else None, age)
    return found


def _count(number: int, short: str, one: str, more: str, many: str | None = None) -> list[Trouble]:
    return [(short, f"{number:,} {one if number == 1 else many or one + 's'} {more}")] if number > 0 else []


def _with(figure: dict[str, Any], troubles: list[Trouble], notes: list[Trouble]) -> dict[str, Any]:
    if troubles:
        figure |= {"short": troubles[0][0], "troubles": [text for _, text in troubles]}
    return figure | {"notes": [text for _, text in notes]} if notes else figure
