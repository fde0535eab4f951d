"""The console's page in a real Chromium: 100,000 events held, 1,000 events a second coming in.

The first view is from the navigation, in a profile without anything, until rows are painted. Then frames are counted,
first while the list is left alone and new events come in at its top, then while it is scrolled. Memory is that of the
page's process.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from case import Case, Floor, Variant, figure

from cases.console import MIB, RATE, come, held, served
from cases.journal import EVENTS

sys.path.append(str(Path(__file__).resolve().parents[2] / "scripts"))

import chromium

WATCHING = "watch"
VIEWS, SECONDS, FAR_S = 5, 6, 30
SCROLLED_PX = 160


def watching() -> Callable[[], object]:
    """Write the journal; then look at it as a person does."""
    folder = tempfile.TemporaryDirectory(prefix="bench-")
    writer, lines = held(Path(folder.name, "state"))

    def watch() -> dict[str, float]:
        with served(Path(folder.name, "state")) as console, chromium.running() as browser, coming(writer):
            console.wait_until_current(lines)
            views = [
                browser.play(f"viewer {number}", "firstRows", given={"url": console.url})["ms"]
                for number in range(VIEWS)
            ]
            for number in range(1, VIEWS):
                browser.play(f"viewer {number}", "leaves")
            figures = {"first_ms": median(views), "worst_ms": max(views)}
            for name, step in (("live", 0), ("scrolled", SCROLLED_PX)):
                seen = browser.play("viewer 0", "frames", given={"seconds": SECONDS, "step": step})
                figures |= {f"{name}_{each}": value for each, value in seen.items()}
            figures["memory_mb"] = browser.memory_of_pages() / MIB
            far = browser.play("viewer 0", "scrolledFar", given={"seconds": FAR_S})
            figures |= {"far_mb": browser.memory_of_pages() / MIB, "far_longest_ms": far["longest_ms"]}
            browser.play("viewer 0", "collected")
            figures["far_held_mb"] = browser.memory_of_pages() / MIB
            figures |= {"far_rows": far["asked"] * 500.0, "held_rows": far["rows"]}
            return figures

    return watch


@contextlib.contextmanager
def coming(writer: Any) -> Iterator[None]:
    """So many events a second until the end of the block."""
    is_over = threading.Event()

    def run() -> None:
        begin, number = time.perf_counter(), 0
        while not is_over.wait(0.01):
            while number < (time.perf_counter() - begin) * RATE:
                come(writer, number)
                number += 1

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


CASE = Case(
    name="console_page",
    title=f"The console in Chromium: {EVENTS:,} events held, {RATE:,} a second coming in",
    variants=(Variant(WATCHING, watching),),
    floors=(
        Floor("first view, median", figure("first_ms", WATCHING), at_most=1_000, unit="ms"),
        Floor("first view, worst", figure("worst_ms", WATCHING), unit="ms"),
        Floor("longest frame, list left alone", figure("live_longest_ms", WATCHING), at_most=200, unit="ms"),
        Floor("frames over 50 ms, list left alone", figure("live_long_share", WATCHING), at_most=5, unit="%"),
        Floor("longest frame, list scrolled", figure("scrolled_longest_ms", WATCHING), at_most=200, unit="ms"),
        Floor("frames over 50 ms, list scrolled", figure("scrolled_long_share", WATCHING), at_most=5, unit="%"),
        Floor("memory of the page's process", figure("memory_mb", WATCHING), at_most=300, unit="MB"),
        Floor("what it holds, as far down as one comes", figure("far_held_mb", WATCHING), at_most=300, unit="MB"),
        Floor("that with its garbage", figure("far_mb", WATCHING), unit="MB"),
        Floor("events scrolled through on the way", figure("far_rows", WATCHING), unit="events"),
        Floor("rows held then", figure("held_rows", WATCHING), at_most=20_000, unit="rows"),
    ),
    rounds=1,
)
