"""Limits how many units of work a pipeline sends in a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from .run import Run


class Rate:
    """Spreads calls evenly over the second. Thread-safe.

    Args:
        per_second: units of work a second.
        clock: monotonic time in seconds.
        sleep: waits a number of seconds.
    """

    def __init__(
        self,
        per_second: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._interval_s = 1 / per_second
        self._clock = clock
        self._sleep = sleep
        self._next = clock()
        self._lock = threading.Lock()

    def admit(self, run: Run, uow: Any) -> bool:
        """Wait for a turn. If the turn is after the deadline, leave the unit of work for retry and return False."""
        with self._lock:
            now = self._clock()
            turn = max(self._next, now)
            deadline = run.retry.deadline
            if deadline is not None and turn >= deadline:
                run.leave(uow, TimeoutError("the rule's rate does not let it happen before the invocation ends"))
                return False
            self._next = turn + self._interval_s
        if turn > now:
            self._sleep(turn - now)
        return True


def rate_of(per_second: float | None) -> Rate | None:
    """The limit for a rule's ``rate``, or None if it has none."""
    return None if per_second is None else Rate(per_second)
