"""What keeping its state adds to the CPU time of the local cloud, and to the time of an event.

Two clouds with hub and control-service run side by side, one of which keeps its state as `streamctl up` does, and get
the same events at the same steady rate at once (see `observation`). The times are those of `control_service`, one after
the other in one run: 1,000 events with and without.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from statistics import median
from typing import Any

from case import Case, Floor, Variant, figure
from offered import Offered
from paired import compared
from raised import raise_above_others

from cases.control_service import BUS, PARTS, TRIES, TYPES, deployed, through
from cases.observation import CLOUDS, OF_STORIES, RATE, TIMES, WARM_S, used_us

AT_ONCE, THROUGH = "at once", "1,000 events"
KINDS: dict[str, dict[str, Any]] = {"not kept": {}, "kept": {"kept": True}}


def at_once() -> Callable[[], object]:
    """Put events into both clouds."""
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
        for part in ("emulator", "all"):
            found = compared([each["not kept"][part] for each in times], [each["kept"][part] for each in times])
            bounds = zip(("", "_low", "_high"), found, strict=True)
            figures |= {f"{part}{bound}": 100 * (value - 1) for bound, value in bounds}
        return figures

    return work


def one_after_the_other() -> Callable[[], object]:
    """The times of 1,000 events in each cloud."""
    clouds = json.loads(os.environ[CLOUDS])

    def work() -> dict[str, float]:
        figures = {}
        for kind, cloud in clouds.items():
            os.environ.update(cloud)
            figures[f"{kind}_s"] = float(through(1_000, TRIES)()["wall_s"])  # type: ignore[index]
        return figures

    return work


@contextlib.contextmanager
def clouds() -> Iterator[Mapping[str, str]]:
    """Both clouds, by what they do."""
    with contextlib.ExitStack() as stack:
        running = {name: dict(stack.enter_context(deployed(**options))) for name, options in KINDS.items()}
        yield {CLOUDS: json.dumps(running)}


CASE = Case(
    name="kept",
    title="Events through the deployed control-service: what it costs that the local cloud keeps its state",
    variants=(Variant(THROUGH, one_after_the_other), Variant(AT_ONCE, at_once)),
    floors=(
        Floor("1,000 events, kept", figure("kept_s", THROUGH), at_most=5, unit="s"),
        Floor("1,000 events, not kept", figure("not kept_s", THROUGH), unit="s"),
        Floor("emulator, over not keeping it", figure("emulator", AT_ONCE), unit="%"),
        Floor("the same, at least", figure("emulator_low", AT_ONCE), unit="%"),
        Floor("the same, at most", figure("emulator_high", AT_ONCE), unit="%"),
        Floor("all processes, over not keeping it", figure("all", AT_ONCE), unit="%"),
    ),
    rounds=1,
    surroundings=clouds,
)
