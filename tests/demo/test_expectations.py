from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from stream_cli.local.endpoint import LocalEndpoint

from demo import expectations
from demo.expectations import Expectation, evaluate, settled
from demo.feed import Fed, SampleStory
from demo.observation import Observer, Seen, Teller, documents

NOWHERE = LocalEndpoint(9)
STORY = {
    "source_type": "rss",
    "source_url": "https://www.citydesk.example/1",
    "title": "A title",
    "text_snippet": "A text.",
    "author": "A. N. Other",
    "published_at": "2026-11-16T06:30:14Z",
    "matched_tags": ["cities"],
}
ANALYSIS = {"sentiment": "neutral", "score": 0.5, "model_version": "v1"}
ENTRIES = [
    SampleStory({"id": "full", **STORY}, {"id": "full", **ANALYSIS}, throttled=True),
    SampleStory({"id": "half", **STORY}, None),
    SampleStory({"id": "bad", **STORY}, {**ANALYSIS}, poison="its story has no id"),
]
ROWS, FAULTS, LAKE = "rows of the materialized view", "fault events", "ids in the lake, each readable"
READY, METRIC = "story-ready events of control-service", "faults counted by event-fault-monitor"
ALL = "events of all services"
QUEUES, THROTTLE = "messages in on-failure queues", "writes throttled, and made up for"
SUBMITTED = "story-submitted events of rest-bff-service"


@dataclass
class World:
    """What an observer would see, all of it as expected unless a test changes it."""

    seen: Seen = field(default_factory=Seen)
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    metric: float = 1.0
    queues: dict[str, int] = field(default_factory=lambda: {"dead-letters": 0})
    fired: int = 1

    def view(self) -> dict[str, dict[str, Any]]:
        return self.rows

    def fault_metric(self) -> float:
        return self.metric

    def failure_queues(self) -> dict[str, int]:
        return self.queues


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    def event(event_type: str, event_id: str, story_id: str) -> dict[str, Any]:
        return {"id": event_id, "type": event_type, "partition_key": story_id, "story": {"id": story_id}}

    world = World()
    world.seen.events = [
        *(event("story-submitted", f"s-{entry.id}", entry.id) for entry in ENTRIES),
        ENTRIES[0].analyzed_event(1),
        ENTRIES[2].analyzed_event(1),
        event("story-ready", "r-full", "full"),
        {"id": "f-1", "type": "fault", "err": {"name": "ValueError"}, "uow": {"event": ENTRIES[2].analyzed_event(1)}},
    ]
    world.seen.lake_ids = {one["id"] for one in world.seen.events if one["type"] != "fault"}
    world.rows = {entry.id: {**entry.story, "status": "submitted"} for entry in ENTRIES}
    world.rows["full"] |= {**ANALYSIS, "status": "ready", "published_at": "2026-11-16T06:30:14.000Z"}
    monkeypatch.setattr(
        expectations, "faults", lambda _: [{"id": "t", "fired": world.fired}, {"id": "other", "fired": 5}]
    )
    return world


def table_of(world: World) -> list[Expectation]:
    return evaluate(ENTRIES, {"t"}, cast(Observer, world), NOWHERE)


def failing(world: World) -> dict[str, str]:
    return {line.name: " ".join(line.details) for line in table_of(world) if not line.ok}


def test_the_table_of_a_good_run_is_all_right(world: World) -> None:
    assert failing(world) == {}
    assert len(table_of(world)) == 9


def lose_a_row(world: World) -> None:
    del world.rows["half"]


def add_a_row(world: World) -> None:
    world.rows["stranger"] = {}


def change_a_title(world: World) -> None:
    world.rows["half"]["title"] = "Another"


def leave_an_analysis_out(world: World) -> None:
    world.rows["full"]["score"] = None


def make_an_incomplete_story_ready(world: World) -> None:
    world.rows["half"]["status"] = "ready"


def lose_a_higher_order_event(world: World) -> None:
    world.seen.events = [event for event in world.seen.events if event["type"] != "story-ready"]
    world.seen.lake_ids.discard("r-full")


def emit_a_second_id(world: World) -> None:
    world.seen.events.append({"id": "r-2", "type": "story-ready", "story": {"id": "full"}})
    world.seen.lake_ids.add("r-2")


