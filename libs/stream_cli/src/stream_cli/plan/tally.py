"""What the exact simulation counts, second by second, and the outcome of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from stream_cli.plan.arrangement import Arrangement
from stream_cli.plan.journeys import steps_of
from stream_cli.plan.model import JourneyOutcome, MappingOutcome, Outcome, Series, figures
from stream_cli.plan.parts import Counts, parts_of

Rows = npt.NDArray[np.float64]


class Counted(Protocol):
    """A record that flows; `exact.Item` says what its parts are."""

    kind: int
    born: float
    began: tuple[float, ...]
    arrived: float


class Tally:
    """Counts of everything in each second; T seconds, M mappings, K kinds."""

    def __init__(self, given: Arrangement) -> None:
        t, m, k = len(given.outside), len(given.mappings), len(given.kinds)
        self._given = given
        self._seconds = t
        self._volume = np.zeros((t, k))
        self._done = np.zeros((t, m, k))
        self._offered, self._filtered = np.zeros((t, m)), np.zeros((t, m))
        self._invocations, self._records, self._busy = np.zeros((t, m)), np.zeros((t, m)), np.zeros((t, m))
        self._delay, self._failed, self._given_up = np.zeros((t, m)), np.zeros((t, m)), np.zeros((t, m))
        self._throttled = np.zeros((t, m))
        self._ages: list[dict[tuple[int, Any], list[float]]] = [{} for _ in range(m)]
        self._lane_busy: list[dict[Any, float]] = [{} for _ in range(m)]
        self._requests, self._refused = np.zeros((t, len(given.direct))), np.zeros((t, len(given.direct)))
        self._stream_refused = np.zeros((t, len(given.system.streams)))
        self._cold = {name: np.zeros(t) for name in given.system.functions}
        self._ends = [given.index.get(journey.end) for journey in given.times.journeys]
        self._journeys: list[list[tuple[float, float]]] = [[] for _ in given.times.journeys]

    # --- what happens ---

    def born(self, item: Counted, now: float) -> None:
        """A record came into being."""
        self._volume[int(now), item.kind] += 1
        for number, end in enumerate(self._ends):
            began = item.began[number]
            if item.kind == end and began == began:
                self._journeys[number].append((began, now - began))

    def read(self, m: int, page: Sequence[Counted], kept: npt.NDArray[np.bool_], now: float) -> None:
        """A mapping has read records."""
        for item in page:
            (self._offered if kept[item.kind] else self._filtered)[min(int(item.arrived), self._seconds - 1), m] += 1

    def invoked(
        self,
        m: int,
        function: str,
        lane: Any,
        items: Sequence[Counted],
        now: float,
        ends: float,
        *,
        cold: bool,
        failed: bool,
    ) -> None:
        """A mapping has invoked its function."""
        second = int(now)
        self._invocations[second, m] += 1
        self._records[second, m] += len(items)
        self._failed[second, m] += failed
        self._cold[function][second] += cold
        self._spread(self._busy[:, m], now, ends)
        if items:
            self._ages[m].setdefault((second, lane), []).append(now - items[0].arrived)
        self._lane_busy[m][lane] = self._lane_busy[m].get(lane, 0.0) + ends - now

    def ran(self, function: str, now: float, ends: float, *, cold: bool) -> None:
        """A function was invoked directly."""
        self._cold[function][int(now)] += cold

    def finished(self, m: int, items: Sequence[Counted], now: float) -> None:
        """Records are done."""
        second = min(int(now), self._seconds - 1)
        for item in items:
            self._done[second, m, item.kind] += 1
            self._delay[second, m] += now - item.arrived

    def throttled(self, m: int, function: str, now: float) -> None:
        """An attempt got no environment."""
        self._throttled[int(now), m] += 1
        self._failed[int(now), m] += 1

    def gave_up(self, m: int, records: int, now: float) -> None:
        """Records went to the on-failure destination."""
        self._given_up[int(now), m] += records

    def requested(self, d: int, now: float, *, refused: bool) -> None:
        """A direct invocation was tried."""
        self._requests[int(now), d] += 1
        self._refused[int(now), d] += refused

    def refused(self, stream: int, now: float) -> None:
        """A shard has refused a record."""
        self._stream_refused[int(now), stream] += 1

    def _spread(self, into: Series, begin: float, end: float) -> None:
        """Add the seconds from begin to end to each second that they are in."""
        for second in range(int(begin), min(int(end), self._seconds - 1) + 1):
            into[second] += max(0.0, min(end, second + 1.0) - max(begin, float(second)))

    # --- the outcome ---

    def outcome(self) -> Outcome:
        """Everything that was counted."""
        given, t = self._given, self._seconds
        streams = list(given.system.streams)
        counts = Counts(
            volume=self._volume,
            done=self._done,
            invocations=self._invocations,
            busy=self._busy,
            lacking=self._throttled,
            peak=np.ceil(self._busy),
            requests=self._requests,
            refused=np.divide(
                self._refused, self._requests, out=np.zeros_like(self._refused), where=self._requests > 0
            ),
            shards=np.tile(np.array([float(given.shards[name]) for name in streams]), (t, 1)),
            stream_throttled=self._stream_refused,
            stream_waiting=np.zeros((t, len(streams))),
            stream_utilisation=np.stack([self._utilisation(name) for name in streams], axis=1)
            if streams
            else np.zeros((t, 0)),
            table_throttled=np.zeros((t, len(given.system.tables))),
        )
        mappings = {mapping.name: self._mapping(m) for m, mapping in enumerate(given.mappings)}
        return parts_of(given, counts, by="exact", mappings=mappings, journeys=self._told_journeys())

    def _utilisation(self, stream: str) -> Series:
        given = self._given
        here = given.at(stream)
        records, size = self._volume[:, here].sum(axis=1), self._volume[:, here] @ given.bytes[here]
        used = np.maximum(records / given.limits.shard_records, size / given.limits.shard_bytes)
        return np.asarray(used / given.shards[stream])

    def _mapping(self, m: int) -> MappingOutcome:
        invocations = self._invocations[:, m]
        done = self._done[:, m].sum(axis=1)
        lanes = (
            self._given.shards[self._given.mappings[m].source] * self._given.mappings[m].settings.parallelization_factor
        )
        lag = np.full(self._seconds, np.nan)
        for (second, _), ages in self._ages[m].items():
            lag[second] = np.nanmax([lag[second], sum(ages) / len(ages)])
        busiest = max(self._lane_busy[m].values(), default=0.0) / max(1, self._seconds)
        return MappingOutcome(
            records=self._offered[:, m],
            filtered=self._filtered[:, m],
            done=done,
            invocations=invocations,
            batch=_ratio(self._records[:, m], invocations),
            utilisation=np.full(self._seconds, busiest),
            lanes=np.full(self._seconds, float(lanes)),
            concurrency=self._busy[:, m],
            backlog=np.maximum(0.0, np.cumsum(self._offered[:, m]) - np.cumsum(done) - np.cumsum(self._given_up[:, m])),
            lag_s=lag,
            delay_s=_ratio(self._delay[:, m], done),
            failed=self._failed[:, m],
            given_up=self._given_up[:, m],
        )

    def _told_journeys(self) -> dict[str, JourneyOutcome]:
        found = {}
        for journey, taken in zip(self._given.times.journeys, self._journeys, strict=True):
            steps = steps_of(self._given, journey.begin, journey.end)
            if steps is None or not taken:
                continue
            began, took = np.array(taken).T
            seconds = began.astype(np.int64)
            count = np.bincount(seconds, minlength=self._seconds).astype(np.float64)
            mean = _ratio(np.bincount(seconds, weights=took, minlength=self._seconds).astype(np.float64), count)
            found[journey.name] = JourneyOutcome(tuple(step.label for step in steps), mean, figures(took))
        return found


def _ratio(above: Rows, below: Rows) -> Series:
    return np.asarray(np.divide(above, below, out=np.full(len(below), np.nan), where=below > 0))
