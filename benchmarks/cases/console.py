"""The console over the journal of 100,000 events: until it can be asked, its answers, memory, 1,000 events a second.

What it answers is measured with a page open that is told what comes in. The console gives way to the cloud.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from case import Case, Floor, Variant, figure

from cases.journal import EVENTS, observed

ASKING = "ask"
RATE, SECONDS = 1_000, 5
_STARTS_WITHIN_S = 60
MIB = 1024 * 1024


@dataclass(frozen=True)
class Served:
    """A console that runs: what a person opens, what asks it, and its process."""

    url: str
    client: Any
    pid: int

    def get(self, path: str) -> Any:
        """What it answers; below /api."""
        return self.client.get(f"{self.url.partition('#')[0]}api/{path}").raise_for_status().json()

    def wait_until_current(self, lines: int) -> None:
        """Wait until so many lines are in its index.

        Raises:
            RuntimeError: there are fewer in the journal.
        """
        found = self.get("about")["coverage"]["lines"]
        if found < lines:
            raise RuntimeError(f"Of {lines} lines, {found} are in the journal.")


@contextlib.contextmanager
def served(folder: Path) -> Iterator[Served]:
    """A console over the state folder."""
    import httpx
    from stream_cli.local.console import console_address
    from stream_cli.local.state import StateFolder

    path = StateFolder(folder).console_file
    console = subprocess.Popen(
        [sys.executable, "-m", "stream_cli.console", "--state", str(folder)], stderr=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + _STARTS_WITHIN_S
        while (address := console_address(path)) is None:
            if console.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"The console over {folder} did not start")
            time.sleep(0.01)  # the console writes its address into a file, and nothing tells of it
        headers = {"x-console-token": address.token}
        with httpx.Client(headers=headers, trust_env=False, timeout=120) as client:
            yield Served(address.url, client, console.pid)
    finally:
        console.terminate()
        console.wait()


def held(folder: Path, process: Any = "emulator") -> tuple[Any, int]:
    """A state folder with the journal of all events: who writes on, as this process, and how many lines there are."""
    from stream_cli import private_files
    from stream_cli.journal.writer import Writer
    from stream_cli.local.state import StateFolder

    state = StateFolder(folder)
    state.secure()
    private_files.make_folder(state.temporary)
    writer = Writer(state.journal, process)
    lines = 0
    for line in observed():
        writer.put(line)
        lines += 1
        if lines % RATE == 0:
            writer.flush()
    writer.flush()
    return writer, lines


def come(writer: Any, number: int) -> None:
    """Another event is observed."""
    detail = {"id": f"more-{number}", "type": "story-submitted", "partition_key": f"more-{number % 100}"}
    writer.put({"kind": "event", "at": time.time_ns() // 1_000_000, "bus": "hub", "id": f"more-{number}",
                "source": "bff", "type": "story-submitted", "detail": detail, "rules": []})  # fmt: skip


def asking() -> Callable[[], object]:
    """Write the journal; then start a console, and ask it as pages do."""
    folder = tempfile.TemporaryDirectory(prefix="bench-")
    writer, lines = held(Path(folder.name, "state"))

    def ask() -> dict[str, float]:
        import psutil

        begin = time.perf_counter()
        with served(Path(folder.name, "state")) as console:
            console.wait_until_current(lines)
            figures = {"current_s": time.perf_counter() - begin}
            for name, path in (
                ("first_ms", "events?limit=200"), ("text_ms", "events?text=nowhere"),
                ("trace_ms", "trace/story-submitted-4711"), ("map_ms", "map/figures"),
            ):  # fmt: skip
                begin = time.perf_counter()
                console.get(path)
                figures[name] = (time.perf_counter() - begin) * 1000
            figures |= told(console, writer, psutil.Process(console.pid))
            return figures

    return ask


def told(asked: Served, writer: Any, console: Any) -> dict[str, float]:
    """While events come in, and a page is told of them: how many it is told of, the first page, CPU and memory."""
    import orjson

    counted, opened, is_over = [0], threading.Event(), threading.Event()

    def page() -> None:
        with asked.client.stream("GET", f"{asked.url.partition('#')[0]}api/arrivals") as answer:
            for line in answer.iter_lines():
                opened.set()
                if line.startswith("data:"):
                    counted[0] += orjson.loads(line[5:])["counts"].get("event", 0)
                if is_over.is_set() or counted[0] >= RATE * SECONDS:
                    return

    watching = threading.Thread(target=page)
    watching.start()
    opened.wait()
    cpu, begin = sum(console.cpu_times()[:2]), time.perf_counter()
    for number in range(RATE * SECONDS):
        come(writer, number)
        time.sleep(max(0.0, number / RATE - (time.perf_counter() - begin)))  # lines come at the rate
    begin_ask = time.perf_counter()
    asked.get("events?limit=200")
    first = (time.perf_counter() - begin_ask) * 1000
    watching.join(10)
    is_over.set()
    seconds = time.perf_counter() - begin
    return {
        "busy_ms": first,
        "told_share": counted[0] / (RATE * SECONDS),
        "cpu_share": (sum(console.cpu_times()[:2]) - cpu) / seconds * 100,
        "memory_mb": console.memory_info().rss / MIB,
    }


CASE = Case(
    name="console",
    title=f"The console over the journal of {EVENTS:,} events, then with {RATE:,} events a second",
    variants=(Variant(ASKING, asking),),
    floors=(
        Floor("newest events", figure("first_ms", ASKING), at_most=1_000, unit="ms"),
        Floor("events by a text that none has", figure("text_ms", ASKING), at_most=1_000, unit="ms"),
        Floor("a trace", figure("trace_ms", ASKING), at_most=1_000, unit="ms"),
        Floor("figures of the map", figure("map_ms", ASKING), at_most=500, unit="ms"),
        Floor("newest events at that rate", figure("busy_ms", ASKING), at_most=1_000, unit="ms"),
        Floor("share of events that a page is told of", figure("told_share", ASKING), at_least=1.0),
        Floor("CPU of the console at that rate, of one core", figure("cpu_share", ASKING), at_most=20, unit="%"),
        Floor("memory of the console", figure("memory_mb", ASKING), at_most=300, unit="MB"),
    ),
    rounds=1,
)
