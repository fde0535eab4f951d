"""Rules of the function `trigger`."""

from collections.abc import Mapping
from typing import Any

from stream_runtime.flavors import correlate, evaluate, expired

from control.logic.items import ANALYZED, READY, SUBMITTED, completing, merged

COMPLETION = "completion"
"""Tells the correlations of this workflow from those of others that use the item's id."""


def is_complete(uow: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The events that complete the item of the one that was just correlated; none while one is missing."""
    return completing(uow["event"], uow["correlated"])


def to_ready(uow: Mapping[str, Any], rule: Mapping[str, Any], template: Mapping[str, Any]) -> dict[str, Any]:
    """The event that tells that an item is complete, with the whole of it."""
    submitted, analyzed = uow["triggers"]
    return {**template, "type": READY, "item": merged(submitted, analyzed)}


RULES = [
    {
        "id": "correlate-item",
        "flavor": correlate,
        "event_type": [SUBMITTED, ANALYZED],
        "correlation_key": "item.id",
        "correlation_key_suffix": COMPLETION,
    },
    {
        "id": "evaluate-item",
        "flavor": evaluate,
        "event_type": [SUBMITTED, ANALYZED],
        "correlation_key_suffix": COMPLETION,
        "expression": is_complete,
        "emit": to_ready,
        "once": True,
    },
    {
        "id": "expire-item",
        "flavor": expired,
    },
]
