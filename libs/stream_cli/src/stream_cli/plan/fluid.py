"""A day in seconds of wall time: records are amounts, a second is a step, lanes are in groups.

Within a second nothing has an order: what functions emit arrives in the next one. Mean batches and waits come from the
formulas of `batches`, a backlog from what could not be done; both give the lag. `exact` knows what this leaves out:
retries one by one, bursts within a second, and the luck of single environments.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stream_cli.plan.arrangement import Arrangement, arrange
from stream_cli.plan.batches import done_of
from stream_cli.plan.model import AWS, Limits, Load, Outcome, Series, System, Times
from stream_cli.plan.recording import Recording
from stream_cli.plan.slots import SLOTS, Slots, membership, slots_of
from stream_cli.plan.summing import summed
from stream_cli.plan.units import hot_units, write_units

_MINUTE = 60
_AT_ONCE = 600
"""Seconds that are tried at once: while everything keeps up, they need no order."""

_LONG, _COARSE = 21_600, 5
"""In loads that are longer than so many seconds, seconds in which something waits are taken so many at a time."""

_HALF_HOUR = 1_800
_LITTLE = 1e-9

Matrix = npt.NDArray[np.float64]
Cube = npt.NDArray[np.float64]


def simulate(system: System, load: Load, times: Times, limits: Limits = AWS) -> Outcome:
    """What a load does to a system, second by second.

    Raises:
        InvalidPattern: a rule or a filter of the system has a pattern that AWS would refuse.
    """
    given = arrange(system, load, times, limits)
    return summed(given, record(given))


def record(given: Arrangement) -> Recording:
    """Run through all seconds."""
    recording = Recording.empty(given)
    flow = _Flow(given)
    second, end = 0, len(given.outside)
    step_s = 1 if end <= _LONG else _COARSE
    while second < end:
        until = min(second + _AT_ONCE, end)
        if not flow.quiet(second, until, recording):
            until = min(second + _MINUTE, end)
            for each in range(second, until, step_s):
                flow.step(each, min(each + step_s, until), recording)
        second = until
    return recording


class _Flow:
    """The state between two seconds."""

    def __init__(self, given: Arrangement) -> None:
        self._given = given
        k, m = len(given.kinds), len(given.mappings)
        rows = m * SLOTS
        self._made = np.zeros(k)
        self._waiting = np.zeros((rows, k))
        self._left = np.zeros(rows)
        self._fixed = np.repeat(given.fixed_s, SLOTS)
        self._costs = np.repeat(given.record_s, SLOTS, axis=0)
        self._sizes = np.repeat(given.batch_size, SLOTS)
        self._full = done_of(self._sizes, given.load.transient, partial=True)
        for number, mapping in enumerate(given.mappings):
            if not given.partial(mapping):
                part = slice(number * SLOTS, (number + 1) * SLOTS)
                self._full[part] = done_of(self._sizes[part], given.load.transient, partial=False)
        self._makes = given.makes.reshape(m * k, k)
        self._streams = [_StreamFlow(given, name) for name in given.system.streams]
        self._concurrency = _Concurrency(given)
        self._tables = _TableFlow(given)
        self._routes = _routes(given)
        self._direct_kinds = np.array([given.index[kind] for _, kind in given.direct], dtype=np.int64)
        self._leads = np.einsum("mk,mkj->kj", given.kept.astype(float), given.makes)
        for kind, made in zip(self._direct_kinds, given.direct_makes, strict=True):
            self._leads[kind] += made
        self._arrange_rows()

    def _arrange_rows(self) -> None:
        """Lanes in groups, for the shards that there are now."""
        given = self._given
        counts, shares, read = [], [], []
        self._members: list[Matrix | None] = []
        by_name = {flow.name: flow for flow in self._streams}
        for number, mapping in enumerate(given.mappings):
            flow = by_name.get(mapping.source)
            shards = flow.shards if flow is not None else given.shards[mapping.source]
            lanes = slots_of(
                [kind if kept else None for kind, kept in zip(given.kinds, given.kept[number], strict=True)],
                given.expected,
                shards,
                mapping.settings.parallelization_factor,
            )
            counts.append(lanes.count)
            shares.append(lanes.share)
            self._members.append(membership(lanes, flow.slots, shards) if flow is not None else None)
            read.append(self._read_limit(number, lanes, shards))
        empty = np.zeros((0, len(given.kinds)))
        self._counts = np.concatenate(counts) if counts else np.zeros(0)
        self._shares = np.concatenate(shares) if shares else empty
        self._read_limits = np.concatenate(read) if read else np.zeros(0)

    def _read_limit(self, number: int, lanes: Slots, shards: int) -> Series:
        """Records a second that each lane can get, since mappings without fan-out share a shard's reads."""
        given, mapping = self._given, self._given.mappings[number]
        sharing = sum(each.source == mapping.source and not each.fan_out for each in given.mappings)
        each = given.limits.shard_read_bytes / (1 if mapping.fan_out else sharing)
        in_shard = float((given.expected * given.bytes)[given.read[number]].sum()) / shards
        kept = lanes.share @ given.expected
        if each == np.inf:
            return np.full(SLOTS, np.inf)
        return np.where(in_shard > 0, each / max(in_shard, _LITTLE) * kept, np.inf)

    def step(self, begin: int, until: int, recording: Recording) -> None:
        """A second, or some together as if they were alike. Rates are a second; what waits is a number of records."""
        given, seconds, at = self._given, until - begin, slice(begin, until)
        volume = given.outside[at].mean(axis=0) + self._made / seconds
        for kinds, rate in self._routes:
            wanted = volume[kinds].sum()
            if wanted > rate:
                volume[kinds] *= rate / wanted
        arrivals = volume * self._shares
        refusing = [flow.admit(volume, at, recording, n) for n, flow in enumerate(self._streams)]
        if any(refusing):
            self._throttled_arrivals(arrivals)
        waiting = self._waiting
        waiting += arrivals * seconds
        total = waiting.sum(axis=1)
        some = np.maximum(total, _LITTLE)
        record_s = (waiting * self._costs).sum(axis=1) / some
        most = np.minimum(self._full / (self._fixed + record_s * self._sizes), self._read_limits)
        served = np.minimum(total / seconds, most)
        requests = volume[self._direct_kinds]
        held, refused = self._concurrency.share(self._counts * served / np.maximum(most, _LITTLE), requests, seconds)
        served *= held
        done = waiting * (served / some)[:, None]  # a second
        by_mapping = self._by_mapping(done)
        slowed = self._tables.share(at, by_mapping, recording)
        if slowed is not None:
            served *= slowed
            done *= slowed[:, None]
            by_mapping = self._by_mapping(done)
        waiting -= done * seconds
        made = by_mapping.reshape(-1) @ self._makes
        if len(requests):
            made += (requests * (1 - refused)) @ given.direct_makes
        self._made = made * seconds
        left = total - served * seconds
        passed = np.arange(1, seconds + 1)[:, None] / seconds
        recording.backlog[at] = self._left + (left - self._left) * passed
        self._left = left
        recording.volume[at] = volume
        recording.arrived[at] = arrivals.sum(axis=1)
        recording.served[at] = served
        recording.record_s[at] = record_s
        recording.lanes[at] = self._counts
        recording.done[at] = by_mapping
        recording.offered[at] = volume * given.kept
        recording.requests[at] = requests
        recording.refused[at] = refused
        recording.held[at] = held.reshape(-1, SLOTS).min(axis=1) if len(held) else 0.0
        grown = [flow.grow(until - 1) for flow in self._streams]
        if any(grown):
            self._regroup()

    def quiet(self, begin: int, end: int, recording: Recording) -> bool:
        """Take several seconds at once, if nothing waits and nothing reaches a limit in them; False if it does."""
        given = self._given
        if self._waiting.max(initial=0.0) > _LITTLE or any(flow.is_refusing for flow in self._streams):
            return False
        outside = given.outside[begin:end].copy()
        outside[0] += self._made
        volume = outside
        for _ in given.kinds:
            following = outside.copy()
            following[1:] += volume[:-1] @ self._leads
            settled = np.array_equal(following, volume)
            volume = following
            if settled:
                break
        if any((volume[:, kinds].sum(axis=1) > rate).any() for kinds, rate in self._routes):
            return False
        arrivals = volume @ self._shares.T
        record_s = volume @ (self._shares * self._costs).T / np.maximum(arrivals, _LITTLE)
        most = np.minimum(self._full / (self._fixed + record_s * self._sizes), self._read_limits)
        requests = volume[:, self._direct_kinds]
        done = volume[:, None, :] * given.kept
        if (
            (arrivals > most).any()
            or not all(flow.takes(volume) for flow in self._streams)
            or not self._tables.takes(begin, done)
            or not self._concurrency.takes(self._counts * arrivals / np.maximum(most, _LITTLE), requests)
        ):
            return False
        self._made = volume[-1] @ self._leads
        self._tables.note(begin, done)
        for number, flow in enumerate(self._streams):
            flow.note(volume, slice(begin, end), recording, number)
        recording.volume[begin:end] = volume
        recording.arrived[begin:end] = recording.served[begin:end] = arrivals
        recording.record_s[begin:end] = record_s
        recording.lanes[begin:end] = self._counts
        recording.done[begin:end] = recording.offered[begin:end] = done
        recording.requests[begin:end] = requests
        recording.held[begin:end] = 1.0
        return True

    def _by_mapping(self, done: Matrix) -> Matrix:
        counted = done * self._counts[:, None]
        return np.asarray(counted.reshape(-1, SLOTS, counted.shape[1]).sum(axis=1))

    def _throttled_arrivals(self, arrivals: Matrix) -> None:
        """Where a stream has refused records, its mappings get what it took instead."""
        by_name = {flow.name: flow for flow in self._streams}
        for number, mapping in enumerate(self._given.mappings):
            flow, members = by_name.get(mapping.source), self._members[number]
            if flow is None or members is None:
                continue
            part = slice(number * SLOTS, (number + 1) * SLOTS)
            arrivals[part] = (members @ flow.taken) * self._shares[part]

    def _regroup(self) -> None:
        """After a stream has grown, spread what waits over its new lanes."""
        before = self._by_mapping(self._waiting)
        self._arrange_rows()
        self._waiting = np.repeat(before, SLOTS, axis=0) * self._shares
        self._left = self._waiting.sum(axis=1)


