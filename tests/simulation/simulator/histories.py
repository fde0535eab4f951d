"""Histories: what people and other systems do to the services, and what fails meanwhile.

A history is plain data that follows from a seed. `play` plays it to the end: until everything has come to rest, what
could not be delivered was redriven, and whatever expires has expired. `promises` says what must have come of it.
"""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from given_json import read

from simulator import reading, redrives
from simulator.faults import KINDS, Trouble, dice
from simulator.kernel import MICROSECONDS
from simulator.topology import Deployment, deployed
from simulator.world import Answer, Plan, World

HOUR_S, DAY_S = 3_600, 86_400
WAITS_S = 2 * HOUR_S
"""How long a story waits for its analysis here: `incompleteAfterSeconds` is longer, and every job would be played."""
LIFETIME_S = 45 * DAY_S
"""Longer than anything is kept (`TTL`, `tombstoneDays`), and TTL takes for it."""
LINGER_S = 6 * DAY_S
"""How much longer S3 takes for what it keeps as long (`claimDays`): to midnight, a delay, and earlier versions."""
FORGOTTEN_S = (5 * DAY_S, LIFETIME_S)
"""After so long what has waited is forgotten, and everything."""
SAME_ARTICLE = (
    "https://news.example/{}",
    "http://www.news.example/{}/",
    "https://news.example:443/{}#top",
    "https://www.news.example/{}",
)
"""Addresses of one article: scheme, `www.`, default port, fragment and last slash make no other one of it."""

INVALID = {
    "sentiment": {"sentiment": "angry"},
    "score": {"score": 1.5},
    "score-text": {"score": "0.5"},
    "score-true": {"score": True},
    "model": {"model_version": None},
}
"""What makes an analysis invalid, by kind: the fields that are different."""
FORGED = ("no-story", "no-analysis", "no-triggers", "no-address")
"""Kinds of events of other systems on which a rule fails."""
READERS = (
    "control-service-prod-listener",
    "control-service-prod-trigger",
    "rest-bff-service-prod-listener",
    "rest-bff-service-prod-trigger",
    "rest-bff-service-prod-dashboard",
    "rest-bff-service-prod-outbox",
)
"""Functions that read streams."""
FUNCTIONS = (
    *READERS,
    "control-service-prod-job",
    "rest-bff-service-prod-rest",
    "event-hub-prod-ingress",
    "event-fault-monitor-prod-trigger",
)


