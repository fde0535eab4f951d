"""What the console costs the local cloud: one cloud at a steady rate of events, and the console in two states in turn.

100,000 events are held, and 1,000 a second come in: those of some stories, which go through the deployed
control-service, and others that no function takes. Every second or two the console is held (SIGSTOP), or two pages are
open in a real Chromium: the newest events, and the map. Compared are neighbours, each second with the one before or
behind it: what the cloud's own processes use for an event, and how long a story takes from the put of its second event
to that of `story-ready`, as the journal has it. How far CPU of the console comes before that of the cloud, where both
want a core, is fixed (`console.priority`).

What the machine does besides is in both states alike. Where this process may, it puts cloud, console and itself before
that, and leaves them among each other as they are. The browser comes behind all of them: it is the user's, not the
console's, and what it draws must not count for the console.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any

from busy import busy_s, busy_s_of
from case import Case, Floor, Variant, figure
from offered import Offered
from paired import compared
from raised import raise_above_others

from cases.console import held
from cases.control_service import BUS, CONSOLE, CONSOLE_PID, FOLDER, PARTS, TYPES, deployed

sys.path.append(str(Path(__file__).resolve().parents[2] / "scripts"))

import chromium

IN_TURN = "in turn"
HELD, CLOSED, OPEN = "held", "no page", "two pages"
RATE, OF_STORIES = 1_000, 0.05
STEADY_S, MOST_S, CLOSED_S, WARM_S = 60.0, 5.0, 4.0, 3.0
SECONDS, SETTLED_S = 1.0, 0.4
PAGES = ("Events", "Map")
OF_BROWSER = 19
"""The nice value of the browser's sessions: the last of all."""
_INDEXED_WITHIN_S = 60


@dataclass
class Segment:
    """Some seconds of one state.

    Attributes:
        begin: when it began, in ms since the epoch, as the journal has it; ``end`` likewise.
        used_s: the CPU time of each process.
    """

    state: str
    begin: float
    end: float = 0.0
    events: int = 0
    used_s: dict[str, float] = field(default_factory=dict)

    @property
    def cloud_us(self) -> float:
        """What the cloud's own processes used for an event."""
        return sum(used for name, used in self.used_s.items() if name not in ("console", "browser")) / self.events * 1e6

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / (self.end - self.begin) * 1000

    def share(self, name: str) -> float:
        """What a process used, in percent of a core."""
        return self.used_s[name] / (self.end - self.begin) * 1e5


class Watched:
    """A cloud with its console, which a browser with two pages watches, or nobody."""

    def __init__(self, browser: chromium.Chromium) -> None:
        self._browser, self._console = browser, int(os.environ[CONSOLE_PID])
        self._parts: dict[str, int] = json.loads(os.environ[PARTS])
        self._state = OPEN
        for page in PAGES:
            browser.play(page, "watches", os.environ[CONSOLE], given={"title": page})
        with contextlib.suppress(PermissionError):
            browser.give_way(OF_BROWSER)

    def turn_to(self, state: str) -> None:
        """Put the console into a state. What it does at once, such as to read what it missed, is not measured."""
        if state == self._state:
            return
        if self._state == HELD:
            os.kill(self._console, signal.SIGCONT)
        if OPEN in (state, self._state):
            for page in PAGES:
                self._browser.play(page, "isHidden", given={"is": state != OPEN})
        if state == HELD:
            os.kill(self._console, signal.SIGSTOP)
        self._state = state
        time.sleep(SETTLED_S)  # what the change itself costs is not measured

    def segment(self, offered: Offered, seconds: float) -> Segment:
        """Let some seconds go by."""
        before, count, segment = self._used(), offered.count, Segment(self._state, time.time() * 1000)
        time.sleep(seconds)  # what goes on meanwhile is measured
        after, segment.end = self._used(), time.time() * 1000
        segment.events = offered.count - count
        segment.used_s = {name: after[name] - before[name] for name in before}
        return segment

    def in_turn(self, offered: Offered, seconds: float) -> list[Segment]:
        """Pairs of seconds in both states for as long: held, open, open, held and so on."""
        until, segments = time.monotonic() + seconds, list[Segment]()
        for state in cycle((HELD, OPEN, OPEN, HELD)):
            if len(segments) % 2 == 0 and time.monotonic() > until:
                return segments
            self.turn_to(state)
            segments.append(self.segment(offered, SECONDS))
        raise RuntimeError("a cycle has no end")

    def _used(self) -> dict[str, float]:
        return {**busy_s(self._parts), "console": busy_s_of(self._console), "browser": self._browser.busy_s()}


