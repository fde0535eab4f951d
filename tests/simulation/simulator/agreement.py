"""Histories that a deployed local cloud can play, too, and what comes of them in a form in which both are compared.

A round of steps begins when all that came of the one before is done, in both, so that order decides and not latency.
Steps that follow each other closely are of one round, and race. What comes of a race depends on latency: there is
agreement if the outcome is one that the simulation has, too, with other chances.
"""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stream_runtime.payload.attributes import unmarshall

from simulator import redrives
from simulator.faults import Fate, Faults, Trouble, dice
from simulator.histories import ACTS, AFTERWARDS, FUNCTIONS, History, Played, Request, Step, ask, begin
from simulator.outcomes import Seen, canonical, differences
from simulator.topology import deployed
from simulator.world import World

CLOSE_S = 3.0
"""Steps about one thing that are that near race each other."""
ROUND_S = 120
"""A round of the simulation: longer than what comes of its steps takes, retries included."""
OLDER = 1_440
"""So many times as old as in its history is an old analysis: days, as some rounds pass in both before it comes."""

PLAYABLE = ("post", "put", "delete", "analyse", "forge", "foreign", "land", "custom", "kill")
"""Not: deployments, reshards and pollers that begin again, because all histories share one deployment."""
REFUSED = {
    "dynamodb": ("PutItem", "UpdateItem", "TransactWriteItems", "GetItem", "Query"),
    "events": ("PutEvents",),
    "kinesis": ("PutRecords",),
    "firehose": ("PutRecordBatch",),
}
"""Operations that the local cloud can refuse, with the services whose requests name them in a header."""
REFUSALS = ("throttled", "unavailable", "denied")
MOST_REFUSED = 3
MOST_CALLS = 5
MOST_CHANCES, LAST_CHANCES = 80, 1_000
"""So many are tried while more may come, and so many before it is said that a history goes on differently."""
SPREADS_S = (0.5, 0.5, 4.0, 15.0)
"""By how much steps of a round are apart at most, by chance: the local cloud may be busy with other histories."""
KILLS = ("died-before", "died-after")


@dataclass(frozen=True)
class Refused:
    """Requests of an operation that are about a history are refused, so many of them.

    Attributes:
        function: the only one that is refused them, by the name of its table; any if it is empty.
    """

    kind: str
    service: str
    operation: str
    times: int
    function: str = ""


@dataclass(frozen=True)
class Round:
    """What is done at the same time."""

    steps: tuple[Step, ...]
    refused: tuple[Refused, ...] = ()


@dataclass(frozen=True)
class Shared:
    """A history that shares a deployment with others: ``name`` is in the name of all that it is about.

    Attributes:
        afterwards: names of what people do at the end, one after the other.
        is_calm: whether nothing is refused, dies or is done again, in no history beside it either.
    """

    name: str
    seed: int
    rounds: tuple[Round, ...]
    afterwards: tuple[str, ...]
    is_calm: bool = False

    @property
    def steps(self) -> Iterator[Step]:
        """All steps, round by round."""
        return (step for each in self.rounds for step in each.steps)

    def outcome(self, seen: Seen) -> dict[str, Any]:
        """What was seen of it, as it is compared."""
        return canonical(seen, counts=self.is_calm)


def shared(history: History) -> Shared:
    """What of a history both can play, as it goes on in one deployment beside others."""
    name = f"h{history.seed}"
    steps = [_named(name, step) for step in history.steps if step.do in PLAYABLE]
    dying = [each for each in history.troubles if each.kind in KILLS and {*each.functions} <= {*FUNCTIONS}]
    steps += [_killed(history.seed, number, each) for number, each in enumerate(dying)]
    rounds = _rounds(sorted(steps, key=lambda step: step.at_s))
    refused: dict[int, list[Refused]] = defaultdict(list)
    for number, trouble in enumerate(history.troubles):
        if trouble.kind in REFUSALS:
            place = int(dice(history.seed, "round", number) * len(rounds))
            refused[place] += _refused(history.seed, number, trouble)
    made = tuple(Round(tuple(each), tuple(refused[place])) for place, each in enumerate(rounds))
    return Shared(name, history.seed, made, (*history.afterwards, "read"))


