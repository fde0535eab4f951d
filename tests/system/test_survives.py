"""The local cloud survives: parts of it are killed while the sample is fed in, and all is as expected afterwards.

The five services run in a cloud that `streamctl up` has started. The emulator, the mapping engine, the deliveries, the
console and processes of functions are killed with SIGKILL at random moments; nobody but the cloud's own supervisor
starts anything again. Afterwards the demo's table must hold, and once more after `down` and `up`.
`SURVIVE_STORIES=10000 SURVIVE_KILLS=20 pytest -s tests/system/test_survives.py -k kills` does it at length, and prints
what happened; it takes 20 minutes or more.
"""

from __future__ import annotations

import dataclasses
import errno
import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest
from botocore.exceptions import BotoCoreError, ClientError
from stream_cli.errors import CommandError
from stream_cli.local.background import CONSOLE, PARTS
from stream_cli.local.cloud import attach
from stream_cli.local.state import StateFolder
from stream_cli.send import publish

from demo import feed
from demo.expectations import Expectation, evaluate
from demo.observation import Observer

pytestmark = [pytest.mark.system, pytest.mark.timeout(7200)]

STORIES = int(os.environ.get("SURVIVE_STORIES", "200"))
KILLS = int(os.environ.get("SURVIVE_KILLS", "5"))
SEED = int(os.environ.get("SURVIVE_SEED", "14"))
FUNCTION = "function"
GROUP = 10
AT_ONCE = 4
STALLED_S = 210.0
QUIET_S = 3.0
AGAIN_S = 0.2
BACK_S = 60.0
WITHIN_S = 2.0
FULL_S = 8.0
COUNTED = "faults counted by event-fault-monitor"
AWAY = (httpx.HTTPError, BotoCoreError, ClientError, CommandError)
"""What a client sees while the emulator is away; like any client of AWS, it asks again."""


def stories(count: int) -> list[feed.SampleStory]:
    """The sample, again and again with other ids. Faults that are injected do not outlive the emulator."""
    found, sample = [], feed.sample()
    for number, entry in enumerate(itertools.islice(itertools.cycle(sample), count)):
        id = f"{entry.id}-{number // len(sample)}"
        has_id = isinstance(entry.analysis, dict) and "id" in entry.analysis  # without, it is poison
        analysis = {**entry.analysis, "id": id} if has_id else entry.analysis  # type: ignore[dict-item]
        story = {**entry.story, "id": id}
        found.append(dataclasses.replace(entry, story=story, analysis=analysis, throttled=False))
    return found


@dataclass
class Survivor:
    """A running cloud in a folder."""

    state: StateFolder

    def streamctl(self, *command: str) -> str:
        """Run a command on it."""
        arguments = [sys.executable, "-m", "stream_cli.cli", *command, "--state", str(self.state.root)]
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, f"streamctl {' '.join(command)}: {done.stdout}{done.stderr}"
        return done.stdout

    def pid_of(self, part: str) -> int | None:
        """The process id of a part, or of a process of a function."""
        record = self.state.records().get("emulator" if part == FUNCTION else part)
        if record is None:
            return None
        pid = int(record["child"]["pid"])
        if part != FUNCTION:
            return pid
        try:
            return next((child.pid for child in psutil.Process(pid).children()), None)
        except psutil.NoSuchProcess:
            return None


@dataclass
class Killer:
    """Kills parts at random moments of a feed."""

    cloud: Survivor
    kills: int
    killed: Counter[str] = field(default_factory=Counter)

    def run(self, feeder: Feeder, stop: threading.Event) -> None:
        """Kill each kind of part in turns, in any order; one after the other, if a part is long in coming back."""
        chance, pids = random.Random(SEED), set[int]()
        parts = [*sorted(PARTS), CONSOLE, FUNCTION]
        chance.shuffle(parts)
        moments = sorted(chance.sample(range(feeder.count), self.kills))
        for part, moment in zip(itertools.cycle(parts), moments, strict=False):
            while feeder.fed < moment:
                if stop.wait(AGAIN_S):
                    return
            stop.wait(chance.uniform(0, WITHIN_S))
            deadline = time.monotonic() + BACK_S
            while (pid := self.cloud.pid_of(part)) is None or pid in pids:
                assert time.monotonic() < deadline, f"{part} did not come back"
                time.sleep(AGAIN_S)
            os.kill(pid, signal.SIGKILL)
            pids.add(pid)
            self.killed[part] += 1
            print(f"{part} was killed after {feeder.fed} stories", flush=True)


class Feeder:
    """Feeds stories in, and repeats what was not answered, as any client of AWS does."""

    def __init__(self, cloud: Survivor, entries: Sequence[feed.SampleStory]) -> None:
        endpoint = attach(cloud.state)
        self._entries = entries
        self._rest = feed.RestClient(endpoint)
        self._events = endpoint.client("events")
        self._bus = feed.stack_output(endpoint, feed.HUB_STACK, "busName")
        self.count = len(entries)
        self.fed = 0
        self.repeated = 0

    def run(self) -> None:
        """Feed everything in."""
        with self._rest, ThreadPoolExecutor(AT_ONCE) as pool:
            for start in range(0, len(self._entries), GROUP):
                group = self._entries[start : start + GROUP]
                self._analyze([entry for entry in group if entry.analysis_first])
                list(pool.map(self._post, group))
                self._analyze([entry for entry in group if not entry.analysis_first])
                self._analyze([entry for entry in group if entry.analysis_twice])
                self.fed += len(group)

    def _post(self, entry: feed.SampleStory) -> None:
        for attempt in itertools.count():
            try:
                self._rest.post("/stories", entry.story)
                return
            except feed.FeedFailed as error:
                if attempt and "was posted before" in str(error):
                    return  # an attempt that was not answered has done it
            except AWAY:
                pass
            self._again()

    def _analyze(self, entries: Sequence[feed.SampleStory]) -> None:
        now_ms = time.time_ns() // 1_000_000
        events = [entry.analyzed_event(now_ms) for entry in entries if entry.analysis is not None]
        while True:
            try:
                publish(self._events, self._bus, events)
                return
            except AWAY:
                self._again()

    def _again(self) -> None:
        self.repeated += 1
        time.sleep(AGAIN_S)


