"""The tags of published events: where an event comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import settings

_OF_THE_PUBLISHER = frozenset({"account", "app", "functionname", "pipeline", "region", "source", "stage"})


def standard_tags(pipeline: str | None) -> dict[str, Any]:
    """account, region, stage, app, source (the service), functionname and pipeline."""
    return {
        "account": settings.ACCOUNT_NAME.read(),
        "region": settings.AWS_REGION.read(),
        "stage": settings.STAGE.read(),
        "app": settings.APP_NAME.read(),
        "source": settings.SERVICE.read(),
        "functionname": settings.FUNCTION_NAME.read(),
        "pipeline": pipeline or "undefined",
    }


def inherited_tags(*events: Mapping[str, Any]) -> dict[str, Any]:
    """The tags that an event inherits from its causes: all but those that name the publisher."""
    tags: dict[str, Any] = {}
    for event in events:
        tags |= event.get("tags") or {}
    return {name: tags[name] for name in tags if name not in _OF_THE_PUBLISHER}


def with_tags(event: dict[str, Any], tags: Mapping[str, Any]) -> dict[str, Any]:
    """An event with tags added; its own tags win."""
    return {**event, "tags": {**tags, **(event.get("tags") or {})}}
