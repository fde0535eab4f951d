"""Execution environments of functions, one by one: begun cold, used again, refused beyond a limit."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

from stream_cli.plan.model import Function, Limits


class Environments:
    """All environments of an account in a region."""

    def __init__(self, functions: Mapping[str, Function], limits: Limits) -> None:
        self._limits = limits
        self._most = {
            name: inf if function.reserved_concurrency is None else float(function.reserved_concurrency)
            for name, function in functions.items()
        }
        reserved = sum(most for most in self._most.values() if most < inf)
        self._shared_most = max(0.0, limits.concurrency - reserved)
        self._busy = dict.fromkeys(functions, 0)
        self._idle: dict[str, list[float]] = {name: [] for name in functions}
        self._may_start = dict.fromkeys(functions, limits.scaling_per_10_s)
        self._started = dict.fromkeys(functions, 0.0)

    def take(self, function: str, now: float) -> bool | None:
        """Whether an invocation starts cold; None if it is refused."""
        if self._busy[function] >= self._most[function]:
            return None
        if self._most[function] == inf and self._shared >= self._shared_most:
            return None
        idle = self._idle[function]
        while idle and now - idle[0] > self._limits.idle_s:
            idle.pop(0)
        if idle:
            idle.pop()
            self._busy[function] += 1
            return False
        if not self._may(function, now):
            return None
        self._busy[function] += 1
        return True

    def give_back(self, function: str, now: float) -> None:
        """An invocation has ended; its environment waits for the next."""
        self._busy[function] -= 1
        self._idle[function].append(now)

    @property
    def _shared(self) -> int:
        return sum(busy for name, busy in self._busy.items() if self._most[name] == inf)

    def _may(self, function: str, now: float) -> bool:
        """Whether a function may have one environment more: so many at once, and so many more as time passes."""
        burst = self._limits.scaling_per_10_s
        if burst == inf:
            return True
        passed = now - self._started[function]
        left = min(burst, self._may_start[function] + passed * burst / 10)
        self._started[function] = now
        self._may_start[function] = left
        if left < 1:
            return False
        self._may_start[function] = left - 1
        return True
