"""A system, a load and times as arrays: kinds, mappings, what functions make of a record, and how much is expected."""

from __future__ import annotations

from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt

from stream_cli.plan.batches import SHORTEST_POLL
from stream_cli.plan.model import Function, FunctionTimes, Limits, Load, Mapping, Series, System, Table, Times, Work
from stream_cli.plan.ways import FAULT, SCHEDULE, Kind, Ways, ways_of

_PAYLOAD = 6 * 1024 * 1024
_RECORD_FIELDS = 500
"""Bytes of a record in an invocation beside its data, which is in base64 for Kinesis."""

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Arrangement:
    """What a simulation works on. T seconds, K kinds, M mappings, D direct invocations (routes, targets, schedules).

    Attributes:
        outside: what comes from outside, shape `(T, K)`.
        kept: whether a mapping's source has a kind and its filters keep it, shape `(M, K)`; `read`: or drop it.
        fixed_s, record_s: of invocations, shapes `(M,)` and `(M, K)`.
        batch_size: shape `(M,)`, less than BatchSize where the payload's limit is reached first.
        makes: records of each kind that come of one that a mapping has done, shape `(M, K, K)`.
        direct: function and kind of each direct invocation; `direct_makes` has shape `(D, K)`.
        expected: how much there is of each kind in the busiest second if everything keeps up, shape `(K,)`.
        shards: by source; of streams in on-demand mode what they start with.
    """

    system: System
    load: Load
    times: Times
    limits: Limits
    ways: Ways
    kinds: tuple[Kind, ...]
    index: AnyMapping[str, int]
    mappings: tuple[Mapping, ...]
    outside: Matrix
    kept: npt.NDArray[np.bool_]
    read: npt.NDArray[np.bool_]
    fixed_s: Series
    record_s: Matrix
    batch_size: Series
    poll_s: Series
    makes: Matrix
    direct: tuple[tuple[str, str], ...]
    direct_makes: Matrix
    expected: Series
    shards: AnyMapping[str, int]

    @property
    def bytes(self) -> Series:
        """Size of each kind, shape `(K,)`."""
        return np.array([kind.bytes for kind in self.kinds])

    def at(self, source: str) -> npt.NDArray[np.bool_]:
        """Which kinds are in a stream or in a table's stream, shape `(K,)`."""
        streams = self.ways.of_type
        return np.array([k.table == source or source in streams(k.name, "stream") for k in self.kinds], dtype=bool)

    def work(self, function: str, kind: str) -> Work:
        """What a function does for a record."""
        return self.times.functions.get(function, FunctionTimes()).of(kind)

    def partial(self, mapping: Mapping) -> bool:
        """Whether a failed record costs only those behind it another attempt."""
        return mapping.settings.report_failures or mapping.settings.bisect

    def duration_s(self, function: str, records: AnyMapping[str, float], *, cold: bool = False) -> float:
        """How long an invocation takes, with so many records of each kind."""
        times = self.times.functions.get(function, FunctionTimes())
        cpu, wait = times.batch_cpu_ms, times.batch_wait_ms
        if cold:
            cpu, wait = cpu + times.cold_cpu_ms, wait + times.cold_wait_ms
        for kind, number in records.items():
            cpu, wait = cpu + number * times.of(kind).cpu_ms, wait + number * times.of(kind).wait_ms
        return (cpu / self.limits.cpu_share(self.system.functions[function].memory_mb) + wait) / 1_000


def arrange(system: System, load: Load, times: Times, limits: Limits) -> Arrangement:
    """Everything as arrays."""
    ways = ways_of(system, times, load)
    kinds = tuple(ways.kinds.values())
    index = {kind.name: number for number, kind in enumerate(kinds)}
    mappings = tuple(mapping for mapping in system.mappings.values() if mapping.settings.enabled)
    kept, read = np.zeros((2, len(mappings), len(kinds)), dtype=bool)
    for m, mapping in enumerate(mappings):
        for k, kind in enumerate(kinds):
            kept[m, k] = mapping.name in ways.mappings.get(kind.name, ())
            read[m, k] = kept[m, k] or mapping.name in ways.filtered.get(kind.name, ())
    outside = np.zeros((load.seconds, len(kinds)))
    for name, each in load.types.items():
        outside[: len(each.per_second), index[name]] += each.per_second
    fixed, record, makes = _of_mappings(mappings, kinds, index, load, times, system, limits)
    direct = tuple((function, kind.name) for kind in kinds for function in _direct(kind, ways, system))
    direct_makes = np.array([_makes(times, f, k, index, load) for f, k in direct]).reshape(len(direct), len(kinds))
    sizes = np.array([kind.bytes for kind in kinds])
    expected = _expected(outside, kept, makes, direct, direct_makes, index)
    return Arrangement(
        system=system,
        load=load,
        times=times,
        limits=limits,
        ways=ways,
        kinds=kinds,
        index=index,
        mappings=mappings,
        outside=outside,
        kept=kept,
        read=read,
        fixed_s=fixed,
        record_s=record,
        batch_size=np.array([_batch_size(m, kept[n], expected, sizes) for n, m in enumerate(mappings)]),
        poll_s=np.array([_poll_s(mapping, mappings, limits) for mapping in mappings]),
        makes=makes,
        direct=direct,
        direct_makes=direct_makes,
        expected=expected,
        shards=_shards(system, ways, times, kinds, expected, limits),
    )


