"""How long events take through the deployed control-service in the local cloud, and what the cloud costs when idle.

Hub and control-service are deployed as by `streamctl up`, and the state is kept as there. Both events of each story
are published on the bus, collected, correlated and evaluated; a queue behind a rule of the bus gets the `story-ready`
events, until the last is there.

1,000 events are tried three times, and the best try counts for their floor. 10,000 are tried once, so they are compared
with the median of three: the best of three against one try would show growth where there is only chance. And 1,000 are
tried again after the 10,000, when all has settled: what a machine becomes faster or slower by meanwhile is in the mean
of both, and what the cloud holds by then is in the later ones. The emulator's CPU time is also compared with that of
the functions, which do the same for each event and hold nothing: when the machine is slower, it is for both. Where this
process may, it puts itself and the cloud before what the machine does besides.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import mean, median
from typing import Any

from busy import busy_s
from case import Case, Floor, Results, Variant, figure
from raised import raise_above_others

SOME, MANY, IDLE, AGAIN = "1,000 events", "10,000 events", "idle after them", "1,000 events after all these"
SERVICES = Path(__file__).resolve().parents[2] / "services"
BUS = "event-hub-local-bus"
PARTS = "BENCH_PARTS"
CONSOLE, CONSOLE_PID, FOLDER = "BENCH_CONSOLE", "BENCH_CONSOLE_PID", "BENCH_FOLDER"
MOST_APART = 50
"""Stories whose events are published between the two events of a story, at most."""
TRIES = 3
PATIENCE_S = 110
SETTLED_AFTER_S, SETTLED_S = 2.0, 0.01
IDLE_S = 8.0
TYPES: dict[str, dict[str, Any]] = {
    "story-submitted": {"title": "A story"},
    "story-analyzed": {"sentiment": "neutral", "score": 0.5, "model_version": "v1"},
}


def through(events: int, tries: int) -> Callable[[], object]:
    """Publish events, and wait for what they lead to: figures of the best of some tries, and the median time."""
    import boto3
    from stream_cli.send import publish

    bus, queues = boto3.client("events"), boto3.client("sqs")
    queue = queue_of_ready_stories(bus, queues)
    parts: dict[str, int] = json.loads(os.environ[PARTS])

    def work() -> dict[str, float]:
        tried = [once() for _ in range(tries)]
        best = min(tried, key=lambda figures: figures["wall_s"])
        return {**best, "median_wall_s": median(figures["wall_s"] for figures in tried)}

    def once() -> dict[str, float]:
        before, begin = busy_s(parts), time.monotonic()
        with ThreadPoolExecutor(1) as pool:
            publishing = pool.submit(publish, bus, BUS, of_stories(events // len(TYPES)))
            wait_for_ready_stories(queues, queue, events // len(TYPES))
            wall_s = time.monotonic() - begin
            publishing.result()
        after = busy_s(parts)
        used = {f"{part}_s": after[part] - before[part] for part in after}
        return {"wall_s": wall_s, "cpu_s": sum(used.values()), **used}

    return work


def before_others(events: int, tries: int) -> Callable[[], object]:
    """As `through`, before what the machine does besides."""
    raise_above_others(json.loads(os.environ[PARTS]).values())
    return through(events, tries)


def queue_of_ready_stories(bus: Any, queues: Any) -> str:
    """The URL of a queue that gets every story-ready event."""
    allow = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": {**allow, "Resource": "*"}})
    url = str(queues.create_queue(QueueName="ready-stories", Attributes={"Policy": policy})["QueueUrl"])
    arn = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    bus.put_rule(Name="ready-stories", EventBusName=BUS, EventPattern='{"detail": {"type": ["story-ready"]}}')
    bus.put_targets(Rule="ready-stories", EventBusName=BUS, Targets=[{"Id": "queue", "Arn": arn}])
    return url


def of_stories(count: int) -> list[dict[str, Any]]:
    """Both events of each story; those of some stories are mixed."""
    now, run, chance = time.time_ns() // 1_000_000, uuid.uuid4().hex[:8], random.Random(count)
    order = sorted(
        (number + chance.uniform(0, MOST_APART), number, type_) for number in range(count) for type_ in TYPES
    )
    return [
        {
            "id": f"{type_}-{run}-{number}",
            "type": type_,
            "timestamp": now + number,
            "partition_key": f"story-{run}-{number}",
            "tags": {"source": "bench"},
            "story": {"id": f"story-{run}-{number}", **TYPES[type_]},
        }
        for _, number, type_ in order
    ]


def wait_for_ready_stories(queues: Any, queue: str, count: int) -> None:
    """Receive events until so many stories are ready."""
    ready: set[str] = set()
    deadline = time.monotonic() + PATIENCE_S
    while len(ready) < count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{len(ready)} of {count} stories are ready after {PATIENCE_S} s")
        messages = queues.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages", [])
        ready |= {json.loads(message["Body"])["detail"]["id"] for message in messages}
        if messages:
            entries = [{"Id": str(n), "ReceiptHandle": each["ReceiptHandle"]} for n, each in enumerate(messages)]
            queues.delete_message_batch(QueueUrl=queue, Entries=entries)


def resting() -> Callable[[], object]:
    """What each part uses of a core while nothing happens."""
    parts: dict[str, int] = json.loads(os.environ[PARTS])

    def work() -> dict[str, float]:
        before, after = {"functions": -1.0}, busy_s(parts)
        # Ready stories are settled behind the last.
        while after.get("functions", 0.0) - before.get("functions", 0.0) > SETTLED_S:
            time.sleep(SETTLED_AFTER_S)  # what is used meanwhile says whether all has settled
            before, after = after, busy_s(parts)
        before = after
        time.sleep(IDLE_S)  # what goes on meanwhile is measured
        after = busy_s(parts)
        return {f"{part}_share": (after[part] - before[part]) / IDLE_S for part in after}

    return work


@contextlib.contextmanager
def deployed(
    *,
    iam: bool = True,
    journal: bool = True,
    kept: bool = False,
    console: bool = False,
    prepare: Callable[[Path], object] = lambda _: None,
) -> Iterator[Mapping[str, str]]:
    """A local cloud with hub and control-service, in a folder of its own.

    Args:
        iam: whether policies are enforced.
        journal: whether what happens is written down.
        kept: whether the state is kept, as `streamctl up` does.
        console: whether the console runs beside it.
        prepare: is given the state folder when the emulator runs, and nothing else yet.
    """
    from stream_cli.local.cloud import running_emulator
    from stream_cli.local.deploy import deploy
    from stream_cli.local.state import StateFolder
    from stream_cli.terminal.output import VisibleConsole
    from stream_cli.terminal.progress import Steps

    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        state = StateFolder(Path(folder, "state"))
        with (
            running_emulator(state, None, iam=iam, journal=journal, kept=kept) as cloud,
            Steps(VisibleConsole(file=io.StringIO())) as steps,
        ):
            deploy(cloud, [SERVICES / "event-hub", SERVICES / "control-service"], steps)
            prepare(state.root)
            cloud.start_deliveries()
            cloud.start_mappings()
            pids = {name: record["child"]["pid"] for name, record in state.records().items()}
            parts = {"engine": pids["mappings"], "emulator": pids["emulator"], "deliveries": pids["deliveries"]}
            shown = {FOLDER: str(state.root)}
            if console:
                cloud.begin_console()
                shown[CONSOLE] = cloud.console_url() or ""
                shown[CONSOLE_PID] = str(cloud.state.records()["console"]["child"]["pid"])
            yield {**cloud.endpoint.environment, PARTS: json.dumps(parts), **shown}


def growth_of_cpu(results: Results) -> float:
    """How the emulator's CPU for an event has grown, over how that of the functions has; 0 where it is not measured."""
    if "emulator_s" not in results[SOME]:
        return 0.0
    return over_some("emulator_s")(results) / over_some("functions_s")(results)


