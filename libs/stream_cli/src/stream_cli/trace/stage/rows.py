"""The rows of a stage's tables as they are now: what they were before, a stage does not know."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from stream_cli.journal.lines import ChangeLine, Item
from stream_cli.journal.unknown import NotKnown, may_spend, note
from stream_cli.trace.stage.asking import Kept, unless_denied

_MOST = 200
_KEPT_S = 15.0
MOST_READS = 200
"""Queries for one answer; each costs the table read capacity."""

BEFORE = NotKnown("what rows were before", "a table holds them as they are now; times are those of their events")
_TOO_MANY = NotKnown(f"rows of more than {MOST_READS} keys", "they are not read for one answer")


@dataclass
class TableRows:
    """Reads rows by partition key, consistently; ``client`` gives a boto3 client of DynamoDB."""

    client: Callable[[], Any]
    tables: Callable[[], Iterable[str]]
    clock: Callable[[], int]
    kept: Kept = field(default_factory=Kept)

    def of_key(self, value: str, table: str | None = None) -> Iterator[ChangeLine]:
        """The rows whose partition key is a text."""
        note(BEFORE)
        for name in self.tables():
            if table is not None and name != table:
                continue
            described = self.kept.answer(("table", name), 300, partial(self._described, name))
            if described is None:
                continue
            hashed = next(each["AttributeName"] for each in described["KeySchema"] if each["KeyType"] == "HASH")
            types = {each["AttributeName"]: each["AttributeType"] for each in described["AttributeDefinitions"]}
            if types[hashed] == "S":
                items = self.kept.answer(("rows", name, value), _KEPT_S, partial(self._read, name, hashed, value))
                yield from (self._line(name, described, item) for item in items)

    def _described(self, table: str) -> dict[str, Any] | None:
        def ask() -> dict[str, Any] | None:
            found: dict[str, Any] = self.client().describe_table(TableName=table)["Table"]
            return found

        return unless_denied(f"rows of {table}", "dynamodb:DescribeTable", ask, None)

    def _read(self, table: str, hashed: str, value: str) -> list[Item]:
        if not may_spend("reads of rows", MOST_READS):
            note(_TOO_MANY)
            return []
        return unless_denied(
            f"rows of {table}", "dynamodb:Query",
            lambda: self.client().query(
                TableName=table, KeyConditionExpression="#key = :key", ExpressionAttributeNames={"#key": hashed},
                ExpressionAttributeValues={":key": {"S": value}}, ConsistentRead=True, Limit=_MOST,
            )["Items"], [],
        )  # fmt: skip

    def _line(self, table: str, described: dict[str, Any], item: Item) -> ChangeLine:
        timestamp = item.get("timestamp", {}).get("N", "")
        line: ChangeLine = {
            "kind": "change",
            "at": int(timestamp) if timestamp.isdigit() else self.clock(),
            "table": table,
            "change": "INSERT",
            "keys": {each["AttributeName"]: item[each["AttributeName"]] for each in described["KeySchema"]},
            "new": item,
        }
        if described.get("LatestStreamArn"):
            line["stream"] = described["LatestStreamArn"]
        return line
