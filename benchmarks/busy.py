"""The CPU time that processes have used, such as those of a local cloud."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Mapping
from pathlib import Path


def busy_s(parts: Mapping[str, int]) -> dict[str, float]:
    """The CPU seconds of each part (Linux only). Processes of functions are children of the emulator."""
    if sys.platform != "linux":
        return {}
    functions = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = stat.read_text().rpartition(")")[2].split()[1]
            if int(parent) == parts["emulator"]:
                functions += busy_s_of(int(stat.parent.name))
    return {**{part: busy_s_of(pid) for part, pid in parts.items()}, "functions": functions}


def busy_s_of(pid: int) -> float:
    """The CPU seconds of one process, all its threads.

    Raises:
        OSError: it has ended.
    """
    return time.clock_gettime((~pid << 3) | 2)  # the clock of a process, as clock_getcpuclockid(3) has it
