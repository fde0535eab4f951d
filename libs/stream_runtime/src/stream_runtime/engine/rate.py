"""A limit on how many units of work a pipeline sends on in a second, for what stands behind it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from .run import Run


class Rate:
    """Turns, evenly spaced; safe to be taken by several threads.

    Args:
        per_second: turns a second.
        clock: seconds that only grow.
        sleep: waits so many seconds.
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
        """Wait for a turn; False, with the unit of work left for retry, where it comes after the deadline."""
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
    """The limit of a rule's ``rate``; None where it has none."""
    return None if per_second is None else Rate(per_second)
