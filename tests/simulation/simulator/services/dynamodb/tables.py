"""Tables: items in the order of their keys, what late reads still see, and indexes that lag behind.

Source: DynamoDB developer guide, "Read consistency" and "Using Global Secondary Indexes in DynamoDB" (changes reach an
index within a fraction of a second, in unlikely cases later; an item is in it if it has all of its key attributes).
"""

from __future__ import annotations

import functools
import heapq
from bisect import insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from stream_cli.local.emulator.dynamodb.requests import TableKeys

from simulator.chance import fraction
from simulator.kernel import MICROSECONDS
from simulator.services.dynamodb.expressions import Reader
from simulator.services.dynamodb.streams import Stream
from simulator.services.dynamodb.values import Item, in_json, kept_item, plain

LONGEST_LAG_US = 2 * MICROSECONDS
"""How far a read that is not consistent is behind at the most."""
LATE_READS = 0.35
"""How many of the reads that can be late are."""
STREAM_LABEL = "2026-01-01T00:00:00.000"
"""The end of the ARN of a table's stream: when it was enabled."""

_MOST_RECENT = 256
"""How many writes of a partition are remembered before old ones are forgotten."""
_SLOW_CHANGES = 0.02
_SLOW_LAG_US = 10 * MICROSECONDS


@dataclass(frozen=True)
class IndexDescription:
    """A global secondary index.

    Attributes:
        key: the names of its key attributes, the partition key first.
        projection: which attributes it has: ALL, KEYS_ONLY or INCLUDE.
        included: those that INCLUDE names.
    """

    name: str
    key: tuple[str, ...]
    projection: str = "ALL"
    included: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableDescription:
    """What a table is like.

    Attributes:
        key: the names of its key attributes, the partition key first.
        types: those of the key attributes of the table and of its indexes.
        ttl: the attribute with the time (s) at which an item expires, if there is one.
        view: the view type of its stream; None if it has no stream.
    """

    name: str
    key: tuple[str, ...]
    types: Mapping[str, str]
    indexes: tuple[IndexDescription, ...] = ()
    ttl: str | None = None
    view: str | None = None
    region: str = "us-east-1"
    account: str = "123456789012"

    @classmethod
    def of(cls, name: str, properties: Mapping[str, Any], **place: str) -> TableDescription:
        """The description of an AWS::DynamoDB::Table, from its resolved properties.

        Args:
            place: `region` and `account`.

        Raises:
            ValueError: it has something that is not simulated.
        """
        if "LocalSecondaryIndexes" in properties:
            raise ValueError(f"table {name} has a local secondary index, which is not simulated")
        ttl = properties.get("TimeToLiveSpecification", {})
        return cls(
            name,
            _names(properties["KeySchema"]),
            {each["AttributeName"]: each["AttributeType"] for each in properties["AttributeDefinitions"]},
            tuple(
                IndexDescription(
                    index["IndexName"],
                    _names(index["KeySchema"]),
                    index["Projection"]["ProjectionType"],
                    tuple(index["Projection"].get("NonKeyAttributes", ())),
                )
                for index in properties.get("GlobalSecondaryIndexes", ())
            ),
            ttl["AttributeName"] if str(ttl.get("Enabled", False)).lower() == "true" else None,
            properties.get("StreamSpecification", {}).get("StreamViewType"),
            **place,
        )

    @property
    def arn(self) -> str:
        return f"arn:aws:dynamodb:{self.region}:{self.account}:table/{self.name}"

    @property
    def stream_arn(self) -> str | None:
        """The ARN of its stream; None if it has none."""
        return f"{self.arn}/stream/{STREAM_LABEL}" if self.view else None


def _names(schema: Iterable[Mapping[str, str]]) -> tuple[str, ...]:
    """The names of key attributes, the partition key first."""
    return tuple(each["AttributeName"] for each in sorted(schema, key=lambda each: each["KeyType"]))


class Key(NamedTuple):
    """Where an item is: the value of its partition key, and what it is sorted by within the partition."""

    partition: Any
    sort: tuple[Any, ...]


class Row:
    """An item and its size in bytes; nobody changes them."""

    __slots__ = ("_in_json", "item", "size")

    def __init__(self, item: Item, size: int) -> None:
        self.item = item
        self.size = size
        self._in_json: Item | None = None

    @property
    def image(self) -> Item:
        """The item as it is in JSON."""
        if self._in_json is None:
            self._in_json = in_json(self.item)
        return self._in_json


