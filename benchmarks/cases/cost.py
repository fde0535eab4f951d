"""What a function costs: batches of conditional updates, with the share of a CPU that its memory gives it.

`npm run bench -- --case cost` writes the prices into docs/performance.md. It needs control groups (Linux, root).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import cpu_share
import original
from case import HAND_WRITTEN, ORIGINAL, OURS, Case, Variant

from cases import first_update, updates

MEMORIES_MB = (128, 256, 512, 1_024, 1_769)
MEMORY_MB = 512
BATCHES = (1, 10, 100, 1_000)
BATCH = 100
PARALLELS = (1, 4, 16, 64)
PARALLEL = updates.PARALLEL
MEASURED_S = 0.5
WARM = 20
"""Batches before the measurement, with a whole CPU: V8 compiles what runs often."""

Work = Callable[[], object]


def name_of(who: str, memory_mb: int, batch: int = BATCH, parallel: int = PARALLEL) -> str:
    """The name of a variant: who does how much in what."""
    return f"{who}, {memory_mb} MB, batch {batch}, parallel {parallel}"


def cold_name_of(who: str, memory_mb: int) -> str:
    return f"{who}, {memory_mb} MB, cold start"


def within(memory_mb: int, prepare: Callable[[], Work]) -> Callable[[], Work]:
    """The same work, warm, with the CPU of so much memory; the mean of batches that follow each other counts."""

    def prepare_within() -> Work:
        work = prepare()
        for _ in range(WARM):
            work()
        cpu_share.join(_variable(memory_mb))

        def again_and_again() -> dict[str, float]:
            walls: list[float] = []
            cpus: list[float] = []
            begun = time.perf_counter()
            while time.perf_counter() - begun < MEASURED_S or len(walls) < 2:
                wall, cpu = time.perf_counter(), time.process_time()
                answer = work()
                wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
                if isinstance(answer, dict):  # of another process
                    wall, cpu = answer.get("wall_s", wall), answer.get("cpu_s", cpu)
                walls.append(wall)
                cpus.append(cpu)
            return {"cpu_s": sum(cpus) / len(cpus), "wall_s": sum(walls) / len(walls)}

        return again_and_again

    return prepare_within


def cold(memory_mb: int, prepare: Callable[[], Work]) -> Callable[[], Work]:
    """A cold start with the CPU of so much memory; Lambda's own work before the module is imported is left out."""

    def prepare_within() -> Work:
        cpu_share.join(_variable(memory_mb))
        return prepare()

    return prepare_within


def _variable(memory_mb: int) -> str:
    return f"BENCH_{memory_mb}_MB"


def _variant(who: str, memory_mb: int, batch: int = BATCH, parallel: int = PARALLEL) -> Variant:
    name = name_of(who, memory_mb, batch, parallel)
    if who == ORIGINAL:
        work = partial(original.processed, "updates", updates.invocation(batch))
        return Variant(name, within(memory_mb, work), javascript=True)
    prepare = {OURS: updates.ours, HAND_WRITTEN: updates.hand_written}[who]
    return Variant(name, within(memory_mb, partial(prepare, batch, parallel)))


@contextlib.contextmanager
def a_table_and_shares() -> Iterator[Mapping[str, str]]:
    """A table that answers after 5 ms, and a control group for each size of memory."""
    shares = {_variable(memory): cpu_share.share_of(memory) for memory in MEMORIES_MB}
    with updates.a_table() as environment, cpu_share.groups(shares) as groups:
        yield {**environment, **groups}


CASE = Case(
    name="cost",
    title="Batches of conditional updates with the CPU of a function's memory, answers after 5 ms",
    variants=(
        *(_variant(who, memory) for memory in MEMORIES_MB for who in (OURS, HAND_WRITTEN, ORIGINAL)),
        *(_variant(OURS, MEMORY_MB, batch=batch) for batch in BATCHES if batch != BATCH),
        *(_variant(OURS, MEMORY_MB, parallel=parallel) for parallel in PARALLELS if parallel != PARALLEL),
        *(
            Variant(cold_name_of(who, memory), cold(memory, prepare))
            for memory in MEMORIES_MB
            for who, prepare in ((OURS, first_update.ours), (HAND_WRITTEN, first_update.bare))
        ),
    ),
    floors=(),
    rounds=2,
    fresh=True,
    surroundings=a_table_and_shares,
)
