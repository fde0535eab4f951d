"""Buses, streams, functions, tables and delivery streams: what follows for them from counts of records."""

from __future__ import annotations

from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass
from math import inf

import numpy as np
import numpy.typing as npt

from stream_cli.plan.arrangement import Arrangement
from stream_cli.plan.hot_keys import hottest_share, lane_shares
from stream_cli.plan.model import (
    ApiOutcome,
    BusOutcome,
    DeliveryOutcome,
    FunctionOutcome,
    FunctionTimes,
    JourneyOutcome,
    MappingOutcome,
    Outcome,
    QueueOutcome,
    Series,
    StreamOutcome,
    TableOutcome,
    TopicOutcome,
    Work,
)
from stream_cli.plan.units import by_mapping, by_request, hot_writes_of, index_writes_of, reads_of, stored_of, writes_of
from stream_cli.plan.ways import Kind

Rows = npt.NDArray[np.float64]

_MINUTE = 60


@dataclass(frozen=True)
class Counts:
    """Counts in each second; T seconds, K kinds, M mappings, D direct invocations.

    Attributes:
        volume: records of each kind that come into being, shape `(T, K)`.
        done: that mappings have done, shape `(T, M, K)`.
        invocations, busy: of mappings, shape `(T, M)`; `busy` is their concurrency.
        lacking: environments that mappings wanted and did not get, shape `(T, M)`.
        peak: the most environments that mappings had at the same time, shape `(T, M)`.
        requests: direct invocations, shape `(T, D)`; `refused`: the share of them without an environment.
        shards, stream_throttled, stream_waiting, stream_utilisation: of streams, shape `(T, streams)`.
        table_throttled: write units, shape `(T, tables)`.
    """

    volume: Rows
    done: Rows
    invocations: Rows
    busy: Rows
    lacking: Rows
    peak: Rows
    requests: Rows
    refused: Rows
    shards: Rows
    stream_throttled: Rows
    stream_waiting: Rows
    stream_utilisation: Rows
    table_throttled: Rows

    @property
    def seconds(self) -> int:
        """How long it was."""
        return len(self.volume)

    @property
    def flat(self) -> Rows:
        """`done` with the shape `(T, M * K)`."""
        seconds, mappings, kinds = self.done.shape
        return self.done.reshape(seconds, mappings * kinds)


def parts_of(
    given: Arrangement,
    counts: Counts,
    *,
    by: str,
    mappings: AnyMapping[str, MappingOutcome],
    journeys: AnyMapping[str, JourneyOutcome],
) -> Outcome:
    """The outcome of everything."""
    deliveries = {name: _delivery(given, counts, name) for name in given.system.delivery_streams}
    functions = {name: _function(given, counts, name, deliveries) for name in given.system.functions}
    return Outcome(
        seconds=counts.seconds,
        by=by,
        buses={name: _bus(given, counts, name) for name in given.system.buses},
        streams={name: _stream(given, counts, n, name) for n, name in enumerate(given.system.streams)},
        mappings=mappings,
        functions=functions,
        tables={name: _table(given, counts, n, name) for n, name in enumerate(given.system.tables)},
        delivery_streams=deliveries,
        queues={name: QueueOutcome(*_queue(given, counts, name)) for name in given.system.queues},
        topics={name: TopicOutcome(*_messages(given, counts, name, "topic")) for name in given.system.topics},
        routes=_routes(given, counts),
        journeys=journeys,
        account_concurrency=sum((each.concurrency for each in functions.values()), np.zeros(counts.seconds)),
    )


def _bus(given: Arrangement, counts: Counts, name: str) -> BusOutcome:
    limits, ways = given.limits, given.ways
    here = [k for k, kind in enumerate(given.kinds) if kind.place == "bus"]
    sizes = given.bytes + limits.envelope_bytes
    targets = np.array([float(len(ways.targets.get(kind.name, ()))) for kind in given.kinds])
    archived = np.array(
        [
            sum(given.system.archives[each].bus == name for each in ways.archives.get(kind.name, ()))
            for kind in given.kinds
        ]
    )
    events = counts.volume[:, here].sum(axis=1)
    return BusOutcome(
        events=events,
        bytes=counts.volume[:, here] @ sizes[here],
        deliveries=counts.volume @ targets,
        throttled=np.maximum(0.0, events - limits.put_events),
        archived_bytes=counts.volume @ (archived * sizes),
    )


