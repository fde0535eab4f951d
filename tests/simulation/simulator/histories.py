"""Histories: what people and other systems do to the services, and what fails meanwhile.

A history is plain data that follows from a seed. `play` plays it to the end: until everything has come to rest, what
could not be delivered was redriven, and whatever expires has expired. `promises` says what must have come of it.
"""

from __future__ import annotations

import functools
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from given_json import read

from simulator import redrives
from simulator.faults import KINDS, Trouble, dice
from simulator.topology import Deployment, deployed
from simulator.world import Answer, Plan, World

HOUR_S, DAY_S = 3_600, 86_400
WAITS_S = 2 * HOUR_S
"""How long a story waits for its analysis here: `incompleteAfterSeconds` is longer, and every job would be played."""
LATEST_S = 150
"""When the last step and the last trouble of a generated history begin, about."""
LIFETIME_S = 45 * DAY_S
"""Longer than anything is kept (`TTL`, `tombstoneDays`), and TTL takes for it."""
TAGS = ("markets", "ai", "climate", "täglich", "a b")
SENTIMENTS = ("positive", "neutral", "negative")
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
OBJECTS = ("rows", "separator", "gzip", "empty")
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
DEPLOYED = ("small-batches", "large-batches", "lanes", "code", "filters", "rules")


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
    """What a client wants of the HTTP API, and the answers to its attempts."""

    step: Step
    method: str
    path: str
    body: Mapping[str, Any] | None
    headers: Mapping[str, str]
    answers: list[Answer] = field(default_factory=list)

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
    """

    history: History
    world: World
    requests: list[Request] = field(default_factory=list)
    dead_letters: list[dict[str, list[Any]]] = field(default_factory=list)
    lost: list[tuple[str, str]] = field(default_factory=list)
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    alarms_at_rest: list[str] = field(default_factory=list)
    archived: list[dict[str, Any]] = field(default_factory=list)

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
        world.scheduler.stop()
        world.run(LIFETIME_S)
        world.settle()
    return played


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


def on_bus(world: World) -> list[dict[str, Any]]:
    """Every event that was put on the bus but faults, as often as it was put there."""
    (archive,) = world.deployment.archives
    return [event.envelope["detail"] for event in world.events.archived(archive)]


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
    headers = {"if-match": f'"{step.how["version"]}"'} if "version" in step.how else {}
    ask(played, Request(step, "PUT", f"/stories/{step.name}", story_of(step), headers))


def delete(played: Played, step: Step) -> None:
    ask(played, Request(step, "DELETE", f"/stories/{step.name}", None, {}))


def is_unclear(answer: Answer) -> bool:
    """Whether a client has to try again: it has got no answer, or one that says so."""
    return answer.status in (0, 429) or answer.status >= 500 or "Retry-After" in answer.headers


def ask(played: Played, request: Request) -> None:
    """Send a request until its outcome is clear."""
    world = played.world
    played.requests.append(request)

    def send() -> None:
        answer = world.request(request.method, request.path, request.body, headers=request.headers)
        request.answers.append(answer)
        world.kernel.at(3_000_000, lambda: look(answer))

    def look(answer: Answer) -> None:
        if not answer.status:
            world.kernel.at(3_000_000, lambda: look(answer))
        elif is_unclear(answer) and len(request.answers) < 600:
            wait_s = 1 + 9 * dice(world.seed, request.method, request.path, len(request.answers))
            world.kernel.at(int(wait_s * 1_000_000), send)

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
    world.publish(event)


def foreign(played: Played, step: Step) -> None:
    """Another system submits a story that this API has not."""
    world = played.world
    story = {**story_of(step), "id": step.name}
    at_ms = world.kernel.now_us // 1000
    submitted = {"id": f"{step.name}-submitted", "type": "story-submitted", "timestamp": at_ms}
    world.publish({**submitted, "partition_key": step.name, "story": story})


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
    played.world.kill(step.name)


def restart(played: Played, step: Step) -> None:
    """Pollers of a function begin again at their checkpoints, so that batches come again."""
    for mapping in played.world.mappings.values():
        if mapping.label == step.name:
            mapping.restart()


def reshard(played: Played, step: Step) -> None:
    """Split every shard of the hub's stream, or merge them in pairs."""
    world = played.world
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
            mappings = {name: replace(each, parallelization_factor=3) for name, each in mappings.items()}
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
    for each in (post, put, delete, analyse, forge, foreign, land, custom, kill, restart, reshard, deploy)
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


