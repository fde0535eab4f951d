"""How long `streamctl plan` takes to simulate a day at 10,000 events a second: one that keeps up, one that does not."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from case import Case, Floor, Results, Variant

sys.path.append(str(Path(__file__).resolve().parents[2] / "libs/stream_cli/tests/plan"))

KEEPS_UP, BEHIND = "a day that keeps up", "a day that never catches up"
RATE = 10_000.0


def simulated(shards: int) -> Callable[[], Callable[[], object]]:
    """A day with a peak at noon, of 1.5 times the mean."""

    def prepare() -> Callable[[], object]:
        from small_systems import MAPPING, PUBLISHED, one_mapping
        from stream_cli.plan import fluid
        from stream_cli.plan.load import curve

        system, times = one_mapping(shards=shards, batch_size=100, fixed_ms=20.0, record_ms=2.0, emits=0.5)
        load = curve({PUBLISHED: RATE}, peak=1.5)
        return lambda: {"backlog": float(fluid.simulate(system, load, times).mappings[MAPPING].backlog[-1])}

    return prepare


def took(variant: str) -> Callable[[Results], float]:
    return lambda results: results[variant]["wall_s"]


CASE = Case(
    name="plan",
    title=f"A day at {RATE:,.0f} events a second in `streamctl plan`",
    variants=(Variant(KEEPS_UP, simulated(60)), Variant(BEHIND, simulated(20))),
    floors=(
        Floor(KEEPS_UP, took(KEEPS_UP), at_most=60, unit="s"),
        Floor(BEHIND, took(BEHIND), at_most=60, unit="s"),
    ),
    rounds=2,
)
