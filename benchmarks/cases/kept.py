"""What keeping its state adds to the CPU time of the local cloud, and to the time of an event.

Two clouds run side by side (see `side_by_side`), one of which keeps its state as `streamctl up` does. The times are
those of `control_service`, one after the other in one run: 1,000 events with and without.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from case import Case, Floor, Variant, figure
from raised import raise_above_others
from side_by_side import AT_ONCE, CLOUDS, at_once, clouds, more

from cases.control_service import PARTS, TRIES, through

TIMES_WITHOUT_FLOOR = 15
"""What keeping adds is shown and has no limit."""

THROUGH, NOT_KEPT = "1,000 events", "not kept"
KINDS: dict[str, dict[str, Any]] = {NOT_KEPT: {}, "kept": {"kept": True}}


def one_after_the_other() -> Callable[[], object]:
    """The times of 1,000 events in each cloud."""
    clouds = json.loads(os.environ[CLOUDS])
    raise_above_others(pid for cloud in clouds.values() for pid in json.loads(cloud[PARTS]).values())

    def work() -> dict[str, float]:
        figures = {}
        for kind, cloud in clouds.items():
            os.environ.update(cloud)
            figures[f"{kind}_s"] = float(through(1_000, TRIES)()["wall_s"])  # type: ignore[index]
        return figures

    return work


CASE = Case(
    name="kept",
    title="Events through the deployed control-service: what it costs that the local cloud keeps its state",
    variants=(Variant(THROUGH, one_after_the_other), Variant(AT_ONCE, at_once(NOT_KEPT, times=TIMES_WITHOUT_FLOOR))),
    floors=(
        Floor("1,000 events, kept", figure("kept_s", THROUGH), at_most=5, unit="s"),
        Floor("1,000 events, not kept", figure("not kept_s", THROUGH), unit="s"),
        *more("emulator, over not keeping it", "kept_emulator"),
        Floor("all processes, over not keeping it", figure("kept_all", AT_ONCE), unit="%"),
    ),
    rounds=1,
    surroundings=clouds(KINDS),
)
