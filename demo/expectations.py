"""Compares what must happen to the sample in the five services with what was seen."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from stream_cli.amounts import amount
from stream_cli.local.endpoint import LocalEndpoint
from stream_cli.local.injected_faults import faults

from demo import feed
from demo.feed import SampleStory
from demo.observation import FAULT, Observer

_DETAILS = 5
_SHOWN_FIELDS = ("source_type", "source_url", "title", "text_snippet", "author", "matched_tags")
_ANALYSIS = ("sentiment", "score", "model_version")

# Once all is as expected, the time without news after which no more is to be expected.
_QUIET_S = 3.0
# While something is missing, the time without change after which it will not come: longer than any backoff on the way.
_STALLED_S = 30.0
_LIMIT_S = 75.0
_PAUSE_S = 0.3


@dataclass(frozen=True)
class Expectation:
    """A line of the table."""

    name: str
    expected: str
    seen: str
    ok: bool
    details: tuple[str, ...] = ()


def evaluate(
    entries: Sequence[SampleStory], throttles: Collection[str], observer: Observer, endpoint: LocalEndpoint
) -> list[Expectation]:
    """The table as of now; ``throttles`` are ids of injected faults, each of which must fire once."""
    return [
        _submitted(entries, observer),
        _rows(entries, observer),
        _higher_order(entries, observer),
        _published(observer),
        _lake(observer),
        _faults(entries, observer),
        _fault_metric(entries, observer),
        _failure_queues(observer),
        _throttle(throttles, endpoint),
    ]


def settled(
    entries: Sequence[SampleStory],
    throttles: Collection[str],
    observer: Observer,
    endpoint: LocalEndpoint,
    look: Callable[[], bool],
    show: Callable[[Sequence[Expectation]], None] = lambda _: None,
) -> list[Expectation]:
    """Wait until all is as expected, or nothing changes any more, or the time is up; returns the table.

    ``look`` reads what is new and returns whether there was anything; ``show`` is called with each table. The wait goes
    on for a while after all is as expected, since events that should not come may come late.
    """
    started = changed = time.monotonic()
    table: list[Expectation] = []
    while True:
        news = look()
        current = evaluate(entries, throttles, observer, endpoint)
        show(current)
        now = time.monotonic()
        if news or current != table:
            changed = now
        table = current
        still = now - changed
        if still >= (_QUIET_S if all(line.ok for line in table) else _STALLED_S) or now - started >= _LIMIT_S:
            return table
        time.sleep(_PAUSE_S)


def _submitted(entries: Sequence[SampleStory], observer: Observer) -> Expectation:
    stories = {entry.id for entry in entries}
    return _one_each("story-submitted events of rest-bff-service", stories, observer.seen.of_type("story-submitted"))


def _higher_order(entries: Sequence[SampleStory], observer: Observer) -> Expectation:
    stories = {entry.id for entry in entries if entry.is_complete}
    return _one_each("story-ready events of control-service", stories, observer.seen.of_type("story-ready"))


def _one_each(name: str, stories: set[str], events: Sequence[dict[str, Any]]) -> Expectation:
    ids: defaultdict[str, set[str]] = defaultdict(set)
    for event in events:
        story = event.get("story")
        ids[str(story.get("id") if isinstance(story, dict) else None)].add(str(event.get("id")))
    problems = [f"{story}: none" for story in sorted(stories - ids.keys())]
    problems += [f"{story}: one too many" for story in sorted(ids.keys() - stories)]
    problems += [f"{story}: {len(found)} different ids" for story, found in sorted(ids.items()) if len(found) > 1]
    problems += _published_again(events)
    seen = f"{_counted(events)}, {amount(len(ids), 'story', 'stories')}"
    return _line(name, f"{len(stories)}, one event for each story", seen, problems)


def _published_again(events: Iterable[dict[str, Any]]) -> list[str]:
    times = Counter(str(event.get("id")) for event in events)
    return [f"{event_id}: published {number} times" for event_id, number in sorted(times.items()) if number > 1]


def _counted(events: Sequence[dict[str, Any]]) -> str:
    return f"{amount(len(events), 'event')}, {amount(len({str(event.get('id')) for event in events}), 'id')}"


def _published(observer: Observer) -> Expectation:
    """What the services have published; the sample has some analyses twice, as analyzers do that repeat themselves."""
    events = [event for event in observer.seen.events if _source(event) != feed.ANALYZER]
    return _line("events of all services", "as many events as ids", _counted(events), _published_again(events))


def _source(event: dict[str, Any]) -> Any:
    tags = event.get("tags")
    return tags.get("source") if isinstance(tags, dict) else None


def _rows(entries: Sequence[SampleStory], observer: Observer) -> Expectation:
    view = observer.view()
    problems = [f"{story_id}: not in the sample" for story_id in sorted(view.keys() - {entry.id for entry in entries})]
    for entry in entries:
        row = view.get(entry.id)
        problems += [f"{entry.id}: {problem}" for problem in (["no row"] if row is None else _row_problems(entry, row))]
    ready = sum(entry.is_complete for entry in entries)
    seen_ready = sum(row.get("status") == "ready" for row in view.values())
    return _line(
        "rows of the materialized view",
        f"{amount(len(entries), 'row')}, {ready} of them ready",
        f"{amount(len(view), 'row')}, {seen_ready} of them ready",
        problems,
    )


def _row_problems(entry: SampleStory, row: dict[str, Any]) -> Iterable[str]:
    for name in _SHOWN_FIELDS:
        if row.get(name) != entry.story.get(name):
            yield f"{name} is {row.get(name)!r}, not {entry.story.get(name)!r}"
    if datetime.fromisoformat(row["published_at"]) != datetime.fromisoformat(entry.story["published_at"]):
        yield f"published_at is {row['published_at']}, not {entry.story['published_at']}"
    status = "ready" if entry.is_complete else "submitted"
    if row.get("status") != status:
        yield f"status is {row.get('status')!r}, not {status!r}"
    analysis = entry.analysis if entry.is_complete and isinstance(entry.analysis, dict) else {}
    for name in _ANALYSIS:
        if row.get(name) != analysis.get(name):
            yield f"{name} is {row.get(name)!r}, not {analysis.get(name)!r}"


def _lake(observer: Observer) -> Expectation:
    published = {str(event.get("id")) for event in observer.seen.events if event.get("type") != FAULT}
    kept = observer.seen.lake_ids
    problems = [f"{event_id}: not in the lake" for event_id in sorted(published - kept)]
    problems += [f"{event_id}: in the lake, not seen on the bus" for event_id in sorted(kept - published)]
    problems += [f"{key}: not readable" for key in observer.seen.unreadable]
    return _line(
        "ids in the lake, each readable",
        f"{len(published)}, every event but faults",
        f"{len(kept & published)}, {amount(len(observer.seen.unreadable), 'unreadable object')}",
        problems,
    )


def _faults(entries: Sequence[SampleStory], observer: Observer) -> Expectation:
    poison = {entry.id: entry.poison for entry in entries if entry.poison}
    caused: defaultdict[str, set[str]] = defaultdict(set)
    for event in observer.seen.of_type(FAULT):
        caused[_cause(event)].add(str(event.get("id")))
    problems = [f"{story}: no fault, although {why}" for story, why in sorted(poison.items()) if story not in caused]
    problems += [f"{story or 'unknown cause'}: unexpected fault" for story in sorted(caused.keys() - poison.keys())]
    problems += [f"{story}: {len(ids)} faults" for story, ids in sorted(caused.items()) if len(ids) > 1]
    events = observer.seen.of_type(FAULT)
    problems += _published_again(events)
    poisoned = len(caused.keys() & poison.keys())
    return _line(
        "fault events",
        f"{len(poison)}, one for each poison event",
        f"{_counted(events)}, {amount(poisoned, 'poison event')}",
        problems,
    )


def _cause(fault: dict[str, Any]) -> str:
    """The id of the story whose analysis caused a fault, from the event in the fault."""
    event = (fault.get("uow") or {}).get("event") or {}
    prefix, _, story_id = str(event.get("id", "")).partition(".")
    return story_id if prefix == feed.ANALYZER else str(event.get("id", ""))


def _fault_metric(entries: Sequence[SampleStory], observer: Observer) -> Expectation:
    expected = sum(1 for entry in entries if entry.poison)
    counted = observer.fault_metric()
    problems = [] if counted == expected else [f"the metric says {counted:g}"]
    return _line("faults counted by event-fault-monitor", f"{expected}", f"{counted:g}", problems)


def _failure_queues(observer: Observer) -> Expectation:
    queues = observer.failure_queues()
    problems = [f"{name}: {number}" for name, number in queues.items() if number]
    if not queues:
        problems.append("there is no on-failure queue at all")
    seen = f"{sum(queues.values())} in {amount(len(queues), 'queue')}"
    return _line("messages in on-failure queues", "0", seen, problems)


def _throttle(throttles: Collection[str], endpoint: LocalEndpoint) -> Expectation:
    expected = len(throttles)
    fired = sum(int(fault["fired"]) for fault in faults(endpoint) if fault["id"] in throttles)
    problems = [] if fired == expected else [f"{amount(fired, 'write')} throttled"]
    return _line("writes throttled, and made up for", f"{expected}", f"{fired}", problems)


def _line(name: str, expected: str, seen: str, problems: Sequence[str]) -> Expectation:
    details = tuple(problems[:_DETAILS])
    if len(problems) > _DETAILS:
        details = (*details, f"and {len(problems) - _DETAILS} more")
    return Expectation(name, expected, seen, not problems, details)
