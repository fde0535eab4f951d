"""What a page of the console costs the local cloud: events through the deployed control-service, with and without one.

The page is open in a real Chromium on this machine, at its list of events, while the others go on. CPU is that of the
cloud's own processes; the console gives way to them (`nice`), the browser does not.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from case import Case, Floor, Results, Variant, slower

from cases.control_service import CONSOLE, CONSOLE_PID, deployed, through

sys.path.append(str(Path(__file__).resolve().parents[2] / "scripts"))

import chromium

WITHOUT, CLOSED, OPEN = "without the console", "no page is open", "a page is open"
EVENTS = 2_000


def without() -> Callable[[], object]:
    """Publish events, and wait for what they lead to; the console is held meanwhile."""
    work, console = through(EVENTS, 1), process()

    def held() -> object:
        console.suspend()
        try:
            return work()
        finally:
            console.resume()

    return held


def closed() -> Callable[[], object]:
    """The same with the console."""
    work, console = through(EVENTS, 1), process()
    return lambda: beside(console, work)


def opened() -> Callable[[], object]:
    """The same with a page."""
    work, console = through(EVENTS, 1), process()

    def watched() -> object:
        with chromium.running() as browser:
            browser.play("viewer", "isLive", os.environ[CONSOLE])
            return beside(console, work, browser)

    return watched


def process() -> Any:
    """The console's."""
    import psutil

    return psutil.Process(int(os.environ[CONSOLE_PID]))


def beside(console: Any, work: Callable[[], Any], browser: chromium.Chromium | None = None) -> dict[str, float]:
    """The figures of some work, and the CPU of those who look on."""

    def used() -> tuple[float, float]:
        return sum(console.cpu_times()[:2]), browser.busy_s() if browser else 0.0

    before = used()
    figures: dict[str, float] = work()
    after = used()
    return {**figures, "console_s": after[0] - before[0], "browser_s": after[1] - before[1]}


def looked_on(results: Results) -> str:
    """What those who look on use themselves."""
    of_page = results[OPEN]
    shares = {name: of_page[f"{name}_s"] / of_page["wall_s"] for name in ("console", "browser")}
    return ", ".join(f"{name} {share:.0%} of a core" for name, share in shares.items()) + " while the page is open."


CASE = Case(
    name="console_cloud",
    title=f"{EVENTS:,} events through the deployed control-service, with and without the console; local cloud",
    variants=(Variant(WITHOUT, without), Variant(CLOSED, closed), Variant(OPEN, opened)),
    floors=(
        Floor("CPU of the cloud, no page open", slower("cpu_s", WITHOUT, CLOSED), at_most=1.05),
        Floor("CPU of the cloud, a page open", slower("cpu_s", WITHOUT, OPEN), at_most=1.05),
        Floor("time of the events, no page open", slower("wall_s", WITHOUT, CLOSED), at_most=1.05),
        Floor("time of the events, a page open", slower("wall_s", WITHOUT, OPEN), at_most=1.05),
    ),
    rounds=4,
    surroundings=lambda: deployed(console=True),
    remark=looked_on,
)
