"""What makes a load hold: properties of the templates, quotas that AWS has to raise, and what no setting solves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import floor, log10

from stream_cli.plan.changes import Change, changed, spread, tables_with_shared_keys
from stream_cli.plan.doubling import WINDOW_S, busiest, settled, warmed
from stream_cli.plan.fluid import simulate
from stream_cli.plan.model import Limits, Load, Mapping, System, Times
from stream_cli.plan.quotas import Quotas, Use, limits_with, uses

_ROUNDS = 16
_LANES = (2, 5, 10)
_LARGEST_BATCH = 1_000
_WHOLE_CPU_MB = 1_769
_SPARE = 1.25
"""What is raised gets so many times what is used."""


@dataclass(frozen=True)
class Remedy:
    """What makes a load hold at its busiest rate.

    Attributes:
        changes: of properties, each with the value that is enough.
        raised: quotas, by name, that AWS has to raise, and to what.
        spread: tables with a key that all items share: code has to spread it.
        unsolved: limits that are passed in spite of all that.
    """

    changes: tuple[Change, ...] = ()
    raised: tuple[tuple[str, float], ...] = ()
    spread: tuple[str, ...] = ()
    unsolved: tuple[Use, ...] = ()


def remedied(system: System, load: Load, times: Times, limits: Limits, quotas: Quotas) -> Remedy:
    """Change what gives, step by step, until everything holds or nothing is left to change.

    Each step is the smallest that the limit's own property allows: lanes before batches, batches before memory, memory
    before shards.
    """
    window = busiest(load, WINDOW_S)
    times = replace(times, journeys=())
    chosen: dict[tuple[str, str], Change] = {}
    raised: dict[str, float] = {}
    tables: list[str] = []
    unsolved: dict[tuple[str, str], Use] = {}
    for _ in range(_ROUNDS):
        now = changed(system, chosen.values())
        taking = spread(times, tables)
        most, more = limits_with(raised, limits, quotas)
        grown, warm = warmed(now, load, taking, most)
        outcome = settled(simulate(grown, window, taking, warm))
        passed = [use for use in uses(grown, outcome, warm, more) if use.is_passed]
        unsolved = {key: use for use in passed if (key := (use.part, use.limit)) in unsolved}
        fresh = [use for use in passed if (use.part, use.limit) not in unsolved]
        if not fresh:
            break
        for use in fresh:
            step = next(_steps(now, use), None)
            if step is not None:
                chosen[step.part, step.property] = step
            elif use.limit == "key_units" and use.part in tables_with_shared_keys(taking):
                tables.append(use.part)
            elif use.raised:
                raised[use.limit] = nice(_SPARE * use.used)
            else:
                unsolved[use.part, use.limit] = use
    return Remedy(tuple(chosen.values()), tuple(raised.items()), tuple(tables), tuple(unsolved.values()))


def nice(value: float) -> float:
    """The next number above with one digit that is 1, 2 or 5.

    >>> [nice(each) for each in (3, 12, 501, 1000)]
    [5.0, 20.0, 1000.0, 1000.0]
    """
    ten = 10.0 ** floor(log10(value))
    return next(factor * ten for factor in (1, 2, 5, 10) if factor * ten >= value * (1 - 1e-9))


def _steps(system: System, use: Use) -> Iterator[Change]:
    """The changes that help against a limit, the smallest first."""
    part = use.part
    match use.limit:
        case "lanes" | "keeps_up":
            yield from _of_lanes(system, system.mappings[part])
        case "shard_writes" if system.streams[part].mode == "PROVISIONED":
            yield from _of_shards(system, part)
        case "shard_reads" | "shard_read_bytes":
            shared = (each for each in system.mappings.values() if each.source == part and not each.fan_out)
            yield from (Change(each.name, "EnhancedFanOut", "true") for each in shared)
        case "api_rate":
            yield Change(part, "ThrottlingRateLimit", f"{nice(_SPARE * use.used):.0f}")
        case "reserved":
            yield Change(part, "ReservedConcurrentExecutions", f"{nice(2 * use.most):.0f}")
        case "timeout":
            mappings = (each for each in system.mappings.values() if each.function == part)
            halved = ((each.name, each.settings.batch_size // 2) for each in mappings)
            yield from (Change(name, "BatchSize", str(size)) for name, size in halved if size)
        case "provisioned_writes" | "provisioned_reads":
            yield Change(part, "BillingMode", "PAY_PER_REQUEST")


def _of_lanes(system: System, mapping: Mapping) -> Iterator[Change]:
    settings, function = mapping.settings, system.functions[mapping.function]
    lanes = (each for each in _LANES if each > settings.parallelization_factor)
    yield from (Change(mapping.name, "ParallelizationFactor", str(each)) for each in lanes)
    if settings.batch_size < _LARGEST_BATCH:
        yield Change(mapping.name, "BatchSize", str(_LARGEST_BATCH))
    if function.memory_mb < _WHOLE_CPU_MB:
        yield Change(function.name, "MemorySize", str(_WHOLE_CPU_MB))
    yield from _of_shards(system, mapping.source)


def _of_shards(system: System, source: str) -> Iterator[Change]:
    """Twice as many shards, where they can be chosen: a table's stream has those that AWS gives it."""
    stream = system.streams.get(source)
    if stream is not None:
        yield Change(source, "ShardCount", str(2 * stream.shards))
