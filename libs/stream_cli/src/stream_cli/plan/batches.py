"""How large the batches of a lane become, and how long records wait for them.

A lane polls its shard every `poll` seconds, forms a batch when `batch_size` records are there or `window` seconds after
the first was read, and runs one invocation of `fixed + record * n` seconds at a time. Arrivals are a Poisson process.
All arguments are arrays that broadcast, in seconds and records a second.

For a batch size of 1 without polls and windows that is M/D/1, whose mean wait is `rho * S / (2 * (1 - rho))`
(Pollaczek-Khinchine). For larger batches the wait is half an invocation while one runs, and in addition what does not
fit into the next batch; its form is Sakasegawa's for M/D/c with `batch_size` for c ("An approximation formula
Lq ~ a * rho^b / (1 - rho)", 1977), which for 1 is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

SHORTEST_POLL = 1e-3
_SMALL = 1e-12
_ROUNDS = 4
_MEANS = 200
_EXACT_BATCHES = 3.0
_LOGISTIC = 1.702
"""With it, the logistic function is about the normal distribution's."""

_FAR = 30.0
"""Standard deviations, beyond which nothing changes."""

_HIGHEST_LOAD = 0.99
"""Nearer to 1, a queue needs longer than a day for its mean; until then it is shorter."""


def poll_when_told(least_s: float, rate: Array) -> Array:
    """The time between reads that has the same mean wait as reading at once, but not before `least_s` have passed.

    Args:
        rate: of all records in the shard, records a second.
    """
    waiting = rate * least_s / (1 + rate * least_s)
    return np.maximum(SHORTEST_POLL, least_s * waiting)


@dataclass(frozen=True)
class Lane:
    """What a mapping's lanes have in common; arrays of one shape."""

    batch_size: Array
    window: Array
    poll: Array
    fixed: Array
    record: Array

    @property
    def full_s(self) -> Array:
        """How long an invocation with a full batch takes."""
        return np.asarray(self.fixed + self.record * self.batch_size)


def batch_of(lane: Lane, rate: Array) -> Array:
    """Mean number of records of a batch at a rate that the lane can keep up with; 1 or more."""
    rate = np.maximum(rate, _SMALL)
    first_poll = lane.poll / -np.expm1(-rate * lane.poll)
    collecting = _more_polls(lane) * lane.poll + first_poll
    batch = np.minimum(lane.batch_size, np.maximum(1.0, rate * collecting))
    for _ in range(_ROUNDS):
        busy = lane.fixed + lane.record * batch
        running = np.where(busy > lane.poll, busy + np.exp(-rate * busy) * first_poll, 0.0)
        batch = np.clip(rate * np.maximum(collecting, running), 1.0, lane.batch_size)
    at_poll = rate * lane.poll
    at_once = (lane.window < lane.poll) & (batch <= at_poll / -np.expm1(-at_poll) + _SMALL)
    return np.asarray(np.where(at_once, at_poll / _batches_at_poll(at_poll, float(lane.batch_size)), batch))


def _batches_at_poll(records: Array, batch_size: float) -> Array:
    """Mean number of batches that the records of one read make, if they are a Poisson number with this mean."""
    means, batches = _poisson_batches(int(batch_size))
    many = records / batch_size + (0.5 if batch_size > 1 else 0.0)
    return np.where(records < means[-1], np.interp(records, means, batches), many)


@cache
def _poisson_batches(batch_size: int) -> tuple[Array, Array]:
    """For some means, the mean of `ceil(N / batch_size)` of a Poisson number N."""
    means = np.geomspace(1e-6, _EXACT_BATCHES * batch_size, _MEANS)
    most = int(means[-1] + 8 * np.sqrt(means[-1]) + 20)
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, most)))])
    numbers = np.arange(most)
    chances = np.exp(numbers * np.log(means)[:, None] - means[:, None] - logs)
    return means, chances @ np.ceil(numbers / batch_size)


def _more_polls(lane: Lane) -> Array:
    """How often a lane reads within a window, after the read that began it."""
    return np.asarray(np.maximum(0.0, np.ceil(lane.window / lane.poll - _SMALL) - 1))


@dataclass(frozen=True)
class Waits:
    """Mean waits of records.

    Attributes:
        poll: until the record is read.
        window: until its batch is ready.
        turn: until the lane is free, beyond `window`.
        service: the invocation.
        longest_window: of the first record of a batch.
        first: the share of records that wait so long, because they were read with the first of their batch.
        oldest: how old the oldest record of a batch is when its invocation begins.
    """

    poll: Array
    window: Array
    turn: Array
    service: Array
    longest_window: Array
    first: Array
    oldest: Array

    @property
    def total(self) -> Array:
        """From arrival in the shard until the record is done."""
        return self.poll + self.window + self.turn + self.service


def waits_of(lane: Lane, rate: Array, batch: Array, backlogged: Any = False) -> Waits:
    """The waits with batches that `batch_of` gave; where lanes are `backlogged`, those beside the backlog."""
    rate = np.maximum(rate, _SMALL)
    at_poll = rate * lane.poll
    first = at_poll / -np.expm1(-at_poll)
    more = _more_polls(lane)
    collected = first + at_poll * more
    spread = np.clip((collected - lane.batch_size) / np.sqrt(collected), -_FAR, _FAR)
    fills = np.where(lane.batch_size > 1, 1 / (1 + np.exp(-_LOGISTIC * spread)), 1.0)
    filled = np.where(lane.window > 0, fills, 0.0)
    fill = np.minimum((lane.batch_size - 1) / rate * np.minimum(1.0, lane.window / lane.poll), lane.window)
    later = at_poll * more * (lane.window - (more + 1) * lane.poll / 2)
    window = filled * fill / 2 + (1 - filled) * (first * lane.window + later) / collected
    longest = filled * fill + (1 - filled) * lane.window
    service = lane.fixed + lane.record * batch
    busy = np.minimum(1.0, rate / batch * service)
    load = np.minimum(rate * lane.full_s / lane.batch_size, _HIGHEST_LOAD)
    over = load ** np.sqrt(2 * (lane.batch_size + 1)) / (lane.batch_size * (1 - load)) * lane.full_s / 2
    queue = np.where(backlogged, 0.0, over)
    running = busy * np.maximum(0.0, service - lane.poll) / 2
    behind = np.maximum(running + queue, _one_after_another(lane, at_poll))
    turn = np.where(backlogged, 0.0, np.maximum(0.0, behind - window))
    read = (filled * 0.5 + (1 - filled) * first / (first + 1)) * lane.poll
    oldest = read + np.maximum(longest, busy * service * batch / (batch + 1) + queue)
    share = (1 - filled) * first / collected
    return Waits(*np.broadcast_arrays(np.asarray(lane.poll / 2), window, turn, service, longest, share, oldest))


def _one_after_another(lane: Lane, at_poll: Array) -> Array:
    """How long a record waits for other batches that were read with it."""
    batches = at_poll / lane.batch_size
    full = np.floor(batches)
    mean = (full * (full - 1) / 2 + full * (batches - full)) / np.maximum(batches, _SMALL)
    by_chance = np.minimum(1.0, at_poll) / (2 * lane.batch_size)
    return np.asarray((mean + by_chance) * lane.full_s)


def done_of(batch: Any, failing: float, *, partial: bool) -> Any:
    """Mean number of records that an attempt finishes, if each fails with probability `failing`.

    With partial responses, and with bisect approximately, those before the first failure; else all of them or none.
    """
    if not failing:
        return batch
    if not partial:
        return batch * (1 - failing) ** batch
    return (1 - (1 - failing) ** batch) * (1 - failing) / failing
