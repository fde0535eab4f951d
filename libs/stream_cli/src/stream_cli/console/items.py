"""Tables of the stage's stacks, their rows page by page, and one row with its history. Nothing is written."""

from __future__ import annotations

import base64
import binascii
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stream_cli.console.item_history import history
from stream_cli.console.item_values import notes, plain, preview, shown
from stream_cli.console.refusals import Refusal
from stream_cli.faults.redaction import redacted
from stream_cli.journal.lines import Item
from stream_cli.journal.questions import Questions
from stream_cli.journal.unknown import note
from stream_cli.stored.connection import Connection
from stream_cli.terminal.options import LOCAL
from stream_cli.trace.stage.rows import BEFORE

_KNOWN_FOR_S = 15.0
_MOST_OF_A_PAGE = 500
_LONGEST_KEY = 8 * 1024


@dataclass(frozen=True)
class KeyedTable:
    """A table; ``keys`` are the names of its key attributes with their types (S, N or B), the partition key first."""

    name: str
    keys: Mapping[str, str]
    count: int
    bytes: int
    has_stream: bool

    @property
    def partition(self) -> str:
        """The name of the partition key."""
        return next(iter(self.keys))

    def shown(self) -> dict[str, Any]:
        """The table for the page."""
        return {
            "name": self.name,
            "keys": [{"name": name, "type": kind} for name, kind in self.keys.items()],
            "count": self.count,
            "bytes": self.bytes,
            "has_stream": self.has_stream,
        }


class StageItems:
    """Reads what is in the tables of the stage's stacks, and in no others of the account."""

    def __init__(self, questions: Questions, connection: Callable[[], Connection]) -> None:
        self._questions = questions
        self._connection = connection
        self._known: tuple[float, Any, dict[str, KeyedTable]] | None = None
        self._lock = threading.Lock()

    def tables(self) -> dict[str, Any]:
        """All tables, by name."""
        _, tables = self._reading()
        return {"tables": [tables[name].shown() for name in sorted(tables)]}

    def rows(self, name: str, asked: Mapping[str, str]) -> dict[str, Any]:
        """A page of rows, in the order of the table; ``next`` continues it as ``after``.

        Args:
            asked: ``partition`` and, with it, ``sort``, with which the sort key begins; ``after`` and ``limit``.

        Raises:
            ValueError: what is asked does not fit the keys of the table.
        """
        client, table = self._table(name)
        limit = min(max(int(asked.get("limit") or 100), 1), _MOST_OF_A_PAGE)
        request: dict[str, Any] = {"TableName": name, "Limit": limit}
        if asked.get("after"):
            request["ExclusiveStartKey"] = _typed_keys(table, _from_token(asked["after"]))
        if partition := asked.get("partition"):
            answer = client.query(**request, **_condition(table, partition, asked.get("sort") or ""))
        elif asked.get("sort"):
            raise ValueError(f"A search by {list(table.keys)[-1]} needs {table.partition}, too.")
        else:
            answer = client.scan(**request)
        last = answer.get("LastEvaluatedKey")
        return {
            "rows": [_row(table, each) for each in answer["Items"]],
            "next": _token(_texts_of(table, last)) if last else None,
        }

    def row(self, name: str, key: str) -> dict[str, Any] | None:
        """A row as it is now, with its history; None if it neither is nor was there.

        Args:
            key: the values of its key attributes, as a JSON list of texts.
        """
        client, table = self._table(name)
        keys = _typed_keys(table, _texts_in(key))
        item = client.get_item(TableName=name, Key=keys, ConsistentRead=True).get("Item")
        if self._connection().stage == LOCAL:
            known = history(self._questions, name, _in_journal(keys), _texts_of(table, keys)[0])
        else:
            note(BEFORE)
            known = {"changes": [], "older": False}
        if item is None and not known["changes"]:
            return None
        values = None if item is None else plain(item)
        return {
            "table": table.shown(),
            "keys": [redacted(each) for each in _texts_of(table, keys)],
            "item": None if values is None else shown(values),
            "notes": [] if values is None else list(notes(values)),
            "since": self._questions.coverage().since,
            **known,
        }

    def _table(self, name: str) -> tuple[Any, KeyedTable]:
        client, tables = self._reading()
        if name not in tables:
            raise Refusal(404, f"{name} is no table of the stage's stacks.")
        return client, tables[name]

    def _reading(self) -> tuple[Any, dict[str, KeyedTable]]:
        """A client, and the tables by name. Both are kept for a while: a list asks for page after page."""
        with self._lock:
            if self._known is None or time.monotonic() - self._known[0] > _KNOWN_FOR_S:
                connection = self._connection()
                client = connection.client("dynamodb")
                names = connection.resources().get("AWS::DynamoDB::Table", [])
                tables = {name: _described(client.describe_table(TableName=name)["Table"]) for name in names}
                self._known = (time.monotonic(), client, tables)
            return self._known[1], self._known[2]