def emit_for_an_incomplete_story(world: World) -> None:
    world.seen.events.append({"id": "r-3", "type": "story-ready", "story": {"id": "half"}})
    world.seen.lake_ids.add("r-3")


def lose_a_submission(world: World) -> None:
    world.seen.events = [event for event in world.seen.events if event["id"] != "s-half"]
    world.seen.lake_ids.discard("s-half")


def lose_an_event_of_the_lake(world: World) -> None:
    world.seen.lake_ids.discard("s-half")


def break_an_object_of_the_lake(world: World) -> None:
    world.seen.unreadable.append("events/broken")


def lose_a_fault(world: World) -> None:
    world.seen.events = [event for event in world.seen.events if event["type"] != "fault"]


def double_a_fault(world: World) -> None:
    world.seen.events.append({"id": "f-2", "type": "fault", "uow": {"event": ENTRIES[2].analyzed_event(1)}})


def fault_a_good_event(world: World) -> None:
    world.seen.events.append({"id": "f-3", "type": "fault", "uow": {"event": {"id": "s-full"}}})


def count_too_few(world: World) -> None:
    world.metric = 0


def leave_a_message(world: World) -> None:
    world.queues["dead-letters"] = 2


def have_no_queue(world: World) -> None:
    world.queues = {}


def throttle_nothing(world: World) -> None:
    world.fired = 0


@pytest.mark.parametrize(
    ("change", "name", "about"),
    [
        (lose_a_row, ROWS, "half: no row"),
        (add_a_row, ROWS, "stranger: not in the sample"),
        (change_a_title, ROWS, "half: title is 'Another', not 'A title'"),
        (leave_an_analysis_out, ROWS, "full: score is None, not 0.5"),
        (make_an_incomplete_story_ready, ROWS, "half: status is 'ready', not 'submitted'"),
        (lose_a_higher_order_event, READY, "full: none"),
        (emit_a_second_id, READY, "full: 2 different ids"),
        (emit_for_an_incomplete_story, READY, "half: one too many"),
        (lose_a_submission, SUBMITTED, "half: none"),
        (lose_an_event_of_the_lake, LAKE, "s-half: not in the lake"),
        (break_an_object_of_the_lake, LAKE, "events/broken: not readable"),
        (lose_a_fault, FAULTS, "bad: no fault, although its story has no id"),
        (double_a_fault, FAULTS, "bad: 2 faults"),
        (fault_a_good_event, FAULTS, "s-full: unexpected fault"),
        (count_too_few, METRIC, "the metric says 0"),
        (leave_a_message, QUEUES, "dead-letters: 2"),
        (have_no_queue, QUEUES, "no on-failure queue"),
        (throttle_nothing, THROTTLE, "0 writes"),
    ],
)
def test_each_deviation_is_in_the_table(world: World, change: Callable[[World], None], name: str, about: str) -> None:
    change(world)
    found = failing(world)
    assert list(found) == [name]
    assert about in found[name]


@pytest.mark.parametrize(
    ("event_type", "lines"),
    [
        ("story-submitted", {ALL, SUBMITTED}),
        ("story-corroborated", {ALL}),
        ("story-analyzed", set()),
        ("story-ready", {ALL, READY}),
        ("fault", {ALL, FAULTS}),
    ],
)
def test_an_event_that_is_published_twice_is_in_the_table(world: World, event_type: str, lines: set[str]) -> None:
    world.seen.events.append({"id": "c-full", "type": "story-corroborated"})
    world.seen.lake_ids.add("c-full")
    world.seen.events.append(next(event for event in world.seen.events if event["type"] == event_type))

    assert {name for name, about in failing(world).items() if "published 2 times" in about} == lines


def test_counts_of_published_events_stand_beside_their_ids(world: World) -> None:
    seen = {line.name: line.seen for line in table_of(world)}

    assert (seen[SUBMITTED], seen[READY]) == ("3 events, 3 ids, 3 stories", "1 event, 1 id, 1 story")
    assert seen[FAULTS] == "1 event, 1 id, 1 poison event"
    assert seen[ALL] == "5 events, 5 ids"
    assert (seen[QUEUES], seen[LAKE]) == ("0 in 1 queue", "6, 0 unreadable objects")