def _stream(given: Arrangement, counts: Counts, number: int, name: str) -> StreamOutcome:
    here, limits = given.at(name), given.limits
    records, size = counts.volume[:, here].sum(axis=1), counts.volume[:, here] @ given.bytes[here]
    weights = counts.volume[:, here].sum(axis=0)
    kinds = [kind for kind, at in zip(given.kinds, here, strict=True) if at]
    shards = int(counts.shards[-1, number]) if counts.seconds else given.shards[name]
    shares = np.full(shards, 1 / shards)
    if weights.sum():
        shares = (
            sum(
                (
                    weight * lane_shares(kind.keys, kind.skew, shards)[:, 0]
                    for kind, weight in zip(kinds, weights, strict=True)
                ),
                np.zeros(shards),
            )
            / weights.sum()
        )
    sharing = sum(each.source == name and not each.fan_out for each in given.mappings)
    hottest = float(shares.max())
    return StreamOutcome(
        records=records,
        bytes=size,
        shards=counts.shards[:, number],
        hottest_share=hottest,
        hottest_shard=int(shares.argmax()),
        hottest_key=_hottest_key(kinds, weights),
        utilisation=counts.stream_utilisation[:, number],
        throttled=counts.stream_throttled[:, number],
        read_utilisation=size * hottest * sharing / limits.shard_read_bytes,
        write_lag_s=counts.stream_waiting[:, number],
    )


def _hottest_key(kinds: list[Kind], weights: Series) -> float:
    total = weights.sum()
    hot = sum(weight * hottest_share(kind.keys, kind.skew) for kind, weight in zip(kinds, weights, strict=True))
    return float(hot / total) if total else 0.0


def _function(
    given: Arrangement, counts: Counts, name: str, deliveries: AnyMapping[str, DeliveryOutcome]
) -> FunctionOutcome:
    function, times = given.system.functions[name], given.times.functions.get(name, FunctionTimes())
    own = [m for m, mapping in enumerate(given.mappings) if mapping.function == name]
    direct = [d for d, (of, _) in enumerate(given.direct) if of == name]
    invocations, busy = counts.invocations[:, own].sum(axis=1), counts.busy[:, own].sum(axis=1)
    peak, logged = counts.peak[:, own].sum(axis=1), np.zeros(counts.seconds)
    for m in own:
        logs = np.array([times.of(kind.name).log_bytes for kind in given.kinds])
        logged += counts.done[:, m] @ logs
    refused = np.zeros(counts.seconds)
    for d in direct:
        got = counts.requests[:, d] * (1 - counts.refused[:, d])
        invocations = invocations + got
        busy = busy + got * given.duration_s(name, {given.direct[d][1]: 1.0})
        refused += counts.requests[:, d] * counts.refused[:, d]
        logged += got * times.of(given.direct[d][1]).log_bytes
    for objects, records, kinds in _notified(given, counts, name, deliveries):
        invocations = invocations + objects
        each = np.array([times.of(kind.name).cpu_ms for kind in kinds])
        share = given.limits.cpu_share(function.memory_mb)
        waits = np.array([times.of(kind.name).wait_ms for kind in kinds])
        busy = busy + objects * given.duration_s(name, {}) + records @ (each / share + waits) / 1_000
        logged += records @ np.array([times.of(kind.name).log_bytes for kind in kinds])
    for schedule in given.system.schedules.values():
        if schedule.function == name:
            invocations = invocations + 1 / schedule.every_s
            busy = busy + given.duration_s(name, {"schedule": 1.0}) / schedule.every_s
    peak = np.maximum(peak, busy)
    duration = np.divide(busy, invocations, out=np.full(counts.seconds, np.nan), where=invocations > 0)
    lacking = counts.lacking[:, own].sum(axis=1)
    return FunctionOutcome(
        invocations=invocations,
        concurrency=busy,
        duration_s=duration,
        gb_seconds=busy * function.memory_mb / 1024,
        throttled=lacking + refused,
        cold_starts=_cold_starts(np.ceil(peak - 1e-6), given.limits.idle_s),
        log_bytes=logged + invocations * times.log_bytes,
        timed_out=any(
            given.fixed_s[m] + given.batch_size[m] * given.record_s[m].max(initial=0.0) > function.timeout_s
            for m in own
        ),
    )


def _notified(
    given: Arrangement, counts: Counts, name: str, deliveries: AnyMapping[str, DeliveryOutcome]
) -> list[tuple[Series, Rows, list[Kind]]]:
    """For each delivery stream whose objects a function is told of: objects, records of each kind, and the kinds."""
    found = []
    for notification in given.system.notifications:
        if notification.function != name:
            continue
        for stream, outcome in deliveries.items():
            if given.system.delivery_streams[stream].bucket == notification.bucket:
                here = [
                    k
                    for k, kind in enumerate(given.kinds)
                    if stream in given.ways.of_type(kind.name, "delivery_stream")
                ]
                found.append((outcome.objects, counts.volume[:, here], [given.kinds[k] for k in here]))
    return found