def _described(table: Mapping[str, Any]) -> KeyedTable:
    types = {each["AttributeName"]: each["AttributeType"] for each in table["AttributeDefinitions"]}
    by_kind = {each["KeyType"]: each["AttributeName"] for each in table["KeySchema"]}
    names = [by_kind[kind] for kind in ("HASH", "RANGE") if kind in by_kind]
    return KeyedTable(
        table["TableName"], {name: types[name] for name in names}, table.get("ItemCount", 0),
        table.get("TableSizeBytes", 0), bool(table.get("LatestStreamArn")),
    )  # fmt: skip


def _condition(table: KeyedTable, partition: str, sort: str) -> dict[str, Any]:
    """What a query asks: a partition, and rows whose sort key begins with a text, or is a number."""
    names, values = {"#partition": table.partition}, {":partition": _typed(table.keys[table.partition], partition)}
    condition = "#partition = :partition"
    if sort:
        if len(table.keys) == 1:
            raise ValueError(f"{table.name} has no sort key.")
        name, kind = list(table.keys.items())[1]
        names["#sort"], values[":sort"] = name, _typed(kind, sort)
        condition += " AND #sort = :sort" if kind == "N" else " AND begins_with(#sort, :sort)"
    return {
        "KeyConditionExpression": condition,
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
    }


def _row(table: KeyedTable, item: Mapping[str, Any]) -> dict[str, Any]:
    values = plain(item)
    texts = _texts_of(table, item)
    return {
        "key": json.dumps(texts, ensure_ascii=False),
        "keys": [redacted(each) for each in texts],
        "preview": preview(values, tuple(table.keys)),
    }


def _typed_keys(table: KeyedTable, texts: list[str]) -> dict[str, dict[str, Any]]:
    if len(texts) != len(table.keys):
        raise ValueError(f"{table.name} has the keys {', '.join(table.keys)}.")
    return {name: _typed(kind, text) for (name, kind), text in zip(table.keys.items(), texts, strict=True)}


def _typed(kind: str, text: str) -> dict[str, Any]:
    if kind != "B":
        return {kind: text}
    try:
        return {"B": base64.b64decode(text, validate=True)}
    except (binascii.Error, ValueError) as error:
        raise ValueError("A binary key is given in base64.") from error


def _texts_of(table: KeyedTable, item: Mapping[str, Any]) -> list[str]:
    """The values of the key attributes as texts, binary ones in base64."""
    values = [next(iter(item[name].values())) for name in table.keys]
    return [base64.b64encode(each).decode() if isinstance(each, bytes) else str(each) for each in values]


def _in_journal(keys: Mapping[str, Mapping[str, Any]]) -> Item:
    return {
        name: {kind: base64.b64encode(each).decode() if isinstance(each, bytes) else each for kind, each in of.items()}
        for name, of in keys.items()
    }


def _texts_in(key: str) -> list[str]:
    if len(key) > _LONGEST_KEY:
        raise ValueError("The key is too long.")
    try:
        found = json.loads(key)
    except (RecursionError, ValueError) as error:
        raise ValueError("A key is a JSON list of texts.") from error
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise ValueError("A key is a JSON list of texts.")
    return found


def _token(texts: list[str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(texts).encode()).decode()


def _from_token(token: str) -> list[str]:
    try:
        return _texts_in(base64.urlsafe_b64decode(token).decode())
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError("after is no place in this list.") from error
