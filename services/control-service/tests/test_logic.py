"""When a story is complete, and how its two parts are merged."""

from decimal import Decimal
from typing import Any

import pytest
from control.logic.articles import article_of
from control.logic.stories import InvalidAnalysis, completing, merged


def submitted(timestamp: int = 1, **story: Any) -> dict[str, Any]:
    return {"id": f"s{timestamp}", "type": "story-submitted", "timestamp": timestamp, "story": {"id": "a", **story}}


def analyzed(timestamp: int = 2, **story: Any) -> dict[str, Any]:
    analysis = {"id": "a", "sentiment": "neutral", "score": Decimal("0.5"), "model_version": "v1", **story}
    return {"id": f"a{timestamp}", "type": "story-analyzed", "timestamp": timestamp, "story": analysis}


@pytest.mark.parametrize("trigger", [submitted(), analyzed()])
def test_a_story_is_complete_with_both_parts_in_any_order(trigger: dict[str, Any]) -> None:
    assert completing(trigger, [analyzed(), submitted()]) == [submitted(), analyzed()]


@pytest.mark.parametrize("part", [submitted(), analyzed()])
def test_a_story_is_not_complete_with_one_part(part: dict[str, Any]) -> None:
    assert completing(part, [part]) == []


def test_the_newest_of_several_parts_counts() -> None:
    events = [analyzed(4), submitted(3), analyzed(2), submitted(1)]

    assert completing(events[0], events) == [submitted(3), analyzed(4)]


@pytest.mark.parametrize(
    "broken",
    [
        {"score": "high"},
        {"score": None},
        {"score": True},
        {"score": 1.5},
        {"score": -1},
        {"sentiment": "glad"},
        {"model_version": None},
    ],
)
def test_an_invalid_analysis_is_refused_when_it_arrives(broken: dict[str, Any]) -> None:
    bad = analyzed(**broken)

    with pytest.raises(InvalidAnalysis, match=next(iter(broken))):
        completing(bad, [bad, submitted()])


def test_an_earlier_invalid_analysis_is_ignored() -> None:
    assert completing(submitted(3), [submitted(3), analyzed(2, score="high")]) == []


def test_the_ready_story_has_the_submitted_fields_and_the_analysis() -> None:
    story = merged(submitted(title="News", status="submitted"), analyzed(note="internal"))

    assert story == {
        "id": "a",
        "title": "News",
        "status": "ready",
        "sentiment": "neutral",
        "score": Decimal("0.5"),
        "model_version": "v1",
    }


def article(url: str) -> str:
    return article_of(submitted(source_url=url))


@pytest.mark.parametrize(
    "url", ["http://x.example/a", "http://x.example:80/a", "https://x.example:443/a", "https://www.X.example/a/#top"]
)
def test_links_to_the_same_article_have_the_same_address(url: str) -> None:
    assert article(url) == article("https://x.example/a")


@pytest.mark.parametrize(
    "url",
    [
        "https://x.example:9090/a",
        "https://x.example/a",
        "https://y.example:8080/a",
        "https://x.example:8080/b",
        "https://x.example:8080/a?page=2",
    ],
)
def test_links_to_different_articles_have_different_addresses(url: str) -> None:
    assert article(url) != article("https://x.example:8080/a")


@pytest.mark.parametrize("url", ["nowhere", "", "https://", 7, None, "https://x.example:99999/a"])
def test_an_invalid_address_is_refused(url: Any) -> None:
    with pytest.raises(ValueError, match=r"expected an address|Port out of range"):
        article(url)
