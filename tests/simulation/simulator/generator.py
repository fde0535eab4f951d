"""Generates histories: each follows from its seed, and has a theme, so that what is rare comes often enough."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from simulator.faults import KINDS, Trouble
from simulator.histories import (
    AFTERWARDS,
    FORGED,
    FORGOTTEN_S,
    FUNCTIONS,
    INVALID,
    READERS,
    SAME_ARTICLE,
    History,
    Step,
)

LATEST_S = 150
"""When the last step and the last trouble of a generated history begin, about."""
TAGS = ("markets", "ai", "climate", "täglich", "a b")
SENTIMENTS = ("positive", "neutral", "negative")
OBJECTS = ("rows", "separator", "gzip", "empty")
DEPLOYED = ("small-batches", "large-batches", "lanes", "code", "filters", "rules")
OUTBOX, DASHBOARD, API = (f"rest-bff-service-prod-{name}" for name in ("outbox", "dashboard", "rest"))
LARGE = ("control-service-prod-listener", "control-service-prod-trigger", "event-lake-s3-prod-claims")
INGRESS, COUNTER = "event-hub-prod-ingress", "event-fault-monitor-prod-trigger"


def generate(seed: int, theme: Theme | None = None) -> History:
    """The history of a seed, of any theme if none is given: then one of five without denied calls has large events."""
    chance, forgotten = random.Random(f"{seed}/history"), random.Random(f"{seed}/forgotten")
    large = random.Random(f"{seed}/large-events")
    steps, troubles = (theme or chance.choice(THEMES))(chance)
    steps += _operations(chance)
    troubles += [_trouble(chance) for _ in range(chance.choice((0, 1, 1, 2, 3, 5)))]
    # What S3 denies of a body is a fault by design: it may be one that there is not.
    if theme is None and large.random() < 1 / 5 and not any(each.kind == "denied" for each in troubles):
        steps += _large(large)
        if large.random() < 0.5:
            troubles.append(Trouble("body-broken", 0.0, LATEST_S, 0.5, ("s3",), most=2))
    return History(
        seed,
        tuple(sorted(steps, key=lambda step: step.at_s)),
        tuple(troubles),
        tuple(each for each in AFTERWARDS if chance.random() < 0.08),
        concurrency=chance.choice((21, 22)) if chance.random() < 0.1 else 1_000,
        skewed_s=2.0 if chance.random() < 0.3 else 0.0,
        doubled=chance.choice((0.0, 0.0, 0.0, 0.3)),
        late=chance.choice((0.01, 0.01, 0.3)),
        reads=chance.random() < 0.2,
        client={0: "boto3", 1: "lean", 2: "lean"}.get(seed % 24, "direct"),
        forgotten_s=forgotten.choice(FORGOTTEN_S) if forgotten.random() < 0.1 else 0.0,
    )


# --- themes ---

Begun = tuple[list[Step], list[Trouble]]
Theme = Callable[[random.Random], Begun]


def of_everything(chance: random.Random) -> Begun:
    """Some stories of some articles, and a little of what comes from outside."""
    stories = [f"story-{number}" for number in range(1, chance.choice((1, 1, 2, 2, 3, 4)) + 1)]
    articles = [f"a{number}" for number in range(1, 1 + max(1, len(stories) - chance.randrange(2)))]
    steps = [step for name in stories for step in _story(chance, name, articles)]
    if chance.random() < 0.12:
        steps += _foreign(chance, articles)
    for number in range(chance.choice((0, 0, 0, 0, 1, 2))):
        kind = chance.choice(FORGED)
        steps.append(Step(_moment(chance), "forge", f"forged-{number}", {"kind": kind}))
    if chance.random() < 0.15:
        steps.append(_object(chance, "orders/1.csv"))
    if chance.random() < 0.15:
        steps.append(_custom(chance, 1))
    return steps, []


def of_one_story(chance: random.Random) -> Begun:
    """Many changes of one story within seconds, while its messages have difficulties."""
    at_s, name, articles = round(chance.uniform(0, 20), 2), "story-1", ("a1",)
    steps = [Step(at_s, "post", name, _content(chance, articles, f"{name} v1"))]
    from_s, within_s = round(at_s + chance.uniform(1, 20), 2), chance.choice((0.5, 5, 30))
    for number in range(chance.choice((3, 5, 8))):
        content = _content(chance, articles, f"{name} put {number}")
        if chance.random() < 0.3:
            content["version"] = number + 1
        steps.append(Step(round(from_s + chance.uniform(0, within_s), 2), "put", name, content))
    if chance.random() < 0.6:
        steps.append(_analysis(chance, name, 1, from_s))
    if chance.random() < 0.3:
        steps.append(Step(round(from_s + chance.uniform(0, 2 * within_s), 2), "delete", name))
    if chance.random() < 0.4:
        steps.append(Step(round(from_s + chance.uniform(0, within_s), 2), "reshard", "tables"))
    for reader in (OUTBOX, DASHBOARD):
        if chance.random() < 0.3:
            steps.append(Step(round(from_s + chance.uniform(0, within_s + 10), 2), "restart", reader))
    troubles, until_s = [], from_s + chance.choice((10, 30, 60))
    if chance.random() < 0.6:
        kind = chance.choice(("partial", "partial", "throttled", "unavailable", "answer-lost", "died-after"))
        troubles.append(Trouble(kind, from_s, until_s, 0.6, ("sns",), most=chance.choice((1, 3, 1_000))))
    if chance.random() < 0.5:  # between what is read and what is written others write
        rest = (API,)
        troubles.append(Trouble("conflict", from_s, until_s, 0.8, ("dynamodb",), functions=rest, most=6))
    return steps, troubles


def of_rivals(chance: random.Random) -> Begun:
    """Clients that want the same id, repeat themselves, use a key twice, or change what is not theirs."""
    at_s, name = round(chance.uniform(0, 20), 2), "story-1"
    first = {**_content(chance, ("a1",), f"{name} v1"), "key": "k"}
    steps = [Step(at_s, "post", name, first)]
    for number in range(chance.choice((1, 2, 3))):
        content = _content(chance, ("a1", "a2"), f"{name} rival {number}")
        after_s = round(at_s + chance.choice((0, chance.uniform(0, 0.2), chance.uniform(0, 40))), 2)
        match chance.choice(("repeats", "repeats", "reuses", "reuses for another", "other caller", "no key")):
            case "repeats":
                steps.append(Step(after_s, "post", name, first))
            case "reuses":
                steps.append(Step(after_s, "post", name, {**content, "key": "k"}))
            case "reuses for another":
                steps.append(Step(after_s, "post", "story-2", {**content, "key": "k"}))
            case "other caller":
                steps.append(Step(after_s, "post", name, {**content, "key": "k", "by": "reader"}))
            case _:
                steps.append(Step(after_s, "post", name, content))
    for number in range(chance.choice((1, 2, 3))):
        content = _content(chance, ("a1",), f"{name} put {number}")
        if chance.random() < 0.5:
            content["version"] = chance.choice((1, 1, 2))
        if chance.random() < 0.4:
            content["by"] = "reader"
        steps.append(Step(round(at_s + chance.uniform(0, 60), 2), "put", name, content))
    if chance.random() < 0.4:
        how = chance.choice(({}, {"by": "reader"}, {"version": 1}, {"version": 2}))
        steps.append(Step(round(at_s + chance.uniform(0, 90), 2), "delete", name, how))
    if chance.random() < 0.5:
        steps.append(_analysis(chance, name, 1, at_s))
    return steps, []


def of_analyses(chance: random.Random) -> Begun:
    """A story with several analyses, and with events of other systems that say that it is ready: older, and newer."""
    at_s, name, articles = round(chance.uniform(0, 20), 2), "story-1", ("a1",)
    steps = [Step(at_s, "post", name, _content(chance, articles, f"{name} v1"))]
    steps += [_analysis(chance, name, number, at_s) for number in range(1, chance.choice((1, 2, 4)) + 1)]
    for number in range(1, chance.choice((1, 2, 3)) + 1):
        old_s = chance.choice((0, 0, 5, 60, 900))
        how = {"n": number + 10, "sentiment": chance.choice(SENTIMENTS), "score": 0.75, "old_s": old_s}
        steps.append(Step(round(at_s + chance.uniform(0, 90), 2), "ready", name, how))
    for number in range(chance.choice((0, 1, 2))):
        content = _content(chance, articles, f"{name} put {number}")
        steps.append(Step(round(at_s + chance.uniform(0, 90), 2), "put", name, content))
    if chance.random() < 0.25:
        steps.append(Step(round(at_s + chance.uniform(1, 60), 2), "delete", name))
    troubles = []
    if chance.random() < 0.4:
        troubles.append(Trouble("partial", at_s, at_s + 120, 0.6, ("events",), most=chance.choice((1, 3))))
    if chance.random() < 0.4:  # so that changes come late, by a redrive
        from_s = round(at_s + chance.uniform(0, 40), 2)
        troubles.append(Trouble("denied", from_s, from_s + 30, services=("dynamodb",), functions=(DASHBOARD,)))
        late = _content(chance, articles, f"{name} put late")
        steps.append(Step(round(from_s + chance.uniform(25, 60), 2), "put", name, late))
    return steps, troubles


def from_outside(chance: random.Random) -> Begun:
    """Objects, of which some are overwritten, and custom events; their function and their bus have difficulties."""
    steps = [_object(chance, f"orders/{chance.choice((1, 1, 2))}.csv") for _ in range(chance.choice((1, 2, 3)))]
    if chance.random() < 0.6:  # as soon as it is there
        after_s = round(steps[0].at_s + chance.choice((0.02, 0.3, 2)), 2)
        steps.append(replace(_object(chance, steps[0].name), at_s=after_s))
    steps += [_custom(chance, number) for number in range(1, chance.choice((1, 2, 3)) + 1)]
    if chance.random() < 0.5:
        steps += _story(chance, "story-1", ("a1",))
    kinds = (
        "partial",
        "partial",
        "unavailable",
        "answer-lost",
        "answer-lost",
        "died-after",
        "error-after",
        "body-broken",
    )
    kind = chance.choice(kinds)
    service = "s3" if kind == "body-broken" else "events"
    rate, most = chance.choice((0.3, 0.7)), chance.choice((1, 2, 1_000))
    if chance.random() < 0.7:
        return steps, [Trouble(kind, 0.0, LATEST_S, rate, (service,), functions=(INGRESS,), most=most)]
    return steps, []


def of_faults(chance: random.Random) -> Begun:
    """Events on which rules fail, while those who count faults have difficulties."""
    steps = [
        Step(
            round(chance.uniform(0, 30), 2), "forge", f"forged-{number}", {"kind": chance.choice((*FORGED, "no-fault"))}
        )
        for number in range(chance.choice((1, 2, 4)))
    ]
    if chance.random() < 0.5:
        steps += _story(chance, "story-1", ("a1",))
    kind = chance.choice(("answer-lost", "unavailable", "throttled", "error-after", "died-before", "died-after"))
    services, most = chance.choice(((), ("dynamodb",), ("cloudwatch",))), chance.choice((1, 2, 1_000))
    until_s, rate = chance.choice((120, 300, 600)), chance.choice((0.3, 0.6, 1.0))
    return steps, [Trouble(kind, 0.0, until_s, rate, services, functions=(COUNTER,), most=most)]


def of_large_events(chance: random.Random) -> Begun:
    """Stories of others that are too large for the bus, while S3 has difficulties, or those who read and copy them."""
    steps = [*_large(chance)]
    kind = chance.choice(("throttled", "unavailable", "answer-lost", "error-after", "died-before", "died-after"))
    function = chance.choice(LARGE)
    return steps, [Trouble(kind, 0.0, LATEST_S, 0.5, ("s3",), functions=(function,), most=chance.choice((1, 3)))]


THEMES: tuple[Theme, ...] = (
    *(of_everything, of_everything, of_everything),
    *(of_one_story, of_one_story),
    of_rivals,
    of_analyses,
    from_outside,
    of_faults,
)


# --- their parts ---


def _large(chance: random.Random) -> Iterator[Step]:
    for number in range(1, chance.choice((1, 2)) + 1):
        name, at_s = f"foreign-large-{number}", round(chance.uniform(0, 30), 2)
        how = {**_content(chance, (f"l{number}",), "of others"), "bytes": chance.choice((400_000, 1_100_000))}
        yield Step(at_s, "foreign", name, how)
        yield _analysis(chance, name, 1, at_s)


def _operations(chance: random.Random) -> Iterator[Step]:
    """What is done to the system itself, in the midst of all."""
    for _ in range(chance.choice((0, 0, 0, 1, 3))):
        how = {"after_s": chance.choice((0.02, 0.1, 0.3, 1.0))}
        yield Step(_moment(chance), "kill", chance.choice(FUNCTIONS), how)
    for _ in range(chance.choice((0, 0, 0, 0, 1, 3))):
        yield Step(_moment(chance), "restart", chance.choice(READERS))
    if chance.random() < 0.12:
        for _ in range(chance.choice((1, 2))):
            yield Step(_moment(chance), "reshard", "hub", {"to": chance.choice(("twice", "half"))})
    if chance.random() < 0.06:
        yield Step(_moment(chance), "reshard", "tables")
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


def _object(chance: random.Random, key: str) -> Step:
    rows = [_row(chance, str(number)) for number in range(1, chance.randrange(1, 6))]
    kind = chance.choice(("rows", "rows", "rows", "rows", *OBJECTS))
    return Step(_moment(chance), "land", key, {"kind": kind, "rows": rows})


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


def _custom(chance: random.Random, number: int) -> Step:
    valid = {"source": "shop.orders", "type": "OrderCreated", "payload": {"id": f"o-{number}", "total": 12}}
    wrong = chance.choice(({}, {}, {"type": "fault"}, {"payload": {}}, {"more": 1}, {"source": "aws.s3"}))
    return Step(_moment(chance), "custom", f"custom-{number}", {"event": {**valid, **wrong}, "valid": not wrong})


SERVICES = ("dynamodb", "events", "s3", "sns", "sqs", "kinesis", "firehose", "lambda", "cloudwatch")
MEETS = {"partial": ("dynamodb", "events", "sns", "firehose"), "conflict": ("dynamodb",), "body-broken": ("s3",)}
"""The services with calls that may fail so."""
WITHIN_AWS = ("events", "firehose", "s3", "lambda", "mapping", "scheduler")
"""Callers that are services themselves."""


def _trouble(chance: random.Random) -> Trouble:
    if chance.random() < 0.1:
        return _outage(chance)
    from_s = round(chance.uniform(0, LATEST_S), 2)
    who = chance.random()
    kind, services = chance.choice(KINDS), () if chance.random() < 0.6 else (chance.choice(SERVICES[:4]),)
    if kind in MEETS and chance.random() < 0.8:  # else it is another failure of calls to which it cannot happen
        services = (chance.choice(MEETS[kind]),)
    return Trouble(
        kind=kind,
        from_s=from_s,
        until_s=round(from_s + chance.choice((2, 10, 30, 90, 300)), 2),
        rate=chance.choice((0.1, 0.3, 0.7, 1.0)),
        services=services,
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
        kind=chance.choice(OUTAGES),
        from_s=from_s,
        until_s=from_s + chance.choice((600, 1_200, 1_800)),
        services=(chance.choice(SERVICES),) if of_service else (),
        functions=() if of_service else (chance.choice((*FUNCTIONS, *WITHIN_AWS)),),
    )