class _StreamFlow:
    """A Kinesis stream: what its shards take, and how many they are.

    Attributes:
        taken: what all shards together would have taken if all were like those of a group, shape `(SLOTS, K)`.
        is_refusing: whether records wait for a shard that has refused them.
    """

    def __init__(self, given: Arrangement, name: str) -> None:
        self.name = name
        self.shards = given.shards[name]
        self._given = given
        self._stream = given.system.streams[name]
        self._here = given.at(name)
        self._bytes = given.bytes
        self._refused = np.zeros((SLOTS, len(given.kinds)))
        self._used = np.zeros(_MINUTE)
        self._growing: int | None = None
        self.is_refusing = False
        self.taken = np.zeros((SLOTS, len(given.kinds)))
        self._group()

    def _group(self) -> None:
        kinds = [kind if here else None for kind, here in zip(self._given.kinds, self._here, strict=True)]
        self.slots = slots_of(kinds, self._given.expected, self.shards, 1)
        self._share = np.maximum(self.slots.share, _LITTLE)

    def admit(self, volume: Series, at: slice, recording: Recording, number: int) -> bool:
        """Take what the shards can take; whether they have refused some, or take what they refused before."""
        limits, seconds = self._given.limits, int(at.stop - at.start)
        new = self._utilisation(volume)
        recording.shards[at, number] = self.shards
        recording.utilisation[at, number] = new.max()
        self._used = np.append(self._used[seconds:], [float(new @ self.slots.count) / self.shards] * seconds)
        if not self.is_refusing and new.max() <= 1:
            return False
        wanted = self._refused + volume * self.slots.share * seconds
        used = np.maximum(wanted.sum(axis=1) / limits.shard_records, wanted @ self._bytes / limits.shard_bytes)
        factor = 1 / np.maximum(used / seconds, 1.0)
        self._refused = wanted * (1 - factor)[:, None]
        self.is_refusing = bool(factor.min() < 1)
        recording.throttled[at, number] = self._refused.sum(axis=1) @ self.slots.count
        recording.waiting[at, number] = max(0.0, used.max() - seconds)
        self.taken = wanted * factor[:, None] / self._share / seconds
        return True

    def _utilisation(self, volume: Matrix) -> Matrix:
        """Of the shards of each group, by what is new; shape `(..., SLOTS)`."""
        records = volume @ self.slots.share.T / self._given.limits.shard_records
        return np.maximum(records, volume @ (self.slots.share * self._bytes).T / self._given.limits.shard_bytes)

    def takes(self, volume: Matrix) -> bool:
        """Whether the shards take all of these seconds, and remain as they are."""
        used = self._utilisation(volume)
        if self._stream.mode != "ON_DEMAND":
            return bool(used.max(initial=0.0) <= 1)
        if used.max(initial=0.0) > 1:
            return False
        within = (used @ self.slots.count / self.shards).max(initial=0.0) <= self._given.limits.split_share
        return bool(within and self._growing is None and self._used.mean() <= self._given.limits.split_share)

    def note(self, volume: Matrix, seconds: slice, recording: Recording, number: int) -> None:
        """Write down seconds whose records were all taken."""
        used = self._utilisation(volume)
        recording.shards[seconds, number] = self.shards
        recording.utilisation[seconds, number] = used.max(axis=1)
        self._used = np.append(self._used, used @ self.slots.count / self.shards)[-_MINUTE:]

    def grow(self, second: int) -> bool:
        """Split the shards of a stream in on-demand mode some time after they are half used; whether it has."""
        if self._stream.mode != "ON_DEMAND":
            return False
        limits = self._given.limits
        if self._growing is None and second >= _MINUTE - 1 and self._used.mean() > limits.split_share:
            self._growing = second + int(limits.split_s)
        if self._growing is None or second < self._growing:
            return False
        self._growing = None
        self.shards *= 2
        left = (self._refused * self.slots.count[:, None]).sum(axis=0)
        self._group()
        self._refused = left * self.slots.share
        self._used[:] = 0.0
        return True


