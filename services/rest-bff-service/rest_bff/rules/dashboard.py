"""Rules of the function `dashboard`."""

from typing import Any

from stream_runtime.events import DynamodbRecord, UnitOfWork
from stream_runtime.faults import faulty
from stream_runtime.flavors import TaskRule, task
from stream_runtime.operators import Operator, compose, rx_map, split_buffer
from stream_runtime.sinks.dynamodb import put_dynamodb

from rest_bff import settings
from rest_bff.logic.dashboard import rows_of_change


def has_new_image(uow: UnitOfWork[DynamodbRecord]) -> bool:
    """Whether the story's row exists: a removal needs no change, since rows of the dashboard expire."""
    return bool(uow["event"]["raw"]["new"])


def put_rows(rule: TaskRule) -> Operator:
    """Put the dashboard's rows of each change of a story, unless a later change has put them."""
    return compose(rx_map(faulty(to_puts)), split_buffer(), put_dynamodb(parallel=rule.get("parallel")))


def to_puts(uow: UnitOfWork[DynamodbRecord]) -> list[dict[str, Any]]:
    """One unit of work for each row."""
    raw, change = uow["event"]["raw"], uow["record"]["dynamodb"]
    rows = rows_of_change(
        raw["new"],
        raw["old"],
        change["SequenceNumber"],
        int(float(change["ApproximateCreationDateTime"])),
        settings.DASHBOARD_DAYS.read() * 24 * 3600,
    )
    return [
        {
            **uow,
            "put_request": {
                "TableName": settings.DASHBOARD_TABLE_NAME.read(),
                "Item": row,
                "ConditionExpression": "attribute_not_exists(#pk) OR #sequence < :sequence",
                "ExpressionAttributeNames": {"#pk": "pk", "#sequence": "sequence"},
                "ExpressionAttributeValues": {":sequence": row["sequence"]},
            },
        }
        for row in rows
    ]


RULES: list[TaskRule] = [
    {
        "id": "denormalize-story",
        "flavor": task,
        "event_type": ["story-created", "story-updated", "story-deleted", "story-undeleted"],
        "filters": [has_new_image],
        "execute_operators": put_rows,
    },
]
