"""Plays histories of the whole system on all cores for a while, or one again, for ``npm run soak -- --system``.

Each failure is shrunk and told as a story. The first line of one begins with its seed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from ctypes import c_bool
from dataclasses import dataclass, field
from typing import Any

from stopping import SIGNALS, Stop, any_seed, end_of

from simulator.faults import KINDS
from simulator.generator import generate
from simulator.histories import ACTS, AFTERWARDS
from simulator.story import Failure, failure_of, smallest, told
from simulator.topology import deployed

MOST_TOLD = 10
"""Failures that are told as stories; of the others, seeds are."""


@dataclass
class Share:
    """What one process has played: how many histories, what was in them, and those that failed by what they break."""

    played: int = 0
    cpu_s: float = 0.0
    done: Counter[str] = field(default_factory=Counter)
    failed: dict[int, str] = field(default_factory=dict)

    def add(self, other: Share) -> None:
        self.played += other.played
        self.cpu_s += other.cpu_s
        self.done += other.done
        self.failed |= other.failed


@dataclass(frozen=True)
class Work:
    """What one process plays: each n-th seed from the first one before the last one, until the time is over."""

    seeds: range
    end: float
    parent: int


_is_over: Any = multiprocessing.RawValue(c_bool, False)
"""Whether the processes that this one has begun are to play no further history."""


def soak(arguments: argparse.Namespace) -> int:
    """Play what the arguments of scripts/soak.py ask for, and say what came of it; returns the exit code."""
    deployed()  # compiles templates: it has commands of its own, which a stop signal ends at once
    if arguments.history is None and arguments.seed is None:
        return _play_many(arguments)
    stop = Stop()
    history = arguments.history or generate(arguments.seed)
    print(history.to_json(), flush=True)
    failure = failure_of(history)
    if failure is None:
        print("all promises hold")
        return stop.code
    _tell(failure, arguments, stop)
    return stop.code or 1


def _play_many(arguments: argparse.Namespace) -> int:
    stop = Stop(_end_soon, _kill_others)
    first = any_seed() if arguments.first is None else arguments.first
    failure_of(generate(first))  # before there are several processes: it imports all
    last = first + (arguments.histories or 1 << 62)
    processes = arguments.processes or len(os.sched_getaffinity(0))
    print(f"From seed {first} with {processes} processes", file=sys.stderr, flush=True)
    began, end, whole = time.monotonic(), end_of(arguments), Share()
    works = [Work(range(first + each, last, processes), end, os.getpid()) for each in range(processes)]
    with ProcessPoolExecutor(processes, multiprocessing.get_context("fork")) as pool:
        # A terminal sends signals to all processes; those that begin here leave them to this one.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        shares = [pool.submit(_play, work) for work in works]
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        for share in as_completed(shares):
            whole.add(share.result())
    took = time.monotonic() - began
    for number, (seed, promise) in enumerate(sorted(whole.failed.items())):
        print(f"seed {seed}: {promise}", file=sys.stderr, flush=True)
        failure = failure_of(generate(seed)) if number < MOST_TOLD and not stop.code else None
        if failure is not None:
            _tell(failure, arguments, stop)
    print(
        f"{whole.played} system histories from seed {first} in {took:.0f} s with {processes} processes: "
        f"{whole.played / took:.1f} a second, {1000 * whole.cpu_s / max(1, whole.played):.0f} ms of CPU each; "
        f"{len(whole.failed)} failed"
    )
    print(", ".join(f"{whole.done[name]} {name}" for name in (*ACTS, *AFTERWARDS, *KINDS) if whole.done[name]))
    return stop.code or (1 if whole.failed else 0)


def _play(work: Work) -> Share:
    share, began = Share(), time.process_time()
    for seed in work.seeds:
        if _is_over.value or time.monotonic() > work.end:
            break
        if os.getppid() != work.parent:
            os._exit(1)  # it was killed
        history = generate(seed)
        failure = failure_of(history)
        share.played += 1
        share.done.update(step.do for step in history.steps)
        share.done.update(history.afterwards)
        share.done.update(trouble.kind for trouble in history.troubles)
        if failure is not None:
            share.failed[seed] = failure.promise
    share.cpu_s = time.process_time() - began
    return share


def _end_soon() -> None:
    _is_over.value = True


def _kill_others() -> None:
    for each in multiprocessing.active_children():
        each.kill()


def _tell(failure: Failure, arguments: argparse.Namespace, stop: Stop) -> None:
    if not arguments.as_it_is:
        failure = smallest(failure, go_on=lambda: not stop.code)
    print(told(failure), file=sys.stderr, flush=True)