class _Concurrency:
    """How many environments functions get: their own limit, how fast they may grow, and the account's limit."""

    def __init__(self, given: Arrangement) -> None:
        names = list(given.system.functions)
        place = {name: number for number, name in enumerate(names)}
        self._of_row = np.repeat(np.array([place[m.function] for m in given.mappings], dtype=np.int64), SLOTS)
        self._of_direct = np.array([place[function] for function, _ in given.direct], dtype=np.int64)
        self._direct_s = np.array([given.duration_s(function, {kind: 1.0}) for function, kind in given.direct])
        reserved = (given.system.functions[name].reserved_concurrency for name in names)
        self._most = np.array([np.inf if limit is None else float(limit) for limit in reserved])
        self._shared = self._most == np.inf
        kept = self._most[~self._shared].sum()
        self._account = max(0.0, given.limits.concurrency - kept)
        self._burst = given.limits.scaling_per_10_s
        self._may_grow = np.full(len(names), self._burst)
        self._had = np.zeros(len(names))
        self._row_of = np.eye(len(names))[self._of_row]
        self._direct_of = np.eye(len(names))[self._of_direct]

    def share(self, rows: Series, requests: Series, seconds: int) -> tuple[Series, Series]:
        """The share of what each row needs that it gets, and the share of each direct invocation that is refused."""
        functions = len(self._had)
        needed = np.bincount(self._of_row, weights=rows, minlength=functions)
        if len(requests):
            needed += np.bincount(self._of_direct, weights=requests * self._direct_s, minlength=functions)
        got = np.minimum(needed, np.minimum(self._most, self._had + self._may_grow))
        shared = got[self._shared].sum()
        if shared > self._account:
            got[self._shared] *= self._account / shared
        had, self._had = self._had, np.maximum(self._had, got)
        self._may_grow = np.minimum(self._burst, self._may_grow - (self._had - had) + self._burst / 10 * seconds)
        factor = got / np.maximum(needed, _LITTLE)
        factor[needed <= _LITTLE] = 1.0
        return factor[self._of_row], 1 - factor[self._of_direct]

    def takes(self, rows: Matrix, requests: Matrix) -> bool:
        """Whether nothing is refused in these seconds; if so, they are over."""
        needed = rows @ self._row_of + (requests * self._direct_s) @ self._direct_of
        most = needed.max(axis=0, initial=0.0)
        if (most > np.minimum(self._most, self._had + self._may_grow)).any():
            return False
        if needed[:, self._shared].sum(axis=1).max(initial=0.0) > self._account:
            return False
        self._had = np.maximum(self._had, most)
        self._may_grow[:] = self._burst
        return True


