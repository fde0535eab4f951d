"""The dashboard's table: rows by day or by tag, newest first, or by sentiment and score."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from stream_runtime.clients import call
from stream_runtime.expressions import marshall, unmarshall

from rest_bff import settings
from rest_bff.logic.cursors import ELSEWHERE
from rest_bff.logic.dashboard import combined
from rest_bff.logic.errors import InvalidCursor

SENTIMENT_INDEX = "SentimentIndex"
KEY = {"pk": str, "sk": str}
SENTIMENT_KEY = {**KEY, "sentiment_score_combined": str}
"""Fields of a position in a list, with their types."""

VISIBLE = (
    "source_id",
    "day_partition",
    "ingested_at",
    "source_type",
    "sentiment",
    "score",
    "matched_tags",
    "text_snippet",
    "source_url",
)


def newest(
    partition: str, day: str | None, limit: int, after: Mapping[str, Any] | None
) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """A page of a day or a tag (of one day), newest first, and the position after which the next page begins.

    Raises:
        InvalidCursor: the position is not among these rows; DynamoDB would reject it.
    """
    if after and not (after["pk"] == partition and after["sk"].startswith(day or "")):
        raise InvalidCursor(ELSEWHERE)
    return _page(
        {
            "KeyConditionExpression": "#pk = :pk" + (" AND begins_with(#sk, :day)" if day else ""),
            "FilterExpression": "attribute_not_exists(#removed)",
            "ExpressionAttributeNames": {"#pk": "pk", "#removed": "removed", **({"#sk": "sk"} if day else {})},
            "ExpressionAttributeValues": marshall({":pk": partition, **({":day": day} if day else {})}),
        },
        limit,
        after,
    )


def by_score(
    partition: str,
    sentiment: str,
    scores: tuple[Decimal, Decimal],
    day: str | None,
    limit: int,
    after: Mapping[str, Any] | None,
) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """A page of a day or a tag with one sentiment and scores between two, highest first.

    The index knows two decimals of a score; the filter compares all of them.

    Raises:
        InvalidCursor: the position is not among these rows; DynamoDB would reject it.
    """
    least, most = (combined(sentiment, score) for score in scores)
    if after and not (after["pk"] == partition and least <= after["sentiment_score_combined"] <= most):
        raise InvalidCursor(ELSEWHERE)
    return _page(
        {
            "IndexName": SENTIMENT_INDEX,
            "KeyConditionExpression": "#pk = :pk AND #combined BETWEEN :least AND :most",
            "FilterExpression": "#score BETWEEN :min AND :max" + (" AND #day = :day" if day else ""),
            "ExpressionAttributeNames": {
                "#pk": "pk",
                "#score": "score",
                "#combined": "sentiment_score_combined",
                **({"#day": "day_partition"} if day else {}),
            },
            "ExpressionAttributeValues": marshall(
                {
                    ":pk": partition,
                    ":least": least,
                    ":most": most,
                    ":min": scores[0],
                    ":max": scores[1],
                    **({":day": day} if day else {}),
                }
            ),
        },
        limit,
        after,
    )


def _page(
    query: Mapping[str, Any], limit: int, after: Mapping[str, Any] | None
) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """Rows up to a limit; filtered ones are made up for by reading on, so that a page is short only at the end."""
    rows: list[dict[str, Any]] = []
    position = marshall(after) if after else None
    while True:
        request = {
            "TableName": settings.DASHBOARD_TABLE_NAME.read(),
            "ScanIndexForward": False,
            "Limit": limit - len(rows),
            **query,
            **({"ExclusiveStartKey": position} if position else {}),
        }
        answer = call("dynamodb", "query", **request)
        rows += [unmarshall(row) for row in answer["Items"]]
        position = answer.get("LastEvaluatedKey")
        if position is None or len(rows) == limit:
            break
    shown = [{name: row[name] for name in VISIBLE if name in row} for row in rows]
    return shown, unmarshall(position) if position else None
