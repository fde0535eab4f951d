"""What comes from outside: events by type and requests by route, per second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

Series = npt.NDArray[np.float64]
"""One value a second, shape `(seconds,)`."""


@dataclass(frozen=True)
class EventLoad:
    """One type of event, or one route.

    Attributes:
        per_second: events in each second.
        bytes_mean: size of an event as it is published, without EventBridge's envelope.
        bytes_p99: only 1 % of the events are larger; 0 stands for `bytes_mean`.
        keys: how many partition keys there are; 0: each event has its own.
        skew: exponent s of Zipf's law: the k-th most frequent key has a share proportional to `k ** -s`; 0 is even.
        poison: share of events that become faults in each function that gets them from the bus, and go no further.
    """

    per_second: Series
    bytes_mean: float = 1_000.0
    bytes_p99: float = 0.0
    keys: int = 0
    skew: float = 0.0
    poison: float = 0.0


@dataclass(frozen=True)
class Load:
    """All types and routes, over the same seconds.

    Attributes:
        types: by event type or route.
        transient: how probable it is that a record fails for a while in an attempt (throttling, time-outs, 5xx): its
            function returns it, and Lambda delivers it again.
    """

    types: Mapping[str, EventLoad] = field(default_factory=dict)
    transient: float = 0.0

    @property
    def seconds(self) -> int:
        """How long it is."""
        return max((len(each.per_second) for each in self.types.values()), default=0)

    @property
    def total(self) -> Series:
        """Events and requests of all types in each second."""
        total = np.zeros(self.seconds)
        for each in self.types.values():
            total[: len(each.per_second)] += each.per_second
        return total

    def scaled(self, factor: float) -> Load:
        """The same load with so many times the events."""
        types = {name: replace(each, per_second=each.per_second * factor) for name, each in self.types.items()}
        return replace(self, types=types)

    def between(self, begin: int, end: int) -> Load:
        """The seconds from `begin` to before `end`."""
        types = {name: replace(each, per_second=each.per_second[begin:end]) for name, each in self.types.items()}
        return replace(self, types=types)
