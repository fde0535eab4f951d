"""Rules of the function `trigger`."""

from typing import Any

from stream_runtime.events import DynamodbRecord
from stream_runtime.flavors import CdcRule, CdcUow, cdc

from rest_bff.dal.stories import PERSONAL_OF_EVENT, to_story


def was_there(uow: CdcUow[DynamodbRecord]) -> bool:
    """Whether the story existed before the change: the removal of a tombstone by its ttl is not a deletion."""
    old = uow["event"]["raw"]["old"] or {}
    return not old.get("deleted")


def to_submitted(uow: CdcUow[DynamodbRecord]) -> dict[str, Any]:
    return {"type": "story-submitted", **_story(uow)}


def to_updated(uow: CdcUow[DynamodbRecord]) -> dict[str, Any]:
    return {"type": "story-updated", **_story(uow)}


def to_deleted(uow: CdcUow[DynamodbRecord]) -> dict[str, Any]:
    """``story-deleted``, with the last state of the story."""
    return {"type": "story-deleted", **_story(uow)}


def _story(uow: CdcUow[DynamodbRecord]) -> dict[str, Any]:
    raw = uow["event"]["raw"]
    story = to_story(raw["new"] or raw["old"])
    return {"partition_key": story["id"], "story": story}


RULES: list[CdcRule] = [
    {
        "id": "publish-story-submitted",
        "flavor": cdc,
        "event_type": "story-created",
        "to_event": to_submitted,
        "include_raw": False,  # the story alone is the contract
        "decrypt": True,
        "encrypt": PERSONAL_OF_EVENT,
    },
    {
        "id": "publish-story-updated",
        "flavor": cdc,
        "event_type": "story-updated",
        "to_event": to_updated,
        "include_raw": False,  # the story alone is the contract
        "decrypt": True,
        "encrypt": PERSONAL_OF_EVENT,
    },
    {
        "id": "publish-story-deleted",
        "flavor": cdc,
        "event_type": "story-deleted",
        "filters": [was_there],
        "to_event": to_deleted,
        "include_raw": False,  # the story alone is the contract
        "decrypt": True,
        "encrypt": PERSONAL_OF_EVENT,
    },
]
