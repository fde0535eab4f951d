"""What the journal and the enforcement of policies add to the CPU time of the local cloud.

Four clouds with hub and control-service run side by side, with and without each of the two, and get the same events at
the same steady rate at once. Compared is what their emulators use for an event in the same two seconds, so that
whatever else the machine does is in all of them alike. Where this process may, it puts them before that.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from statistics import median
from typing import Any

from busy import busy_s
from case import Case, Floor, Variant, figure
from offered import Offered
from paired import compared
from raised import raise_above_others

from cases.control_service import BUS, PARTS, TYPES, deployed

RATE, OF_STORIES = 120, 0.25
WARM_S, SECONDS, TIMES = 6.0, 2.0, 30
CLOUDS = "BENCH_CLOUDS"
AT_ONCE = "at once"
NEITHER, BOTH = "neither", "both"
KINDS: dict[str, dict[str, Any]] = {
    NEITHER: {"iam": False, "journal": False},
    "journal": {"iam": False, "journal": True},
    "policies": {"iam": True, "journal": False},
    BOTH: {"iam": True, "journal": True},
}


def at_once() -> Callable[[], object]:
    """Put events into all clouds."""
    clouds = json.loads(os.environ[CLOUDS])
    parts: dict[str, dict[str, int]] = {kind: json.loads(cloud[PARTS]) for kind, cloud in clouds.items()}
    raise_above_others(pid for pids in parts.values() for pid in pids.values())

    def work() -> dict[str, float]:
        with contextlib.ExitStack() as stack:
            offered: dict[str, Offered] = {}
            for kind, cloud in clouds.items():
                os.environ.update(cloud)
                offered[kind] = stack.enter_context(Offered(BUS, TYPES, rate=RATE, share=OF_STORIES))
            time.sleep(WARM_S)  # functions start, and caches fill
            times = [used_us(parts, offered) for _ in range(TIMES)]
        figures = {f"{kind}_us": median(each[kind]["emulator"] for each in times) for kind in KINDS}
        for kind in list(KINDS)[1:]:
            for part in ("emulator", "all"):
                found = compared([each[NEITHER][part] for each in times], [each[kind][part] for each in times])
                bounds = zip(("", "_low", "_high"), found, strict=True)
                figures |= {f"{kind}_{part}{bound}": 100 * (value - 1) for bound, value in bounds}
        return figures

    return work


def used_us(parts: Mapping[str, Mapping[str, int]], offered: Mapping[str, Offered]) -> dict[str, dict[str, float]]:
    """What each cloud uses for an event in the next seconds: its emulator, and all its processes."""

    def now() -> dict[str, tuple[int, dict[str, float]]]:
        return {kind: (offered[kind].count, busy_s(parts[kind])) for kind in parts}

    before = now()
    time.sleep(SECONDS)  # what goes on meanwhile is measured
    after, found = now(), dict[str, dict[str, float]]()
    for kind, (count, used) in after.items():
        events, spent = count - before[kind][0], {name: used[name] - before[kind][1][name] for name in used}
        found[kind] = {"emulator": spent["emulator"] / events * 1e6, "all": sum(spent.values()) / events * 1e6}
    return found


@contextlib.contextmanager
def clouds() -> Iterator[Mapping[str, str]]:
    """All clouds, by what they have."""
    with contextlib.ExitStack() as stack:
        running = {name: dict(stack.enter_context(deployed(**options))) for name, options in KINDS.items()}
        yield {CLOUDS: json.dumps(running)}


def more(text: str, name: str, at_most: float | None = None) -> tuple[Floor, ...]:
    """How much more than without both, in percent, and between which values that is in 19 of 20 runs."""
    return (
        Floor(text, figure(name, AT_ONCE), at_most=at_most, unit="%"),
        Floor("the same, at least", figure(f"{name}_low", AT_ONCE), unit="%"),
        Floor("the same, at most", figure(f"{name}_high", AT_ONCE), unit="%"),
    )


CASE = Case(
    name="observation",
    title="Events through the deployed control-service: what journal and policies cost the local cloud",
    variants=(Variant(AT_ONCE, at_once),),
    floors=(
        *more("emulator with both, over neither", "both_emulator", at_most=5),
        *more("emulator with the journal, over neither", "journal_emulator"),
        *more("emulator with policies, over neither", "policies_emulator"),
        *more("all processes with both, over neither", "both_all", at_most=5),
    ),
    rounds=1,
    surroundings=clouds,
)
