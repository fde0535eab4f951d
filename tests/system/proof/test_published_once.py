"""`once` through the deployed control-service: each story is published once, though its function is killed in between.

Hub and control-service run in a local cloud; stories and analyses come over the bus, and what is published is counted
where a rule of the bus delivers it. `ONCE_STORIES=10000 pytest -s tests/system/proof/test_published_once.py` does it
with as many stories and prints the counts.
"""

from __future__ import annotations

import io
import json
import os
import random
import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from rich.console import Console
from stream_cli.local.cloud import LocalCloud, running_emulator
from stream_cli.local.deploy import deploy
from stream_cli.local.injected_faults import FAULTS_PATH, arm_fault, faults
from stream_cli.local.state import StateFolder
from stream_cli.mappings.status import read_status
from stream_cli.send import publish
from stream_cli.terminal.progress import Steps

pytestmark = [pytest.mark.system, pytest.mark.timeout(7200)]

SERVICES = Path(__file__).resolve().parents[3] / "services"
BUS = "event-hub-local-bus"
TRIGGER = "control-service-local-trigger"
STORIES = int(os.environ.get("ONCE_STORIES", "200" if "THOROUGH" in os.environ else "100"))
KILLS = 3
MOST_APART = 50
MOST_ON_THE_WAY = 1_000
"""Events that are fed in before what they lead to is published."""
PUT_EVENTS = "AWSEvents.PutEvents"
STALLED_S = 90.0
LOOK_EVERY_S = 0.1
IN_FLIGHT_MS = 2_000
"""The emulator may still do what a process asked for before it was killed."""