class PatientObserver(Observer):
    """Goes on where the emulator was away; it sees each event once, though it may have been published again."""

    def look_patiently(self) -> bool:
        """Read what is new; False if there was nothing."""
        before = len(self.seen.events) + len(self.seen.lake_ids)
        try:
            for event in self._new_events():
                self.seen.events.append(event)
            self._read_lake()
        except AWAY:
            return True
        return len(self.seen.events) + len(self.seen.lake_ids) > before

    def once_each(self) -> int:
        """Leave each event out that came before; returns how many came again."""
        events = {str(event.get("id")): event for event in reversed(self.seen.events)}
        again = len(self.seen.events) - len(events)
        self.seen.events = list(events.values())[::-1]
        return again


def table_of(entries: Sequence[feed.SampleStory], observer: PatientObserver) -> tuple[list[Expectation], int]:
    """Wait until all is as expected and quiet, or nothing changes any more; the table, and the events that came again.

    Events that were published again are told apart: without kills there are none, with kills there may be.
    """
    again, changed, table = 0, time.monotonic(), list[Expectation]()
    while True:
        while observer.look_patiently():
            changed = time.monotonic()
        again += observer.once_each()
        try:
            current = evaluate(entries, (), observer, observer._endpoint)
        except AWAY:
            current = []
        now = time.monotonic()
        if current != table:
            changed, table = now, current
        still = now - changed
        if still >= (QUIET_S if table and all(line.ok for line in table) else STALLED_S):
            return table, again
        time.sleep(AGAIN_S)


def problems(table: Sequence[Expectation]) -> list[str]:
    """What is not as expected. A count of faults whose process was killed may be made again (docs/reliability.md)."""
    table = [each for each in table if each.name != COUNTED or int(each.seen) < int(each.expected)]
    return [
        f"{each.name}: {each.seen}, not {each.expected}: {'; '.join(each.details)}" for each in table if not each.ok
    ]


def fill(folder: Path, seconds: float) -> None:
    """Leave no room on the disk of a folder for a while."""
    filler, until = folder / "filler", time.monotonic() + seconds
    with filler.open("wb", buffering=0) as file:
        while time.monotonic() < until:
            for size in (1 << 20, 1 << 12):
                try:
                    file.write(b"\0" * size)
                    break
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
            else:
                time.sleep(0.001)  # what others free is taken, too
    filler.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a disk")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=700m", "tmpfs", tmp_path], check=True)
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", tmp_path], check=True)


@pytest.fixture
def cloud(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Survivor]:
    """The five services in a cloud of their own."""
    if "disk" in request.fixturenames:
        request.getfixturevalue("disk")  # before there is something on it
    made = Survivor(StateFolder(tmp_path / "state"))
    made.streamctl("up")
    try:
        yield made
    finally:
        made.streamctl("down")


@pytest.mark.thorough
def test_all_is_as_expected_after_kills_of_any_part(cloud: Survivor) -> None:
    entries, stop = stories(STORIES), threading.Event()
    with PatientObserver(attach(cloud.state)) as observer:
        feeder = Feeder(cloud, entries)
        killer, began = Killer(cloud, KILLS), time.monotonic()
        with ThreadPoolExecutor(2) as pool:
            fed, killed = pool.submit(feeder.run), pool.submit(killer.run, feeder, stop)
            try:
                while not (fed.done() and killed.done()):
                    observer.look_patiently()
                    time.sleep(AGAIN_S)
                fed.result()
                killed.result()
            finally:
                stop.set()
        table, again = table_of(entries, observer)
        took = time.monotonic() - began
        print(f"\n{STORIES} stories, {sum(killer.killed.values())} kills {dict(killer.killed)}, {took:.0f} s: ", end="")
        print(f"{feeder.repeated} requests repeated by the client, {again} events published again with the same id")
        assert not problems(table)
    serve_log = cloud.state.serve_log.read_text()
    restarted = Counter(line.split(" ")[1] for line in serve_log.splitlines() if "and was restarted" in line)
    assert restarted == Counter({part: n for part, n in killer.killed.items() if part != FUNCTION}), serve_log

    rows = {entry.id for entry in entries}
    cloud.streamctl("down")
    told = cloud.streamctl("up")
    assert "unchanged since" in told
    with PatientObserver(attach(cloud.state)) as observer:
        assert observer.view().keys() == rows
        assert not any(observer.failure_queues().values())


@pytest.mark.thorough
def test_all_is_as_expected_after_a_full_disk(cloud: Survivor, disk: Path) -> None:
    entries = stories(STORIES)
    with PatientObserver(attach(cloud.state)) as observer:
        feeder = Feeder(cloud, entries)
        with ThreadPoolExecutor(1) as pool:
            fed = pool.submit(feeder.run)
            while feeder.fed < GROUP:
                time.sleep(AGAIN_S)
            fill(disk, FULL_S)
            while not fed.done():
                observer.look_patiently()
                time.sleep(AGAIN_S)
            fed.result()
        table, _ = table_of(entries, observer)
        assert not problems(table)
    assert "cannot keep its state" in cloud.state.serve_log.read_text()
