"""A whole system in virtual time: one story goes all its way, with and without failures."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sized
from dataclasses import replace
from typing import Any

import boto3
import pytest
from simulator.faults import KINDS, Trouble
from simulator.redrives import redrive, replay, resubmit
from simulator.topology import Deployment, deployed
from simulator.world import Answer, Plan, World

STORY = {
    "id": "story-1",
    "source_type": "newsapi",
    "source_url": "https://news.example/1",
    "title": "A title",
    "text_snippet": "A text",
    "published_at": "2027-01-01T00:00:00Z",
    "matched_tags": ["a", "b"],
}

QUIET = Plan()
pytestmark = pytest.mark.packaging


@pytest.fixture(scope="module")
def prod() -> Deployment:
    return deployed("prod")


def analysis(world: World, story_id: str = "story-1", **fields: Any) -> dict[str, Any]:
    return {
        "id": f"analysis-of-{story_id}",
        "type": "story-analyzed",
        "timestamp": world.kernel.now_us // 1000,
        "partition_key": story_id,
        "story": {"id": story_id, "sentiment": "positive", "score": 0.5, "model_version": "m1", **fields},
    }


def played(
    deployment: Deployment, seed: int = 1, plan: Plan = QUIET, stories: int = 1, **fields: Any
) -> tuple[World, list[Answer]]:
    """A world in which stories are submitted, each again until it is taken, and analysed after 20 s."""
    world = World(seed, deployment, plan)
    answers: list[Answer] = []

    def submit(number: int) -> None:
        body = {**STORY, "id": f"story-{number}", "source_url": f"https://news.example/{number}"}
        answer = world.request("POST", "/stories", body, headers={"idempotency-key": f"key-{number}"})

        def look() -> None:
            if answer.status == 201:
                answers.append(answer)
            else:
                submit(number)

        world.kernel.at(31_000_000, look)

    with world.playing():
        for number in range(1, stories + 1):
            world.at(number, lambda number=number: submit(number))  # type: ignore[misc]
            event = analysis(world, f"story-{number}", **fields)
            world.at(number + 20, lambda event=event: world.publish(event))  # type: ignore[misc]
        world.run(60 + stories)
        world.settle()
    return world, answers


def redriven(world: World) -> None:
    """Redrive until nothing is left."""
    with world.playing():
        while redrive(world):
            world.run(60)
            world.settle()


def rows(world: World, table: str) -> list[dict[str, Any]]:
    return world.dynamodb.items(f"rest-bff-service-prod-{table}")


def is_complete(world: World, stories: int = 1) -> bool:
    """Whether all stories are ready in the view and on the dashboard, and their messages were sent."""
    view = {each["pk"]["S"]: each for each in rows(world, "entities") if each["discriminator"]["S"] == "story"}
    messages = [each for each in rows(world, "entities") if each["discriminator"]["S"] == "outbox"]
    shown = Counter(each["source_id"]["S"] for each in rows(world, "dashboard"))
    ids = {f"story-{number}" for number in range(1, stories + 1)}
    return (
        view.keys() == ids
        and all(each["status"] == {"S": "ready"} for each in view.values())
        and shown == dict.fromkeys(ids, 3)
        and len(messages) == stories
        and all(each["dispatched"] == {"BOOL": True} for each in messages)
    )


def test_a_story_becomes_ready(prod: Deployment) -> None:
    begun = time.monotonic()
    world, (answer,) = played(prod)
    assert time.monotonic() - begun < 20, "virtual time is not waited for"
    assert answer.status == 201
    assert answer.body["id"] == "story-1"
    (row,) = [each for each in rows(world, "entities") if each["discriminator"]["S"] == "story"]
    assert (row["status"], row["sentiment"], row["score"]) == ({"S": "ready"}, {"S": "positive"}, {"N": "0.5"})
    shown = {each["pk"]["S"] for each in rows(world, "dashboard")}
    assert shown == {"day#2027-01-15", "tag#a", "tag#b"}
    assert is_complete(world)
    (topic,) = [each for each in world.sns.topics.values() if each.description.name.endswith("stories.fifo")]
    assert [json.loads(each.message)["type"] for each in topic.messages] == ["story-created"]
    assert world.published("story-ready") == {"story-1.completion.evaluate-story": 1}
    in_archive = world.published("story-submitted") + world.published("story-analyzed")
    assert {each["id"] for each in world.lake()} == {*in_archive, "story-1.completion.evaluate-story"}
    assert world.faults() == {}
    assert world.dead_letters() == {}
    assert world.cloudwatch.in_alarm() == []


def test_a_world_is_not_at_rest_while_the_bus_still_tries_to_deliver(prod: Deployment) -> None:
    world = World(1, prod, Plan((Trouble("throttled", 0, 1500, services=("kinesis",)),)))
    with world.playing():
        world.publish(analysis(world))
        world.run(1501)
        assert world.events.is_busy
        world.settle()
    assert not world.events.is_busy
    assert any(shard.records for shard in world.kinesis.streams["event-hub-prod-s1"].shards())


def test_a_seed_gives_the_same_history_again(prod: Deployment) -> None:
    plan = Plan(
        (Trouble("throttled", 0, 60, rate=0.3), Trouble("died-after", 0, 60, rate=0.1)), skewed_s=2, doubled=0.1
    )
    first, again, other = (played(prod, seed, plan, 3)[0] for seed in (1, 1, 2))
    assert [each[:2] for each in first.happened] == [each[:2] for each in again.happened]
    assert [str(each) for each in first.happened] == [str(each) for each in again.happened]
    assert [each[:2] for each in first.happened] != [each[:2] for each in other.happened]


@pytest.mark.parametrize("client", ["boto3", "lean"])
def test_a_history_is_the_same_by_each_client(prod: Deployment, client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", boto3.Session())  # as another test may have left it
    troubles = tuple(Trouble(kind, 0, 60, rate=0.08) for kind in KINDS)
    played_directly, _ = played(prod, 1, Plan(troubles), 3)
    other, _ = played(prod, 1, Plan(troubles, client=client), 3)
    names = ("invoked", "trouble", "settled", "delivered", "called", "refused", "answered")
    told = [
        [(each.at_us, each.what, each.about[0]) for each in world.happened if each.what in names]
        for world in (played_directly, other)
    ]
    assert told[0] == told[1]
    assert {each.about[3] for each in other.happened if each.what == "trouble"} >= {"throttled", "answer-lost"}


@pytest.mark.parametrize("client", ["direct", "boto3", "lean"])
def test_a_poisoned_event_is_one_fault_that_is_counted_once(prod: Deployment, client: str) -> None:
    world, _ = played(prod, plan=Plan(client=client), sentiment="angry")
    (fault,) = world.faults().values()
    assert fault["tags"]["functionname"] == "control-service-prod-trigger"
    assert "sentiment is 'angry'" in fault["err"]["message"]
    assert world.cloudwatch.total("event-fault-monitor", "Faults", (("Stage", "prod"),)) == 1
    assert world.published("story-ready") == {}


def test_a_story_without_an_analysis_expires(prod: Deployment) -> None:
    world = World(1, prod)
    with world.playing():
        world.request("POST", "/stories", STORY)
        world.run(259_200 + 3_600)
        world.settle()
    assert world.published("story-expired").total() == 1


def test_landed_rows_are_published(prod: Deployment) -> None:
    world = World(1, prod)
    with world.playing():
        world.land("orders.csv", b"id,name,amount\n1,one,1.5\n2,two,2\n3,three,much\n")
        world.run(60)
        world.settle()
    assert len(world.published("record-received")) == 2
    assert world.cloudwatch.total("event-hub", "RowsSkipped", (("Stage", "prod"),)) >= 1


@pytest.mark.parametrize(
    "kind",
    ["throttled", "unavailable", "unreachable", "answer-lost", "error-after", "partial", "conflict", "slow", "denied"],
)
def test_a_story_becomes_ready_in_spite_of_failures(prod: Deployment, kind: str) -> None:
    trouble = Trouble(kind, 0, 90, rate=0.4, functions=("-prod-",))  # of functions, not within AWS
    world, answers = played(prod, 3, Plan((trouble,)), stories=3)
    troubles = [each for each in world.happened if each.what == "trouble"]
    assert troubles
    assert [each.status for each in answers] == [201] * 3
    redriven(world)
    assert is_complete(world, 3)
    assert world.published("story-ready").keys() == {f"story-{n}.completion.evaluate-story" for n in (1, 2, 3)}
    assert world.faults() == {}


@pytest.mark.parametrize("kind", ["died-before", "died-after"])
def test_a_story_becomes_ready_though_processes_die_at_any_call(prod: Deployment, kind: str) -> None:
    for seed in range(1, 5):
        world, answers = played(prod, seed, Plan((Trouble(kind, 0, 90, rate=0.3),)), stories=2)
        assert [each.status for each in answers] == [201] * 2
        redriven(world)
        assert is_complete(world, 2), seed
        assert world.faults() == {}


def test_a_function_that_is_slower_than_its_time_out_is_ended_and_tried_again(prod: Deployment) -> None:
    slow = Trouble("slow", 0, 120, services=("events",), functions=("rest-bff-service-prod-trigger",), delay_s=18)
    names = {**prod.functions}
    name = "rest-bff-service-prod-trigger"
    names[name] = replace(names[name], timeout_s=8)
    world, _ = played(replace(prod, functions=names), plan=Plan((slow,)))
    answered = [each.about for each in world.happened if each.what == "answered" and each.about[0] == name]
    assert any(b"Sandbox.Timedout" in about[3].payload for about in answered)
    assert is_complete(world)


def test_concurrency_of_one_invocation_is_enough(prod: Deployment) -> None:
    reserved = sum(each.reserved or 0 for each in prod.functions.values())
    world, _ = played(prod, plan=Plan(concurrency=reserved + 1), stories=3)
    assert any(each.what == "throttled" for each in world.happened)
    assert is_complete(world, 3)
    assert world.dead_letters() == {}


def test_pollers_that_begin_again_deliver_twice_and_nothing_is_done_twice(prod: Deployment) -> None:
    world = World(1, prod)
    with world.playing():
        world.at(1, lambda: world.request("POST", "/stories", STORY))
        world.at(5, lambda: world.publish(analysis(world)))
        for second in range(5, 60):
            for place, mapping in enumerate(world.mappings.values()):
                if (second + place) % 4 == 0:
                    world.at(second + 0.5, mapping.restart)
        world.run(60)
        world.settle()
    undisturbed, _ = played(prod)
    assert _invocations(world) > _invocations(undisturbed)
    assert is_complete(world)
    assert world.published("story-ready").keys() == {"story-1.completion.evaluate-story"}
    assert world.faults() == {}


def _invocations(world: World) -> int:
    return sum(each.what == "invoked" for each in world.happened)


def test_what_could_not_be_delivered_is_complete_after_a_redrive(prod: Deployment) -> None:
    to_firehose = Trouble("denied", 0, 90, services=("firehose",), functions=("events",))
    world, _ = played(prod, plan=Plan((to_firehose, Trouble("denied", 0, 90, functions=("prod-dashboard",)))))
    assert any("dead-letters" in name for name in world.dead_letters())
    assert not is_complete(world)
    redriven(world)
    assert is_complete(world)
    assert {each["id"] for each in world.lake()} == {
        *world.published("story-submitted"),
        *world.published("story-analyzed"),
        *world.published("story-ready"),
    }


def test_a_resubmitted_fault_is_the_same_fault_again_and_is_counted_again(prod: Deployment) -> None:
    world, _ = played(prod, sentiment="angry")
    before = world.faults()
    with world.playing():
        assert resubmit(world) == 1
        world.run(60)
        world.settle()
    assert world.faults().keys() == before.keys()
    assert world.cloudwatch.total("event-fault-monitor", "Faults", (("Stage", "prod"),)) == 2
    assert world.dead_letters() == {}


def test_a_replay_of_the_lake_changes_nothing(prod: Deployment) -> None:
    world, _ = played(prod, stories=3)
    tables = {name: world.dynamodb.items(name) for name in prod.tables}
    with world.playing():
        for service in ("control-service", "rest-bff-service"):
            assert replay(world, prod.function(service, "listener").name) == len(world.lake()) == 9
        world.run(60)
        world.settle()
    assert is_complete(world, 3)
    assert set(world.published("story-ready").values()) == {1}
    assert {name: len(world.dynamodb.items(name)) for name in prod.tables} == {n: len(r) for n, r in tables.items()}


def test_shards_that_cannot_be_read_for_a_while_are_read_later(prod: Deployment) -> None:
    world, _ = played(prod, plan=Plan((Trouble("denied", 0, 100, functions=("mapping",)),)))
    first = min(each.at_us for each in world.happened if each.what == "settled")
    assert first > world.start_us + 100_000_000
    assert is_complete(world)


def test_a_deployment_in_the_middle_changes_rules_filters_functions_and_batches(prod: Deployment) -> None:
    mappings = {uuid: replace(each, batch_size=1, batch_window=0.0) for uuid, each in prod.mappings.items()}
    functions = {
        name: replace(each, environment={**each.environment, "LOG_LEVEL": "DEBUG"})
        for name, each in prod.functions.items()
    }
    rule = prod.rules["event-lake-s3-prod-events"]
    rules = {**prod.rules, rule.name: replace(rule, enabled=False)}
    other = replace(prod, mappings=mappings, functions=functions, rules=rules)
    world = World(1, prod)
    with world.playing():
        world.at(1, lambda: world.request("POST", "/stories", STORY))
        world.at(10, lambda: world.deploy(other))
        world.at(12, lambda: world.publish(analysis(world)))
        world.run(120)
        world.settle()
    assert is_complete(world)
    assert all(mapping.settings.batch_size == 1 for mapping in world.mappings.values())
    assert all(each["type"] == "story-submitted" for each in world.lake()), "the rule is disabled"


def test_a_reshard_keeps_the_order(prod: Deployment) -> None:
    world = World(1, prod)
    (stream,) = world.kinesis.streams
    with world.playing():
        world.at(1, lambda: world.request("POST", "/stories", STORY))
        for second in (9, 14):
            world.at(second, lambda: world.publish(analysis(world)))
        count = len(world.kinesis.streams[stream].shards())
        reshard = {"StreamName": stream, "TargetShardCount": 2 * count, "ScalingType": "UNIFORM_SCALING"}
        world.at(11, lambda: world.kinesis.UpdateShardCount(reshard))
        world.run(60)
        world.settle()
    assert is_complete(world)
    assert world.published("story-ready").keys() == {"story-1.completion.evaluate-story"}


@pytest.mark.thorough
def test_a_seed_gives_the_same_history_in_another_process(prod: Deployment) -> None:
    program = """
