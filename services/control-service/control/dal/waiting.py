"""Rows of submitted stories that wait for their analysis, by the time at which they expire."""

from collections.abc import Iterator
from typing import Any

from stream_runtime.clients import call, client

from control.settings import EVENT_TABLE_NAME

WAITING = "story"
"""Value of the attribute ``waiting``, the partition key of the index."""

WAITING_INDEX = "WaitingIndex"


def overdue(before: int) -> Iterator[dict[str, Any]]:
    """The keys of the rows whose ttl (s since 1970) is before that time, read page by page."""
    request: dict[str, Any] = {
        "TableName": EVENT_TABLE_NAME.read(),
        "IndexName": WAITING_INDEX,
        "KeyConditionExpression": "#waiting = :waiting AND #ttl < :before",
        "ExpressionAttributeNames": {"#waiting": "waiting", "#ttl": "ttl"},
        "ExpressionAttributeValues": {":waiting": {"S": WAITING}, ":before": {"N": str(before)}},
    }
    while True:
        page = call("dynamodb", "query", **request)
        for row in page["Items"]:
            yield {"pk": row["pk"], "sk": row["sk"]}
        if not page.get("LastEvaluatedKey"):
            return
        request["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def expire(key: dict[str, Any], before: int) -> bool:
    """Remove an overdue row; False if it was settled or removed in the meantime.

    The removal appears in the table's stream like one by TTL and is processed the same way.
    """
    try:
        call(
            "dynamodb",
            "delete_item",
            TableName=EVENT_TABLE_NAME.read(),
            Key=key,
            ConditionExpression="attribute_exists(#waiting) AND #ttl < :before",
            ExpressionAttributeNames={"#waiting": "waiting", "#ttl": "ttl"},
            ExpressionAttributeValues={":before": {"N": str(before)}},
        )
    except client("dynamodb").exceptions.ConditionalCheckFailedException:
        return False
    return True