class _TableFlow:
    """What tables take: units of the whole table, and of the partition that has the hottest key."""

    def __init__(self, given: Arrangement) -> None:
        self._names = list(given.system.tables)
        self._limits = given.limits
        self._limited = bool(self._names) and np.isfinite(given.limits.on_demand_writes)
        self._units = np.array([write_units(given, name) for name in self._names])
        self._hot = np.array([hot_units(given, name) for name in self._names])
        flat = (len(self._names), len(given.mappings) * len(given.kinds))
        self._flat, self._flat_hot = self._units.reshape(flat), self._hot.reshape(flat)
        self._provisioned = np.array(
            [table.write_capacity if table.mode == "PROVISIONED" else 0.0 for table in given.system.tables.values()]
        )
        self._peaks = np.zeros((len(given.outside) + 1, len(self._names)))

    def share(self, at: slice, done: Matrix, recording: Recording) -> Series | None:
        """The share of its work that each row can do, None if tables take all of it."""
        if not self._limited:
            return None
        wanted, hot = self._flat @ done.reshape(-1), self._flat_hot @ done.reshape(-1)
        whole = self._whole(at.start)
        factor = np.minimum(1.0, whole / np.maximum(wanted, _LITTLE))
        hot_factor = np.minimum(factor, self._limits.partition_writes / np.maximum(hot, _LITTLE))
        self._peaks[at.start + 1 : at.stop + 1] = np.maximum(self._peaks[at.start], wanted * factor)
        if hot_factor.min() >= 1.0:
            return None
        recording.table_throttled[at] = wanted * (1 - factor) + hot * np.maximum(0.0, factor - hot_factor)
        slowed = np.ones((done.shape[0], SLOTS))
        for number in np.flatnonzero(hot_factor < 1.0):
            writers = self._units[number].any(axis=1)
            heated = self._hot[number].any(axis=1)
            slowed[writers] = np.minimum(slowed[writers], factor[number])
            slowed[heated, 0] = np.minimum(slowed[heated, 0], hot_factor[number])
        return slowed.reshape(-1)

    def _whole(self, second: int) -> Series:
        """Units that each table takes: in on-demand mode twice what it has taken half an hour before."""
        earlier = self._peaks[max(0, second - _HALF_HOUR)]
        on_demand = np.maximum(self._limits.on_demand_writes, 2 * earlier)
        return np.where(self._provisioned > 0, self._provisioned, on_demand)

    def takes(self, begin: int, done: Cube) -> bool:
        """Whether tables take all of these seconds."""
        if not self._limited:
            return True
        flat = done.reshape(len(done), -1)
        hot = (flat @ self._flat_hot.T).max(axis=0, initial=0.0)
        wanted = (flat @ self._flat.T).max(axis=0, initial=0.0)
        return bool((wanted <= self._whole(begin)).all() and (hot <= self._limits.partition_writes).all())

    def note(self, begin: int, done: Cube) -> None:
        """Write down seconds in which tables took everything."""
        if self._limited:
            wanted = done.reshape(len(done), -1) @ self._flat.T
            seen = np.maximum(np.maximum.accumulate(wanted, axis=0), self._peaks[begin])
            self._peaks[begin + 1 : begin + 1 + len(done)] = seen


def _routes(given: Arrangement) -> list[tuple[npt.NDArray[np.int64], float]]:
    """The kinds of all routes with a limit, and that limit: it is one for the whole API."""
    limited = [(given.index[key], route.rate) for key, route in given.system.routes.items() if key in given.index]
    rates = {rate for _, rate in limited if rate}
    return [(np.array([k for k, own in limited if own == rate], dtype=np.int64), rate) for rate in rates]
