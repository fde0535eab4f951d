"""Stop signals as an exception: the first one unwinds the program, and later ones do not disturb the clean-up."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """The process was told to stop. Not an ``Exception``, so that no handler of errors catches it and goes on."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def exit_code(self) -> int:
        """What a shell reports for a process that ended by the signal."""
        return 128 + self.number


def ignore_stop_signals() -> None:
    """Ignore stop signals from now on: the clean-up that follows is bounded in time and must be complete."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def finished_first() -> Iterator[None]:
    """Keep a stop signal until what is inside has ended, so that it is not left half done. For what takes no time."""
    kept: list[int] = []
    before = {each: signal.signal(each, lambda number, _frame: kept.append(number)) for each in STOP_SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    if kept:
        signal.raise_signal(kept[0])


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Raise ``Stopped`` in the main thread at the first SIGINT, SIGTERM or SIGHUP inside, and ignore later ones.

    A terminal sends Ctrl-C to every process of the foreground group, and npm passes it on again: one press may arrive
    several times.
    """

    def stop(number: int, _frame: FrameType | None) -> None:
        ignore_stop_signals()
        raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