def _of_mappings(
    mappings: tuple[Mapping, ...],
    kinds: tuple[Kind, ...],
    index: AnyMapping[str, int],
    load: Load,
    times: Times,
    system: System,
    limits: Limits,
) -> tuple[Series, Matrix, Matrix]:
    """Fixed and per-record seconds of each mapping's invocations, and what comes of its records."""
    fixed, record = np.zeros(len(mappings)), np.zeros((len(mappings), len(kinds)))
    makes = np.zeros((len(mappings), len(kinds), len(kinds)))
    for m, mapping in enumerate(mappings):
        function = times.functions.get(mapping.function, FunctionTimes())
        share = limits.cpu_share(system.functions.get(mapping.function, Function(mapping.function)).memory_mb)
        fixed[m] = (function.batch_cpu_ms / share + function.batch_wait_ms) / 1_000
        for k, kind in enumerate(kinds):
            work = function.of(kind.name)
            record[m, k] = (work.cpu_ms / share + work.wait_ms) / 1_000
            makes[m, k] = _makes(times, mapping.function, kind.name, index, load)
    return fixed, record, makes


def _makes(times: Times, function: str, kind: str, index: AnyMapping[str, int], load: Load) -> Series:
    """How many records of each kind come of one, shape `(K,)`."""
    made = np.zeros(len(index))
    given = times.functions.get(function)
    if given is None:
        return made
    work = given.of(kind)
    for type_, factor in work.emits.items():
        made[index[type_]] += factor
    for change in work.changes:
        if change.streamed and change.kind in index:
            made[index[change.kind]] += change.factor
    poison = load.types[kind].poison if kind in load.types else 0.0
    if poison:
        made *= 1 - poison
        made[index[FAULT]] += poison
    return made


def _direct(kind: Kind, ways: Ways, system: System) -> tuple[str, ...]:
    """The functions that are invoked with a kind without a mapping."""
    if kind.name == SCHEDULE:
        return ()
    route = (system.routes[kind.name].function,) if kind.place == "route" else ()
    return (*route, *ways.of_type(kind.name, "function"))


def _expected(
    outside: Matrix,
    kept: npt.NDArray[np.bool_],
    makes: Matrix,
    direct: tuple[tuple[str, str], ...],
    direct_makes: Matrix,
    index: AnyMapping[str, int],
) -> Series:
    leads = np.einsum("mk,mkj->kj", kept.astype(float), makes)
    for (_, kind), made in zip(direct, direct_makes, strict=True):
        leads[index[kind]] += made
    total = step = outside.max(axis=0) if len(outside) else np.zeros(len(index))
    for _ in index:
        step = step @ leads
        total = total + step
    return np.asarray(total)


def _batch_size(mapping: Mapping, kept: npt.NDArray[np.bool_], expected: Series, sizes: Series) -> float:
    """How many records fit into a batch, by number and payload."""
    weights = np.where(kept, expected, 0.0)
    mean = float(weights @ sizes / weights.sum()) if weights.sum() else 0.0
    data = mean * 4 / 3 if mapping.settings.source.kind == "kinesis" else mean
    return float(min(mapping.settings.batch_size, max(1, int(_PAYLOAD / (data + _RECORD_FIELDS)))))


def _poll_s(mapping: Mapping, mappings: tuple[Mapping, ...], limits: Limits) -> float:
    """Seconds between reads: those who share a shard have its reads together."""
    if mapping.fan_out:
        return SHORTEST_POLL
    sharing = sum(each.source == mapping.source and not each.fan_out for each in mappings)
    return max(limits.poll_s, sharing / limits.shard_reads, SHORTEST_POLL)


def _shards(
    system: System, ways: Ways, times: Times, kinds: tuple[Kind, ...], expected: Series, limits: Limits
) -> dict[str, int]:
    streams = {
        name: max(1, limits.on_demand_shards if stream.mode == "ON_DEMAND" and not stream.shards else stream.shards)
        for name, stream in system.streams.items()
    }
    writes = dict.fromkeys(system.tables, 0.0)
    for kind, rate in zip(kinds, expected, strict=True):
        for function in ways.functions(kind.name, system):
            for change in times.functions.get(function, FunctionTimes()).of(kind.name).changes:
                writes[change.table] += rate * change.factor * ceil(change.bytes / 1024)
    return {**streams, **{name: partitions(table, writes[name], limits) for name, table in system.tables.items()}}


def partitions(table: Table, writes: float, limits: Limits) -> int:
    """How many partitions a table needs for so many write units a second, and so how many shards its stream has."""
    if table.stream_shards is not None:
        return table.stream_shards
    if table.mode == "PROVISIONED":
        needed = table.write_capacity / limits.partition_writes + table.read_capacity / limits.partition_reads
    else:
        new = limits.on_demand_writes / limits.partition_writes
        needed = max(new if new == new else 1.0, writes / limits.partition_writes)  # both are infinite in a local cloud
    return max(1, ceil(needed))
