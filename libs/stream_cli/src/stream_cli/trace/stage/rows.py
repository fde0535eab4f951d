"""The rows of a stage's tables as they are now: what they were before, a stage does not know."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from stream_cli.journal.lines import ChangeLine, Item

_MOST = 200


@dataclass
class TableRows:
    """Reads rows by partition key, consistently; ``client`` is a boto3 client of DynamoDB."""

    client: Any
    tables: Iterable[str]
    clock: Callable[[], int]
    _described: dict[str, dict[str, Any]] = field(default_factory=dict)

    def of_key(self, value: str, table: str | None = None) -> Iterator[ChangeLine]:
        """The rows whose partition key is a text."""
        for name in self.tables:
            if table is not None and name != table:
                continue
            described = self._description(name)
            hashed = next(each["AttributeName"] for each in described["KeySchema"] if each["KeyType"] == "HASH")
            types = {each["AttributeName"]: each["AttributeType"] for each in described["AttributeDefinitions"]}
            if types[hashed] != "S":
                continue
            found = self.client.query(
                TableName=name, KeyConditionExpression="#key = :key", ExpressionAttributeNames={"#key": hashed},
                ExpressionAttributeValues={":key": {"S": value}}, ConsistentRead=True, Limit=_MOST,
            )  # fmt: skip
            yield from (self._line(name, described, item) for item in found["Items"])

    def _description(self, table: str) -> dict[str, Any]:
        if table not in self._described:
            self._described[table] = self.client.describe_table(TableName=table)["Table"]
        return self._described[table]

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
