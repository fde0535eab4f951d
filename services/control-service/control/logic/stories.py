"""When a story is complete: which analyses are valid, and how submission and analysis are merged."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

SUBMITTED = "story-submitted"
ANALYZED = "story-analyzed"
READY = "story-ready"
EXPIRED = "story-expired"

SENTIMENTS = ("positive", "neutral", "negative")
ANALYSIS = ("sentiment", "score", "model_version")

Event = Mapping[str, Any]


class InvalidAnalysis(ValueError):
    """An analysis that cannot be used; the message names the field."""


def check_analysis(event: Event) -> None:
    """Refuse an ``story-analyzed`` event whose analysis cannot be used.

    Raises:
        InvalidAnalysis: a field is missing or has the wrong value.
    """
    story = event["story"]
    score = story.get("score")
    if story.get("sentiment") not in SENTIMENTS:
        raise InvalidAnalysis(f"sentiment is {story.get('sentiment')!r}; expected one of {', '.join(SENTIMENTS)}")
    if isinstance(score, bool) or not isinstance(score, int | float | Decimal) or not 0 <= score <= 1:
        raise InvalidAnalysis(f"score is {score!r}; expected a number from 0 to 1")
    if not isinstance(story.get("model_version"), str):
        raise InvalidAnalysis(f"model_version is {story.get('model_version')!r}; expected text")


def completing(trigger: Event, correlated: Iterable[Event]) -> list[Event]:
    """The newest two events that complete a story, ``[submitted, analyzed]``; empty while one is missing.

    An invalid analysis is one fault: it is raised for the triggering event only, and ignored afterwards.

    Args:
        trigger: the event that was just correlated.
        correlated: all events of the story, newest first.

    Raises:
        InvalidAnalysis: the triggering event is an invalid analysis.
    """
    if trigger["type"] == ANALYZED:
        check_analysis(trigger)
    events = list(correlated)
    submitted = next((event for event in events if event["type"] == SUBMITTED), None)
    analyzed = next((event for event in events if event["type"] == ANALYZED and is_valid(event)), None)
    return [submitted, analyzed] if submitted and analyzed else []


def is_valid(event: Event) -> bool:
    """Whether `check_analysis` accepts an ``story-analyzed`` event."""
    try:
        check_analysis(event)
    except InvalidAnalysis:
        return False
    return True


def merged(submitted: Event, analyzed: Event) -> dict[str, Any]:
    """The submitted story with its analysis."""
    return {**submitted["story"], **{name: analyzed["story"][name] for name in ANALYSIS}, "status": "ready"}
