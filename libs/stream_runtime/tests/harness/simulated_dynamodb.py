"""DynamoDB in memory: tables, conditions, streams, and reads that lag behind as AWS's do.

Sources: DynamoDB developer guide, "Read consistency" (indexes and reads without ConsistentRead are eventually
consistent), "Condition and filter expressions", "Change data capture for DynamoDB Streams" (a write that changes
nothing makes no record).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from failures import row_key
from refusals import Refusal

Row = dict[str, Any]
Attributes = Mapping[str, Mapping[str, Any]]


class Table:
    """Rows by primary key, the versions that a late read may still see, and the changes for the stream."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows: dict[str, Row] = {}
        self.earlier: dict[str, list[Row | None]] = {}
        """For each row written lately, what it was before: None for not there."""
        self.changes: list[tuple[str, int, Row | None, Row | None]] = []
        """Key, number of the change of this row, old image, new image."""

    def write(self, key: str, row: Row | None) -> None:
        """Put or remove a row; late readers may still see those before."""
        old = self.rows.get(key)
        if old == row:
            return
        versions = self.earlier.setdefault(key, [])
        versions.append(old)
        self.changes.append((key, len(versions), old, row))
        if row is None:
            del self.rows[key]
        else:
            self.rows[key] = row

    def settle(self) -> None:
        """What is in the table has been there for long: every read sees it."""
        self.earlier.clear()
        self.changes.clear()

    def read(self, late: random.Random | None) -> Iterator[tuple[str, Row]]:
        """The rows in order of their keys; a late read sees any version of each that was written lately."""
        for key in sorted({*self.rows, *self.earlier} if late else self.rows):
            row = self.rows.get(key)
            if late and key in self.earlier:
                row = late.choice((row, *self.earlier[key]))
            if row is not None:
                yield key, row


