"""The process in which one variant is measured: `python child.py CASE VARIANT`, a round for each line on stdin.

Answers each line with a line of JSON, the figures of that round.
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
    """The best CPU time (of all threads) and the best wall time of some repetitions, and the work's own figures.

    Raises:
        RuntimeError: the work is a handler that has left records for retry.
    """
    cpu_s = wall_s = float("inf")
    figures: dict[str, float] = {}
    for _ in range(repeat):
        gc.collect()
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        cpu_s = min(cpu_s, time.process_time() - cpu)
        wall_s = min(wall_s, time.perf_counter() - wall)
        if isinstance(result, dict):
            figures = result
        if figures.pop("batchItemFailures", None):
            raise RuntimeError(f"not all of the work was done: {result}")
    return {"cpu_s": cpu_s, "wall_s": wall_s, **figures}


def main(case_name: str, variant_name: str) -> None:
    """Prepare the variant once, then do a round for each line."""
    case: Case = importlib.import_module(f"cases.{case_name}").CASE
    variant = next(variant for variant in case.variants if variant.name == variant_name)
    work = variant.prepare()
    answers, sys.stdout = sys.stdout, sys.stderr
    for _ in sys.stdin:
        answers.write(json.dumps(measure(work, variant.repeat)) + "\n")
        answers.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
