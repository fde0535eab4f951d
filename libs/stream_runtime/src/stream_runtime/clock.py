"""Time as events have it (ms since 1970) and as DynamoDB's TTL has it (s since 1970)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from . import settings

_DAY_S = 24 * 60 * 60


def now_ms() -> int:
    """Now, in ms."""
    return time.time_ns() // 1_000_000


def ttl_of(rule: Mapping[str, Any], uow: Mapping[str, Any]) -> int:
    """When a row written for a unit of work may be removed, in s: so many days after the event's own timestamp.

    The rule's ``ttl`` is a number of days or a callable ``(rule, uow) -> s``; without it ``default_ttl`` (days), or
    the environment's TTL. A row written again gets the same time again.
    """
    ttl = rule.get("ttl")
    if callable(ttl):
        return int(ttl(rule, uow))
    days = ttl or rule.get("default_ttl") or settings.TTL_DAYS.read()
    return int(uow["event"]["timestamp"]) // 1000 + _DAY_S * int(days)
