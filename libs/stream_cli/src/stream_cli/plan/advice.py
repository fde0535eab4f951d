"""What to change: each change is simulated, and told with what it does to cost, latency, and the tightest limit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from stream_cli.plan.changes import Change, changed
from stream_cli.plan.cost import bill_of
from stream_cli.plan.doubling import WINDOW_S, busiest, settled
from stream_cli.plan.fluid import simulate
from stream_cli.plan.model import Limits, Load, Outcome, System, Times
from stream_cli.plan.prices import Prices
from stream_cli.plan.quotas import Quotas, Use, uses
from stream_cli.plan.system import Inventory

_BATCHES = (100, 500, 1_000)
_WINDOWS = (0, 1, 5, 20)
_LANES = (1, 2, 5, 10)
_MEMORIES = (256, 512, 1_024, 1_769)
_SHARDS = (0.5, 2.0)
_CHEAPER, _FASTER = 0.02, 0.1
"""By how much a change has to be better to be worth telling."""
_AS_MUCH = 0.98
"""What does less than this is not cheaper, but slower."""
_MOST = 8


@dataclass(frozen=True)
class Effect:
    """What a system does at the busiest rate of a load.

    Attributes:
        cost: of a month.
        latency_s: the p99 of the slowest journey; 0 if there is none.
        tightest: the limit that is nearest.
        passed: the limits that are passed.
        done: records that each mapping finishes.
    """

    cost: float
    latency_s: float
    tightest: Use | None
    passed: frozenset[tuple[str, str]]
    done: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Advice:
    """A change, and what it does.

    Attributes:
        before, after: without and with it, at the busiest rate.
        solves: the limits that are passed without it, and not with it.
    """

    change: Change
    before: Effect
    after: Effect

    @property
    def solves(self) -> frozenset[tuple[str, str]]:
        """The limits, by part and id, that are no longer passed."""
        return self.before.passed - self.after.passed

    @property
    def saves(self) -> float:
        """Of the cost of a month, as a share."""
        return 1 - self.after.cost / self.before.cost if self.before.cost else 0.0

    @property
    def faster(self) -> float:
        """Of the p99, as a share."""
        return 1 - self.after.latency_s / self.before.latency_s if self.before.latency_s else 0.0

    @property
    def worth(self) -> float:
        """What puts one before another."""
        return 10 * len(self.solves) + max(self.saves, 0) + max(self.faster, 0) / 2


def advised(
    inventory: Inventory,
    system: System,
    load: Load,
    times: Times,
    limits: Limits,
    quotas: Quotas,
    prices: Prices,
    months: float = 12.0,
) -> list[Advice]:
    """The changes of one property that are worth it, the best first: one for each part and property.

    A change is told if a limit is no longer passed with it, or if it is cheaper and hardly slower, or faster and hardly
    dearer. None that passes another limit is told.
    """
    window = busiest(load, WINDOW_S)

    def effect(of: System) -> Effect:
        outcome = settled(simulate(of, window, times, limits))
        cost = bill_of(replace(inventory, system=of), busiest(load, outcome.seconds), outcome, prices, months)
        near = uses(of, outcome, limits, quotas)
        passed = frozenset((use.part, use.limit) for use in near if use.is_passed)
        done = {name: float(each.done.sum()) for name, each in outcome.mappings.items()}
        return Effect(cost.total, _latency(outcome), near[0] if near else None, passed, done)

    before = effect(system)
    best: dict[tuple[str, str], Advice] = {}
    for change in _candidates(system):
        advice = Advice(change, before, effect(changed(system, [change])))
        key = (change.part, change.property)
        if _is_worth_it(advice) and (key not in best or advice.worth > best[key].worth):
            best[key] = advice
    return sorted(best.values(), key=lambda each: -each.worth)[:_MOST]


def _latency(outcome: Outcome) -> float:
    return max((each.latency.p99 for each in outcome.journeys.values()), default=0.0)


def _is_worth_it(advice: Advice) -> bool:
    does_less = any(advice.after.done[name] < _AS_MUCH * done for name, done in advice.before.done.items())
    if does_less or advice.after.passed - advice.before.passed:
        return False
    if advice.solves:
        return True
    cheaper = advice.saves >= _CHEAPER and advice.faster > -_FASTER
    return cheaper or (advice.faster >= _FASTER and advice.saves > -_CHEAPER)


def _candidates(system: System) -> Iterator[Change]:
    for name, mapping in system.mappings.items():
        settings = mapping.settings
        longest = 10_000 if settings.batch_window else 1_000
        sizes = (each for each in _BATCHES if each != settings.batch_size and each <= longest)
        yield from (Change(name, "BatchSize", str(each)) for each in sizes)
        windows = (each for each in _WINDOWS if each != settings.batch_window)
        yield from (Change(name, "MaximumBatchingWindowInSeconds", str(each)) for each in windows)
        lanes = (each for each in _LANES if each != settings.parallelization_factor)
        yield from (Change(name, "ParallelizationFactor", str(each)) for each in lanes)
    for name, function in system.functions.items():
        sizes = (each for each in _MEMORIES if each != function.memory_mb)
        yield from (Change(name, "MemorySize", str(each)) for each in sizes)
    for name, stream in system.streams.items():
        if stream.mode == "PROVISIONED":
            counts = {max(1, round(stream.shards * factor)) for factor in _SHARDS} - {stream.shards}
            yield from (Change(name, "ShardCount", str(each)) for each in sorted(counts))
