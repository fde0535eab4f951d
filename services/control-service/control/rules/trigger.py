"""Rules of the function `trigger`."""

from collections.abc import Mapping
from typing import Any

from stream_runtime.flavors import correlate, evaluate, expired

from control.logic.articles import CORROBORATED, article_of, has_article, telling
from control.logic.items import ANALYZED, READY, SUBMITTED, completing, merged

COMPLETION = "completion"
"""Suffix of the correlations by item: they tell whether an item is complete."""

ARTICLE = "article"
"""Suffix of the correlations by article: they tell whether several items tell of the same one."""


def is_complete(uow: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The events that complete the item of the one that was just correlated; none while one is missing."""
    return completing(uow["event"], uow["correlated"])


def to_ready(uow: Mapping[str, Any], rule: Mapping[str, Any], template: Mapping[str, Any]) -> dict[str, Any]:
    """The event that tells that an item is complete, with the whole of it."""
    submitted, analyzed = uow["triggers"]
    return {**template, "type": READY, "item": merged(submitted, analyzed)}


def tells_where(uow: Mapping[str, Any]) -> bool:
    """Whether an item can be correlated by its article."""
    return has_article(uow["event"])


def to_article(uow: Mapping[str, Any]) -> str:
    """The article of an item."""
    return article_of(uow["event"])


def is_corroborated(uow: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The events of all items that tell of the same article; none while it is one."""
    return telling(uow["correlated"])


def to_corroborated(uow: Mapping[str, Any], rule: Mapping[str, Any], template: Mapping[str, Any]) -> dict[str, Any]:
    """The event that tells that several items tell of the same article, the first of them first."""
    items = [event["item"] for event in uow["triggers"]]
    article = {"url": items[0]["source_url"], "items": [item["id"] for item in items]}
    return {**template, "type": CORROBORATED, "item": items[0], "article": article}


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
        "id": "correlate-article",
        "flavor": correlate,
        "event_type": SUBMITTED,
        "filters": [tells_where],
        "correlation_key": to_article,
        "correlation_key_suffix": ARTICLE,
    },
    {
        "id": "evaluate-article",
        "flavor": evaluate,
        "event_type": SUBMITTED,
        "correlation_key_suffix": ARTICLE,
        "expression": is_corroborated,
        "emit": to_corroborated,
        "once": True,
    },
    {
        "id": "expire-item",
        "flavor": expired,
    },
]
