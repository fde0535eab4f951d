"""Play histories of the whole system on all cores for a while, or one again.

npm run soak -- --system --minutes 5
npm run soak -- --system --seed 123
npm run soak -- --system --history '{"seed": ...}'

Each failure is shrunk and told as a story. The first line of one begins with its seed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

from simulator.faults import KINDS
from simulator.histories import ACTS, AFTERWARDS, History, generate
from simulator.story import Failure, failure_of, smallest, told

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


def main() -> int:
    """Read the arguments, play, and say what came of it."""
    parser = argparse.ArgumentParser(prog="soak --system", description=__doc__.splitlines()[0])
    parser.add_argument("--system", action="store_true", help="histories of the whole system")
    parser.add_argument("--minutes", type=float, default=1.0, help="how long to go on")
    parser.add_argument("--histories", type=int, help="how many to play, however long it takes")
    parser.add_argument("--seed", type=int, help="play the history of this seed only")
    parser.add_argument("--history", help="play this history (JSON) only")
    parser.add_argument("--from", dest="first", type=int, help="the first seed; by chance if not given")
    parser.add_argument("--as-it-is", action="store_true", help="do not shrink a history that fails")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)), help="all cores if not given")
    arguments = parser.parse_args()
    if arguments.history or arguments.seed is not None:
        history = History.from_json(arguments.history) if arguments.history else generate(arguments.seed)
        print(history.to_json(), flush=True)
        failure = failure_of(history)
        if failure is None:
            print("all promises hold")
            return 0
        _tell(failure, as_it_is=arguments.as_it_is)
        return 1
    first = random.SystemRandom().randrange(1 << 40) if arguments.first is None else arguments.first
    return _soak(arguments, first)


def _soak(arguments: argparse.Namespace, first: int) -> int:
    failure_of(generate(first))  # before there are several processes: it compiles templates, and imports all
    began, whole, processes = time.monotonic(), Share(), arguments.processes
    last = first + (arguments.histories or 1 << 62)
    end = float("inf") if arguments.histories else began + 60 * arguments.minutes
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        for share in pool.imap_unordered(_play, [(first + each, last, processes, end) for each in range(processes)]):
            whole.add(share)
    took = time.monotonic() - began
    for number, (seed, promise) in enumerate(sorted(whole.failed.items())):
        print(f"seed {seed}: {promise}", file=sys.stderr)
        failure = failure_of(generate(seed)) if number < MOST_TOLD else None
        if failure is not None:
            _tell(failure, as_it_is=arguments.as_it_is)
    print(
        f"{whole.played} system histories from seed {first} in {took:.0f} s with {processes} processes: "
        f"{whole.played / took:.1f} a second, {1000 * whole.cpu_s / max(1, whole.played):.0f} ms of CPU each; "
        f"{len(whole.failed)} failed"
    )
    print(", ".join(f"{whole.done[name]} {name}" for name in (*ACTS, *AFTERWARDS, *KINDS) if whole.done[name]))
    return 1 if whole.failed else 0


def _play(share_of: tuple[int, int, int, float]) -> Share:
    """Play each n-th seed until the last one, or the end of the time."""
    share, began = Share(), time.process_time()
    for seed in range(*share_of[:3]):
        if time.monotonic() > share_of[3]:
            break
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


def _tell(failure: Failure, *, as_it_is: bool) -> None:
    print(told(failure if as_it_is else smallest(failure)), file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
