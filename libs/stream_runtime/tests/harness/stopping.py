"""A soak ends between two histories when its time is over or somebody stops it."""

from __future__ import annotations

import argparse
import itertools
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
REPEATED_S = 1.0
"""Within this time a second signal is the first one again: npm sends what the terminal has sent, too."""
_SAID = b"Stopping after what is being played; once more ends it at once.\n"


class Stop:
    """Takes the stop signals of this process.

    Args:
        told: called with the first signal, in the midst of whatever the main thread does.
        at_once: called before a later one ends the process.
    """

    def __init__(self, told: Callable[[], None] = lambda: None, at_once: Callable[[], None] = lambda: None) -> None:
        self.code = 0
        """The exit code that the first signal asks for; 0 if none has come."""
        self._came = float("inf")
        self._told, self._at_once = told, at_once
        for each in SIGNALS:
            signal.signal(each, self._take)

    def _take(self, number: int, _frame: FrameType | None) -> None:
        if not self.code:
            self.code = 128 + number  # before any call, after which the next signal may be taken
            self._came = time.monotonic()
            self._told()
            os.write(2, _SAID)  # print() may be what the signal has interrupted
        elif time.monotonic() > self._came + REPEATED_S:
            self._at_once()
            os._exit(self.code)

    def seeds(self, arguments: argparse.Namespace) -> Iterator[int]:
        """The seeds that the arguments ask for, until their number or the time is over, or a signal has come."""
        if arguments.seed is not None:
            return iter((arguments.seed,))
        seeds = itertools.count(arguments.first)
        if arguments.histories is not None:
            seeds = iter(range(arguments.first, arguments.first + arguments.histories))
        end = end_of(arguments)
        return itertools.takewhile(lambda _: not self.code and time.monotonic() < end, seeds)


def end_of(arguments: argparse.Namespace) -> float:
    """When the time of a soak that begins now is over, by `time.monotonic`: never, if its histories are counted."""
    return float("inf") if arguments.histories is not None else time.monotonic() + 60 * float(arguments.minutes)


def any_seed() -> int:
    """A seed to begin with."""
    return random.SystemRandom().randrange(1 << 40)
