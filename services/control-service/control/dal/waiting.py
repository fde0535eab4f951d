"""Rows of submitted items that wait for their analysis, in the order in which their time is over."""

from collections.abc import Iterator
from typing import Any

from stream_runtime import settings
from stream_runtime.clients import client
from stream_runtime.engine.retry import Retry

WAITING = "item"
"""Value of the attribute ``waiting``, the partition key of the index."""

WAITING_INDEX = "WaitingIndex"


def overdue(now: int) -> Iterator[dict[str, Any]]:
    """The keys of the rows whose ttl (s) is over, page by page."""
    request: dict[str, Any] = {
        "TableName": settings.table_name(),
        "IndexName": WAITING_INDEX,
        "KeyConditionExpression": "#waiting = :waiting AND #ttl < :now",
        "ExpressionAttributeNames": {"#waiting": "waiting", "#ttl": "ttl"},
        "ExpressionAttributeValues": {":waiting": {"S": WAITING}, ":now": {"N": str(now)}},
    }
    while True:
        page = Retry().call(lambda: client("dynamodb").query(**request))
        for row in page["Items"]:
            yield {"pk": row["pk"], "sk": row["sk"]}
        if not page.get("LastEvaluatedKey"):
            return
        request["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def expire(key: dict[str, Any], now: int) -> bool:
    """Remove a row whose time is over, unless it was settled or is gone meanwhile; whether it was removed.

    Its removal is in the stream of the table like one by TTL, and is worked off the same way.
    """
    try:
        Retry().call(
            lambda: client("dynamodb").delete_item(
                TableName=settings.table_name(),
                Key=key,
                ConditionExpression="attribute_exists(#waiting) AND #ttl < :now",
                ExpressionAttributeNames={"#waiting": "waiting", "#ttl": "ttl"},
                ExpressionAttributeValues={":now": {"N": str(now)}},
            )
        )
    except client("dynamodb").exceptions.ConditionalCheckFailedException:
        return False
    return True