import hashlib
from simulator.faults import KINDS, Trouble
from simulator.topology import deployed
from simulator.world import Plan
import test_world
plan = Plan(tuple(Trouble(kind, 0, 60, rate=0.05) for kind in KINDS), skewed_s=2, doubled=0.1)
world, _ = test_world.played(deployed("prod"), 5, plan, 3)
print(len(world.happened), hashlib.sha256(str(world.happened).encode()).hexdigest())
"""
    found = set()
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=True)
        found.add(done.stdout)
    assert len(found) == 1


def test_a_killed_process_leaves_nothing_undone(prod: Deployment) -> None:
    for moment in (1.9, 8.0, 8.3, 14.2, 21.3):
        world = World(1, prod)
        with world.playing():
            world.request("POST", "/stories", STORY, headers={"idempotency-key": "k"})
            world.at(40, lambda world=world: world.request("POST", "/stories", STORY, headers={"idempotency-key": "k"}))
            world.at(5, lambda world=world: world.publish(analysis(world)))
            for name in prod.functions:
                world.at(moment, lambda world=world, name=name: world.kill(name))
            world.run(60)
            world.settle()
        assert is_complete(world)
        assert world.faults() == {}


def test_requests_at_the_same_time_do_not_mix(prod: Deployment) -> None:
    world = World(1, prod)
    with world.playing():
        answers = [
            world.request("POST", "/stories", {**STORY, "id": f"story-{n}"}, claims={"sub": f"writer-{n}"})
            for n in range(8)
        ]
        world.run(10)
        replaced = [
            world.request("PUT", f"/stories/story-{n}", {**_content(), "title": f"T{n}"}, claims={"sub": f"writer-{n}"})
            for n in range(8)
        ]
        foreign = world.request("PUT", "/stories/story-1", _content(), claims={"sub": "writer-2"})
        world.run(20)
    assert [(each.status, each.body["id"]) for each in answers] == [(201, f"story-{n}") for n in range(8)]
    assert [(each.status, each.body["title"]) for each in replaced] == [(200, f"T{n}") for n in range(8)]
    assert foreign.status == 403


def test_the_gateway_answers_for_itself(prod: Deployment) -> None:
    world = World(1, prod, Plan((Trouble("died-before", 0, 60, functions=("prod-rest",)),)))
    with world.playing():
        nowhere, unasked = world.request("GET", "/nowhere"), world.request("GET", "/stories", claims={"scope": "other"})
        dying = world.request("GET", "/stories")
        world.run(40)
    assert [each.status for each in (nowhere, unasked, dying)] == [404, 403, 500]
    assert not any(each.of_function for each in (nowhere, unasked, dying))
    assert world.cloudwatch.total("AWS/ApiGateway", "5xx", (("ApiId", "HttpApi"),)) == 1


def test_an_answer_without_content_has_the_type_that_the_gateway_gives_it(prod: Deployment) -> None:
    world = World(1, prod)
    with world.playing():
        world.request("POST", "/stories", STORY)
        world.run(10)
        deleted = world.request("DELETE", f"/stories/{STORY['id']}")
        world.run(20)
    assert (deleted.status, deleted.headers) == (204, {"Content-Type": "text/plain; charset=utf-8"})


def _content() -> dict[str, Any]:
    return {name: value for name, value in STORY.items() if name != "id"}


# What invocations change in the modules that all simulated processes share, and why that is nobody's business.
SHARED = {
    "stream_runtime.aws.clients._clients": "the clients, which the simulation gives",
    "stream_runtime.engine.scheduling._io_pool": "the threads, which are tasks of the kernel",
    "stream_runtime.payload.codec._left": "which JSON library reads; all read the same values",
    "stream_runtime.payload.codec.decode_shallow": "as _left",
    "stream_runtime.pipelines.routing._told": "what was logged once",
}


def test_modules_keep_nothing_that_matters_between_invocations(prod: Deployment) -> None:
    def state() -> dict[str, Any]:
        return {
            f"{name}.{attribute}": (id(value), len(value) if isinstance(value, Sized) else None)
            for name, module in list(sys.modules.items())
            if name.startswith(
                ("stream_runtime.", "control.", "event_hub.", "event_lake.", "fault_monitor.", "rest_bff.")
            )
            for attribute, value in vars(module).items()
            if attribute not in {"threading", "__builtins__", "app"}
        }

    World(1, prod)
    before = state()
    world, _ = played(prod, plan=Plan((Trouble("denied", 0, 30, rate=0.5),)), stories=2)
    with world.playing():
        world.land("orders.csv", b"id,name,amount\n1,one,1.5\n")
        world.publish({"type": "story-analyzed", "id": "bad", "story": "text"})
        world.request("GET", "/dashboard?day=2027-01-15")
        world.run(60)
        world.settle()
    after = state()
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert changed <= SHARED.keys()
