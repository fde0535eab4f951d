"""Rules of the function `trigger`."""

from typing import Any

from stream_runtime.events import DynamodbRecord
from stream_runtime.flavors import CdcRule, CdcUow, cdc

from rest_bff.dal.items import to_item


def was_there(uow: CdcUow[DynamodbRecord]) -> bool:
    """Whether the item existed before the change: the removal of a tombstone by its ttl is not a deletion."""
    old = uow["event"]["raw"]["old"] or {}
    return not old.get("deleted")


def to_submitted(uow: CdcUow[DynamodbRecord]) -> dict[str, Any]:
    return {"type": "item-submitted", **_item(uow)}


def to_updated(uow: CdcUow[DynamodbRecord]) -> dict[str, Any]:
    return {"type": "item-updated", **_item(uow)}


def to_deleted(uow: CdcUow[DynamodbRecord]) -> dict[str, Any]:
    """``item-deleted``, with the last state of the item."""
    return {"type": "item-deleted", **_item(uow)}


def _item(uow: CdcUow[DynamodbRecord]) -> dict[str, Any]:
    raw = uow["event"]["raw"]
    item = to_item(raw["new"] or raw["old"])
    return {"partition_key": item["id"], "item": item}


RULES: list[CdcRule] = [
    {
        "id": "publish-item-submitted",
        "flavor": cdc,
        "event_type": "item-created",
        "to_event": to_submitted,
        "include_raw": False,  # the item alone is the contract
    },
    {
        "id": "publish-item-updated",
        "flavor": cdc,
        "event_type": "item-updated",
        "to_event": to_updated,
        "include_raw": False,  # the item alone is the contract
    },
    {
        "id": "publish-item-deleted",
        "flavor": cdc,
        "event_type": "item-deleted",
        "filters": [was_there],
        "to_event": to_deleted,
        "include_raw": False,  # the item alone is the contract
    },
]