def calm(history: Shared) -> Shared:
    """A history without all that may have something published again."""
    rounds = (Round(tuple(step for step in each.steps if step.do != "kill")) for each in history.rounds)
    return replace(history, rounds=tuple(rounds), afterwards=("read",), is_calm=True)


def with_spent_retries(history: Shared) -> Shared:
    """A history at whose end the dashboard's function spends its retries, and people redrive what it has left."""
    name = f"{history.name}-spent"
    about = {"article": name, "title": "spent", "tags": ["ai"]}
    analysis = {"n": 1, "sentiment": "neutral", "score": 0.5}
    denied = Refused("denied", "dynamodb", "PutItem", 1_000, "dashboard")
    spending = (
        Round((Step(0, "post", name, about),)),
        Round((Step(0, "analyse", name, analysis),), (denied,)),
    )
    return replace(history, rounds=(*history.rounds, *spending), afterwards=("redrive", *history.afterwards))


def redrive(played: Played) -> None:
    """Redrive what is in queues of what failed."""
    redrives.redrive(played.world)


def read(played: Played) -> None:
    """Clients read all stories of which they have heard."""
    steps = {request.step.name: request.step for request in played.requests}
    for name, step in sorted(steps.items()):
        ask(played, Request(step, "GET", f"/stories/{name}", None, {}))


AFTER: Mapping[str, Callable[[Played], None]] = {**AFTERWARDS, "redrive": redrive, "read": read}


def _named(name: str, step: Step) -> Step:
    """A step about something that only this history is about."""
    how = dict(step.how)
    if step.do == "kill":
        return replace(step, name=step.name.replace("-prod-", "-local-"))
    for field_ in ("article", "key"):
        if field_ in how:
            how[field_] = f"{name}-{how[field_]}"
    if "id" in how.get("event", {}).get("payload", {}):
        how["event"] = {**how["event"], "payload": {**how["event"]["payload"], "id": f"{name}-o-1"}}
    if "again_s" in how:
        how["again_s"] = [0.1 * number for number, _ in enumerate(how["again_s"], start=1)]
    if "old_s" in how:
        how["old_s"] = OLDER * how["old_s"]
    named = f"orders/{name}-1.csv" if step.do == "land" else f"{name}-{step.name}"
    return replace(step, name=named, how=how)


def _killed(seed: int, number: int, trouble: Trouble) -> Step:
    """What stands for calls at which processes die: the death of one that is busy."""
    (function,) = trouble.functions or (FUNCTIONS[int(dice(seed, "dies", number) * len(FUNCTIONS))],)
    return Step(trouble.from_s, "kill", function.replace("-prod-", "-local-"))


def _refused(seed: int, number: int, trouble: Trouble) -> Iterator[Refused]:
    """What stands for a trouble with requests; nothing if the local cloud cannot refuse such."""
    services = trouble.services or (list(REFUSED)[int(dice(seed, "service", number) * len(REFUSED))],)
    for service in services:
        operations = REFUSED.get(service, ())
        if not operations or (trouble.kind == "denied" and service in ("kinesis", "firehose")):
            continue  # what a target of a rule denies is a dead letter at once
        operation = operations[int(dice(seed, "operation", number) * len(operations))]
        times = 1 if trouble.kind == "denied" else min(trouble.most, MOST_REFUSED)
        yield Refused(trouble.kind, service, operation, times)


def _rounds(steps: Iterable[Step]) -> list[list[Step]]:
    """Steps about one story or one article come one round after the other, unless they are close to each other."""
    rounds: list[list[Step]] = [[]]
    last: dict[str, tuple[float, int]] = {}
    for step in steps:
        if step.do == "kill":
            rounds[-1].append(step)
            continue
        about = {step.name, step.how["article"] if step.do in ("post", "foreign") else step.name}
        found = [last[each] for each in about if each in last]
        number = max((place if step.at_s - at_s <= CLOSE_S else place + 1 for at_s, place in found), default=0)
        for each in about:
            last[each] = step.at_s, number
        rounds += [[] for _ in range(number + 1 - len(rounds))]
        rounds[number].append(step)
    return rounds