@dataclass(frozen=True)
class Step:
    """Something that somebody does at a time.

    Attributes:
        at_s: seconds after the first moment.
        do: one of `ACTS`.
        name: what it is about: a story, an object, a function, a kind of deployment.
        how: what else it needs, as JSON has it.
    """

    at_s: float
    do: str
    name: str
    how: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class History:
    """Everything that decides what happens.

    Attributes:
        afterwards: what people do when all has come to rest, in this order: some of `AFTERWARDS`.
        reads: whether clients then read all that there is.
        forgotten_s: after how long the lake is replayed to the function that waits for the parts of stories, while the
            job runs; 0 for never.
    """

    seed: int
    steps: tuple[Step, ...]
    troubles: tuple[Trouble, ...] = ()
    afterwards: tuple[str, ...] = ()
    concurrency: int = 1_000
    skewed_s: float = 0.0
    doubled: float = 0.0
    late: float = 0.01
    client: str = "direct"
    reads: bool = False
    forgotten_s: float = 0.0

    def to_json(self) -> str:
        """The text from which `from_json` makes it again."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @staticmethod
    def from_json(text: str) -> History:
        """A history from its text.

        Raises:
            ValueError: it is no history; says why.
        """
        history = read(History, text)
        unknown = {step.do for step in history.steps} - {*ACTS} | {*history.afterwards} - {*AFTERWARDS}
        unknown |= {trouble.kind for trouble in history.troubles} - {*KINDS}
        if unknown:
            raise ValueError(f"{', '.join(sorted(unknown))}: nothing that somebody does or that fails")
        return history


@dataclass
class Request:
    """What a client wants of the HTTP API, the answers to its attempts, and what it then reads of the story."""

    step: Step
    method: str
    path: str
    body: Mapping[str, Any] | None
    headers: Mapping[str, str]
    answers: list[Answer] = field(default_factory=list)
    read: Answer | None = None

    @property
    def outcome(self) -> int:
        """The status of the answer that tells what has come of it; 0 if there is none."""
        return 0 if not self.answers or is_unclear(self.answers[-1]) else self.answers[-1].status


@dataclass
class Played:
    """A history at its end.

    Attributes:
        requests: what clients wanted.
        dead_letters: what was found in queues of what failed, by their names, each time that people looked.
        lost: rule and id of each event that no dead-letter queue took.
        tables: all rows when all had come to rest, before what expires had expired; so `alarms_at_rest`, those that
            were on, and `archived`, all events but faults that were put on the bus, as often as they were.
        streamed: the types of the events in the hub's stream at that time.
        read: the pages that clients then got, by path.
        replayed: the events that were then published because of a replay of what was forgotten.
        bodies: the bodies of large events in the hub's bucket when all had come to rest, by key; so `pointers`, the
            events in the lake that point to them.
    """

    history: History
    world: World
    requests: list[Request] = field(default_factory=list)
    dead_letters: list[dict[str, list[Any]]] = field(default_factory=list)
    lost: list[tuple[str, str]] = field(default_factory=list)
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    alarms_at_rest: list[str] = field(default_factory=list)
    archived: list[dict[str, Any]] = field(default_factory=list)
    streamed: set[str] = field(default_factory=set)
    read: dict[str, list[Answer]] = field(default_factory=dict)
    replayed: list[dict[str, Any]] = field(default_factory=list)
    bodies: Mapping[str, bytes] = field(default_factory=dict)
    pointers: list[dict[str, Any]] = field(default_factory=list)

    def about(self, what: str) -> Iterator[tuple[Any, ...]]:
        """What has happened of one kind."""
        return (each.about for each in self.world.happened if each.what == what)


# --- playing ---


def waiting_less(deployment: Deployment) -> Deployment:
    """The deployment with `WAITS_S` as its param `incompleteAfterSeconds`."""
    functions = {
        name: replace(each, environment={**each.environment, "INCOMPLETE_AFTER_SECONDS": str(WAITS_S)})
        if "INCOMPLETE_AFTER_SECONDS" in each.environment
        else each
        for name, each in deployment.functions.items()
    }
    return replace(deployment, functions=functions)


def begin(history: History, deployment: Deployment | None = None) -> Played:
    """A history before its first moment."""
    plan = Plan(history.troubles, history.concurrency, history.skewed_s, history.doubled, history.late, history.client)
    return Played(history, World(history.seed, deployment or default_deployment(), plan))


@functools.cache
def default_deployment() -> Deployment:
    """All services at stage `prod`."""
    return waiting_less(deployed("prod"))


def play(played: Played) -> Played:
    """Play a history to its end.

    Raises:
        AssertionError: it does not come to rest.
    """
    history, world = played.history, played.world
    with world.playing():
        for step in history.steps:
            act = ACTS[step.do]
            world.at(step.at_s, lambda act=act, step=step: act(played, step))  # type: ignore[misc]
        ends_s = [step.at_s for step in history.steps] + [each.until_s for each in history.troubles]
        world.run(max(ends_s, default=0) + 60)
        world.settle()
        redriven(played)
        for each in history.afterwards:
            AFTERWARDS[each](played)
            world.settle()
            redriven(played)
        world.run(WAITS_S + 2 * HOUR_S)  # what was not analysed expires
        world.settle()
        redriven(played)
        played.tables = {name: world.dynamodb.items(name) for name in world.deployment.tables}
        played.alarms_at_rest = world.cloudwatch.in_alarm()
        played.archived = on_bus(world)
        played.streamed = in_stream(world)
        played.bodies = world.s3.objects(world.claims)
        played.pointers = [each for each in world.lake() if "claim_check" in each] if played.bodies else []
        if history.reads:
            reading.read(played)
        world.scheduler.stop()
        if history.forgotten_s:
            world.run(history.forgotten_s)
            replayed_us = world.kernel.now_us
            replay_what_was_forgotten(played)
            world.run(LIFETIME_S)
            played.replayed = on_bus(world, replayed_us)
        else:
            world.run(LIFETIME_S)
        world.settle()
        if played.bodies:
            world.run(LINGER_S)
    return played


def replay_what_was_forgotten(played: Played) -> None:
    """Replay the lake while the job runs again and again."""
    world = played.world
    job = world.deployment.function("control-service", "job").name
    for after_s in (0.5, 1, 2, 4, 8, 16, 32, 64):
        world.kernel.at(int(after_s * MICROSECONDS), lambda: world.functions.start(job, b"{}", lambda outcome: None))
    replay_to_control(played)
    world.settle()
    redriven(played)


def redriven(played: Played) -> None:
    """Redrive what could not be delivered until there is no more of it, as people do whom an alarm has told."""
    world = played.world
    for _ in range(20):
        found = {name: world.sqs.messages(name) for name in world.deployment.queues}
        found = {name: messages for name, messages in found.items() if messages}
        if not found and not world.events.lost:
            return
        played.dead_letters.append(found)
        played.lost += [(each.rule.name, each.event.about) for each in world.events.lost]
        world.run(600)  # until there is an alarm
        redrives.redrive(world)
        world.run(60)
        world.settle()
    raise AssertionError(f"redrives do not end: {found or world.events.lost}")


def on_bus(world: World, since_us: int = 0) -> list[dict[str, Any]]:
    """Every event that was put on the bus but faults, as often as it was put there, large ones whole."""
    (archive,) = world.deployment.archives
    found = [event.envelope["detail"] for event in world.events.archived(archive) if event.taken_us >= since_us]
    return [world.body_of(each) if "claim_check" in each else each for each in found]


def in_stream(world: World) -> set[str]:
    """The types of the events in the hub's stream."""
    (stream,) = world.kinesis.streams.values()
    records = (raw for shard in stream.shards() for raw in stream.read(shard.id, None, 1_000_000).records)
    return {json.loads(base64.b64decode(raw["Data"]))["type"] for raw in records}