@dataclass(slots=True)
class Partition:
    """The items of a partition, by what they are sorted by, and in that order."""

    rows: dict[tuple[Any, ...], Row] = field(default_factory=dict)
    order: list[tuple[Any, ...]] = field(default_factory=list)


_EMPTY = Partition()


class Rows:
    """Partitions, and what they were like until two seconds ago.

    Args:
        name: by which chance goes.
    """

    def __init__(self, seed: int, name: str) -> None:
        self.partitions: dict[Any, Partition] = {}
        self._about = f"{seed}/reads/{name}"
        self._recent: dict[Any, list[tuple[int, tuple[Any, ...], Row | None]]] = {}

    def get(self, key: Key) -> Row | None:
        """The row with a key."""
        partition = self.partitions.get(key.partition)
        return None if partition is None else partition.rows.get(key.sort)

    def put(self, now_us: int, key: Key, row: Row | None) -> None:
        """Put a row, or remove it."""
        partition = self.partitions.get(key.partition)
        if partition is None:
            partition = self.partitions[key.partition] = Partition()
        old = partition.rows.get(key.sort)
        recent = self._recent.get(key.partition)
        if recent is None or recent[-1][0] < now_us - LONGEST_LAG_US:
            recent = self._recent[key.partition] = []
        elif len(recent) >= _MOST_RECENT:
            recent[:] = [each for each in recent if each[0] >= now_us - LONGEST_LAG_US]
        recent.append((now_us, key.sort, old))
        if row is None:
            if old is not None:
                del partition.rows[key.sort]
                partition.order.remove(key.sort)
        else:
            if old is None:
                insort(partition.order, key.sort)
            partition.rows[key.sort] = row

    def partition(self, value: Any, now_us: int, *, consistent: bool) -> Partition:
        """A partition as a read sees it; one that is not consistent may see what was there before."""
        there = self.partitions.get(value, _EMPTY)
        recent = () if consistent else self._recent.get(value, ())
        if not recent or recent[-1][0] <= now_us - LONGEST_LAG_US:
            return there
        chance = fraction(f"{self._about}/{value}/{now_us}")
        if chance >= LATE_READS:
            return there
        then_us = now_us - 1000 - int((LONGEST_LAG_US - 1000) * (chance / LATE_READS) ** 3)
        rows = dict(there.rows)
        for at_us, sort, old in reversed(recent):
            if at_us <= then_us:
                break
            if old is None:
                rows.pop(sort, None)
            else:
                rows[sort] = old
        return Partition(rows, sorted(rows))

    def in_scanned_order(self) -> list[Any]:
        """The values of partition keys in an order that means nothing, as that of a scan does."""
        return sorted(self.partitions, key=place_in_scan)


def place_in_scan(partition: Any) -> float:
    """Where a scan finds a partition."""
    return fraction(f"scan/{partition}")


class Index:
    """A global secondary index, which sees each change of the table later."""

    def __init__(self, seed: int, table: TableDescription, description: IndexDescription) -> None:
        self.description = description
        self.key_names = tuple(dict.fromkeys((*description.key, *table.key)))
        self.rows = Rows(seed, f"{table.name}/{description.name}")
        self._table_key = table.key
        self._about = f"{seed}/index/{table.name}/{description.name}"
        self._kept = None if description.projection == "ALL" else {*self.key_names, *description.included}
        self._pending: list[tuple[int, int, Key, Key | None, Row | None]] = []
        self._numbers: dict[Key, int] = {}
        self._places: dict[Key, Key] = {}

    def change(self, now_us: int, number: int, key: Key, old: Row | None, new: Row | None) -> None:
        """A change of the table, which reaches the index later.

        Args:
            number: the how many-th change of the table it is.
        """
        was, will_be = self._entry(old), self._entry(new)
        if will_be is None and was is None:
            return
        if will_be is not None and was is not None and was.item == will_be.item:
            return
        chance = fraction(f"{self._about}/{key}/{number}")
        if chance < _SLOW_CHANGES:
            lag_us = int(_SLOW_LAG_US * chance / _SLOW_CHANGES)
        else:
            lag_us = 1000 + int(LONGEST_LAG_US * chance**6)
        place = None if will_be is None else self._place(will_be.item, key)
        heapq.heappush(self._pending, (now_us + lag_us, number, key, place, will_be))

    def settle(self, now_us: int) -> None:
        """Take over the changes that have reached the index by now; a later change of an item wins."""
        while self._pending and self._pending[0][0] <= now_us:
            at_us, number, key, place, row = heapq.heappop(self._pending)
            if number < self._numbers.get(key, 0):
                continue
            self._numbers[key] = number
            before = self._places.pop(key, None)
            if before is not None and before != place:
                self.rows.put(at_us, before, None)
            if place is not None:
                self.rows.put(at_us, place, row)
                self._places[key] = place

    def place(self, item: Item) -> Key:
        """Where an item is in the index; items with the same key of the index are in the order of the table's."""
        of_table = tuple([plain(item[name]) for name in self._table_key])
        return self._place(item, Key(of_table[0], of_table[1:]))

    def _place(self, item: Item, key: Key) -> Key:
        partition, *sort = (plain(item[name]) for name in self.description.key)
        return Key(partition, (*sort, key.partition, *key.sort))

    def _entry(self, row: Row | None) -> Row | None:
        """What the index has of an item; None if it has not all of the key attributes."""
        if row is None or not all(name in row.item for name in self.description.key):
            return None
        if self._kept is None:
            return row
        return Row(*kept_item({name: value for name, value in row.item.items() if name in self._kept}))


