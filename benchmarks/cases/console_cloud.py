"""What the console costs the local cloud at the most events a second that it takes: one cloud, two states in turn.

100,000 events are held. Feeds of events come one behind the other, each as fast as the bus takes it: those of some
stories, which go through the deployed control-service, and others that no function takes. A feed is finished when its
last story is ready, as the journal has it. For each feed the console serves two pages, the newest events and the map,
or is held (SIGSTOP). The order is held, open, open, held and so on, and neighbours are compared: how long the feed
takes, and what the cloud's own processes use for an event. How far CPU of the console comes before that of the cloud,
where both want a core, is fixed (`console.priority`).

What the pages ask is seen in a real Chromium at RATE events a second, and asked again without it: a browser is the
user's, not the console's, and on two cores the cloud would have to share them with what it draws.

What the machine does besides is in both states alike. Where this process may, it puts cloud, console and itself before
that, and leaves them among each other as they are.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from statistics import median

from asked import ask_again, asked_by
from busy import busy_s, busy_s_of
from case import Case, Floor, Variant, figure
from offered import Feed, Offered
from paired import compared
from raised import raise_above_others

from cases.console import held
from cases.control_service import BUS, CONSOLE, CONSOLE_PID, FOLDER, PARTS, TYPES, deployed

IN_TURN = "in turn"
HELD, OPEN = "held", "two pages"
EVENTS, OF_STORIES = 2_000, 0.05
STORIES = int(EVENTS * OF_STORIES) // len(TYPES)
FEEDS_S, SETTLED_S, LOOKED_EVERY_S, PATIENCE_S = 200.0, 0.4, 0.1, 20.0
PAGES = ("Events", "Map")
RATE, SEEN_S = 1_000, 10.0
_INDEXED_WITHIN_S = 60


@dataclass(frozen=True)
class Fed:
    """A feed.

    Attributes:
        took_s: from its first event until its last story was ready.
        cloud_us: what the cloud's own processes used for an event.
        console_share: what the console used in that time, in percent of a core.
    """

    took_s: float
    cloud_us: float
    console_share: float


class Watched:
    """A cloud, and its console with two pages open."""

    def __init__(self) -> None:
        self._console, self._state = int(os.environ[CONSOLE_PID]), OPEN
        self._parts: dict[str, int] = json.loads(os.environ[PARTS])
        self._journal = Path(os.environ[FOLDER], "journal")
        with Offered(BUS, TYPES, rate=RATE, share=OF_STORIES):
            asked = asked_by(os.environ[CONSOLE], PAGES, SEEN_S)
        ask_again(os.environ[CONSOLE], asked)
        self.asked_in_s = sum(map(len, asked)) / SEEN_S
        self._feed = Feed(BUS, TYPES, share=OF_STORIES)

    def turn_to(self, state: str) -> None:
        """Put the console into a state. What it does at once, such as to read what it missed, is not measured."""
        if state != self._state:
            os.kill(self._console, signal.SIGSTOP if state == HELD else signal.SIGCONT)
            self._state = state
            time.sleep(SETTLED_S)  # what the change itself costs is not measured

    def fed(self) -> Fed:
        """Put the events of a feed, and wait until its stories are ready."""
        from stream_cli.journal.arriving import since

        after, before = since(self._journal, None, {"event"}, 1).after, self._used()
        began, ready = time.time(), dict[str, float]()
        self._feed.put(EVENTS)
        put_s = time.time() - began
        while len(ready) < STORIES:
            if time.time() - began > PATIENCE_S:
                raise RuntimeError(f"{len(ready)} of {STORIES} stories are ready after {PATIENCE_S} s")
            time.sleep(LOOKED_EVERY_S)  # the journal has a line up to 0.25 s later
            found = since(self._journal, after, {"event"}, 10 * EVENTS)
            after = found.after
            ready |= {
                line["detail"]["id"]: line["at"] / 1000
                for line in found.lines
                if line["kind"] == "event" and line["type"] == "story-ready"
            }
        used = {name: spent - before[name] for name, spent in self._used().items()}
        console = used.pop("console")
        took_s = max(put_s, max(ready.values()) - began)
        cloud_us = sum(used.values()) / EVENTS * 1e6
        return Fed(took_s, cloud_us, 100 * console / took_s)

    def in_turn(self, seconds: float) -> dict[str, list[Fed]]:
        """Pairs of feeds in both states for as long; the first of each state is not counted."""
        until, found = time.monotonic() + seconds, dict[str, list[Fed]]({HELD: [], OPEN: []})
        for state in cycle((HELD, OPEN, OPEN, HELD)):
            if len(found[HELD]) == len(found[OPEN]) and time.monotonic() > until:
                return {state: fed[1:] for state, fed in found.items()}
            self.turn_to(state)
            found[state].append(self.fed())
        raise RuntimeError("a cycle has no end")

    def _used(self) -> dict[str, float]:
        return {**busy_s(self._parts), "console": busy_s_of(self._console)}


def in_turn() -> Callable[[], object]:
    """Wait until the console has everything that is held; then measure."""
    raise_above_others((int(os.environ[CONSOLE_PID]), *json.loads(os.environ[PARTS]).values()))
    wait_until_indexed()

    def work() -> dict[str, float]:
        watched = Watched()
        try:
            found = watched.in_turn(FEEDS_S)
        finally:
            watched.turn_to(OPEN)
        return {
            **ratio("time", found, lambda fed: fed.took_s),
            **ratio("cpu", found, lambda fed: fed.cloud_us),
            "console_share": median(fed.console_share for fed in found[OPEN]),
            "events_held": EVENTS / median(fed.took_s for fed in found[HELD]),
            "event_us": median(fed.cloud_us for fed in found[HELD]),
            "asked": watched.asked_in_s,
            "pairs": len(found[HELD]),
        }

    return work


def ratio(name: str, found: Mapping[str, list[Fed]], value: Callable[[Fed], float]) -> dict[str, float]:
    """How many times as much a figure is with two pages open, and between which values that is."""
    compare = compared(*([value(each) for each in found[state]] for state in (HELD, OPEN)))
    return {name: compare.ratio, f"{name}_low": compare.low, f"{name}_high": compare.high}


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


def held_before(root: Path) -> None:
    """Write the journal of 100,000 events into a state folder: in files of a process that has not started yet."""
    writer, _ = held(root, "deliveries")
    writer.close()


@contextlib.contextmanager
def surroundings() -> Iterator[Mapping[str, str]]:
    """The cloud with hub, control-service and console, over what is held."""
    with deployed(console=True, prepare=held_before) as cloud:
        yield cloud


def sure(text: str, name: str) -> tuple[Floor, ...]:
    """A ratio with its limit, and between which values it is in 19 of 20 runs."""
    return (
        Floor(text, figure(name, IN_TURN), at_most=1.05),
        Floor("the same, at least", figure(f"{name}_low", IN_TURN)),
        Floor("the same, at most", figure(f"{name}_high", IN_TURN)),
    )


CASE = Case(
    name="console_cloud",
    title="A local cloud that gets as many events as it takes, two pages of its console open over without the console",
    variants=(Variant(IN_TURN, in_turn),),
    floors=(
        *sure(f"{EVENTS:,} events, until the last story is ready", "time"),
        *sure("CPU of the cloud for an event", "cpu"),
        Floor("events a second without the console", figure("events_held", IN_TURN), unit=""),
        Floor("console, of a core, two pages open", figure("console_share", IN_TURN), unit="%"),
        Floor("questions of the pages, a second", figure("asked", IN_TURN), unit=""),
    ),
    rounds=1,
    surroundings=surroundings,
)
