"""The domain event in what services carry: as it is, in EventBridge's envelope, or in a message of SNS."""

from __future__ import annotations

import binascii
from typing import Any, NamedTuple

import orjson

_LONGEST = 1_048_576


class EventIdentity(NamedTuple):
    """What an event is known by; ``bus_id`` is EventBridge's, if the event is in its envelope."""

    id: str | None = None
    type: str | None = None
    bus_id: str | None = None


NOTHING = EventIdentity()


def identity_in(content: str | bytes) -> EventIdentity:
    """The identity of the event in some JSON; of anything else, nothing."""
    if not content or len(content) > _LONGEST or content[:1] not in ("{", b"{"):
        return NOTHING
    try:
        return identity_of(orjson.loads(content))
    except (ValueError, TypeError):
        return NOTHING


def identity_in_base64(content: str | bytes) -> EventIdentity:
    """As `identity_in`, for what stands in base64."""
    try:
        return identity_in(binascii.a2b_base64(content))
    except (ValueError, TypeError):
        return NOTHING


def identity_of(content: Any) -> EventIdentity:
    """The identity of an event, or of the one in an envelope."""
    if not isinstance(content, dict):
        return NOTHING
    if content.get("Type") == "Notification" and isinstance(message := content.get("Message"), str):
        return identity_in(message)
    event, bus_id = content, None
    if "detail-type" in content and isinstance(content.get("detail"), dict):
        event, bus_id = content["detail"], _text(content.get("id"))
    return EventIdentity(_text(event.get("id")), _text(event.get("type")), bus_id)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
