"""Time of events (ms since 1970) and of DynamoDB's TTL (s since 1970)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from . import settings

__all__ = ["now_ms", "ttl", "ttl_of"]

_DAY_S = 24 * 60 * 60


def now_ms() -> int:
    """The current time, in ms since 1970."""
    return time.time_ns() // 1_000_000


def ttl(start: int, days: int) -> int:
    """When a row may be removed, in s since 1970: so many days after ``start`` (ms since 1970)."""
    return int(start) // 1000 + _DAY_S * int(days)


def ttl_of(rule: Mapping[str, Any], uow: Mapping[str, Any]) -> int:
    """When a row may be removed, in s since 1970: a number of days after the event's timestamp.

    The rule's ``ttl`` is a number of days or a callable ``(rule, uow) -> s``; without it, ``default_ttl`` (days) or the
    variable TTL applies. A row that is written again gets the same time.
    """
    own = rule.get("ttl")
    if callable(own):
        return int(own(rule, uow))
    return ttl(uow["event"]["timestamp"], own or rule.get("default_ttl") or settings.TTL_DAYS.read())
