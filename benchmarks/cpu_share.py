"""A share of a CPU for a process, as a function of Lambda has by its memory: a quota of a control group (Linux, root).

The standard library only: the processes of the variants import this.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

PERIOD_US = 20_000
MEMORY_OF_ONE_CPU_MB = 1_769
"""Source: Lambda developer guide, "Configure Lambda function memory": one vCPU-second of credits per second."""

_ROOT = Path("/sys/fs/cgroup")


def share_of(memory_mb: int) -> float:
    """The share of one CPU that a function with so much memory has; more than one CPU does not help one thread."""
    return min(1.0, memory_mb / MEMORY_OF_ONE_CPU_MB)


@contextlib.contextmanager
def groups(shares: Mapping[str, float]) -> Iterator[Mapping[str, str]]:
    """Control groups with these shares of a CPU; returns environment variables that `join` reads.

    Raises:
        RuntimeError: this machine lets nobody make control groups, or not this user.
    """
    with contextlib.ExitStack() as stack:
        yield {name: str(stack.enter_context(_group(share))) for name, share in shares.items()}


def join(name: str) -> None:
    """Put this process, and those that it has started, into a group that `groups` made."""
    processes = Path(os.environ[name], "cgroup.procs")
    for process in _with_children(os.getpid()):
        processes.write_text(str(process))


def _with_children(process: int) -> Iterator[int]:
    yield process
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from _with_children(int(child))


@contextlib.contextmanager
def _group(share: float) -> Iterator[Path]:
    quota = round(PERIOD_US * share)
    first = _ROOT / "cpu"
    try:
        folder = Path(tempfile.mkdtemp(prefix="bench-", dir=first if first.is_dir() else _ROOT))
    except OSError as error:
        raise RuntimeError(f"a share of a CPU needs control groups, which cannot be made here: {error}") from error
    try:
        for name, value in _quota(folder, quota):
            (folder / name).write_text(value)
        yield folder
    finally:
        folder.rmdir()


def _quota(folder: Path, quota: int) -> list[tuple[str, str]]:
    """The files of a control group, of version 1 or 2, and what is written into them.

    Raises:
        RuntimeError: it has none of them.
    """
    for files in (
        [("cpu.cfs_period_us", str(PERIOD_US)), ("cpu.cfs_quota_us", str(quota))],
        [("cpu.max", f"{quota} {PERIOD_US}")],
    ):
        if all((folder / name).exists() for name, _ in files):
            return files
    raise RuntimeError("the control groups of this machine have no quota of CPU time")
