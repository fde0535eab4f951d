"""What gives first: the busiest time of a load, doubled until a limit is passed, and then in smaller steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from math import ceil
from typing import Any

import numpy as np

from stream_cli.plan.fluid import simulate
from stream_cli.plan.model import Limits, Load, Outcome, Series, System, Times
from stream_cli.plan.quotas import Quotas, Use, uses

WINDOW_S = 600
"""How long a steady load is simulated: batches, windows and backlogs have settled in a minute or two."""
_MOST_DOUBLINGS = 14
_HALVINGS = 5
_SETTLED_S = 120
_WARMINGS = 6
_FREE = 1e12
"""A limit that nothing reaches; the simulation divides by limits."""


@dataclass(frozen=True)
class Level:
    """A steady rate, and the limits that are near at it.

    Attributes:
        rate: events/s from outside.
        factor: over the busiest second of the load.
    """

    rate: float
    factor: float
    uses: tuple[Use, ...]

    @property
    def passed(self) -> tuple[Use, ...]:
        """The limits that are passed."""
        return tuple(use for use in self.uses if use.is_passed)


@dataclass(frozen=True)
class Doubling:
    """The rates that were tried.

    Attributes:
        levels: in the order in which they were doubled; at the last one a limit is passed, if there is one at all.
        holds: the highest rate that was seen to hold; 0 if the load itself passes a limit.
        gives: what is passed just above it; None if nothing was.
    """

    levels: tuple[Level, ...]
    holds: float = 0.0
    gives: Level | None = None


def doubled(system: System, load: Load, times: Times, limits: Limits, quotas: Quotas) -> Doubling:
    """Double a load until something gives.

    Streams and tables in on-demand mode are as large as the rate before has made them: what the busiest time of the
    load needs at first, and half of each rate afterwards.
    """
    times = replace(times, journeys=())  # nobody asks for them here, and they take longest

    def level(factor: float) -> Level:
        window = busiest(load, WINDOW_S).scaled(factor)
        before = busiest(load, WINDOW_S).scaled(max(1.0, factor / 2))
        grown, capacity = warmed(system, before, times, limits)
        outcome = simulate(grown, window, times, capacity)
        found = uses(grown, settled(outcome), capacity, quotas)
        return Level(float(window.total.max()), factor, tuple(found))

    levels = [level(1.0)]
    while not levels[-1].passed and len(levels) <= _MOST_DOUBLINGS and levels[-1].rate > 0:
        levels.append(level(2 * levels[-1].factor))
    if not levels[-1].passed:
        return Doubling(tuple(levels), levels[-1].rate)
    if len(levels) == 1:
        return Doubling(tuple(levels), 0.0, levels[0])
    holds, gives = _between(levels[-2], levels[-1], level)
    return Doubling(tuple(levels), holds.rate, gives)


def _between(holds: Level, gives: Level, level: Callable[[float], Level]) -> tuple[Level, Level]:
    for _ in range(_HALVINGS):
        middle = level((holds.factor + gives.factor) / 2)
        holds, gives = (holds, middle) if middle.passed else (middle, gives)
    return holds, gives


def busiest(load: Load, seconds: int) -> Load:
    """A steady load at the rates of the busiest second."""
    total = load.total
    at = int(np.argmax(total)) if len(total) else 0
    types = {
        name: replace(
            each, per_second=np.full(seconds, float(each.per_second[at]) if at < len(each.per_second) else 0.0)
        )
        for name, each in load.types.items()
    }
    return replace(load, types=types)


def warmed(system: System, load: Load, times: Times, limits: Limits) -> tuple[System, Limits]:
    """The system after its streams and tables in on-demand mode have had a load for a while: they take twice as much.

    That is what AWS documents of both: Kinesis developer guide, "Choose the right mode"; DynamoDB developer guide,
    "On-demand capacity mode".
    """
    times = replace(times, journeys=())
    for _ in range(
        _WARMINGS
    ):  # with more shards and partitions there are more lanes, and so more comes of what is read
        free = replace(limits, shard_records=_FREE, shard_bytes=_FREE, shard_read_bytes=_FREE)
        outcome = simulate(system, busiest(load, _SETTLED_S), times, free)
        streams = {
            name: replace(stream, shards=_shards(outcome, name, limits, stream.shards))
            if stream.mode == "ON_DEMAND"
            else stream
            for name, stream in system.streams.items()
        }
        tables = outcome.tables.values()
        grown = replace(
            limits,
            on_demand_writes=max(
                [limits.on_demand_writes, *(2 * _most(each.writes, each.throttled) for each in tables)]
            ),
            on_demand_reads=max([limits.on_demand_reads, *(2 * _most(each.reads) for each in tables)]),
        )
        if streams == system.streams and grown == limits:
            break
        system, limits = replace(system, streams=streams), grown
    return system, limits


def _most(*series: Series) -> float:
    return float(np.sum(series, axis=0).max())


def settled(outcome: Outcome) -> Outcome:
    """The outcome without its first minutes, in which environments start and batches fill."""
    unsettled = min(_SETTLED_S, outcome.seconds // 2)
    cut: Outcome = _without(outcome, unsettled)
    return replace(cut, seconds=outcome.seconds - unsettled)


def _without(part: Any, seconds: int) -> Any:
    """A part of an outcome with its series cut."""
    if isinstance(part, np.ndarray):
        return part[seconds:]
    if isinstance(part, Mapping):
        return {name: _without(each, seconds) for name, each in part.items()}
    if is_dataclass(part) and not isinstance(part, type):
        return replace(part, **{each.name: _without(getattr(part, each.name), seconds) for each in fields(part)})
    return part


def _shards(outcome: Outcome, name: str, limits: Limits, least: int) -> int:
    written = outcome.streams[name]
    needed = max(float(written.records.max()) / limits.shard_records, float(written.bytes.max()) / limits.shard_bytes)
    return max(least, ceil(2 * needed))