@dataclass
class Published:
    """What control-service has published: for each id when (ms) it arrived, and what it said."""

    cloud: LocalCloud
    times: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    events: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    faults: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sqs, events = self.cloud.endpoint.client("sqs"), self.cloud.endpoint.client("events")
        allow = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": {**allow, "Resource": "*"}})
        self.queue = self.sqs.create_queue(QueueName="published", Attributes={"Policy": policy})["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        pattern = json.dumps({"detail": {"tags": {"source": ["control-service"]}}})
        events.put_rule(Name="published", EventBusName=BUS, EventPattern=pattern)
        events.put_targets(Rule="published", EventBusName=BUS, Targets=[{"Id": "queue", "Arn": arn}])

    @property
    def count(self) -> int:
        """Events, repetitions included."""
        return sum(map(len, self.times.values()))

    def look(self) -> bool:
        """Read what is new; False if there was nothing."""
        before = self.count + len(self.faults)
        while messages := self._receive():
            for message in messages:
                event = json.loads(message["Body"])["detail"]
                if event["type"] == "story-ready":
                    self.times[event["id"]].append(int(message["Attributes"]["SentTimestamp"]))
                    self.events[event["id"]].append(event)
                else:
                    self.faults.append(event)
            entries = [{"Id": str(n), "ReceiptHandle": each["ReceiptHandle"]} for n, each in enumerate(messages)]
            assert not self.sqs.delete_message_batch(QueueUrl=self.queue, Entries=entries).get("Failed")
        return self.count + len(self.faults) > before

    def _receive(self) -> list[dict[str, Any]]:
        answer = self.sqs.receive_message(
            QueueUrl=self.queue, MaxNumberOfMessages=10, MessageSystemAttributeNames=["SentTimestamp"]
        )
        return list(answer.get("Messages", []))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    """The two services in a cloud of their own, and what one of them publishes."""
    state = StateFolder(tmp_path_factory.mktemp("once") / "state")
    with running_emulator(state, None) as cloud, Steps(Console(file=io.StringIO())) as steps:
        deploy(cloud, [SERVICES / "event-hub", SERVICES / "control-service"], steps)
        cloud.start_deliveries()
        cloud.start_mappings()
        yield Published(cloud)


def parts_of(stories: int) -> list[dict[str, Any]]:
    """Both events of each story, at most so many stories apart, in any order."""
    now = time.time_ns() // 1_000_000
    analysis = {"sentiment": "neutral", "score": 0.5, "model_version": "v1"}
    parts = [("story-submitted", {"title": "A story"}), ("story-analyzed", analysis)]
    chance = random.Random(stories)
    order = sorted((n + chance.uniform(0, MOST_APART), n, part) for n in range(stories) for part in (0, 1))
    return [part_of(n, now, *parts[part]) for _, n, part in order]


def part_of(number: int, now: int, type_: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": f"{type_}-{number}",
        "type": type_,
        "timestamp": now + number,
        "partition_key": f"story-{number}",
        "tags": {"source": "test"},
        "story": {"id": f"story-{number}", **fields},
    }


@dataclass
class Killer:
    """Kills the function while it publishes: a call with a certain story is refused until the process is dead."""

    published: Published
    victims: Sequence[str]
    """These stories, one after the other."""
    waited_for: set[str] = field(default_factory=set)
    """Those whose calls are refused, or were."""
    kills: list[int] = field(default_factory=list)
    """When (ms)."""

    def run(self, stop: threading.Event) -> None:
        """Kill the function once for each victim."""
        for story in self.victims:
            fault = {"target": PUT_EVENTS, "contains": ready_id(story), "error": "ThrottlingException", "times": 1000}
            arm_fault(self.cloud.endpoint, **fault)
            try:
                self.waited_for.add(story)
                while not any(fault["fired"] for fault in faults(self.cloud.endpoint)):
                    if stop.wait(LOOK_EVERY_S):
                        return
                self._kill()
            finally:
                httpx.delete(f"{self.cloud.endpoint.url}{FAULTS_PATH}", trust_env=False).raise_for_status()

    def _kill(self) -> None:
        """Kill the processes of the function that the emulator has started, and no others."""
        emulator = psutil.Process(self.cloud.state.records()["emulator"]["child"]["pid"])
        workers = [each for each in emulator.children() if each.environ().get("AWS_LAMBDA_FUNCTION_NAME") == TRIGGER]
        assert workers, f"the emulator runs no process of {TRIGGER}"
        for worker in workers:
            os.kill(worker.pid, signal.SIGKILL)
        self.kills.append(time.time_ns() // 1_000_000)

    @property
    def cloud(self) -> LocalCloud:
        """Where the function runs."""
        return self.published.cloud


def ready_id(story: str) -> str:
    """The id under which a story is published."""
    return f"{story}.completion.evaluate-story"


def feed(published: Published, killer: Killer, parts: Sequence[dict[str, Any]], stop: threading.Event) -> None:
    """Publish the parts of stories, a group at a time; a victim is completed once the killer waits for it."""
    client = published.cloud.endpoint.client("events")
    fed = 0
    for victim, group in in_groups(parts, killer.victims):
        while fed - 2 * len(published.times) > MOST_ON_THE_WAY or not (victim is None or victim in killer.waited_for):
            if stop.wait(LOOK_EVERY_S):
                return
        publish(client, BUS, group)
        fed += len(group)


def in_groups(
    parts: Sequence[dict[str, Any]], victims: Collection[str]
) -> Iterator[tuple[str | None, list[dict[str, Any]]]]:
    """Parts in groups, each with the victim that its first part completes."""
    group: list[dict[str, Any]] = []
    victim = None
    seen = set[str]()
    for part in parts:
        story = part["partition_key"]
        completed = story if story in seen and story in victims else None
        seen.add(story)
        if group and (completed or len(group) == MOST_ON_THE_WAY // 5):
            yield victim, group
            group, victim = [], completed
        group.append(part)
    yield victim, group


def shards_of_trigger(cloud: LocalCloud) -> list[dict[str, Any]]:
    mappings = read_status(cloud.state.mappings)["mappings"]
    return [shard for each in mappings if each["function"].endswith(f":{TRIGGER}") for shard in each["shards"]]


def is_done(cloud: LocalCloud) -> bool:
    """Whether the function has no record to come."""
    return all(shard["read_to_tip"] and not shard["behind"] for shard in shards_of_trigger(cloud))


def markers(cloud: LocalCloud) -> list[str]:
    """The sort keys of the rows that mark what was published."""
    pages = (
        cloud.endpoint.client("dynamodb")
        .get_paginator("scan")
        .paginate(TableName="control-service-local-events", ConsistentRead=True)
    )
    rows = (row for page in pages for row in page["Items"])
    return [row["sk"]["S"] for row in rows if row["discriminator"]["S"] == "ONCE"]


@pytest.mark.thorough
def test_each_story_is_published_once_though_the_function_is_killed(published: Published) -> None:
    cloud, parts, stop = published.cloud, parts_of(STORIES), threading.Event()
    stories = completed_in_order(parts)
    killer = Killer(published, [stories[STORIES * number // (KILLS + 1)] for number in range(1, KILLS + 1)])
    began = changed = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        feeding = pool.submit(feed, published, killer, parts, stop)
        killing = pool.submit(killer.run, stop)
        try:
            while len(published.times) < STORIES or not feeding.done() or not killing.done() or not is_done(cloud):
                cloud.supervisor.check()
                changed = time.monotonic() if published.look() else changed
                assert time.monotonic() - changed < STALLED_S, f"{len(published.times)} are published, and no more come"
                time.sleep(LOOK_EVERY_S)
            published.look()
        finally:
            stop.set()
        feeding.result()
        killing.result()

    shards = shards_of_trigger(cloud)
    failed = sum(shard["retries"] + shard["splits"] for shard in shards)
    doubles = {id_: times for id_, times in published.times.items() if len(times) > 1}
    print(
        f"\n{STORIES} stories in {time.monotonic() - began:.0f} s: {published.count} story-ready events, "
        f"{len(published.times)} ids, {len(doubles)} of them more than once; the function was killed "
        f"{len(killer.kills)} times, and {failed} batches came again, whole or in halves"
    )
    assert set(published.times) == {ready_id(f"story-{n}") for n in range(STORIES)}
    assert published.faults == []
    assert sum(shard["given_up"] for shard in shards) == 0
    assert markers(cloud) == ["ONCE#evaluate-story"] * STORIES
    assert len(killer.kills) == KILLS
    assert failed >= KILLS
    # What a killed process had published, and could not acknowledge, was published once more.
    unexplained = {
        id_: times
        for id_, times in doubles.items()
        if not any(min(times) <= killed + IN_FLIGHT_MS and killed < max(times) for killed in killer.kills)
    }
    assert unexplained == {}
    for events in published.events.values():
        assert all(event == events[0] for event in events)


def completed_in_order(parts: Iterable[dict[str, Any]]) -> list[str]:
    """The stories in the order of their second part."""
    seen = Counter[str]()
    stories = []
    for part in parts:
        seen[part["partition_key"]] += 1
        if seen[part["partition_key"]] == 2:
            stories.append(part["partition_key"])
    return stories
