"""Limits how many events a second are sent."""

from __future__ import annotations

import time
from collections.abc import Callable


class RateLimit:
    """Spreads events evenly over time: on average at most ``per_second``, None for no limit. Times are in seconds."""

    def __init__(
        self,
        per_second: float | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._per_second = per_second
        self._clock = clock
        self._sleep = sleep
        self._next = clock()

    def most(self, number: int) -> int:
        """How many of `number` events may go in one batch: no more than in one second, to avoid bursts."""
        return number if not self._per_second else min(number, max(1, int(self._per_second)))

    def wait_for(self, number: int) -> None:
        """Wait until `number` more events may go."""
        if not self._per_second:
            return
        now = self._clock()
        if now < self._next:
            self._sleep(self._next - now)
            now = self._next
        self._next = max(now, self._next) + number / self._per_second
