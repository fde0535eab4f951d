from __future__ import annotations

from datetime import datetime

import pytest

from demo import feed


@pytest.fixture(scope="module")
def entries() -> list[feed.SampleStory]:
    return feed.sample()


def test_the_sample_has_200_stories_with_distinct_ids(entries: list[feed.SampleStory]) -> None:
    assert len({entry.id for entry in entries}) == len(entries) == 200


def test_three_stories_have_a_poison_analysis_and_one_a_throttled_write(entries: list[feed.SampleStory]) -> None:
    assert len({entry.poison for entry in entries if entry.poison}) == 3
    (throttled,) = [entry for entry in entries if entry.throttled]
    assert throttled.is_complete


def test_some_analyses_never_come_some_come_first_and_some_twice(entries: list[feed.SampleStory]) -> None:
    assert any(entry.analysis is None for entry in entries)
    assert any(entry.analysis_first and entry.is_complete for entry in entries)
    assert any(entry.analysis_twice and entry.is_complete for entry in entries)


def test_stories_look_like_those_of_a_news_feed(entries: list[feed.SampleStory]) -> None:
    titles = {entry.story["title"] for entry in entries}
    sentiments = {entry.analysis["sentiment"] for entry in entries if isinstance(entry.analysis, dict)}
    assert len(titles) == 200
    assert sentiments == {"positive", "neutral", "negative"}
    for entry in entries:
        assert datetime.fromisoformat(entry.story["published_at"]).tzinfo is not None
        assert entry.story["source_url"].startswith("https://")
        assert entry.story["matched_tags"]


def test_an_analysis_that_is_published_twice_has_one_id(entries: list[feed.SampleStory]) -> None:
    entry = next(entry for entry in entries if entry.analysis_twice)
    assert entry.analyzed_event(1)["id"] == entry.analyzed_event(2)["id"]
