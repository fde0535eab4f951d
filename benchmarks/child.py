"""The process that measures one variant: `python child.py CASE VARIANT`.

For each line on stdin it runs a round and prints the figures as a line of JSON.
"""

from __future__ import annotations

import gc
import importlib
import json
import sys
import time
from collections.abc import Callable

from case import Case


def measure(work: Callable[[], object], repeat: int) -> dict[str, float]:
    """Return the best CPU time (of all threads) and wall time of the repetitions, and the figures of the work itself.

    Work that another process does returns the times of that one.

    Raises:
        RuntimeError: the work is a handler that left records for retry.
    """
    cpu_s = wall_s = float("inf")
    figures: dict[str, float] = {}
    for _ in range(repeat):
        gc.collect()
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        if isinstance(result, dict):
            cpu, wall = result.pop("cpu_s", cpu), result.pop("wall_s", wall)
            figures = result
        cpu_s, wall_s = min(cpu_s, cpu), min(wall_s, wall)
        if figures.pop("batchItemFailures", None):
            raise RuntimeError(f"not all of the work was done: {result}")
    return {"cpu_s": cpu_s, "wall_s": wall_s, **figures}


def main(case_name: str, variant_name: str) -> None:
    case: Case = importlib.import_module(f"cases.{case_name}").CASE
    variant = next(variant for variant in case.variants if variant.name == variant_name)
    work = variant.prepare()
    answers, sys.stdout = sys.stdout, sys.stderr
    for _ in sys.stdin:
        answers.write(json.dumps(measure(work, variant.repeat)) + "\n")
        answers.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