# --- generating ---


def generate(seed: int) -> History:
    """The history of a seed."""
    chance = random.Random(f"{seed}/history")
    steps: list[Step] = []
    stories = [f"story-{number}" for number in range(1, chance.choice((1, 1, 2, 2, 3, 4)) + 1)]
    articles = [f"a{number}" for number in range(1, 1 + max(1, len(stories) - chance.randrange(2)))]
    for name in stories:
        steps += _story(chance, name, articles)
    if chance.random() < 0.12:
        steps += _foreign(chance, articles)
    for number in range(chance.choice((0, 0, 0, 0, 1, 2))):
        kind = chance.choice(FORGED)
        steps.append(Step(_moment(chance), "forge", f"forged-{number}", {"kind": kind}))
    if chance.random() < 0.15:
        steps.append(_object(chance))
    if chance.random() < 0.15:
        steps.append(_custom(chance))
    steps += _operations(chance)
    peculiar = chance.random()
    return History(
        seed,
        tuple(sorted(steps, key=lambda step: step.at_s)),
        tuple(_trouble(chance) for _ in range(chance.choice((0, 1, 1, 2, 3, 5)))),
        tuple(each for each in AFTERWARDS if chance.random() < 0.08),
        concurrency=chance.choice((22, 25)) if peculiar < 0.1 else 1_000,
        skewed_s=2.0 if chance.random() < 0.3 else 0.0,
        doubled=chance.choice((0.0, 0.0, 0.0, 0.2)),
        late=chance.choice((0.01, 0.01, 0.3)),
        client={0: "boto3", 1: "lean"}.get(seed % 24, "direct"),
    )


def _operations(chance: random.Random) -> Iterator[Step]:
    """What is done to the system itself, in the midst of all."""
    for _ in range(chance.choice((0, 0, 0, 1, 3))):
        yield Step(_moment(chance), "kill", chance.choice(FUNCTIONS))
    for _ in range(chance.choice((0, 0, 0, 0, 1, 3))):
        yield Step(_moment(chance), "restart", chance.choice(READERS))
    if chance.random() < 0.12:
        for _ in range(chance.choice((1, 2))):
            yield Step(_moment(chance), "reshard", "hub", {"to": chance.choice(("twice", "half"))})
    if chance.random() < 0.15:
        for _ in range(chance.choice((1, 2))):
            yield Step(_moment(chance), "deploy", chance.choice(DEPLOYED))


def _moment(chance: random.Random) -> float:
    return round(chance.uniform(1, LATEST_S), 2)


def _content(chance: random.Random, articles: Sequence[str], title: str) -> dict[str, Any]:
    tags = chance.sample(TAGS, chance.choice((0, 1, 1, 2, 3)))
    form = chance.randrange(len(SAME_ARTICLE))
    return {"article": chance.choice(articles), "form": form, "title": title, "tags": tags}


def _story(chance: random.Random, name: str, articles: Sequence[str]) -> Iterator[Step]:
    at_s = round(chance.uniform(0, 40), 2)
    how = _content(chance, articles, f"{name} v1")
    if chance.random() < 0.8:
        how["key"] = f"key-of-{name}"
    yield Step(at_s, "post", name, how)
    if chance.random() < 0.15:  # a client that repeats itself
        yield Step(round(at_s + chance.uniform(0, 30), 2), "post", name, how)
    for number in range(1, chance.choice((0, 1, 1, 1, 1, 2)) + 1):
        yield _analysis(chance, name, number, at_s)
    if chance.random() < 0.3:
        for number in range(chance.choice((1, 1, 2))):
            content = _content(chance, articles, f"{name} put {number}")
            if chance.random() < 0.3:
                content["version"] = 1
            yield Step(round(at_s + chance.uniform(0, 60), 2), "put", name, content)
    if chance.random() < 0.12:
        yield Step(round(at_s + chance.uniform(1, 90), 2), "delete", name)


