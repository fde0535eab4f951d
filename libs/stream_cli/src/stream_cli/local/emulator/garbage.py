"""A garbage collection goes through what is new, not through all that the emulator holds.

Items, records and events are dicts in dicts, half a million after 10,000 events, and hardly one is ever in a cycle.
Python's full collections go through all of them, more than once for 1,000 events: a tenth of the emulator's CPU time,
and more with everything that it holds.

Here what a full collection leaves is frozen, so that the next one passes it by. Once such collections have taken as
long as the last complete one, another is complete, and finds cycles among older objects: complete collections do not
take more time than the others. Young objects are collected less often, too: nearly all end without it.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping

THRESHOLDS = (10_000, 10, 10)
"""How many new objects, and how many collections of one generation, there are before a collection of the next."""

_FULL = 2


def collect_what_is_new() -> None:
    """Have collections of this process pass by what is there now, and later what they have gone through."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    gc.callbacks.append(Collections())


class Collections:
    """Decides after each full collection what the next one goes through; a callback of ``gc``."""

    def __init__(self, clock: Callable[[], float] = time.thread_time) -> None:
        """``clock`` gives seconds of the thread that collects."""
        self._clock = clock
        self._began = 0.0
        self._complete_s = 0.0
        self._since_s = 0.0
        self._next_is_complete = True

    def __call__(self, phase: str, info: Mapping[str, int]) -> None:
        if info["generation"] != _FULL:
            return
        if phase == "start":
            self._began = self._clock()
            if self._next_is_complete:
                gc.unfreeze()
            return
        took_s = self._clock() - self._began
        if self._next_is_complete:
            self._complete_s, self._since_s = took_s, 0.0
        else:
            self._since_s += took_s
        self._next_is_complete = self._since_s >= self._complete_s
        gc.freeze()
