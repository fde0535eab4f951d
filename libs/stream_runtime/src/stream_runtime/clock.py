"""Time of events (ms since 1970) and of DynamoDB's TTL (s since 1970)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from . import settings

__all__ = ["now_ms", "ttl", "ttl_of"]

_DAY_S = 24 * 60 * 60
_FIRST_MS, _LAST_MS = -62_135_596_800_000, 253_402_300_799_999  # the years 1 to 9999


def now_ms() -> int:
    """The current time, in ms since 1970."""
    return time.time_ns() // 1_000_000


def timestamp_of(event: Mapping[str, Any]) -> int | float | Decimal:
    """The timestamp of an event, in ms since 1970.

    Raises:
        ValueError: it has none, or what it has is not a number of ms in the years 1 to 9999.
    """
    timestamp = event.get("timestamp")
    if isinstance(timestamp, int | float | Decimal) and not isinstance(timestamp, bool):
        is_number = timestamp == timestamp  # NaN is not equal to itself, and some NaN cannot be compared
        if is_number and _FIRST_MS <= timestamp <= _LAST_MS:
            return timestamp
    raise ValueError(f"the event's timestamp is {timestamp!r:.80}; expected ms since 1970, in the years 1 to 9999")


def ttl(start: int, days: int) -> int:
    """When a row may be removed, in s since 1970: so many days after ``start`` (ms since 1970)."""
    return int(start) // 1000 + _DAY_S * int(days)


def ttl_of(rule: Mapping[str, Any], uow: Mapping[str, Any], days: Callable[[], int] = settings.TTL_DAYS.read) -> int:
    """When a row may be removed, in s since 1970: a number of days after the event's timestamp.

    The rule's ``ttl`` is a number of days or a callable ``(rule, uow) -> s``; without it, ``default_ttl`` (days) or the
    variable TTL applies, which ``days`` reads. A row that is written again gets the same time.
    """
    own = rule.get("ttl")
    if callable(own):
        return int(own(rule, uow))
    return ttl(int(timestamp_of(uow["event"])), own or rule.get("default_ttl") or days())
