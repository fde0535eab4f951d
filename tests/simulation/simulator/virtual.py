"""Makes Python's own clock, threads, chance and environment those of the simulation, while a history is played.

The program under test stays as it is: what it imports as `time`, `threading`, `os.environ`, `os.urandom` and
`concurrent.futures` answers from the kernel; its log and its stdout are those of its process. Outside of a task
everything is as ever. What a task does beside all that, with a thread, a socket or a process of its own, ends the
history with `Escaped`.
"""

from __future__ import annotations

import concurrent.futures
import logging
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import stream_runtime.engine.rate
import stream_runtime.engine.retry
import stream_runtime.engine.scheduling
from cheap_stacks import cheap_stacks
from greenlet import getcurrent

from simulator.kernel import MICROSECONDS, Condition, Event, Executor, Kernel, Lock

_THREADED = "stream_runtime."
_NAMES = ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep")
_real = SimpleNamespace(**{name: getattr(time, name) for name in _NAMES})


class Escaped(AssertionError):
    """A task does something that would take place outside of the simulation."""


@contextmanager
def virtual(kernel: Kernel, seed: int) -> Iterator[None]:
    """Play in virtual time."""
    clock = _Clock(kernel)
    dice: dict[str, random.Random] = {}
    replaced: list[tuple[Any, str, Any]] = []

    def chance(what: str) -> random.Random:
        """The dice for something of the process whose task runs: its draws do not depend on what others do."""
        task = kernel.task
        name = f"{what}/{'' if task is None else task.process.name}"
        if name not in dice:
            dice[name] = random.Random(f"{seed}/{name}")
        return dice[name]

    def replace(owner: Any, name: str, value: Any) -> None:
        replaced.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    for name in _NAMES:
        replace(time, name, getattr(clock, name))
    replace(os, "environ", _Environment(kernel, os.environ))
    replace(os, "urandom", lambda size: chance("urandom").randbytes(size))
    replace(random, "uniform", lambda least, most: chance("uniform").uniform(least, most))
    replace(concurrent.futures, "ThreadPoolExecutor", lambda *_, **__: Executor(kernel))
    threads = SimpleNamespace(
        Lock=lambda: Lock(kernel),
        RLock=lambda: Lock(kernel),
        Condition=lambda *_: Condition(kernel),
        Event=lambda: Event(kernel),
        local=SimpleNamespace,
    )
    threaded, sleeping = _modules()
    for module in threaded:
        replace(module, "threading", threads)
    for module, name in sleeping:
        replace(module, name, clock.sleep)
    # Defaults that were bound when these were defined.
    replace(stream_runtime.engine.retry.Retry.__init__, "__defaults__", (None, clock.sleep))
    replace(stream_runtime.engine.rate.Rate.__init__, "__defaults__", (clock.monotonic, clock.sleep))
    replace(stream_runtime.engine.scheduling, "_io_pool", Executor(kernel))
    for owner, name, what in _ESCAPES:
        replace(owner, name, _refused(kernel, what, getattr(owner, name)))
    replace(sys, "stdout", STDOUT)
    root = logging.getLogger()
    replace(root, "handlers", [_LogOfProcess()])
    imported = set(sys.modules)
    try:
        with cheap_stacks():
            yield
    finally:
        for owner, name, value in reversed(replaced):
            setattr(owner, name, value)
    late = [name for name in sys.modules if name not in imported and name.startswith(_PROGRAM)]
    if late:
        raise Escaped(f"imported while a history was played, so that it has bound virtual time: {', '.join(late)}")


_PROGRAM = ("stream_runtime.", "control.", "event_hub.", "event_lake.", "fault_monitor.", "rest_bff.")
_ESCAPES = (
    (threading.Thread, "start", "starts a thread"),
    (socket.socket, "connect", "connects a socket"),
    (subprocess.Popen, "__init__", "starts a process"),
)
_found: tuple[int, list[Any], list[tuple[Any, str]]] = (0, [], [])


def _refused(kernel: Kernel, what: str, real: Any) -> Any:
    def refuse(*given: Any, **named: Any) -> Any:
        task = kernel.task
        if task is None:
            return real(*given, **named)
        kernel.broken = Escaped(f"{task.process.name} {what}: {', '.join(map(repr, (*given, *named.values())))[:300]}")
        raise kernel.broken

    return refuse


def _modules() -> tuple[list[Any], list[tuple[Any, str]]]:
    """Modules of the runtime with threads, and modules that have imported `time.sleep` by its name; looked for again
    when there are more modules."""
    global _found
    if _found[0] != len(sys.modules):
        modules = [(name, module, getattr(module, "__dict__", {})) for name, module in list(sys.modules.items())]
        threaded = [module for name, module, held in modules if name.startswith(_THREADED) and "threading" in held]
        sleeping = [
            (module, name)
            for _, module, held in modules
            for name, value in list(held.items())
            if value is _real.sleep and module is not time
        ]
        _found = len(sys.modules), threaded, sleeping
    return _found[1:]


class _Stdout:
    """`sys.stdout`: that of the process whose task runs. Loggers that are made with it stay in the simulation."""

    def write(self, text: str) -> int:
        task = getattr(getcurrent(), "task", None)
        if task is None:
            return (sys.__stdout__ if sys.stdout is self else sys.stdout).write(text)
        task.process.write(text)
        return len(text)

    def flush(self) -> None:
        return None


STDOUT: Any = _Stdout()


class _LogOfProcess(logging.Handler):
    """Gives the lines of all loggers to the process whose task runs."""

    def emit(self, record: logging.LogRecord) -> None:
        task = getattr(getcurrent(), "task", None)
        if task is not None:
            task.process.write(f"{record.levelname} {record.name}: {record.getMessage()}\n")


class _Clock:
    """What `time` has: the clock of the process whose task runs."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._thread = threading.get_ident()

    def _wall_us(self) -> int:
        task = self._kernel.task
        return self._kernel.now_us + (task.process.skew_us if task is not None else 0)

    def time(self) -> float:
        return self._wall_us() / MICROSECONDS

    def time_ns(self) -> int:
        return self._wall_us() * 1000

    def monotonic(self) -> float:
        return self._kernel.now_us / MICROSECONDS

    perf_counter = monotonic

    def monotonic_ns(self) -> int:
        return self._kernel.now_us * 1000

    perf_counter_ns = monotonic_ns

    def sleep(self, seconds: float) -> None:
        if (
            self._kernel.task is None or threading.get_ident() != self._thread
        ):  # ministack's threads are none of the simulation
            _real.sleep(seconds)
        else:
            self._kernel.sleep(int(seconds * MICROSECONDS))


class _Environment(MutableMapping[str, str]):
    """`os.environ`: that of the process whose task runs, else the real one."""

    def __init__(self, kernel: Kernel, real: MutableMapping[str, str]) -> None:
        self._kernel = kernel
        self._real = real

    def _now(self) -> MutableMapping[str, str]:
        task = self._kernel.task
        return self._real if task is None else task.process.environment

    def get(self, name: str, default: Any = None) -> Any:
        return self._now().get(name, default)

    def __getitem__(self, name: str) -> str:
        return self._now()[name]

    def __setitem__(self, name: str, value: str) -> None:
        self._now()[name] = value

    def __delitem__(self, name: str) -> None:
        del self._now()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())

    def __contains__(self, name: object) -> bool:
        return name in self._now()

    def copy(self) -> Mapping[str, str]:
        return dict(self._now())