# --- steps ---


def story_of(step: Step) -> dict[str, Any]:
    """The fields of a story that a step writes."""
    how = step.how
    return {
        "source_type": "newsapi",
        "source_url": SAME_ARTICLE[how.get("form", 0)].format(how["article"]),
        "title": how["title"],
        "text_snippet": "Some text.",
        "published_at": "2027-01-01T00:00:00Z",
        "matched_tags": list(how["tags"]),
    }


def post(played: Played, step: Step) -> None:
    headers = {"idempotency-key": step.how["key"]} if "key" in step.how else {}
    ask(played, Request(step, "POST", "/stories", {**story_of(step), "id": step.name}, headers))


def put(played: Played, step: Step) -> None:
    ask(played, Request(step, "PUT", f"/stories/{step.name}", story_of(step), _if_match(step)))


def delete(played: Played, step: Step) -> None:
    ask(played, Request(step, "DELETE", f"/stories/{step.name}", None, _if_match(step)))


def _if_match(step: Step) -> dict[str, str]:
    return {"if-match": f'"{step.how["version"]}"'} if "version" in step.how else {}


def caller_of(step: Step) -> str:
    """Whose token the request of a step has."""
    return str(step.how.get("by", "writer"))


def is_unclear(answer: Answer) -> bool:
    """Whether a client has to try again: it has got no answer, or one that says so."""
    return answer.status in (0, 429) or answer.status >= 500 or "Retry-After" in answer.headers


def ask(played: Played, request: Request) -> None:
    """Send a request until its outcome is clear."""
    world = played.world
    played.requests.append(request)

    def send() -> None:
        claims = {"sub": caller_of(request.step)}
        answer = world.request(
            request.method, request.path, request.body, headers=request.headers, claims=claims, then=look_again
        )
        request.answers.append(answer)
        world.kernel.at(3_000_000, lambda: look(answer))

    def look(answer: Answer) -> None:
        if not answer.status:
            world.kernel.at(3_000_000, lambda: look(answer))
        elif is_unclear(answer) and len(request.answers) < 600:
            wait_s = 1 + 9 * dice(world.seed, request.method, request.path, len(request.answers))
            world.kernel.at(int(wait_s * 1_000_000), send)

    def look_again(answer: Answer) -> None:
        if answer.status == 200 and played.history.reads:
            request.read = world.request("GET", request.path)

    send()


def analysis_id(step: Step) -> str:
    """The id of the event of an analysis."""
    return f"{step.name}-analysed-{step.how['n']}"


