"""What was recorded as the outcome of each part: batches and waits from the formulas, lag from the backlog."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stream_cli.plan.arrangement import Arrangement
from stream_cli.plan.batches import Lane, Waits, batch_of, done_of, poll_when_told, waits_of
from stream_cli.plan.journeys import journeys_of
from stream_cli.plan.model import MappingOutcome, Outcome, Series
from stream_cli.plan.parts import Counts, parts_of
from stream_cli.plan.recording import Recording
from stream_cli.plan.slots import SLOTS

Rows = npt.NDArray[np.float64]

_LITTLE = 1e-6


def summed(given: Arrangement, recording: Recording) -> Outcome:
    """The outcome of all parts."""
    hops = {mapping.name: _Lanes.of(given, recording, number) for number, mapping in enumerate(given.mappings)}
    mappings = {name: hop.outcome() for name, hop in hops.items()}
    counts = Counts(
        volume=recording.volume.astype(float),
        done=recording.done.astype(float),
        invocations=_stacked([each.invocations for each in mappings.values()], len(recording.volume)),
        busy=_stacked([each.concurrency for each in mappings.values()], len(recording.volume)),
        lacking=_stacked([hop.lacking for hop in hops.values()], len(recording.volume)),
        peak=_stacked([hop.peak for hop in hops.values()], len(recording.volume)),
        requests=recording.requests.astype(float),
        refused=recording.refused.astype(float),
        shards=recording.shards.astype(float),
        stream_throttled=recording.throttled.astype(float),
        stream_waiting=recording.waiting.astype(float),
        stream_utilisation=recording.utilisation.astype(float),
        table_throttled=recording.table_throttled.astype(float),
    )
    return parts_of(
        given, counts, by="fluid", mappings=mappings, journeys=journeys_of(given, counts.volume, dict(hops))
    )


def _stacked(series: list[Series], seconds: int) -> Rows:
    return np.stack(series, axis=1) if series else np.zeros((seconds, 0))


@dataclass(frozen=True)
class _Lanes:
    """The lanes of one mapping over all seconds; arrays have the shape `(T, SLOTS)`."""

    given: Arrangement
    number: int
    lanes: Rows
    served: Rows
    backlog: Rows
    batch: Rows
    waits: Waits
    behind: Rows
    per_attempt: Rows
    held: Series
    offered: Series
    filtered: Series

    @classmethod
    def of(cls, given: Arrangement, recording: Recording, number: int) -> _Lanes:
        part = slice(number * SLOTS, (number + 1) * SLOTS)
        served, backlog = recording.served[:, part].astype(float), recording.backlog[:, part].astype(float)
        mapping = given.mappings[number]
        lane = Lane(
            batch_size=np.array(given.batch_size[number]),
            window=np.array(mapping.settings.batch_window),
            poll=_poll_s(given, recording, number),
            fixed=np.array(given.fixed_s[number]),
            record=recording.record_s[:, part].astype(float),
        )
        batch = np.where(backlog > _LITTLE, lane.batch_size, batch_of(lane, served))
        read = given.read[number] & ~given.kept[number]
        return cls(
            given=given,
            number=number,
            lanes=recording.lanes[:, part].astype(float),
            served=served,
            backlog=backlog,
            batch=batch,
            waits=waits_of(lane, served, batch, backlog > _LITTLE),
            behind=_behind(recording.arrived[:, part].astype(float), backlog),
            per_attempt=done_of(batch, given.load.transient, partial=given.partial(mapping)),
            held=recording.held[:, number].astype(float),
            offered=recording.offered[:, number].sum(axis=1).astype(float),
            filtered=recording.volume[:, read].sum(axis=1).astype(float),
        )

    @property
    def _attempts(self) -> Rows:
        return np.asarray(self.served / np.maximum(self.per_attempt, _LITTLE))

    @property
    def _busy(self) -> Rows:
        return np.asarray(np.minimum(1.0, self._attempts * self.waits.service))

    @property
    def lacking(self) -> Series:
        """Environments that the lanes wanted and did not get, on average."""
        busy = self.lanes * self._busy
        return np.asarray((busy.sum(axis=1)) * (1 / np.maximum(self.held, _LITTLE) - 1))

    @property
    def peak(self) -> Series:
        """Lanes that run at the same time at most: two standard deviations above the mean, and all in a backlog."""
        busy = self._busy
        mean, spread = (self.lanes * busy).sum(axis=1), (self.lanes * busy * (1 - busy)).sum(axis=1)
        at_least = np.where(self.served.sum(axis=1) > 0, 1.0, 0.0)
        return np.asarray(np.maximum(at_least, np.minimum(self.lanes.sum(axis=1), mean + 2 * np.sqrt(spread))))

    def outcome(self) -> MappingOutcome:
        weights = self.lanes * self.served
        total = weights.sum(axis=1)
        attempts = self.lanes * self._attempts
        failing = self.given.load.transient
        invocations = attempts.sum(axis=1)
        some = total > 0
        return MappingOutcome(
            records=self.offered,
            filtered=self.filtered,
            done=total,
            invocations=invocations,
            batch=_ratio((attempts * self.batch).sum(axis=1), invocations),
            utilisation=np.where(self.lanes > 0, self._busy, 0.0).max(axis=1),
            lanes=self.lanes.sum(axis=1),
            concurrency=(self.lanes * self._busy).sum(axis=1),
            backlog=(self.lanes * self.backlog).sum(axis=1),
            lag_s=np.where(some, np.where(weights > 0, self.waits.oldest + self.behind, 0.0).max(axis=1), np.nan),
            delay_s=_ratio((weights * (self.waits.total + self.behind)).sum(axis=1), total),
            failed=(attempts * (1 - (1 - failing) ** self.batch)).sum(axis=1),
            given_up=np.zeros(len(total)),
        )

    # --- for journeys ---

    def mean_s(self) -> Series:
        weights = self.lanes * self.served
        means = _ratio((weights * (self.waits.total + self.behind)).sum(axis=1), weights.sum(axis=1))
        return _filled(means)

    def sampled(self, seconds: npt.NDArray[np.int64], chance: np.random.Generator) -> Series:
        """A delay for each record that arrives in one of these seconds."""
        total = (self.lanes * self.served).sum(axis=0)
        if not total.sum():
            return np.zeros(len(seconds))
        slot = chance.choice(SLOTS, size=len(seconds), p=total / total.sum())

        def at(values: Rows) -> Series:
            return np.broadcast_to(values, self.served.shape)[seconds, slot]

        waits, size = self.waits, len(seconds)
        with_first = chance.random(size) < at(waits.first)
        window = at(waits.longest_window) * np.where(with_first, 1.0, chance.random(size))
        return np.asarray(
            2 * at(waits.poll) * chance.random(size)
            + window
            + 2 * at(waits.turn) * chance.random(size)
            + at(waits.service)
            + at(self.behind)
        )


def _poll_s(given: Arrangement, recording: Recording, number: int) -> Rows:
    """Seconds between reads of a shard; shape `()`, or `(T, 1)` where they follow from what arrives."""
    mapping, least = given.mappings[number], given.poll_s[number]
    if not given.limits.told or mapping.fan_out:
        return np.array(least)
    lanes = recording.lanes[:, number * SLOTS : (number + 1) * SLOTS].sum(axis=1)
    shards = np.maximum(1.0, lanes / mapping.settings.parallelization_factor)
    arriving = recording.volume[:, given.read[number]].sum(axis=1)
    return poll_when_told(float(least), (arriving / shards)[:, None])


def _behind(arrived: Rows, backlog: Rows) -> Rows:
    """How old the oldest record that waits is at the end of each second: when it arrived, by what had arrived then."""
    found = np.zeros_like(arrived)
    edges = np.arange(len(arrived) + 1, dtype=float)
    for slot in range(arrived.shape[1]):
        if not (backlog[:, slot] > _LITTLE).any():
            continue
        reached = np.concatenate([[0.0], np.cumsum(arrived[:, slot])])
        gone = np.maximum.accumulate(np.maximum(0.0, reached[1:] - backlog[:, slot]))
        found[:, slot] = np.where(backlog[:, slot] > _LITTLE, edges[1:] - np.interp(gone, reached, edges), 0.0)
    return found


def _ratio(above: Series, below: Series) -> Series:
    return np.asarray(np.divide(above, below, out=np.full(len(below), np.nan), where=below > 0))


def _filled(values: Series) -> Series:
    """Values with those of the next second that has one in place of nan."""
    known = np.flatnonzero(~np.isnan(values))
    if not len(known):
        return np.zeros(len(values))
    return np.asarray(np.interp(np.arange(len(values)), known, values[known]))
