"""The dashboard as clients read it."""

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from .stories import CURSOR

DAY_PATTERN = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
Sentiment = Literal["positive", "neutral", "negative"]


def existing_day(day: str) -> str:
    """The day, if the calendar has it.

    Raises:
        ValueError: it has not.
    """
    date.fromisoformat(day)
    return day


class DashboardStory(BaseModel):
    """An analyzed story on the dashboard."""

    source_id: str
    day_partition: Annotated[str, Field(examples=["2026-11-16"])]
    ingested_at: str
    source_type: str | None = None
    sentiment: str
    score: float
    matched_tags: list[str] = []
    text_snippet: str | None = None
    source_url: str | None = None


class DashboardPage(BaseModel):
    """One page of the dashboard: newest first, or highest score first if a sentiment is given."""

    stories: list[DashboardStory]
    cursor: Annotated[str | None, Field(description=CURSOR)] = None
