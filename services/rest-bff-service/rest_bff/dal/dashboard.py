"""The dashboard's table: lists of rows by day, by tag or by both, newest first, or by sentiment and score.

Each list is a range of keys of one index, so that no row is read and then left out. Rows of removed tags and deleted
stories lack the keys of the indexes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from stream_runtime.clients import call
from stream_runtime.expressions import marshall, unmarshall

from rest_bff import settings
from rest_bff.logic.cursors import ELSEWHERE
from rest_bff.logic.dashboard import combined, day_key, tag_key, tag_of_day
from rest_bff.logic.errors import InvalidCursor

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

LAST = "~"
"""Sorts behind every position, which begins with the digit of a year."""


@dataclass(frozen=True)
class RowList:
    """Rows of one index, highest sort key first.

    Attributes:
        index: its name.
        shared: the attributes of a key that all rows of the list share, the partition key of the index first.
        order: the attribute that is the sort key of the index.
        least: the lowest sort key of the list.
        most: the highest.
    """

    index: str
    shared: Mapping[str, str]
    order: str
    least: str
    most: str

    @property
    def position(self) -> dict[str, type]:
        """The fields of a position in the list, with their types."""
        return dict.fromkeys((*self.shared, "sk", self.order), str)

    def has(self, position: Mapping[str, Any]) -> bool:
        """Whether a position is in the list."""
        return self.shared.items() <= position.items() and self.least <= position[self.order] <= self.most


def newest(tag: str | None, day: str | None) -> RowList:
    """The rows of a tag, of a day (``YYYY-MM-DD``), or of a tag on a day; newest first."""
    partition = tag_key(tag) if tag else day_key(str(day))
    shared = {"listing": partition, "pk": partition}
    return RowList("NewestIndex", shared, "sk", least=day or "0", most=f"{day or ''}{LAST}")


def by_score(tag: str | None, day: str | None, sentiment: str, scores: tuple[Decimal, Decimal]) -> RowList:
    """The rows of a tag, of a day, or of a tag on a day, with one sentiment and scores between two; highest first."""
    least, most = (combined(sentiment, score) for score in scores)
    if tag and day:
        shared = {"tag_of_day": tag_of_day(tag, day), "pk": tag_key(tag)}
        return RowList("TagOfDayIndex", shared, "sentiment_score_combined", least, most)
    partition = tag_key(tag) if tag else day_key(str(day))
    return RowList("SentimentIndex", {"pk": partition}, "sentiment_score_combined", least, most)


def page(
    rows: RowList, limit: int, after: Mapping[str, Any] | None
) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """A page of a list, and the position after which the next one begins (None on the last).

    One query that reads at most ``limit`` rows, and 1 MB (API reference, "Query"): a page may have fewer rows than
    ``limit`` before the last one.

    Raises:
        InvalidCursor: the position is not in this list; DynamoDB would reject it.
    """
    if after and not rows.has(after):
        raise InvalidCursor(ELSEWHERE)
    name, value = next(iter(rows.shared.items()))
    request: dict[str, Any] = {
        "TableName": settings.DASHBOARD_TABLE_NAME.read(),
        "IndexName": rows.index,
        "KeyConditionExpression": "#in = :in AND #by BETWEEN :least AND :most",
        "ExpressionAttributeNames": {"#in": name, "#by": rows.order},
        "ExpressionAttributeValues": marshall({":in": value, ":least": rows.least, ":most": rows.most}),
        "ScanIndexForward": False,
        "Limit": limit,
    }
    if after:
        request["ExclusiveStartKey"] = marshall(after)
    answer = call("dynamodb", "query", **request)
    shown = [{name: row[name] for name in VISIBLE if name in row} for row in map(unmarshall, answer["Items"])]
    last = answer.get("LastEvaluatedKey")
    return shown, unmarshall(last) if last else None