def analyse(played: Played, step: Step) -> None:
    """Another system publishes an analysis, several times where it has doubts."""
    how, world = step.how, played.world
    event = {
        "id": analysis_id(step),
        "type": "story-analyzed",
        "timestamp": world.kernel.now_us // 1000 - int(1000 * how.get("old_s", 0)),
        "partition_key": step.name,
        "story": {"id": step.name, **analysed(step)},
    }
    for after_s in how.get("again_s", ()):
        world.kernel.at(int(after_s * 1_000_000), lambda: world.publish(event))
    world.publish(event)


def ready(played: Played, step: Step) -> None:
    """Another system says that a story is ready, once it is there: of another time than this one's event."""
    how, world = step.how, played.world
    made = [each for each in played.requests if each.step.name == step.name and each.method == "POST"]
    if not any(each.outcome == 201 for each in made):
        if world.kernel.now_us < world.start_us + HOUR_S * MICROSECONDS:
            world.kernel.at(5 * MICROSECONDS, lambda: ready(played, step))
        return
    at_ms = world.kernel.now_us // 1000 - int(1000 * how["old_s"])
    trigger = {"id": f"{step.name}-elsewhere-{how['n']}", "type": "story-submitted", "timestamp": at_ms}
    event = {"id": ready_id(step), "type": "story-ready", "timestamp": at_ms, "partition_key": step.name}
    world.publish({**event, "triggers": [trigger], "story": {"id": step.name, **analysed(step)}})


def ready_id(step: Step) -> str:
    """The id of the event of a step `ready`."""
    return f"{step.name}-ready-{step.how['n']}"


def analysed(step: Step) -> dict[str, Any]:
    """The fields of an analysis."""
    how = step.how
    fields = {"sentiment": how["sentiment"], "score": how["score"], "model_version": f"m{how['n']}"}
    return {**fields, **INVALID.get(how.get("invalid", ""), {})}


def forge(played: Played, step: Step) -> None:
    """Another system publishes an event on which rules fail."""
    world = played.world
    at_ms = world.kernel.now_us // 1000
    event: dict[str, Any] = {"id": step.name, "timestamp": at_ms, "partition_key": step.name}
    match step.how["kind"]:
        case "no-story":
            event |= {"type": "story-analyzed", "story": {"sentiment": "neutral"}}
        case "no-analysis":
            event |= {"type": "story-ready", "triggers": [], "story": {"id": step.name}}
        case "no-triggers":
            story = {"id": step.name, "sentiment": "neutral", "score": 0.5, "model_version": "m"}
            event |= {"type": "story-ready", "story": story}
        case "no-address":
            event |= {"type": "story-submitted", "story": {"id": step.name, "source_url": "nowhere"}}
        case "no-fault":  # and it is said to be one
            event |= {"type": "complaint"}
            world.publish(event, detail_type="fault")
            return
    world.publish(event)


def foreign(played: Played, step: Step) -> None:
    """Another system submits a story that this API has not."""
    world = played.world
    story = {**story_of(step), "id": step.name}
    at_ms = world.kernel.now_us // 1000
    submitted = {"id": f"{step.name}-submitted", "type": "story-submitted", "timestamp": at_ms}
    event = {**submitted, "partition_key": step.name, "story": story}
    if "bytes" in step.how:
        world.publish_large({**event, "story": {**story, "text": "x" * step.how["bytes"]}})
    else:
        world.publish(event)


def content_of(step: Step) -> bytes:
    """The object of a step."""
    rows = "".join(f"{text}\n" for text, _ in step.how["rows"])
    match step.how["kind"]:
        case "rows":
            return f"id,name,amount\n{rows}".encode()
        case "separator":
            return f"id;name;amount\n{rows}".encode()
        case "gzip":
            return b"\x1f\x8b\x08\x00" + rows.encode()
    return b""


def land(played: Played, step: Step) -> None:
    played.world.land(step.name, content_of(step))


def custom(played: Played, step: Step) -> None:
    ingress = played.world.deployment.function("event-hub", "ingress")
    played.world.functions.queue(ingress.name, json.dumps(step.how["event"]).encode())


def kill(played: Played, step: Step) -> None:
    played.world.kill(step.name, step.how.get("after_s", 0.0))


def restart(played: Played, step: Step) -> None:
    """Pollers of a function begin again at their checkpoints, so that batches come again."""
    for mapping in played.world.mappings.values():
        if mapping.label == step.name:
            mapping.restart()