def over_some(name: str) -> Callable[[Results], float]:
    """A figure of 10,000 events over that of 1,000, which is the mean of those before and after."""
    return lambda results: results[MANY][name] / mean((results[SOME][name], results[AGAIN][name]))


def used(results: Results) -> str:
    """The CPU time of each part for 1,000 events, and its share of a core when idle."""
    if sys.platform != "linux":
        return "The CPU time of each part is measured on Linux only."
    parts = ("emulator", "functions", "deliveries", "engine")
    moved = ", ".join(f"{part} {results[MANY][f'{part}_s'] / 10:.2f} s" for part in parts)
    idle = ", ".join(f"{part} {results[IDLE][f'{part}_share']:.1%}" for part in parts)
    return f"CPU for 1,000 of the 10,000 events: {moved}; idle, of a core: {idle}."


CASE = Case(
    name="control_service",
    title="Events through the deployed control-service, two for each story, until the last story is ready; local cloud",
    variants=(
        Variant(SOME, lambda: before_others(1_000, TRIES)),
        Variant(MANY, lambda: before_others(10_000, 1)),
        Variant(IDLE, resting),
        Variant(AGAIN, lambda: before_others(1_000, TRIES)),
    ),
    floors=(
        *(Floor(each, figure("wall_s", each), at_most=5, unit="s") for each in (SOME, AGAIN)),
        Floor(
            "10,000 events over 1,000, medians of their tries",
            over_some("median_wall_s"),
            at_most=10,
        ),
        Floor("the emulator's CPU for an event, beside the functions'", growth_of_cpu, at_most=1.15),
        Floor("emulator, idle", lambda results: 100 * results[IDLE].get("emulator_share", 0.0), at_most=3, unit="%"),
    ),
    rounds=1,
    surroundings=partial(deployed, kept=True),
    remark=used,
)
