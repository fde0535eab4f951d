"""Stop signals as an exception: the first unwinds the program, and none disturbs the clean-up that follows."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """The process was told to stop. Not an ``Exception``, so that nothing takes it for an error and goes on."""

    def __init__(self, number: int) -> None:
        """Remember which signal it was."""
        super().__init__(number)
        self.number = number

    @property
    def exit_code(self) -> int:
        """What a shell reports for a process that ended by the signal."""
        return 128 + self.number


def ignore_stop_signals() -> None:
    """From here on, stop signals do nothing: what follows is bounded in time and must be done completely."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Within it, the first SIGINT, SIGTERM or SIGHUP raises ``Stopped`` in the main thread; later ones do nothing.

    A terminal's Ctrl-C goes to every process of the foreground group, and npm passes it on once more: one press may
    arrive several times.
    """

    def stop(number: int, _frame: FrameType | None) -> None:
        ignore_stop_signals()
        raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
