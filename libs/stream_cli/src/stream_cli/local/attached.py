"""Runs a command that ends when its starter ends, however that happens. Standard library only: it runs with ``-I -S``.

``python attached.py LIFELINE RECORD GRACE COMMAND...``: LIFELINE is the read end of a pipe whose write end only the
starter holds. The kernel closes that end when the starter exits or is killed. At the end of the file, and at a stop
signal, the command's whole process group is ended: SIGTERM, GRACE seconds, SIGKILL. That includes grandchildren (pip
under sls, Lambda workers under the emulator). On Linux the kernel also signals the command when this process is killed.
The file RECORD names both processes while they run, so that the next start can end those that are left.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from types import FrameType

GRACE_S = 5.0
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def _prctl(option: int, argument: int) -> None:
    if sys.platform.startswith("linux"):
        import ctypes

        ctypes.CDLL(None).prctl(option, argument)


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS answers EPERM for a group of zombies
        os.killpg(group, number)


def _signal_each(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


class _Family:
    """The command and its descendants, which it reaps; on Linux also those whose own parent ended first."""

    def __init__(self, leader: int, grace_s: float) -> None:
        self.leader = leader
        self.grace_s = grace_s
        self.status: int | None = None

    def reap(self) -> bool:
        """Reap the processes that have ended; returns whether any is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self.leader:
                self.status = os.waitstatus_to_exitcode(status)

    def end(self) -> None:
        """Send SIGTERM to the group and, after the grace, SIGKILL to it and to processes that have left it."""
        _signal_group(self.leader, signal.SIGTERM)
        told: set[int] = set()
        deadline = time.monotonic() + self.grace_s
        while self.reap():
            adopted = self._adopted()
            _signal_each(adopted - told, signal.SIGTERM)
            told |= adopted
            if time.monotonic() > deadline:
                _signal_group(self.leader, signal.SIGKILL)
                _signal_each(adopted, signal.SIGKILL)
                deadline = time.monotonic() + self.grace_s
            time.sleep(0.02)

    def _adopted(self) -> set[int]:
        children = Path(f"/proc/self/task/{os.getpid()}/children")
        found = {int(pid) for pid in children.read_text().split()} if children.exists() else set()
        return found - {self.leader}


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit code, or 128 + N when signal N ended it."""
    lifeline, record, grace_s, command = int(arguments[0]), Path(arguments[1]), float(arguments[2]), arguments[3:]
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)

    def wake(_number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(wake_write, b"x")

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, wake)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    child = subprocess.Popen(
        command,
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        preexec_fn=lambda: _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM),
    )
    family = _Family(child.pid, grace_s)
    started = time.time()  # or earlier, which `state.is_alive` allows for
    content = {
        "wrapper": {"pid": os.getpid(), "started": started},
        "child": {"pid": child.pid, "started": started},
    }
    draft = record.with_name(f".{record.name}")
    draft.unlink(missing_ok=True)
    made = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(made, "w") as file:
        os.fchmod(made, 0o600)  # the command's umask may have taken away too much
        file.write(json.dumps(content) + "\n")
    draft.replace(record)
    try:
        while family.reap() and family.status is None:
            # A short timeout instead of SIGCHLD: it cannot be missed.
            if select.select([lifeline, wake_read], [], [], 0.1)[0]:
                break
        family.end()
    finally:
        record.unlink(missing_ok=True)
    code = family.status if family.status is not None else 1
    child.returncode = code
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
