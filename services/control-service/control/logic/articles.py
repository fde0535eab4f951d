"""One article that several items tell of: the second correlation, by the article's address instead of the item's id."""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

CORROBORATED = "item-corroborated"
DEFAULT_PORTS = {"http": 80, "https": 443}

Event = Mapping[str, Any]


def article_of(event: Event) -> str:
    """The address of an item's article, without what differs between links to the same one.

    Raises:
        ValueError: ``item.source_url`` is no address.
    """
    url = event["item"].get("source_url")
    parts = urlsplit(url) if isinstance(url, str) else None
    if parts is None or not parts.hostname:
        raise ValueError(f"item.source_url is {url!r}; expected an address")
    port = f":{parts.port}" if parts.port not in (None, DEFAULT_PORTS.get(parts.scheme)) else ""
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.hostname.removeprefix('www.')}{port}{parts.path.rstrip('/')}{query}"


def has_article(event: Event) -> bool:
    """Whether an item tells where its article is."""
    return bool(event["item"].get("source_url"))


def telling(correlated: Iterable[Event]) -> list[Event]:
    """The first event of each item that tells of the article, oldest first; empty while there is one item only."""
    items: dict[str, Event] = {}
    for event in sorted(correlated, key=lambda event: (event["timestamp"], event["id"])):
        items.setdefault(event["item"]["id"], event)
    return list(items.values()) if len(items) > 1 else []