def _cold_starts(needed: Series, idle_s: float) -> Series:
    """New environments a second: what a minute needs beyond what the minutes before it have left."""
    minutes = -(-len(needed) // _MINUTE)
    padded = np.concatenate([needed, np.zeros(minutes * _MINUTE - len(needed))])
    most = padded.reshape(minutes, _MINUTE).max(axis=1) if minutes else np.zeros(0)
    kept = minutes if idle_s == inf else max(1, int(idle_s // _MINUTE))
    new, had = np.zeros(minutes), np.zeros(minutes)
    for minute in range(minutes):
        left = had[max(0, minute - kept) : minute]
        before = left.max() if len(left) else 0.0
        had[minute] = most[minute]
        new[minute] = max(0.0, most[minute] - before)
    return np.repeat(new / _MINUTE, _MINUTE)[: len(needed)]


def _table(given: Arrangement, counts: Counts, number: int, name: str) -> TableOutcome:
    table = given.system.tables[name]
    got = counts.requests * (1 - counts.refused)

    def of(amount: object) -> Series:
        def each(work: Work, kind: Kind) -> float:
            return float(amount(work, kind))  # type: ignore[operator]

        total = counts.flat @ by_mapping(given, each).reshape(-1)
        return np.asarray(total + got @ by_request(given, each) if len(given.direct) else total)

    writes, hot = of(lambda work, kind: writes_of(work, name)), of(lambda work, kind: hot_writes_of(work, kind, name))
    here = [k for k, kind in enumerate(given.kinds) if kind.table == name]
    return TableOutcome(
        writes=writes,
        index_writes=of(lambda work, kind: index_writes_of(work, name, table.indexes)),
        reads=of(lambda work, kind: reads_of(work, name)),
        partitions=np.full(counts.seconds, float(given.shards[name])),
        hottest_key=float(hot.sum() / writes.sum()) if writes.sum() else 0.0,
        hottest_key_writes=hot,
        throttled=counts.table_throttled[:, number],
        stream_records=counts.volume[:, here].sum(axis=1) if table.streamed else np.zeros(counts.seconds),
        stored_bytes=of(lambda work, kind: stored_of(work, name)),
    )


def _delivery(given: Arrangement, counts: Counts, name: str) -> DeliveryOutcome:
    """Objects are written when the buffer is full or its time is over, whichever comes first."""
    stream = given.system.delivery_streams[name]
    here = [k for k, kind in enumerate(given.kinds) if name in given.ways.of_type(kind.name, "delivery_stream")]
    records = counts.volume[:, here].sum(axis=1)
    size = counts.volume[:, here] @ (given.bytes[here] + given.limits.envelope_bytes)
    some = records > 0
    seconds = max(stream.buffer_seconds, 1e-3)
    full = np.divide(stream.buffer_bytes, size, out=np.full(counts.seconds, inf), where=some)
    cycle = np.minimum(full, seconds + np.divide(1.0, records, out=np.zeros(counts.seconds), where=some))
    return DeliveryOutcome(
        records=records,
        bytes=size,
        objects=np.where(some, 1 / np.maximum(cycle, 1e-9), 0.0),
        delay_s=np.where(some, np.minimum(full, seconds) / 2, np.nan),
    )


def _messages(given: Arrangement, counts: Counts, name: str, target: str) -> tuple[Series, Series]:
    """Messages and bytes to a topic or queue: from rules, and from functions."""
    by_rule = np.array([float(name in given.ways.of_type(kind.name, target)) for kind in given.kinds])
    sent = by_mapping(given, lambda work, kind: work.sends.get(name, 0.0))
    direct = by_request(given, lambda work, kind: work.sends.get(name, 0.0))
    sizes = given.bytes
    messages = counts.volume @ by_rule + counts.flat @ sent.reshape(-1)
    size = counts.volume @ (by_rule * sizes) + counts.flat @ (sent * sizes).reshape(-1)
    if len(given.direct):
        kinds = [given.index[kind] for _, kind in given.direct]
        messages, size = messages + counts.requests @ direct, size + counts.requests @ (direct * sizes[kinds])
    return messages, size


def _queue(given: Arrangement, counts: Counts, name: str) -> tuple[Series, Series]:
    messages, size = _messages(given, counts, name, "queue")
    for topic in given.system.topics.values():
        if name in topic.queues:
            more, bytes_ = _messages(given, counts, topic.name, "topic")
            messages, size = messages + more, size + bytes_
    return messages, size


def _routes(given: Arrangement, counts: Counts) -> dict[str, ApiOutcome]:
    found = {}
    for key in given.system.routes:
        if key in given.index:
            wanted, got = given.outside[:, given.index[key]], counts.volume[:, given.index[key]]
            d = next(n for n, (_, kind) in enumerate(given.direct) if kind == key)
            found[key] = ApiOutcome(requests=wanted, throttled=wanted - got + got * counts.refused[:, d])
    return found