def reshard(played: Played, step: Step) -> None:
    """Split every shard of the hub's stream, or merge them in pairs; or let children follow all shards of tables."""
    world = played.world
    if step.name == "tables":
        for each in world.dynamodb.streams.values():
            each.roll()
        world.tell("resharded", "tables")
        return
    (stream,) = world.kinesis.streams
    shards = sum(shard.last is None for shard in world.kinesis.streams[stream].shards())
    target = 2 * shards if step.how["to"] == "twice" else shards // 2
    if target and shards in (2 * target, target // 2):
        world.tell("resharded", stream, shards, target)
        request = {"StreamName": stream, "TargetShardCount": target, "ScalingType": "UNIFORM_SCALING"}
        world.kinesis.UpdateShardCount(request)


def deploy(played: Played, step: Step) -> None:
    played.world.deploy(changed(played.world.deployment, step.name))


def changed(deployment: Deployment, what: str) -> Deployment:
    """Another deployment, of which as much must come as of this one."""
    mappings, functions, rules = deployment.mappings, deployment.functions, deployment.rules
    match what:
        case "small-batches":
            mappings = {name: replace(each, batch_size=1, batch_window=0.0) for name, each in mappings.items()}
        case "large-batches":
            mappings = {name: replace(each, batch_size=500, batch_window=9.0) for name, each in mappings.items()}
        case "lanes":
            # Lanes of a table's stream keep the order of rows, and each message of a story is a row.
            mappings = {
                name: each if each.function_arn.endswith("-outbox") else replace(each, parallelization_factor=3)
                for name, each in mappings.items()
            }
        case "code":
            functions = {
                name: replace(each, environment={**each.environment, "LOG_LEVEL": "WARNING"})
                for name, each in functions.items()
            }
        case "filters":  # none: what no rule wants is dropped by the rules
            mappings = {
                name: replace(each, filter_patterns=()) if each.source.kind == "kinesis" else each
                for name, each in mappings.items()
            }
        case "rules":
            rules = {
                name: replace(each, pattern={**each.pattern, "account": [deployment.account]})
                for name, each in rules.items()
            }
    return replace(deployment, mappings=mappings, functions=functions, rules=rules)


ACTS: Mapping[str, Callable[[Played, Step], None]] = {
    each.__name__: each
    for each in (post, put, delete, analyse, ready, forge, foreign, land, custom, kill, restart, reshard, deploy)
}


def replay_to_control(played: Played) -> None:
    """Replay the day from the lake to the function that waits for the parts of stories."""
    redrives.replay(played.world, played.world.deployment.function("control-service", "listener").name)


def replay_to_view(played: Played) -> None:
    """Replay the day from the lake to the function that writes the view."""
    redrives.replay(played.world, played.world.deployment.function("rest-bff-service", "listener").name, 7)


def resubmit(played: Played) -> None:
    """Resubmit all faults."""
    redrives.resubmit(played.world)


AFTERWARDS: Mapping[str, Callable[[Played], None]] = {
    each.__name__: each for each in (replay_to_control, replay_to_view, resubmit)
}


# --- shrinking ---


def shrink(history: History, fails: Callable[[History], bool], most: int = 150) -> History:
    """A smaller history that still fails: without troubles, steps and peculiarities that do not matter.

    Args:
        fails: whether a history fails in the same way.
        most: histories that are tried.
    """
    left = most

    def is_worse(smaller: History) -> bool:
        nonlocal left
        left -= 1
        return left >= 0 and fails(smaller)

    before = None
    while history != before and left > 0:
        before = history
        for name in ("troubles", "steps", "afterwards"):
            history = _with_fewer(history, name, is_worse)
        for change in (
            {"client": "direct"},
            {"doubled": 0.0},
            {"late": 0.01},
            {"skewed_s": 0.0},
            {"concurrency": 1_000},
            {"forgotten_s": 0.0},
        ):
            smaller = replace(history, **change)  # type: ignore[arg-type]
            if smaller != history and is_worse(smaller):
                history = smaller
    return history


def _with_fewer(history: History, name: str, fails: Callable[[History], bool]) -> History:
    """Leave out halves, quarters, ... and single ones of a tuple, as long as the rest fails."""
    size = len(getattr(history, name))
    while size:
        start = 0
        while start < len(getattr(history, name)):
            kept = getattr(history, name)
            smaller = replace(history, **{name: kept[:start] + kept[start + size :]})
            if fails(smaller):
                history = smaller
            else:
                start += size
        size //= 2
    return history
