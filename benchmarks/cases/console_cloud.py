"""What the console costs the local cloud: one cloud at a steady rate of events, and the console in three states in turn.

100,000 events are held, and 1,000 a second come in: those of some stories, which go through the deployed
control-service, and others that no function takes. Every few seconds the console is held, runs without a page, or has
two pages open in a real Chromium (the newest events, and the map), in an order that goes forwards and backwards, so that
what drifts is in all three alike. Compared are neighbours, by what the cloud's own processes use for an event, and by
how long a story takes from the put of its second event until the put of `story-ready`, as the journal has it. What the
machine does besides is in all three, too. The browser goes behind all others: it is the user's, not the console's.

At the end the bus gets as many events as it takes, so that the cloud wants all cores: what the console takes of them
then is what it keeps from the cloud.
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
from pathlib import Path
from statistics import median
from typing import Any

from busy import busy_s, busy_s_of
from case import Case, Floor, Results, Variant, figure
from offered import Offered
from paired import compared

from cases.console import held
from cases.control_service import BUS, CONSOLE, CONSOLE_PID, FOLDER, PARTS, TYPES, deployed

sys.path.append(str(Path(__file__).resolve().parents[2] / "scripts"))

import chromium

IN_TURN = "in turn"
HELD, CLOSED, OPEN = "held", "closed", "open"
RATE, OF_STORIES = 1_000, 0.05
TURNS, SECONDS, SETTLED_S, WARM_S = 16, 1.0, 0.4, 3.0
RAISED = 12
MOST_S = 4.0
PAGES = ("Events", "Map")
_INDEXED_WITHIN_S = 60


@dataclass
class Segment:
    """Some seconds of one state.

    Attributes:
        begin: when it began, in ms of the clock that the journal has, and when it ended.
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

    def share(self, name: str) -> float:
        """What a process used, in percent of a core."""
        return self.used_s[name] / (self.end - self.begin) * 1e5


class Stage:
    """The console, and a browser with its pages, which are put into one state after the other."""

    def __init__(self, browser: chromium.Chromium) -> None:
        self._browser, self._pid = browser, int(os.environ[CONSOLE_PID])
        self._parts: dict[str, int] = json.loads(os.environ[PARTS])
        self._state = OPEN
        for page in PAGES:
            browser.play(page, "watches", os.environ[CONSOLE], given={"title": page})
        browser.give_way(-5)

    def turn_to(self, state: str) -> None:
        """Put it into a state."""
        if state == self._state:
            return
        if self._state == HELD:
            os.kill(self._pid, signal.SIGCONT)
        if OPEN in (state, self._state):
            for page in PAGES:
                self._browser.play(page, "isHidden", given={"is": state != OPEN})
        if state == HELD:
            os.kill(self._pid, signal.SIGSTOP)
        self._state = state

    def segment(self, offered: Offered, seconds: float) -> Segment:
        """Let some seconds go by."""
        before, count, segment = self._used(), offered.count, Segment(self._state, time.time() * 1000)
        time.sleep(seconds)
        after, segment.end = self._used(), time.time() * 1000
        segment.events = offered.count - count
        segment.used_s = {name: after[name] - before[name] for name in before}
        return segment

    def _used(self) -> dict[str, float]:
        return {**busy_s(self._parts), "console": busy_s_of(self._pid), "browser": self._browser.busy_s()}


def in_turn() -> Callable[[], object]:
    """Wait until the console has everything that is held; then measure."""
    raise_all()
    wait_until_indexed()

    def work() -> dict[str, float]:
        with chromium.running() as browser:
            stage = Stage(browser)
            try:
                with Offered(BUS, TYPES, rate=RATE, share=OF_STORIES) as offered:
                    stage.segment(offered, WARM_S)
                    segments = list(measured(stage, offered, int(os.environ.get('T1',TURNS))))
                    time.sleep(SETTLED_S)
                with Offered(BUS, TYPES, rate=0, share=OF_STORIES) as most:
                    stage.segment(most, WARM_S)
                    saturated = list(measured(stage, most, int(os.environ.get('T2',TURNS))))
            finally:
                stage.turn_to(CLOSED)
        f= figures_of(segments, offered.run)
        c=compared([s.events for s in saturated if s.state==HELD],[s.events for s in saturated if s.state==OPEN])
        f|={'most':c.ratio,'most_low':c.low,'most_high':c.high}
        c=compared([s.cloud_us for s in saturated if s.state==HELD],[s.cloud_us for s in saturated if s.state==OPEN])
        f|={'mostcpu':c.ratio,'mostcpu_low':c.low,'mostcpu_high':c.high,'most_console':median(s.share('console') for s in saturated if s.state==OPEN)}
        return f

    return work


