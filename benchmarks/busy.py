"""The CPU time that the processes of a local cloud have used."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path


def busy_s(parts: Mapping[str, int]) -> dict[str, float]:
    """The CPU seconds of each part (Linux only). Processes of functions are children of the emulator."""
    if sys.platform != "linux":
        return {}
    ticks = os.sysconf("SC_CLK_TCK")
    used: dict[int, float] = {}
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            pid = int(stat.parent.name)
            parents[pid], used[pid] = int(fields[1]), (int(fields[11]) + int(fields[12])) / ticks
    functions = sum(used[pid] for pid, parent in parents.items() if parent == parts["emulator"])
    return {**{part: used[pid] for part, pid in parts.items()}, "functions": functions}
