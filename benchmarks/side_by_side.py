"""Clouds with hub and control-service that run side by side and get the same events at the same steady rate at once.

Compared is what they use for an event in the same two seconds, so that whatever else the machine does is in all of them
alike. Where this process may, it puts them before that.
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
from case import Floor, figure
from cases.control_service import BUS, PARTS, TYPES, deployed
from offered import Offered
from paired import compared
from raised import raise_above_others

RATE, OF_STORIES = 120, 0.25
WARM_S, SECONDS, TIMES = 6.0, 2.0, 30
CLOUDS = "BENCH_CLOUDS"
AT_ONCE = "at once"
"""The variant of a case that `at_once` measures."""


def clouds(
    kinds: Mapping[str, Mapping[str, Any]],
) -> Callable[[], contextlib.AbstractContextManager[Mapping[str, str]]]:
    """The surroundings of a case: all clouds, by the options of `deployed` that each has."""

    @contextlib.contextmanager
    def running() -> Iterator[Mapping[str, str]]:
        with contextlib.ExitStack() as stack:
            each = {name: dict(stack.enter_context(deployed(**options))) for name, options in kinds.items()}
            yield {CLOUDS: json.dumps(each)}

    return running


def at_once(base: str, times: int = TIMES) -> Callable[[], Callable[[], object]]:
    """Put events into all clouds: microseconds of the emulator for an event, and what each uses over `base`, in %.

    Args:
        base: the cloud that others are compared with.
        times: how often, for two seconds each.
    """

    def prepare() -> Callable[[], object]:
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
                used = [_used_us(parts, offered) for _ in range(times)]
            figures = {f"{kind}_us": median(each[kind]["emulator"] for each in used) for kind in parts}
            for kind in parts.keys() - {base}:
                for part in ("emulator", "all"):
                    found = compared([each[base][part] for each in used], [each[kind][part] for each in used])
                    bounds = zip(("", "_low", "_high"), found, strict=True)
                    figures |= {f"{kind}_{part}{bound}": 100 * (value - 1) for bound, value in bounds}
            return figures

        return work

    return prepare


def more(text: str, name: str, at_most: float | None = None) -> tuple[Floor, ...]:
    """How much more than the base, in percent, and between which values that is in 19 of 20 runs."""
    return (
        Floor(text, figure(name, AT_ONCE), at_most=at_most, unit="%"),
        Floor("the same, at least", figure(f"{name}_low", AT_ONCE), unit="%"),
        Floor("the same, at most", figure(f"{name}_high", AT_ONCE), unit="%"),
    )


def _used_us(parts: Mapping[str, Mapping[str, int]], offered: Mapping[str, Offered]) -> dict[str, dict[str, float]]:
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
