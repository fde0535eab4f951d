"""Rules of the function `listener`."""

from typing import Any

from stream_runtime.events import KinesisRecord
from stream_runtime.expressions import timestamp_condition, update_expression
from stream_runtime.flavors import MaterializeRule, MaterializeUow, materialize

from rest_bff.dal.stories import ANALYSIS, DISCRIMINATOR


def to_ready_story(uow: MaterializeUow[KinesisRecord]) -> dict[str, Any]:
    """The update that adds an analysis to its story.

    Clients and events write different attributes of the row, each with its own time (``timestamp``, ``ready_at``).
    For a story that is deleted or does not exist, the condition fails; that is an outcome, not a failure.
    """
    event = uow["event"]
    story = event["story"]
    update = update_expression(
        {
            **{name: story[name] for name in ANALYSIS},
            "status": "ready",
            "ready_at": event["timestamp"],
            "latched": True,
        }
    )
    newer = timestamp_condition("ready_at")["ConditionExpression"]
    return {
        "Key": {"pk": story["id"], "sk": DISCRIMINATOR},
        **update,
        "ExpressionAttributeNames": {**update["ExpressionAttributeNames"], "#deleted": "deleted"},
        "ConditionExpression": f"attribute_exists(pk) AND attribute_not_exists(#deleted) AND ({newer})",
    }


RULES: list[MaterializeRule] = [
    {
        "id": "materialize-ready-story",
        "flavor": materialize,
        "event_type": "story-ready",
        "to_update_request": to_ready_story,
    },
]
