"""Function `job`: on a schedule, items whose time is over expire, since DynamoDB's TTL may come days later."""

import logging
import time
from typing import Any

from control.dal import waiting

logger = logging.getLogger(__name__)

MARGIN_MS = 10_000
"""Time left of the invocation at which the rest is left to the next run."""


def handler(event: Any, context: Any) -> dict[str, int]:
    """Expire what is overdue.

    Returns:
        ``{"expired", "settled"}``: how many rows were removed, and how many had been settled or removed meanwhile.
    """
    now = int(time.time())
    counts = {"expired": 0, "settled": 0}
    for key in waiting.overdue(now):
        counts["expired" if waiting.expire(key, now) else "settled"] += 1
        if context.get_remaining_time_in_millis() < MARGIN_MS:
            logger.warning("there is no time for all that is overdue; the next run goes on")
            break
    logger.info("overdue items: %s", counts)
    return counts
