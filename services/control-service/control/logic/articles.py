"""The second correlation: several stories about the same article, correlated by its address."""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

CORROBORATED = "story-corroborated"
DEFAULT_PORTS = {"http": 80, "https": 443}

Event = Mapping[str, Any]


def article_of(event: Event) -> str:
    """The address of a story's article, without the parts that differ between links to it.

    Raises:
        ValueError: ``story.source_url`` is not an address.
    """
    url = event["story"].get("source_url")
    parts = urlsplit(url) if isinstance(url, str) else None
    if parts is None or not parts.hostname:
        raise ValueError(f"story.source_url is {url!r}; expected an address")
    port = f":{parts.port}" if parts.port not in (None, DEFAULT_PORTS.get(parts.scheme)) else ""
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.hostname.removeprefix('www.')}{port}{parts.path.rstrip('/')}{query}"


def has_article(event: Event) -> bool:
    """Whether a story has the address of an article."""
    return bool(event["story"].get("source_url"))


def corroborating(correlated: Iterable[Event]) -> list[Event]:
    """The first event of each story about the article, oldest first; empty if there is only one story."""
    stories: dict[str, Event] = {}
    for event in sorted(correlated, key=lambda event: (event["timestamp"], event["id"])):
        stories.setdefault(event["story"]["id"], event)
    return list(stories.values()) if len(stories) > 1 else []
