"""What the journal and the enforcement of policies add to the CPU time of the local cloud.

Four clouds with hub and control-service run side by side, with and without each of the two. In each round every cloud
gets the same 1,000 events as in the case control_service, one cloud after the other. The functions do the same work in
all of them, so that their CPU time tells how busy the machine was, and what the emulator takes is compared by it, too.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from case import Case, Floor, Results, Variant

from cases.control_service import deployed, through

EVENTS = 1_000
CLOUDS = "BENCH_CLOUDS"
NEITHER, BOTH = "neither", "both"
KINDS = {
    NEITHER: {"iam": False, "journal": False},
    "the journal": {"iam": False, "journal": True},
    "policies": {"iam": True, "journal": False},
    BOTH: {"iam": True, "journal": True},
}


def at(kind: str) -> Callable[[], object]:
    """Publish events in one of the clouds."""
    os.environ.update(json.loads(os.environ[CLOUDS])[kind])
    work = through(EVENTS, 1)
    work()  # cold starts of functions are not compared

    def publish() -> dict[str, float]:
        figures: Any = work()
        return {**figures, "emulator_share": figures["emulator_s"] / figures["functions_s"]}

    return publish


@contextlib.contextmanager
def clouds() -> Iterator[Mapping[str, str]]:
    """All clouds, by what they have."""
    with contextlib.ExitStack() as stack:
        running = {name: dict(stack.enter_context(deployed(**options))) for name, options in KINDS.items()}
        yield {CLOUDS: json.dumps(running)}


def more(part: str, kind: str) -> Callable[[Results], float]:
    """How much more CPU time a part of a cloud takes than without both, in percent."""
    return lambda results: 100 * (results[kind][part] / results[NEITHER][part] - 1)


CASE = Case(
    name="observation",
    title=f"{EVENTS:,} events through the deployed control-service: what journal and policies cost the local cloud",
    variants=tuple(Variant(kind, functools.partial(at, kind)) for kind in KINDS),
    floors=(
        Floor("emulator with both, over neither", more("emulator_s", BOTH), at_most=5, unit="%"),
        Floor("emulator with the journal, over neither", more("emulator_s", "the journal"), unit="%"),
        Floor("emulator with policies, over neither", more("emulator_s", "policies"), unit="%"),
        Floor("the same with both, by the CPU time of functions", more("emulator_share", BOTH), unit="%"),
        Floor("all processes with both, over neither", more("cpu_s", BOTH), at_most=5, unit="%"),
    ),
    rounds=7,
    surroundings=clouds,
)
