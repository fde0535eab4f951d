"""A rate that is not exceeded: how long to wait before the next so many."""

from __future__ import annotations

import time
from collections.abc import Callable


class Pace:
    """At most so many a second, on average since it began.

    Args:
        per_second: how many; None for no limit.
        clock: seconds that only grow.
        sleep: waits for seconds.
    """

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
        """How many of so many may go at once: no more than in a second, that the rate is no burst and a long pause."""
        return number if not self._per_second else min(number, max(1, int(self._per_second)))

    def wait_for(self, number: int) -> None:
        """Wait until so many more may go."""
        if not self._per_second:
            return
        now = self._clock()
        if now < self._next:
            self._sleep(self._next - now)
            now = self._next
        self._next = max(now, self._next) + number / self._per_second
