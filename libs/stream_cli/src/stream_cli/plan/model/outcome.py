"""What a simulation has found: a series per second for each part, and the figures that sum it up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil

import numpy as np

from .load import Series


@dataclass(frozen=True)
class Figures:
    """A series in short."""

    mean: float = 0.0
    p50: float = 0.0
    p99: float = 0.0
    max: float = 0.0


def figures(values: Series, weights: Series | None = None) -> Figures:
    """Mean, percentiles and maximum of values; `weights` (how many records each stands for) for all but the maximum.

    Values that are nan are left out; without any, all figures are 0.
    """
    if weights is None:
        return _alike(np.sort(values[~np.isnan(values)]))
    kept = ~np.isnan(values) & (weights > 0)
    values, weights = values[kept], weights[kept]
    if not len(values):
        return Figures()
    order = np.argsort(values, kind="stable")
    values, reached = values[order], np.cumsum(weights[order])
    p50, p99 = values[np.searchsorted(reached, reached[-1] * np.array([0.5, 0.99])).clip(max=len(values) - 1)]
    mean = float(np.dot(values, weights[order]) / reached[-1])
    return Figures(mean, float(p50), float(p99), float(values[-1]))


def _alike(values: Series) -> Figures:
    """Of sorted values that weigh the same: as with weights, several times as fast."""
    count = len(values)
    if not count:
        return Figures()
    p50, p99 = (float(values[ceil(count * share) - 1]) for share in (0.5, 0.99))
    return Figures(float(values.mean()), p50, p99, float(values[-1]))


@dataclass(frozen=True)
class BusOutcome:
    """A bus: entries and bytes put to it, targets called, and entries over the quota of PutEvents, a second."""

    events: Series
    bytes: Series
    deliveries: Series
    throttled: Series
    archived_bytes: Series


@dataclass(frozen=True)
class StreamOutcome:
    """A Kinesis stream.

    Attributes:
        records, bytes: written a second, to all shards.
        shards: how many there are (grows in on-demand mode).
        hottest_share: the share of the records that the hottest shard gets, of the shards that there are at the end.
        hottest_shard: its number.
        hottest_key: the share of the records that the most frequent key has; no number of shards makes it smaller.
        utilisation: of the hottest shard's capacity to write; above 1 it refuses records.
        throttled: records a second that shards refuse at first; the bus tries them again.
        read_utilisation: of what shards give to mappings without fan-out.
        write_lag_s: how long records wait for a shard that refuses them.
    """

    records: Series
    bytes: Series
    shards: Series
    hottest_share: float
    hottest_shard: int
    hottest_key: float
    utilisation: Series
    throttled: Series
    read_utilisation: Series
    write_lag_s: Series


@dataclass(frozen=True)
class MappingOutcome:
    """An event source mapping.

    Attributes:
        records: that its filters keep, offered a second.
        filtered: that they drop, a second.
        done: records finished a second.
        invocations: a second.
        batch: mean number of records of an invocation; nan where there is none.
        utilisation: share of time that the busiest lane spends in invocations.
        lanes: shards times ParallelizationFactor.
        concurrency: lanes in an invocation, on average.
        backlog: records that wait, at the end of the second.
        lag_s: how old a record is when its invocation begins, in the lane where it is oldest; includes polls and
            windows.
        delay_s: the mean over all lanes of how old records are when they are done.
        failed: attempts a second that left records for another attempt.
        given_up: records a second that went to the on-failure destination.
    """

    records: Series
    filtered: Series
    done: Series
    invocations: Series
    batch: Series
    utilisation: Series
    lanes: Series
    concurrency: Series
    backlog: Series
    lag_s: Series
    delay_s: Series
    failed: Series
    given_up: Series

    @property
    def lag(self) -> Figures:
        """The lag over the whole time, weighted by records."""
        return figures(self.lag_s, self.done)


@dataclass(frozen=True)
class FunctionOutcome:
    """A function: a second, invocations, environments that are busy, GB-seconds, throttled attempts, and bytes logged.

    Attributes:
        duration_s: mean of an invocation; nan where there is none.
        timed_out: whether the duration of a full batch exceeds the time-out.
    """

    invocations: Series
    concurrency: Series
    duration_s: Series
    gb_seconds: Series
    throttled: Series
    cold_starts: Series
    log_bytes: Series
    timed_out: bool = False


@dataclass(frozen=True)
class TableOutcome:
    """A table: units a second, of its indexes too.

    Attributes:
        partitions: how many the load needs.
        hottest_key: the share of the write units that the most frequent key has.
        hottest_key_writes: the write units a second of that key; a partition takes `Limits.partition_writes`.
        throttled: write units a second that are refused at first.
        stream_records: records a second in its stream.
        stored_bytes: written a second, by items that are new or changed.
    """

    writes: Series
    index_writes: Series
    reads: Series
    partitions: Series
    hottest_key: float
    hottest_key_writes: Series
    throttled: Series
    stream_records: Series
    stored_bytes: Series


@dataclass(frozen=True)
class DeliveryOutcome:
    """A delivery stream: records, bytes and objects a second, and how long a record waits in its buffer."""

    records: Series
    bytes: Series
    objects: Series
    delay_s: Series


@dataclass(frozen=True)
class QueueOutcome:
    """A queue: messages and bytes a second."""

    messages: Series
    bytes: Series


@dataclass(frozen=True)
class TopicOutcome:
    """A topic: messages and bytes a second."""

    messages: Series
    bytes: Series


@dataclass(frozen=True)
class ApiOutcome:
    """A route: requests a second, and those that the API refuses."""

    requests: Series
    throttled: Series


@dataclass(frozen=True)
class JourneyOutcome:
    """How long a journey takes.

    Attributes:
        steps: what it goes through, in order.
        delay_s: its mean, for events that begin in each second; nan where none does.
        latency: of all events.
    """

    steps: tuple[str, ...]
    delay_s: Series
    latency: Figures


@dataclass(frozen=True)
class Outcome:
    """All parts by name; series have `seconds` values.

    Attributes:
        account_concurrency: busy environments of all functions.
        by: "fluid" or "exact".
    """

    seconds: int
    by: str
    buses: Mapping[str, BusOutcome] = field(default_factory=dict)
    streams: Mapping[str, StreamOutcome] = field(default_factory=dict)
    mappings: Mapping[str, MappingOutcome] = field(default_factory=dict)
    functions: Mapping[str, FunctionOutcome] = field(default_factory=dict)
    tables: Mapping[str, TableOutcome] = field(default_factory=dict)
    delivery_streams: Mapping[str, DeliveryOutcome] = field(default_factory=dict)
    queues: Mapping[str, QueueOutcome] = field(default_factory=dict)
    topics: Mapping[str, TopicOutcome] = field(default_factory=dict)
    routes: Mapping[str, ApiOutcome] = field(default_factory=dict)
    journeys: Mapping[str, JourneyOutcome] = field(default_factory=dict)
    account_concurrency: Series = field(default_factory=lambda: np.zeros(0))
