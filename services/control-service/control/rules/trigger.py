"""Rules of the function `trigger`."""

from collections.abc import Mapping
from typing import Any

from stream_runtime.events import DynamodbRecord
from stream_runtime.flavors import (
    CorrelateRule,
    CorrelateUow,
    EvaluateRule,
    EvaluateUow,
    ExpiredRule,
    ExpiredUow,
    correlate,
    evaluate,
    expired,
)
from stream_runtime.operators import Operator, compose, rx_map
from stream_runtime.sinks.eventbridge import publish_to_event_bridge

from control.logic.articles import CORROBORATED, article_of, corroborating, has_article
from control.logic.stories import ANALYZED, READY, SUBMITTED, completing, merged

COMPLETION = "completion"
"""Suffix of the correlations by story id."""

ARTICLE = "article"
"""Suffix of the correlations by article."""


def is_complete(uow: EvaluateUow[DynamodbRecord]) -> list[Mapping[str, Any]]:
    """The events that complete the story; empty while one is missing."""
    return completing(uow["event"], uow["correlated"])


def to_ready(uow: EvaluateUow[DynamodbRecord], rule: EvaluateRule, template: Mapping[str, Any]) -> dict[str, Any]:
    """The event of a complete story."""
    submitted, analyzed = uow["triggers"]
    return {**template, "type": READY, "story": merged(submitted, analyzed)}


def names_article(uow: CorrelateUow[DynamodbRecord]) -> bool:
    return has_article(uow["event"])


def to_article(uow: CorrelateUow[DynamodbRecord]) -> str:
    return article_of(uow["event"])


def is_corroborated(uow: EvaluateUow[DynamodbRecord]) -> list[Mapping[str, Any]]:
    """The events of all stories about the same article; empty if there is only one."""
    return corroborating(uow["correlated"])


def to_corroborated(
    uow: EvaluateUow[DynamodbRecord], rule: EvaluateRule, template: Mapping[str, Any]
) -> dict[str, Any]:
    """The event of an article that several stories are about; the oldest story comes first."""
    stories = [event["story"] for event in uow["triggers"]]
    article = {"url": stories[0]["source_url"], "stories": [story["id"] for story in stories]}
    return {**template, "type": CORROBORATED, "story": stories[0], "article": article}


CORRELATIONS: list[CorrelateRule | EvaluateRule] = [
    {
        "id": "correlate-story",
        "flavor": correlate,
        "event_type": [SUBMITTED, ANALYZED],
        "correlation_key": "story.id",
        "correlation_key_suffix": COMPLETION,
    },
    {
        "id": "evaluate-story",
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
        "filters": [names_article],
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
]


def named_by_submission(uow: ExpiredUow[DynamodbRecord]) -> dict[str, Any]:
    """The id of what expired is that of the submission and the rule: a replay may let a story expire again."""
    (submission,) = uow["emit"]["triggers"]
    return {**uow, "emit": {**uow["emit"], "id": f"{submission['id']}.{EXPIRY['id']}"}}


def publish_expired(options: Mapping[str, Any]) -> Operator:
    return compose(rx_map(named_by_submission), publish_to_event_bridge(**options))


EXPIRY: ExpiredRule = {"id": "expire-story", "flavor": expired, "publish": publish_expired}

RULES: list[Mapping[str, Any]] = [*CORRELATIONS, EXPIRY]