def raise_all() -> None:
    """Put this process, the cloud and the console before all else that this machine does, where that is allowed.

    Among each other they stay as they are. Linux compares sessions (sched(7), autogroup), and each has one.
    """
    os.setsid()
    for pid in (os.getpid(), int(os.environ[CONSOLE_PID]), *json.loads(os.environ[PARTS]).values()):
        group = Path(f"/proc/{pid}/autogroup")
        with contextlib.suppress(FileNotFoundError, PermissionError):
            group.write_text(str(int(group.read_text().split()[-1]) - RAISED))


def wait_until_indexed() -> None:
    """Wait until the console's index has all events."""
    import httpx
    from stream_cli.local.console import console_address
    from stream_cli.local.state import StateFolder

    address = console_address(StateFolder(Path(os.environ[FOLDER])).console_file)
    if address is None:
        raise RuntimeError("the console has no address")
    asked = f"{address.url.partition('#')[0]}api/about"
    httpx.get(
        asked, headers={"x-console-token": address.token}, trust_env=False, timeout=_INDEXED_WITHIN_S
    ).raise_for_status()


def measured(stage: Stage, offered: Offered, turns: int) -> Iterator[Segment]:
    """All segments, forwards and backwards."""
    for turn in range(turns):
        for state in (HELD, OPEN)[:: 1 if turn % 2 == 0 else -1]:
            if stage._state != state:
                stage.turn_to(state)
                time.sleep(SETTLED_S)
            s = stage.segment(offered, SECONDS)
            if os.environ.get("BENCH_VERBOSE"):
                print(s.state, s.events, f"{s.cloud_us:.0f}", {k: f"{v / SECONDS:.3f}" for k, v in s.used_s.items()}, file=sys.stderr, flush=True)
            yield s


def figures_of(segments: list[Segment], run: str) -> dict[str, float]:
    """What the case shows."""
    waits = waits_ms(Path(os.environ[FOLDER], "journal"), run)
    if os.environ.get("BENCH_VERBOSE"):
        for s in segments:
            print(s.state, f"{wait_of(s, waits):.0f}", file=sys.stderr, flush=True)
    figures = {}
    for state in (OPEN,):
        for name, value in (("cpu", lambda each: each.cloud_us), ("wait", lambda each: wait_of(each, waits))):
            of = [[value(each) for each in segments if each.state == which] for which in (HELD, state)]
            figure = compared(*of)
            figures |= {f"{state}_{name}": figure.ratio, f"{state}_{name}_low": figure.low, f"{state}_{name}_high": figure.high}
        figures[f"{state}_console_share"] = median(each.share("console") for each in segments if each.state == state)
    figures["browser_share"] = median(each.share("browser") for each in segments if each.state == OPEN)
    figures["event_us"] = median(each.cloud_us for each in segments if each.state == HELD)
    figures["story_ms"] = median(wait_of(each, waits) for each in segments if each.state == HELD)
    figures["rate"] = sum(each.events for each in segments) / sum(each.end - each.begin for each in segments) * 1000
    return figures


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
                    observed = orjson.loads(line)
                    times = ready if observed["type"] == "story-ready" else put
                    times[observed["detail"]["partition_key"]] = observed["at"]  # the later one of the two
    return [(put[story], at - put[story]) for story, at in ready.items()]


def wait_of(segment: Segment, waits: list[tuple[int, int]]) -> float:
    """The median of the stories whose second event was put in a segment."""
    return median(took for at, took in waits if segment.begin <= at < segment.end)


def held_before(root: Path) -> None:
    """Write the journal of 100,000 events into a state folder."""
    writer, _ = held(root)
    writer.close()


@contextlib.contextmanager
def surroundings() -> Iterator[Mapping[str, str]]:
    with deployed(console=True, prepare=held_before) as cloud:
        yield cloud


CASE = Case(
    name="console_cloud",
    title=f"A local cloud with {RATE:,} events a second, with and without the console",
    variants=(Variant(IN_TURN, in_turn),),
    floors=(
        Floor("CPU of the cloud for an event, no page open", figure("closed_cpu", IN_TURN), at_most=1.05),
        Floor("CPU of the cloud for an event, two pages open", figure("open_cpu", IN_TURN), at_most=1.05),
        Floor("time of a story, no page open", figure("closed_wait", IN_TURN), at_most=1.05),
        Floor("time of a story, two pages open", figure("open_wait", IN_TURN), at_most=1.05),
        Floor("console, of all cores, while the cloud wants them", figure("kept_share", IN_TURN), at_most=5, unit="%"),
        Floor("console, of a core, no page open", figure("closed_console_share", IN_TURN), unit="%"),
        Floor("console, of a core, two pages open", figure("open_console_share", IN_TURN), unit="%"),
        Floor("browser, of a core", figure("browser_share", IN_TURN), unit="%"),
    ),
    rounds=1,
    surroundings=surroundings,
)
