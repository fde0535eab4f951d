"""What measured durations come to in USD, as tables of docs/performance.md.

Prices: Lambda's on-demand prices in us-east-1, https://aws.amazon.com/lambda/pricing/, as stored on 2026-06-18: x86,
first tier, without the free tier. Durations are billed by the ms, rounded up; starts of an environment are billed, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from case import HAND_WRITTEN, ORIGINAL, OURS, Results
from cases import cost

USD_REQUEST = 0.20 / 1_000_000
USD_GB_SECOND = 0.0000166667
EVENTS = 1_000_000
DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
BEGIN = "<!-- costs: written by `npm run bench -- --case cost` -->"
END = "<!-- end of costs -->"
RATES = (0.1, 1, 10, 100)
WINDOWS_S = (1, 5, 20)
"""A window of a second changes little: Lambda polls a shard once a second (developer guide, "Polling and batching")."""


def usd(duration_s: float, memory_mb: int, batch: float) -> float:
    """The price of a million events: requests and duration of the invocations that they come in.

    Args:
        duration_s: of the invocation with a batch.
        memory_mb: of the function.
        batch: events in a batch.
    """
    billed_s = math.ceil(round(duration_s * 1000, 6)) / 1000
    return EVENTS / batch * (USD_REQUEST + billed_s * memory_mb / 1024 * USD_GB_SECOND)


def write(results: Results) -> None:
    """Replace the tables of docs/performance.md.

    Raises:
        ValueError: the marks around them are missing.
    """
    before, begin, rest = DOCUMENT.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{DOCUMENT} has no place for costs; expected the lines {BEGIN!r} and {END!r}")
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{tables(results)}\n{END}{after}")


def tables(results: Results) -> str:
    """All tables, as Markdown."""
    return "\n".join((*_by_memory(results), *_by_parallel(results), *_by_batch(results), *_cold(results)))


def _by_memory(results: Results) -> Iterable[str]:
    titles = {OURS: OURS, HAND_WRITTEN: "boto3 by hand", ORIGINAL: ORIGINAL}
    yield "**By memory**, batches of 100, 16 calls at once: duration of a batch, and price of a million events\n"
    yield _row(["memory", *titles.values()])
    yield _row(["---:"] * (len(titles) + 1))
    for memory in cost.MEMORIES_MB:
        prices = [_price(results, cost.name_of(who, memory), memory, cost.BATCH) for who in titles]
        yield _row([f"{memory:,} MB", *prices])
    yield ""


def _by_parallel(results: Results) -> Iterable[str]:
    yield f"**By `parallel`**, batches of 100, {cost.MEMORY_MB} MB\n"
    yield from _across(
        [f"{parallel} at once" for parallel in cost.PARALLELS],
        [
            _price(results, cost.name_of(OURS, cost.MEMORY_MB, parallel=parallel), cost.MEMORY_MB, cost.BATCH)
            for parallel in cost.PARALLELS
        ],
    )


def _by_batch(results: Results) -> Iterable[str]:
    names = {batch: cost.name_of(OURS, cost.MEMORY_MB, batch=batch) for batch in cost.BATCHES}
    yield f"**By size of the batch**, {cost.MEMORY_MB} MB, 16 calls at once\n"
    yield from _across(
        [f"{batch:,} event{'s' * (batch > 1)}" for batch in cost.BATCHES],
        [_price(results, name, cost.MEMORY_MB, batch) for batch, name in names.items()],
    )
    walls = {batch: results[name]["wall_s"] for batch, name in names.items()}
    yield f"**By window**, batch size 100, {cost.MEMORY_MB} MB, by how many events a shard brings a second\n"
    yield _row(["events/s", *(f"window {window} s" for window in WINDOWS_S)])
    yield _row(["---:"] * (len(WINDOWS_S) + 1))
    for rate in RATES:
        batches = [max(1.0, min(float(cost.BATCH), rate * window)) for window in WINDOWS_S]
        prices = [usd(_between(walls, batch), cost.MEMORY_MB, batch) for batch in batches]
        yield _row([f"{rate:g}", *(f"${price:.3f}" for price in prices)])
    yield ""


def _between(walls: dict[int, float], batch: float) -> float:
    """The duration for a batch between two that were measured, by a straight line."""
    sizes = sorted(walls)
    above = next(size for size in sizes if size >= batch)
    below = max(size for size in sizes if size <= batch)
    share = 0.0 if above == below else (batch - below) / (above - below)
    return walls[below] + share * (walls[above] - walls[below])


def _cold(results: Results) -> Iterable[str]:
    yield "**Cold starts**: import and first update, and price of a thousand of them\n"
    yield _row(["memory", OURS, "boto3 and reactivex by hand"])
    yield _row(["---:"] * 3)
    for memory in cost.MEMORIES_MB:
        walls = [results[cost.cold_name_of(who, memory)]["wall_s"] for who in (OURS, HAND_WRITTEN)]
        prices = [f"{wall * 1000:,.0f} ms, ${1_000 * wall * memory / 1024 * USD_GB_SECOND:.4f}" for wall in walls]
        yield _row([f"{memory:,} MB", *prices])
    yield ""


def _price(results: Results, name: str, memory_mb: int, batch: int) -> str:
    wall = results[name]["wall_s"]
    return f"{wall * 1000:,.0f} ms, ${usd(wall, memory_mb, batch):.3f}"


def _across(titles: Sequence[str], values: Sequence[str]) -> Iterable[str]:
    yield _row(titles)
    yield _row(["---:"] * len(titles))
    yield _row(values)
    yield ""


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