# --- in the simulation ---


def simulated(history: Shared, *chances: int, deaths: Sequence[Collection[str]] = ()) -> list[dict[str, Any]]:
    """What comes of a history in the simulation by the end of each round, and of each act afterwards.

    Args:
        chances: for each turn, the last one for all that follow: another one has other latencies, other winners of
            races, and other calls at which processes die. Until a turn whose chance differs all goes on alike.
        deaths: for each turn the functions of which a process dies; without them, those of its own steps.
    """
    return _simulation(history, chances, deaths)[1]


def counted_in(history: Shared) -> Counter[str]:
    """How many faults of each service are counted in the simulation; 0 is left out."""
    (world, _), services = _simulation(history, [0], ()), Counter[str]()
    for service in {name.partition("-local-")[0] for name in world.deployment.functions}:
        of = (("Service", service), ("Stage", "local"))
        services[service] = int(world.cloudwatch.total("event-fault-monitor", "Faults", of))
    return +services


def _simulation(
    history: Shared, chances: Sequence[int], deaths: Sequence[Collection[str]]
) -> tuple[World, list[dict[str, Any]]]:
    deaths = deaths or deaths_in([history])
    played = begin(History(1000 * history.seed + chances[0], (), late=0.0), deployed("local"))
    world = played.world
    found = []

    def suffer(turn: int, round_: Round) -> random.Random:
        moments = random.Random(f"{history.seed}/{_of_turn(chances, turn)}/moments/{turn}")
        world.suffer(_Deaths(world.seed, round_, deaths[turn], world.kernel.now_us, moments))
        return moments

    def at_rest() -> None:
        world.run(ROUND_S)
        world.settle(quiet_s=40)
        found.append(history.outcome(_of_simulation(played)))

    with world.playing():
        for turn, round_ in enumerate(history.rounds):
            moments = suffer(turn, round_)
            spread_s = SPREADS_S[_of_turn(chances, turn) % len(SPREADS_S)]
            for step in round_.steps:
                if step.do != "kill":
                    after_us = int(moments.uniform(0, spread_s) * 1_000_000)
                    world.kernel.at(after_us, lambda step=step: act(played, step))  # type: ignore[misc]
            at_rest()
        for turn, name in enumerate(history.afterwards, start=len(history.rounds)):
            suffer(turn, Round(()))
            AFTER[name](played)
            at_rest()
    return world, found


def _of_turn(chances: Sequence[int], turn: int) -> int:
    return chances[min(turn, len(chances) - 1)]


def deaths_in(histories: Sequence[Shared]) -> list[list[str]]:
    """For each turn the functions of which one process dies, whichever history wants it: any may have work there."""
    found: list[set[str]] = [set() for _ in range(max(len(each.rounds) + len(each.afterwards) for each in histories))]
    for each in histories:
        for turn, round_ in enumerate(each.rounds):
            found[turn] |= {step.name for step in round_.steps if step.do == "kill"}
    return [sorted(each) for each in found]


def comes_out_in(history: Shared, chances: int) -> int:
    """In how many ways it comes out, for so many chances: each race that is independent of others doubles them."""
    return len({json.dumps(simulated(history, chance)[-1], sort_keys=True) for chance in range(chances)})