def test_many_problems_are_cut_short(world: World) -> None:
    world.rows = {}
    entries = [SampleStory({**STORY, "id": str(n)}, None) for n in range(50)]
    line = next(x for x in evaluate(entries, set(), cast(Observer, world), NOWHERE) if x.name == ROWS)
    assert line.details[-1] == "and 45 more"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(expectations.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(expectations.time, "sleep", sleep)
    return now


def test_it_waits_for_missing_events_and_then_for_quiet(world: World, clock: list[float]) -> None:
    world.metric = 0

    def look() -> bool:
        if clock[0] > 10:
            world.metric = 1
        return False

    table = settled(ENTRIES, {"t"}, cast(Observer, world), NOWHERE, look)
    assert all(line.ok for line in table)
    assert 13 < clock[0] < 14.5


def test_a_surplus_that_comes_late_is_found(world: World, clock: list[float]) -> None:
    def look() -> bool:
        if clock[0] > 2:
            world.metric = 2
        return False

    table = settled(ENTRIES, {"t"}, cast(Observer, world), NOWHERE, look)
    assert [line.name for line in table if not line.ok] == [METRIC]


def test_it_gives_up_when_nothing_changes_any_more(world: World, clock: list[float]) -> None:
    world.metric = 0
    settled(ENTRIES, {"t"}, cast(Observer, world), NOWHERE, lambda: False)
    assert 30 <= clock[0] < 32


def test_it_gives_up_when_it_never_gets_quiet(world: World, clock: list[float]) -> None:
    settled(ENTRIES, {"t"}, cast(Observer, world), NOWHERE, lambda: True)
    assert 75 <= clock[0] < 77


@pytest.mark.parametrize("separator", ["", "\n", "\r\n\n"])
@pytest.mark.parametrize("packed", [True, False])
def test_documents_of_the_lake_are_read_gzip_or_not_with_or_without_line_ends(separator: str, packed: bool) -> None:
    body = separator.join(json.dumps({"n": n, "text": "a } b"}) for n in range(3)).encode()
    read = documents(gzip.compress(body) if packed else body)
    assert [document["n"] for document in read] == [0, 1, 2]


def test_half_a_document_is_unreadable() -> None:
    with pytest.raises(ValueError, match="Expecting value"):
        list(documents(b'{"n": 1}{"n": '))


def test_lines_group_events_name_faults_and_follow_one_story() -> None:
    teller = Teller("i-1", {"i-1": "A title"})
    events: list[dict[str, Any]] = [
        *({"type": "story-submitted", "partition_key": f"i-{n}"} for n in range(1, 4)),
        {"type": "fault", "err": {"name": "ValueError", "message": "no id"}, "tags": {"functionname": "listener"}},
    ]
    lines = [" ".join(line.split()[1:]) for line in teller.lines(events, 2)]
    assert lines == [
        "bus 3 x story-submitted i-1 A title ...",
        "lake 2 objects",
        "story i-1: story-submitted 'A title'",
        "fault listener, ?: ValueError: no id",
    ]


def test_one_of_something_is_said_as_one(world: World) -> None:
    (arrived,) = Teller("", {}).lines([], 1)
    world.seen.unreadable.append("events/broken")
    lake = next(line.seen for line in table_of(world) if line.name == LAKE)

    assert arrived.endswith(" 1 object")
    assert lake == "6, 1 unreadable object"
    assert str(Fed(1, 1)) == "1 story posted, 1 analysis published"
    assert str(Fed(2, 0)) == "2 stories posted, 0 analyses published"


def test_events_that_break_the_contract_are_shown_like_others() -> None:
    events: list[dict[str, Any]] = [{"no": 1}, {"type": 7}, {"type": "fault", "err": "text", "tags": None}]
    lines = [" ".join(line.split()[1:]) for line in Teller("i-1", {}).lines(events, 0)]
    assert lines == ["bus 1 x None", "bus 1 x 7", "fault ?, ?: ?:"]


def test_without_news_there_are_no_lines() -> None:
    assert list(itertools.islice(Teller("", {}).lines([], 0), 1)) == []