@functools.lru_cache(maxsize=256)
def _reader(
    key_types: tuple[tuple[str, str], ...],
    of_indexes: frozenset[str],
    read: tuple[str, ...],
    types: tuple[tuple[str, str], ...],
) -> Reader:
    """What reads the requests to tables with such keys; histories share it, and what it has read."""
    return Reader(TableKeys(dict(key_types), of_indexes, read), dict(types))


class Table:
    """A table: its items, indexes and stream, and the requests that it has read."""

    def __init__(self, seed: int, description: TableDescription, stream: Stream | None) -> None:
        self.description = description
        self.name = description.name
        self.key_names = description.key
        self.rows = Rows(seed, description.name)
        self.indexes = {index.name: Index(seed, description, index) for index in description.indexes}
        self.stream = stream
        self.changes = 0
        self._recorded: dict[Key, tuple[Item, int, int]] = {}
        self._of_indexes = frozenset(name for index in description.indexes for name in index.key)
        self._readers: dict[str | None, Reader] = {}

    @cached_property
    def key_types(self) -> dict[str, str]:
        """The types of the table's own key attributes."""
        return {name: self.description.types[name] for name in self.key_names}

    def reader(self, index: str | None = None) -> Reader:
        """What reads the expressions of requests to the table or to one of its indexes."""
        found = self._readers.get(index)
        if found is None:
            read = self.key_names if index is None else self.indexes[index].description.key
            found = self._readers[index] = _reader(
                tuple(self.key_types.items()), self._of_indexes, read, tuple(self.description.types.items())
            )
        return found

    def place(self, item: Item) -> Key:
        """Where an item, or the item of a key, is."""
        names = self.key_names
        if len(names) == 1:
            return Key(plain(item[names[0]]), ())
        return Key(plain(item[names[0]]), (plain(item[names[1]]),))

    def write(self, now_us: int, key: Key, row: Row | None, identity: dict[str, str] | None = None) -> bool:
        """Put a row, or remove it; False if nothing changes by that.

        Args:
            identity: who does it, if it is not a caller.
        """
        old = self.rows.get(key)
        if old is None:
            if row is None:
                return False
        elif row is not None and row.item == old.item:
            return False
        self.changes += 1
        self.rows.put(now_us, key, row)
        for index in self.indexes.values():
            index.change(now_us, self.changes, key, old, row)
        if self.stream is not None:
            self._record(key, old, row, identity)
        return True

    def _record(self, key: Key, old: Row | None, new: Row | None, identity: dict[str, str] | None) -> None:
        assert self.stream is not None
        there = new or old
        assert there is not None
        known = self._recorded.get(key)
        if known is None:
            keys, size = kept_item({name: there.item[name] for name in self.key_names})
            known = in_json(keys), size, 0
        keys, size, changes = known
        self._recorded[key] = keys, size, changes + 1
        images = (None if old is None else old.image, None if new is None else new.image)
        sizes = (size, 0 if old is None else old.size, 0 if new is None else new.size)
        self.stream.append(key.partition, keys, f"{key.partition}/{key.sort}/{changes}", images, sizes, identity)