def in_turn() -> Callable[[], object]:
    """Wait until the console has everything that is held; then measure."""
    raise_above_others((int(os.environ[CONSOLE_PID]), *json.loads(os.environ[PARTS]).values()))
    wait_until_indexed()

    def work() -> dict[str, float]:
        with chromium.running() as browser:
            watched = Watched(browser)
            try:
                with Offered(BUS, TYPES, rate=RATE, share=OF_STORIES) as offered:
                    watched.turn_to(CLOSED)
                    watched.segment(offered, WARM_S)
                    closed = watched.segment(offered, CLOSED_S)
                    steady = watched.in_turn(offered, STEADY_S)
                    watched.turn_to(OPEN)
                with Offered(BUS, TYPES, rate=0, share=OF_STORIES) as most:
                    saturated = watched.segment(most, MOST_S)
            finally:
                watched.turn_to(CLOSED)
        return {
            **figures_of(steady, waits_ms(Path(os.environ[FOLDER], "journal"), offered.run)),
            "most_share": saturated.share("console"),
            "most": saturated.rate,
            "closed_share": closed.share("console"),
        }

    return work


def wait_until_indexed() -> None:
    """Wait until the console's index has all events."""
    import httpx
    from stream_cli.local.console import console_address
    from stream_cli.local.state import StateFolder

    address = console_address(StateFolder(Path(os.environ[FOLDER])).console_file)
    if address is None:
        raise RuntimeError("the console has no address")
    asked, headers = f"{address.url.partition('#')[0]}api/about", {"x-console-token": address.token}
    httpx.get(asked, headers=headers, trust_env=False, timeout=_INDEXED_WITHIN_S).raise_for_status()


def figures_of(segments: list[Segment], waits: list[tuple[int, int]]) -> dict[str, float]:
    """What is shown of a steady rate."""
    return {
        **ratio("cpu", segments, lambda each: each.cloud_us),
        **ratio("wait", segments, lambda each: wait_of(each, waits)),
        "open_share": shares(segments, "console"),
        "browser_share": shares(segments, "browser"),
        "event_us": median(each.cloud_us for each in segments if each.state == HELD),
        "story_ms": median(wait_of(each, waits) for each in segments if each.state == HELD),
        "rate": median(each.rate for each in segments),
        "pairs": len(segments) / 2,
    }


def ratio(name: str, segments: list[Segment], value: Callable[[Segment], float]) -> dict[str, float]:
    """How many times as much a figure is with two pages open, and between which values that is."""
    held, opened = ([value(each) for each in segments if each.state == state] for state in (HELD, OPEN))
    found = compared(held, opened)
    return {name: found.ratio, f"{name}_low": found.low, f"{name}_high": found.high}


def shares(segments: list[Segment], name: str) -> float:
    """What a process uses of a core while two pages are open, in percent."""
    return median(each.share(name) for each in segments if each.state == OPEN)


def waits_ms(folder: Path, run: str) -> list[tuple[int, int]]:
    """Of each story, when its second event was put, and how long it took from then on until it was ready; in ms."""
    import orjson

    put: dict[str, int] = {}
    ready: dict[str, int] = {}
    own = f"story-{run}-".encode()
    for path in sorted(folder.glob("emulator-*.jsonl")):
        with path.open("rb") as lines:
            for line in lines:
                if own in line and line.startswith(b'{"kind":"event"'):
                    observed: dict[str, Any] = orjson.loads(line)
                    times = ready if observed["type"] == "story-ready" else put
                    times[observed["detail"]["partition_key"]] = observed["at"]  # the later one of the two
    return [(put[story], at - put[story]) for story, at in ready.items()]


def wait_of(segment: Segment, waits: list[tuple[int, int]]) -> float:
    """The median of the stories whose second event was put in a segment."""
    return median(took for at, took in waits if segment.begin <= at < segment.end)


def held_before(root: Path) -> None:
    """Write the journal of 100,000 events into a state folder: in files of a process that has not started yet."""
    writer, _ = held(root, "deliveries")
    writer.close()


@contextlib.contextmanager
def surroundings() -> Iterator[Mapping[str, str]]:
    """The cloud with hub, control-service and console, over what is held."""
    with deployed(console=True, prepare=held_before) as cloud:
        yield cloud


def sure(text: str, name: str, at_most: float | None = None) -> tuple[Floor, ...]:
    """A ratio with its limit, and between which values it is in 19 of 20 runs."""
    return (
        Floor(text, figure(name, IN_TURN), at_most=at_most),
        Floor("the same, at least", figure(f"{name}_low", IN_TURN)),
        Floor("the same, at most", figure(f"{name}_high", IN_TURN)),
    )


CASE = Case(
    name="console_cloud",
    title=f"A local cloud with {RATE:,} events a second, two pages of its console open over without the console",
    variants=(Variant(IN_TURN, in_turn),),
    floors=(
        *sure("CPU of the cloud for an event", "cpu", at_most=1.05),
        *sure("from the put of a story's second event to that of story-ready", "wait", at_most=1.05),
        Floor("console, of a core, two pages open", figure("open_share", IN_TURN), unit="%"),
        Floor("the same, while the bus gets as many events as it takes", figure("most_share", IN_TURN), unit="%"),
        Floor("console, of a core, no page open", figure("closed_share", IN_TURN), unit="%"),
        Floor("browser, of a core", figure("browser_share", IN_TURN), unit="%"),
    ),
    rounds=1,
    surroundings=surroundings,
)
