"""The local cloud at a constant rate: memory of each part, the disk, and the time from an analysis to a ready story.

npm run soak:cloud -- --minutes 20 --rate 12

The five services run in a cloud that `streamctl up` has started, with its state kept. Stories and their analyses are
published at so many stories a second: 20 minutes at 12 are the stories of 8 hours at one in two seconds. Clocks are
real: nothing expires sooner. So the emulator holds more and more that is to be kept (items, and objects of the lake):
its memory and the files grow with the stories, all else is flat. The last lines say by how much, as slopes of the lines
that fit best. What grows faster than `MOST` says, a story that took longer and longer, or one that is not ready, is
told, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import psutil
from stream_cli.local.cloud import attach
from stream_cli.local.state import StateFolder
from stream_cli.send import publish

BUS = "event-hub-local-bus"
EVERY_S = 10.0
WARM_S = 120.0
"""Processes and caches of the beginning are not counted."""
PATIENCE_S = 120.0
MB = 1_000_000
PARTS = ("emulator", "mappings", "deliveries", "console")
FUNCTIONS = "functions"
MOST = {
    "memory of console": 2.0,
    "memory of deliveries": 1.0,
    "memory of emulator": 25.0,
    "memory of functions": 4.0,
    "memory of mappings": 1.0,
    "disk of journal": 30.0,
    "disk of kept": 90.0,
}
"""By how many MB something may grow for 1,000 stories; other folders by `MOST_OF_OTHERS`."""
MOST_OF_OTHERS = 0.5
SLOWER, SLOWER_S = 2.0, 0.5
"""The median of the last third may be so many times that of the first, and so much more."""


class Seen(NamedTuple):
    """After how many seconds and stories what had which size (MB): memory of each part, disk below each folder."""

    at: float
    stories: int
    memory: dict[str, float]
    disk: dict[str, float]


@dataclass
class Soak:
    """A cloud at a constant rate, and what was seen of it."""

    state: StateFolder
    rate: float
    sent: dict[str, float] = field(default_factory=dict)
    """When the analysis of a story that is not ready was published."""
    took: list[tuple[float, float]] = field(default_factory=list)
    """When, and how long it took until a story was ready."""
    seen: list[Seen] = field(default_factory=list)
    count: int = 0

    def __post_init__(self) -> None:
        endpoint = attach(self.state)
        self.events, self.sqs = endpoint.client("events"), endpoint.client("sqs")
        policy = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage"}
        attributes = {"Policy": json.dumps({"Version": "2012-10-17", "Statement": {**policy, "Resource": "*"}})}
        self.queue = self.sqs.create_queue(QueueName="ready", Attributes=attributes)["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        pattern = json.dumps({"detail": {"type": ["story-ready"]}})
        self.events.put_rule(Name="ready", EventBusName=BUS, EventPattern=pattern)
        self.events.put_targets(Rule="ready", EventBusName=BUS, Targets=[{"Id": "queue", "Arn": arn}])

    def run(self, seconds: float) -> None:
        """Publish for so long, then wait for what is on its way."""
        began, stop = time.monotonic(), threading.Event()
        run = uuid.uuid4().hex[:8]
        with ThreadPoolExecutor(1) as pool:
            watching = pool.submit(self._watch, stop, began)
            try:
                self._feed(run, seconds, began)
            finally:
                stop.set()
            watching.result()

    def _feed(self, run: str, seconds: float, began: float) -> None:
        while (now := time.monotonic() - began) < seconds:
            if self.count / self.rate <= now:
                self._publish(f"{run}-{self.count}")
                self.count += 1
            self._receive()
        deadline = time.monotonic() + PATIENCE_S
        while self.sent and time.monotonic() < deadline:
            self._receive()

    def _publish(self, id: str) -> None:
        parts: dict[str, dict[str, Any]] = {
            "story-submitted": {"title": f"Story {id}", "text_snippet": "text " * 40},
            "story-analyzed": {"sentiment": "neutral", "score": 0.5, "model_version": "v1"},
        }
        now = time.time_ns() // 1_000_000
        events = [
            {
                "id": f"{type_}-{id}", "type": type_, "timestamp": now, "partition_key": id,
                "tags": {"source": "soak"}, "story": {"id": id, **fields},
            }
            for type_, fields in parts.items()
        ]  # fmt: skip
        self.sent[id] = time.monotonic()
        publish(self.events, BUS, events)

    def _receive(self) -> None:
        answer = self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10)
        now, messages = time.monotonic(), answer.get("Messages", [])
        for message in messages:
            begun = self.sent.pop(json.loads(message["Body"])["detail"]["partition_key"], None)
            if begun is not None:
                self.took.append((now, now - begun))
        if messages:
            entries = [{"Id": str(n), "ReceiptHandle": each["ReceiptHandle"]} for n, each in enumerate(messages)]
            self.sqs.delete_message_batch(QueueUrl=self.queue, Entries=entries)
        else:
            time.sleep(0.02)  # the queue is asked often, and not all the time

    def _watch(self, stop: threading.Event, began: float) -> None:
        while not stop.wait(EVERY_S):
            self.seen.append(Seen(time.monotonic() - began, self.count, self._memory(), self._disk()))
            at, count, memory, disk = self.seen[-1]
            shown = ", ".join(f"{part} {mb:.0f}" for part, mb in memory.items())
            print(f"{at:5.0f} s  {count:6} stories  MB: {shown}; disk {sum(disk.values()):.0f}", flush=True)

    def _memory(self) -> dict[str, float]:
        found = {}
        records = self.state.records()
        for part in PARTS:
            if part in records:
                process = psutil.Process(records[part]["child"]["pid"])
                found[part] = process.memory_info().rss / MB
                if part == "emulator":
                    found[FUNCTIONS] = sum(_rss_of(child) for child in process.children()) / MB
        return found

    def _disk(self) -> dict[str, float]:
        found: dict[str, float] = defaultdict(float)
        for folder, _, names in os.walk(self.state.root):  # it passes by what has just been removed
            for path in (Path(folder, name) for name in names):
                with contextlib.suppress(FileNotFoundError):
                    found[path.relative_to(self.state.root).parts[0]] += path.lstat().st_blocks * 512 / MB
        return dict(found)

    def lines(self) -> list[str]:
        """What there is to say of memory, disk and time."""
        told = [f"{self.count} stories, {self.count / self.rate / 60:.0f} minutes; {len(self.sent)} are not ready"]
        for name, (first, last, slope) in self.slopes().items():
            told.append(f"{name}: {first:.1f} to {last:.1f} MB, {slope:+.2f} MB for 1,000 stories")
        for name, times in zip(("first", "second", "last"), self.thirds(), strict=True):
            if times:
                p99 = times[min(len(times) - 1, math.floor(len(times) * 0.99))]
                told.append(f"{name} third: a story is ready after {median(times):.2f} s (median), {p99:.2f} s (p99)")
        return told

    def problems(self) -> list[str]:
        """What is not as it should be."""
        found = [f"{len(self.sent)} stories are not ready"] if self.sent else []
        for name, (_, _, slope) in self.slopes().items():
            if slope > (most := MOST.get(name, MOST_OF_OTHERS)):
                found.append(f"{name} grows by {slope:.2f} MB for 1,000 stories; at most {most:.2f} are expected")
        first, _, last = self.thirds()
        if first and median(last) > SLOWER * median(first) + SLOWER_S:
            found.append(
                f"stories take longer and longer: {median(first):.2f} s at first, {median(last):.2f} s at last"
            )
        return found

    def slopes(self) -> dict[str, tuple[float, float, float]]:
        """The size of each part and folder (MB) at first and at last, and its slope for 1,000 stories."""
        sizes: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for each in [each for each in self.seen if each.at >= WARM_S] or self.seen:
            for name, mb in each.memory.items():
                sizes[f"memory of {name}"].append((each.stories, mb))
            for name, mb in each.disk.items():
                sizes[f"disk of {name}"].append((each.stories, mb))
        return {name: (of[0][1], of[-1][1], 1000 * slope_of(of)) for name, of in sorted(sizes.items())}

    def thirds(self) -> list[list[float]]:
        """How long stories of each third of the run took (s), in order."""
        third = len(self.took) // 3
        parts = self.took[:third], self.took[third : 2 * third], self.took[2 * third :]
        return [sorted(seconds for _, seconds in part) for part in parts]


def _rss_of(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:  # it has just ended
        return 0


def slope_of(points: list[tuple[float, float]]) -> float:
    """The slope of the line that fits best."""
    middle_x, middle_y = (sum(each[n] for each in points) / len(points) for n in (0, 1))
    square = sum((x - middle_x) ** 2 for x, _ in points)
    return sum((x - middle_x) * (y - middle_y) for x, y in points) / square if square else 0.0


def main(given: Sequence[str] | None = None) -> int:
    """Run the soak; 1 if something is not as it should be."""
    parser = argparse.ArgumentParser(prog="npm run soak:cloud --", description=__doc__, allow_abbrev=False)
    parser.add_argument("--minutes", type=float, default=20.0, help="how long")
    parser.add_argument("--rate", type=float, default=12.0, help="stories a second")
    arguments = parser.parse_args(given)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        state = StateFolder(Path(folder, "state"))
        streamctl = [sys.executable, "-m", "stream_cli.cli"]
        subprocess.run([*streamctl, "up", "--state", str(state.root)], check=True)
        try:
            soak = Soak(state, arguments.rate)
            soak.run(arguments.minutes * 60)
            print("\n".join([*soak.lines(), *(f"Problem: {each}" for each in soak.problems())]))
        finally:
            subprocess.run([*streamctl, "down", "--state", str(state.root)], check=True)
    return 1 if soak.problems() else 0


if __name__ == "__main__":
    sys.exit(main())
