"""Function `job`: expires overdue stories on a schedule, because DynamoDB's TTL may come days later."""

import logging
import time
from typing import Any

from stream_runtime.clients import time_limit
from stream_runtime.logs import logged
from stream_runtime.settings import check

from control import settings
from control.dal import waiting

check(settings.EVENT_TABLE_NAME)
logger = logging.getLogger(__name__)

MARGIN_MS = 10_000
"""Time left of the invocation at which the other overdue stories are left to the next run."""

CLOCKS_MAY_DIFFER_S = 60
"""Of this function and DynamoDB. A row that is removed before its ttl by DynamoDB's clock has not expired for the rule
`expire-story`: nothing would be published."""


@logged
def handler(event: Any, context: Any) -> dict[str, int]:
    """Expire overdue stories, whatever the event.

    Returns:
        ``{"expired", "settled"}``: how many rows were removed, and how many were settled or removed in the meantime.
    """
    before = int(time.time()) - CLOCKS_MAY_DIFFER_S
    counts = {"expired": 0, "settled": 0}
    with time_limit(context.get_remaining_time_in_millis() / 1000):
        for key in waiting.overdue(before):
            counts["expired" if waiting.expire(key, before) else "settled"] += 1
            if context.get_remaining_time_in_millis() < MARGIN_MS:
                logger.warning("not enough time for all overdue stories; the next run continues")
                break
    logger.info("overdue stories: %s", counts)
    return counts
