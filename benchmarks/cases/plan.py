"""How long `streamctl plan` takes to simulate a day at 10,000 events a second: one that keeps up, one that does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from case import Case, Floor, Results, Variant

KEEPS_UP, BEHIND = "a day that keeps up", "a day that never catches up"
RATE = 10_000.0
TYPE = "thing-published"


def system_of(shards: int, batch_size: int, fixed_ms: float, record_ms: float, emits: float = 0.0) -> tuple[Any, Any]:
    """A bus, a rule, a stream, and a function that reads it; and the times of the function."""
    from stream_cli.mappings.settings import MappingSettings, source_of
    from stream_cli.plan.model import (
        Bus,
        Function,
        FunctionTimes,
        Journey,
        Mapping,
        Rule,
        Stream,
        System,
        Target,
        Times,
        Work,
    )  # fmt: skip

    source = source_of("arn:aws:kinesis:us-east-1:123456789012:stream/s")
    settings = MappingSettings("1", "f", source, batch_size=batch_size, report_failures=True)
    system = System(
        buses={"bus": Bus("bus")},
        rules={"rule": Rule("rule", "bus", {"detail-type": [{"prefix": "thing"}]}, (Target("stream", "s"),))},
        streams={"s": Stream("s", shards=shards)},
        functions={"f": Function("f")},
        mappings={"m": Mapping("m", "s", "f", settings)},
    )
    work = {TYPE: Work(wait_ms=record_ms, emits={"thing-ready": emits} if emits else {}), "thing-ready": Work()}
    times = Times(
        functions={"f": FunctionTimes(0.0, fixed_ms, work=work)}, journeys=(Journey("ready", TYPE, "thing-ready"),)
    )
    return system, times


def simulated(shards: int) -> Callable[[], Callable[[], object]]:
    """A day with a peak at noon, of 1.5 times the mean."""

    def prepare() -> Callable[[], object]:
        from stream_cli.plan import fluid
        from stream_cli.plan.load import curve

        system, times = system_of(shards, 100, 20.0, 2.0, emits=0.5)
        load = curve({TYPE: RATE}, peak=1.5)
        return lambda: {"backlog": float(fluid.simulate(system, load, times).mappings["m"].backlog[-1])}

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