class SimulatedDynamoDB:
    """The operations; requests and responses are those of boto3's client."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.tables: dict[str, Table] = {}
        self.reads = 0

    def table(self, name: str) -> Table:
        """The table of a name; it exists when first named."""
        found = self.tables.get(name)
        if found is None:
            found = self.tables[name] = Table(name)
        return found

    def on_write(self, table: str, request: Mapping[str, Any], row: Row) -> None:
        """Told of each write that took effect."""

    def UpdateItem(self, request: Mapping[str, Any], _: bool) -> dict[str, Any]:
        table, key = self.table(request["TableName"]), row_key(request["Key"])
        self._check(request, table.rows.get(key))
        row = updated({**request["Key"], **table.rows.get(key, {})}, request)
        table.write(key, row)
        self.on_write(table.name, request, row)
        return {"Attributes": row}

    def PutItem(self, request: Mapping[str, Any], _: bool) -> dict[str, Any]:
        table, key = self.table(request["TableName"]), row_key(request["Item"])
        self._check(request, table.rows.get(key))
        self._put(table, request["Item"])
        return {}

    def _put(self, table: Table, item: Row) -> None:
        table.write(row_key(item), item)
        self.on_write(table.name, {}, item)

    def DeleteItem(self, request: Mapping[str, Any], _: bool) -> dict[str, Any]:
        table, key = self.table(request["TableName"]), row_key(request["Key"])
        self._check(request, table.rows.get(key))
        table.write(key, None)
        return {}

    def _check(self, request: Mapping[str, Any], row: Row | None) -> None:
        condition = request.get("ConditionExpression")
        if not condition or holds(condition, row or {}, request):
            return
        wants_item = request.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD" and row is not None
        raise Refusal(
            400,
            "ConditionalCheckFailedException",
            "The conditional request failed",
            **({"Item": row} if wants_item else {}),
        )

    def BatchWriteItem(self, request: Mapping[str, Any], partial: bool) -> dict[str, Any]:
        ((name, requests),) = request["RequestItems"].items()
        items = [each["PutRequest"]["Item"] for each in requests]
        left = self.partially(partial, "BatchWriteItem", [row_key(item) for item in items])
        for item, is_left in zip(items, left, strict=True):
            if not is_left:
                self._put(self.table(name), item)
        unprocessed = [each for each, is_left in zip(requests, left, strict=True) if is_left]
        return {"UnprocessedItems": {name: unprocessed} if unprocessed else {}}

    def GetItem(self, request: Mapping[str, Any], _: bool) -> dict[str, Any]:
        rows = dict(self.table(request["TableName"]).read(self.lateness(request)))
        found = rows.get(row_key(request["Key"]))
        return {} if found is None else {"Item": found}

    def BatchGetItem(self, request: Mapping[str, Any], partial: bool) -> dict[str, Any]:
        ((name, wanted),) = request["RequestItems"].items()
        keys = [row_key(key) for key in wanted["Keys"]]
        left = self.partially(partial, "BatchGetItem", [f"{name}/{key}" for key in keys])
        rows = dict(self.table(name).read(self.lateness(wanted)))
        found = [rows[key] for key, is_left in zip(keys, left, strict=True) if not is_left and key in rows]
        unprocessed = [key for key, is_left in zip(wanted["Keys"], left, strict=True) if is_left]
        return {
            "Responses": {name: found},
            "UnprocessedKeys": {name: {**wanted, "Keys": unprocessed}} if unprocessed else {},
        }

    def Query(self, request: Mapping[str, Any], _: bool) -> dict[str, Any]:
        condition = request["KeyConditionExpression"]
        return self._page(request, lambda row: holds(condition, row, request), most=2)

    def Scan(self, request: Mapping[str, Any], _: bool) -> dict[str, Any]:
        return self._page(request, lambda _: True, most=100)

    def _page(self, request: Mapping[str, Any], wanted: Callable[[Row], bool], most: int) -> dict[str, Any]:
        start = row_key(request["ExclusiveStartKey"]) if request.get("ExclusiveStartKey") else ""
        rows = self.table(request["TableName"]).read(self.lateness(request))
        found = [row for key, row in rows if key > start and wanted(row)]
        page = found[: min(most, request.get("Limit") or most)]
        last = {name: page[-1][name] for name in ("pk", "sk")} if len(found) > len(page) else None
        return {"Items": page, "Count": len(page), **({"LastEvaluatedKey": last} if last else {})}

    def lateness(self, request: Mapping[str, Any]) -> random.Random | None:
        """What a read that may be late decides by; None for a consistent one."""
        if request.get("ConsistentRead"):
            if "IndexName" in request:
                raise Refusal(400, "ValidationException", "Consistent reads are not supported on indexes")
            return None
        self.reads += 1
        return random.Random(self.seed * 1_000_003 + self.reads)

    def partially(self, partial: bool, operation: str, identities: Sequence[str]) -> list[bool]:
        """For each entry whether it is refused for now: none, where nothing fails."""
        return [False] * len(identities)


def updated(row: Row, request: Mapping[str, Any]) -> Row:
    """The row after an update expression with SET and REMOVE."""
    names, values = request.get("ExpressionAttributeNames", {}), request.get("ExpressionAttributeValues", {})
    for clause, parts in re.findall(r"(SET|REMOVE) (.*?)(?= SET | REMOVE |$)", request.get("UpdateExpression", "")):
        for part in parts.split(", "):
            if clause == "SET":
                name, _, value = part.partition(" = ")
                row[names.get(name, name)] = values[value]
            else:
                row.pop(names.get(part, part), None)
    return row


_TOKENS = re.compile(r"\s*(<=|>=|<>|[=<>(),]|[#:\w.]+)")
_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": lambda left, right: left == right,
    "<>": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}


def holds(condition: str, row: Mapping[str, Any], request: Mapping[str, Any]) -> bool:
    """Whether a condition holds for a row."""
    tokens = _TOKENS.findall(condition)
    if "".join(tokens) != re.sub(r"\s", "", condition):
        raise Refusal(400, "ValidationException", f"Invalid ConditionExpression: {condition}")
    result = _Condition(tokens, row, request).alternatives()
    if tokens:
        raise Refusal(400, "ValidationException", f"Invalid ConditionExpression: {condition}")
    return result


class _Condition:
    """A condition that is read and decided from left to right."""

    def __init__(self, tokens: list[str], row: Mapping[str, Any], request: Mapping[str, Any]) -> None:
        self.tokens = tokens
        self.row = row
        self.names = request.get("ExpressionAttributeNames") or {}
        self.values = request.get("ExpressionAttributeValues") or {}

    def alternatives(self) -> bool:
        """Conditions joined by OR."""
        result = self.conjunction()
        while self._next_is("OR"):
            result = self.conjunction() or result
        return result

    def conjunction(self) -> bool:
        """Conditions joined by AND."""
        result = self.condition()
        while self._next_is("AND"):
            result = self.condition() and result
        return result

    def condition(self) -> bool:
        """One condition: negated, in parentheses, a function or a comparison."""
        token = self.tokens.pop(0)
        if token.upper() == "NOT":
            return not self.condition()
        if token == "(":
            result = self.alternatives()
            self._take(")")
            return result
        if self._next_is("("):
            return self._function(token)
        left, comparison, right = self._operand(token), self.tokens.pop(0), self._operand(self.tokens.pop(0))
        return left is not None and right is not None and _COMPARISONS[comparison](left, right)

    def _function(self, name: str) -> bool:
        operands = [self.tokens.pop(0)]
        while self._next_is(","):
            operands.append(self.tokens.pop(0))
        self._take(")")
        value = self._operand(operands[0])
        if name == "attribute_exists":
            return value is not None
        if name == "attribute_not_exists":
            return value is None
        if name == "begins_with":
            return isinstance(value, str) and value.startswith(str(self._operand(operands[1])))
        raise Refusal(400, "ValidationException", f"Invalid function name; function: {name}")

    def _operand(self, token: str) -> Any:
        """The plain value of a placeholder or an attribute; None where the row lacks it."""
        typed = self.values[token] if token.startswith(":") else self.row.get(self.names.get(token, token))
        if typed is None:
            return None
        ((kind, value),) = typed.items()
        return float(value) if kind == "N" else value

    def _next_is(self, token: str) -> bool:
        if self.tokens and self.tokens[0].upper() == token:
            del self.tokens[0]
            return True
        return False

    def _take(self, token: str) -> None:
        if not self._next_is(token):
            raise Refusal(400, "ValidationException", f"a condition lacks {token!r}")