class Simulations:
    """What comes of a history in the simulation, for as many chances as are needed.

    Races of several turns are independent of each other: where one chance has gone on as the history until a turn,
    every second one that is tried then differs from it only since that turn.
    """

    def __init__(self, history: Shared, deaths: Sequence[Collection[str]] = (), chances: int = 2) -> None:
        self._history = history
        self._deaths = deaths
        self._alike: dict[int, tuple[int, ...]] = {}
        self._found: list[tuple[tuple[int, ...], list[dict[str, Any]]]] = []
        for chance in range(chances):
            self._try(chance)

    def has(self, turn: int, outcome: Mapping[str, Any], since: int = 0) -> bool:
        """Whether this is what comes of it by the end of a turn, for one of the chances so far."""
        for chances, outcomes in self._found[since:]:
            if _at(outcomes, turn) == outcome:
                self._alike[turn] = chances
                return True
        return False

    def finds(self, turn: int, outcome: Mapping[str, Any], chances: int = MOST_CHANCES) -> bool:
        """Whether it is that for any of so many chances."""
        found = self.has(turn, outcome)
        while not found and (number := len(self._found)) < chances:
            before = [_of_turn(self._alike[turn - 1], each) for each in range(turn)] if turn - 1 in self._alike else []
            self._try(*before[: turn * (number % 2)], number)
            found = self.has(turn, outcome, since=number)
        return found

    def _try(self, *chances: int) -> None:
        self._found.append((chances, simulated(self._history, *chances, deaths=self._deaths)))

    def differences(self, turn: int, outcome: Mapping[str, Any]) -> list[str]:
        """How it differs from what is nearest to it."""
        return min((list(differences(_at(each, turn), outcome)) for _, each in self._found), key=len)


def _at(outcomes: Sequence[dict[str, Any]], turn: int) -> dict[str, Any]:
    return outcomes[min(turn, len(outcomes) - 1)]


class _Deaths(Faults):
    """The refusals of a round, and processes that die at one of the first calls of their functions, or at none."""

    def __init__(
        self, seed: int, round_: Round, deaths: Collection[str], start_us: int, moments: random.Random
    ) -> None:
        super().__init__(seed, [_trouble(each) for each in round_.refused], start_us)
        self._dying = {(name, moments.randrange(MOST_CALLS)): moments.choice(KILLS) for name in deaths}
        self._calls: Counter[str] = Counter()
        if self._dying:
            self.begin_us, self.end_us = start_us, start_us + ROUND_S // 2 * 1_000_000

    def fate(self, now_us: int, service: str, operation: str, function: str, request: Mapping[str, Any]) -> Fate | None:
        self._calls[function] += 1
        kind = self._dying.get((function, self._calls[function]))
        if kind is not None and now_us < self.end_us:
            return Fate(kind)
        return super().fate(now_us, service, operation, function, request)


def _trouble(refused: Refused) -> Trouble:
    return Trouble(
        refused.kind,
        0,
        ROUND_S / 2,
        services=(refused.service,),
        operations=(refused.operation,) if refused.service in ("dynamodb", "events") else (),  # AWS chooses its own
        functions=(refused.function,) if refused.function else (),
        most=refused.times,
    )


def act(played: Played, step: Step) -> None:
    """Do a step, in the simulation or in anything that has its methods."""
    ACTS[step.do](played, step)


def _of_simulation(played: Played) -> Seen:
    world = played.world
    (archive,) = world.deployment.archives
    seen = Seen(world.start_us / 1_000_000, world.deployment.account)
    seen.answers = answers_of(played)
    seen.rows = {name: [unmarshall(row) for row in world.dynamodb.items(name)] for name in world.deployment.tables}
    seen.faults = [each["detail"] for each in world.stored("event-fault-monitor")]
    seen.events = [event.envelope["detail"] for event in world.events.archived(archive)]
    seen.lake = world.lake()
    for arn, topic in world.sns.topics.items():
        if arn.endswith(".fifo"):
            seen.messages += [json.loads(message.message) for message in topic.messages]
    seen.queued = [name for name, bodies in world.dead_letters().items() for _ in bodies]
    return seen


def answers_of(played: Played) -> list[tuple[str, str, int, Mapping[str, str], Any]]:
    """The last answer to each request."""
    return [
        (each.method, each.path, each.outcome, each.answers[-1].headers, each.answers[-1].body)
        for each in played.requests
        if each.answers
    ]
