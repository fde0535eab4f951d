"""Rules of the function `listener`."""

import time
from collections.abc import Mapping
from typing import Any

from stream_runtime.clock import ttl
from stream_runtime.events import KinesisRecord, UnitOfWork
from stream_runtime.flavors import CollectRule, CollectUow, TaskRule, collect, task
from stream_runtime.operators import Operator, compose, rx_map, split_buffer
from stream_runtime.settings import TTL_DAYS
from stream_runtime.sinks.dynamodb import update_dynamodb

from control import settings
from control.dal.waiting import WAITING
from control.logic.stories import ANALYZED, EXPIRED, READY, SUBMITTED

LATE_S = 3600
"""How long a story waits at least that is collected late, after an outage or by a replay: its analysis is behind it."""


def waiting_until(rule: CollectRule, uow: CollectUow[KinesisRecord]) -> int:
    """The time (s since 1970) at which a submitted story without an analysis expires."""
    waits_s = settings.INCOMPLETE_AFTER_S.read()
    return max(int(uow["event"]["timestamp"]) // 1000 + waits_s, int(time.time()) + min(LATE_S, waits_s))


def to_waiting_row(uow: CollectUow[KinesisRecord], rule: CollectRule, template: Mapping[str, Any]) -> dict[str, Any]:
    """The row that `collect` writes, marked as waiting; the job finds it by that mark.

    An event that comes again must not let a story wait again that has become ready meanwhile.
    """
    return {"Item": {**template["Item"], "waiting": WAITING}, "ConditionExpression": "attribute_not_exists(pk)"}


def settle(rule: TaskRule) -> Operator:
    """Remove the expiry from the rows of the events that completed a story, and keep them as long as what is published.

    `materialize` cannot do this: it skips events that this service has published.
    """
    return compose(rx_map(to_settlements), split_buffer(), update_dynamodb())


def to_settlements(uow: UnitOfWork[KinesisRecord]) -> list[dict[str, Any]]:
    """One update for each event that completed the story; a removed row is not created again."""
    kept_until = ttl(uow["event"]["timestamp"], TTL_DAYS.read())
    return [
        {
            **uow,
            "update_request": {
                "Key": {"pk": trigger["id"], "sk": "EVENT"},
                "UpdateExpression": "REMOVE #expire, #waiting SET #ttl = :ttl",
                "ConditionExpression": "attribute_exists(pk)",
                "ExpressionAttributeNames": {"#expire": "expire", "#waiting": "waiting", "#ttl": "ttl"},
                "ExpressionAttributeValues": {":ttl": kept_until},
            },
        }
        for trigger in uow["event"]["triggers"]
    ]


RULES: list[CollectRule | TaskRule] = [
    {
        "id": "collect-submitted-story",
        "flavor": collect,
        "event_type": SUBMITTED,
        "correlation_key": "story.id",
        "ttl": waiting_until,
        "expire": EXPIRED,
        "to_put_request": to_waiting_row,
    },
    {
        "id": "collect-analyzed-story",
        "flavor": collect,
        "event_type": ANALYZED,
        "correlation_key": "story.id",
    },
    {
        "id": "settle-ready-story",
        "flavor": task,
        "event_type": READY,
        "execute_operators": settle,
    },
]