def _analysis(chance: random.Random, name: str, number: int, at_s: float) -> Step:
    how: dict[str, Any] = {
        "n": number,
        "sentiment": chance.choice(SENTIMENTS),
        "score": chance.choice((0, 0.25, 0.5, 0.875, 1)),
    }
    if chance.random() < 0.15:
        how["invalid"] = chance.choice(list(INVALID))
    if chance.random() < 0.2:
        how["again_s"] = [round(chance.uniform(0, 90), 2) for _ in range(chance.choice((1, 2)))]
    if chance.random() < 0.2:
        how["old_s"] = chance.choice((1, 60, 600))
    return Step(round(max(0.5, at_s + chance.uniform(-15, 60)), 2), "analyse", name, how)


def _foreign(chance: random.Random, articles: Sequence[str]) -> Iterator[Step]:
    at_s = _moment(chance)
    yield Step(at_s, "foreign", "foreign-1", _content(chance, articles, "of others"))
    if chance.random() < 0.7:
        yield _analysis(chance, "foreign-1", 1, at_s)


def _object(chance: random.Random) -> Step:
    rows = [_row(chance, str(number)) for number in range(1, chance.randrange(1, 6))]
    return Step(_moment(chance), "land", "orders/1.csv", {"kind": chance.choice(("rows", *OBJECTS)), "rows": rows})


def _row(chance: random.Random, number: str) -> list[Any]:
    """A line of an object, and the record that comes of it; None if it is skipped."""
    given = chance.choice(("plain", "quoted", "no name", "no number"))
    match given:
        case "plain":
            record = {"id": number, "name": f"Name {number}", "amount": int(number) + 0.5}
            return [f"{number},Name {number},{number}.5", record]
        case "quoted":
            return [f'{number},"with, comma",1e3', {"id": number, "name": "with, comma", "amount": 1000}]
        case "no name":
            return [f"{number},,5", None]
    return [f"{number},Name {number},much", None]


def _custom(chance: random.Random) -> Step:
    valid = {"source": "shop.orders", "type": "OrderCreated", "payload": {"id": "o-1", "total": 12}}
    wrong = chance.choice(({}, {}, {"type": "fault"}, {"payload": {}}, {"more": 1}, {"source": "aws.s3"}))
    return Step(_moment(chance), "custom", "custom-1", {"event": {**valid, **wrong}, "valid": not wrong})


SERVICES = ("dynamodb", "events", "s3", "sns", "sqs", "kinesis", "firehose", "lambda", "cloudwatch")
WITHIN_AWS = ("events", "firehose", "s3", "lambda", "mapping", "scheduler")
"""Callers that are services themselves."""


def _trouble(chance: random.Random) -> Trouble:
    if chance.random() < 0.1:
        return _outage(chance)
    from_s = round(chance.uniform(0, LATEST_S), 2)
    who = chance.random()
    return Trouble(
        kind=chance.choice(KINDS),
        from_s=from_s,
        until_s=round(from_s + chance.choice((2, 10, 30, 90, 300)), 2),
        rate=chance.choice((0.1, 0.3, 0.7, 1.0)),
        services=() if chance.random() < 0.6 else (chance.choice(SERVICES[:4]),),
        functions=() if who < 0.5 else (chance.choice(FUNCTIONS if who < 0.85 else WITHIN_AWS),),
        most=chance.choice((1, 3, 1_000, 1_000)),
        delay_s=chance.choice((1, 10, 30)),
    )


OUTAGES = ("denied", "denied", "unavailable", "throttled", "unreachable", "answer-lost", "died-after")


def _outage(chance: random.Random) -> Trouble:
    """One service, or what one function calls, fails altogether for ten minutes to half an hour."""
    from_s = round(chance.uniform(0, LATEST_S), 2)
    of_service = chance.random() < 0.5
    return Trouble(
        kind=chance.choice(
            ("denied", "denied", "unavailable", "throttled", "unreachable", "answer-lost", "died-after")
        ),
        from_s=from_s,
        until_s=from_s + chance.choice((600, 1_200, 1_800)),
        services=(chance.choice(SERVICES),) if of_service else (),
        functions=() if of_service else (chance.choice((*FUNCTIONS, *WITHIN_AWS)),),
    )
