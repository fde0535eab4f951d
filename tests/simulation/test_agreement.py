"""What histories are compared by when they are played for real: it leaves out time and chance, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from simulator import agreement
from simulator.agreement import Shared, Simulations, calm, counted_in, shared, simulated, with_spent_retries
from simulator.generator import generate, of_everything
from simulator.histories import History, Step
from simulator.outcomes import Seen, differences

pytestmark = pytest.mark.packaging

PARTS = ("answers", "events", "lake", "faults", "messages", "queued")


def two_stories(*more: Step) -> Shared:
    """One of two stories about an article is analysed, the other wrongly."""
    steps = [
        Step(at_s, "post", name, {"article": "a", "title": name, "tags": ["ai"]}) for at_s, name in ((0, "a"), (9, "b"))
    ]
    analysis = {"n": 1, "sentiment": "neutral", "score": 0.5}
    steps += [Step(20, "analyse", "a", analysis), Step(20, "analyse", "b", {**analysis, "invalid": "score"})]
    return shared(History(7, (*steps, *more)))


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Seen]:
    """What is seen of the histories that are played."""
    found: list[Seen] = []
    outcome = Shared.outcome
    monkeypatch.setattr(Shared, "outcome", lambda self, seen: found.append(seen) or outcome(self, seen))
    return found


@pytest.mark.thorough
def test_histories_without_races_come_out_alike_whatever_the_chance() -> None:
    calm = [each for each in map(shared, (generate(seed, of_everything) for seed in range(40))) if not _has_races(each)]
    assert len(calm) > 8
    for history in calm:
        first, *others = (simulated(history, chance) for chance in range(3))
        assert others == [first, first], history.name


@pytest.mark.thorough
def test_what_rarely_comes_of_each_of_several_turns_is_found_turn_by_turn() -> None:
    """By a chance of 1 in some 1,000: in each turn the process dies between the story's row and its answer."""
    steps = [
        (
            Step(at_s, "post", name, {"article": "a", "title": name, "tags": [], "key": name}),
            Step(at_s, "kill", "rest-bff-service-local-rest"),
        )
        for at_s, name in ((0, "a"), (30, "b"), (60, "c"))
    ]
    history = shared(History(7, tuple(each for pair in steps for each in pair)))
    assert len(history.rounds) == 3
    chances = [simulated(history, chance) for chance in range(40)]
    rare = [
        next(number for number, each in enumerate(chances) if _replays(each[turn], "abc"[turn])) for turn in range(3)
    ]
    real = simulated(history, *rare)
    assert _replays(real[-1], "abc")
    assert not any(_replays(each[-1], "abc") for each in chances)

    simulations = Simulations(history)
    assert all(simulations.finds(turn, outcome, chances=120) for turn, outcome in enumerate(real))


def _replays(outcome: dict[str, Any], names: str) -> bool:
    """Whether the first answer about each of some stories was lost."""
    replayed = {
        headers["location"][-1]
        for method, _, _, headers, _ in outcome["answers"]
        if method == "POST" and headers.get("idempotency-replayed") == "true"
    }
    return replayed >= {*names}


def _has_races(history: Shared) -> bool:
    """Whether steps about one thing are done at once, or a process dies with which a client talks."""
    for each in history.rounds:
        about = [name for step in each.steps for name in {step.name, step.how.get("article", step.name)}]
        if len(set(about)) < len(about) or "rest-bff-service-local-rest" in about:
            return True
    return False


@pytest.mark.parametrize("part", PARTS)
def test_whatever_is_missing_is_a_difference(seen: list[Seen], part: str) -> None:
    history = two_stories()
    simulations = Simulations(history, chances=1)
    last = seen[-1]
    turn = len(history.rounds)  # clients read after the last one
    assert simulations.has(turn, history.outcome(last))
    there = getattr(last, part)
    changed = replace(last, **{part: [*there, "another-queue"] if part == "queued" else there[:-1]})
    assert there or part == "queued"
    assert not simulations.has(turn, history.outcome(changed))
    assert simulations.differences(turn, history.outcome(changed))


def test_what_has_spent_its_retries_is_in_a_queue_until_it_is_redriven() -> None:
    history = with_spent_retries(two_stories())
    *_, spent, redriven, _ = simulated(history, 0)
    assert spent["queued"] == {"rest-bff-service-local-dashboard-failures": 1}
    assert redriven["queued"] == {}
    shown = {name: sum("h7-spent" in row.values() for row in rows) for name, rows in redriven["rows"].items()}
    assert shown["rest-bff-service-local-dashboard"] == 2


def test_the_number_of_events_matters_where_nothing_fails(seen: list[Seen]) -> None:
    history = calm(two_stories())
    expected = simulated(history, 0)[-1]
    last = seen[-1]
    twice = replace(last, events=[*last.events, last.events[0]])
    assert history.outcome(last) == expected
    assert history.outcome(twice) != expected
    assert two_stories().outcome(twice) == two_stories().outcome(last)
    assert counted_in(history) == {"control-service": 1}


def test_a_null_that_is_missing_is_told() -> None:
    assert [*differences({"a": [{"b": None}]}, {"a": [{}]})] == [".a[].b: only simulated: null"]
    assert [*differences({}, {"b": None})] == [".b: only real: null"]


def test_each_row_matters(seen: list[Seen]) -> None:
    history = two_stories()
    expected = simulated(history, 0)[-1]
    last = seen[-1]
    for table, rows in last.rows.items():
        for row in rows:
            if not table.endswith("-ledger"):
                fewer = {**last.rows, table: [each for each in rows if each is not row]}
                assert history.outcome(replace(last, rows=fewer)) != expected, row


def test_each_field_of_a_story_matters(seen: list[Seen]) -> None:
    history = two_stories()
    expected = simulated(history, 0)[-1]
    last = seen[-1]
    (ready,) = (event for event in last.events if event["type"] == "story-ready")
    for name in sorted(ready["story"].keys() - {"created", "timestamp", "published_at"}):
        changed = {**ready, "story": {**ready["story"], name: "another"}}
        events = [changed if each is ready else each for each in last.events]
        (found,) = differences(expected, history.outcome(replace(last, events=events)))
        assert f".story.{name}" in found


def test_the_order_of_messages_matters(seen: list[Seen]) -> None:
    history = two_stories(Step(30, "put", "a", {"article": "a", "title": "new", "tags": []}))
    simulated(history, 0)
    last = seen[-1]
    turned = replace(last, messages=last.messages[::-1])
    (found,) = differences(history.outcome(last), history.outcome(turned))
    assert "in another order" in found


def test_what_cannot_be_done_in_a_shared_deployment_is_left_out() -> None:
    for seed in range(60):
        history = generate(seed, of_everything)
        cut = shared(history)
        assert all(_is_its_own(cut, step) for step in cut.steps if step.do != "kill")
        done = [step.do for step in history.steps if step.do in agreement.PLAYABLE]
        kept = [step.do for step in cut.steps]
        dying = len(kept) - len(done)
        assert sorted(kept) == sorted([*done, *["kill"] * dying])


def _is_its_own(history: Shared, step: Step) -> bool:
    return all(history.name in text for text in _names(step))


def _names(step: Step) -> Iterator[str]:
    yield step.name
    yield from (step.how[name] for name in ("article", "key") if name in step.how)
