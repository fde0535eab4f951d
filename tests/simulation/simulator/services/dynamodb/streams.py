"""The stream of a table: a record for each change of an item, in shards that end after hours.

Sources: DynamoDB developer guide, "Change data capture for DynamoDB Streams" (records of an item come in order and
once, and stay for 24 hours; shards are closed and have children) and DynamoDB Streams API reference, "GetRecords".
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from simulator.chance import fraction
from simulator.kernel import MICROSECONDS, Kernel
from simulator.services.dynamodb.values import Item

KEPT_US = 24 * 3600 * MICROSECONDS
LIFETIME_US = 4 * 3600 * MICROSECONDS
"""About how long a shard is open; the guide gives no time, in practice it is four hours."""
SPLITS = 0.15
"""How many of the shards that end have two children."""
TTL = {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}
"""The userIdentity of a record of an item that TTL removed (developer guide, "DynamoDB Streams and Time to Live")."""

_HASHES = 2**64
_FIRST = 10**24 - 30
"""Sequence numbers get longer, and sort as numbers only (API reference, "StreamRecord": 21 to 40 digits)."""


class Page(NamedTuple):
    """Records of a shard, and whether it is closed and has none behind them."""

    records: list[dict[str, Any]]
    closed: bool


class Shard:
    """A part of a stream: the items whose partition keys have hashes from `low` to before `high`.

    Attributes:
        id: its name.
        parent: the id of the shard that it continues, or None.
        first: the sequence number with which it begins.
        last: the one with which it ends; None while it is open.
        ends_us: when it will be closed.
    """

    def __init__(self, number: int, parent: str | None, first: int, low: int, high: int, ends_us: int) -> None:
        self.id = f"shardId-{number:020}-{first % 2**32:08x}"
        self.parent = parent
        self.first = str(first)
        self.last: str | None = None
        self.low, self.high = low, high
        self.ends_us = ends_us
        self.closed_us = 0
        self.records: list[dict[str, Any]] = []
        self.numbers: list[int] = []
        self.times: list[int] = []

    def forget(self, until_us: int) -> None:
        """Drop the records that came before a time."""
        old = bisect_right(self.times, until_us)
        if old:
            del self.records[:old], self.numbers[:old], self.times[:old]


class Stream:
    """The stream of a table.

    Args:
        arn: its ARN.
        view: the images that its records have, NEW_AND_OLD_IMAGES, NEW_IMAGE, OLD_IMAGE or KEYS_ONLY.
        region: that of the table.

    Attributes:
        on_change: called with the id of a shard that has got a record, has been closed, or is new.
    """

    def __init__(self, kernel: Kernel, seed: int, arn: str, view: str, region: str) -> None:
        self.arn = arn
        self.view = view
        self.on_change: list[Callable[[str], None]] = []
        self._kernel = kernel
        self._seed = seed
        self._region = region
        self._sequence = _FIRST
        self._shards: list[Shard] = []
        self._by_id: dict[str, Shard] = {}
        self._hashes: dict[Any, int] = {}
        number = 2 + int(3 * fraction(f"{seed}/{arn}/shards"))
        for place in range(number):
            # It has been there for long: the first shards end at any time.
            left = fraction(f"{seed}/{arn}/{place}/left")
            self._open(None, place * _HASHES // number, (place + 1) * _HASHES // number, int(LIFETIME_US * left))

    def shards(self) -> tuple[Shard, ...]:
        """The shards that have or may get records, in the order in which they began."""
        before = self._kernel.now_us - KEPT_US
        gone = [shard for shard in self._shards if shard.last is not None and shard.closed_us < before]
        for shard in gone:
            self._shards.remove(shard)
            del self._by_id[shard.id]
        return tuple(self._shards)

    def read(self, shard_id: str, after: str | None = None, limit: int = 1000) -> Page:
        """The records of a shard behind a sequence number, oldest first.

        Raises:
            KeyError: there is no such shard any more.
        """
        shard = self._by_id[shard_id]
        shard.forget(self._kernel.now_us - KEPT_US)
        start = 0 if after is None else bisect_right(shard.numbers, int(after))
        records = shard.records[start : start + limit]
        return Page(records, closed=shard.last is not None and start + limit >= len(shard.records))

    def latest(self, shard_id: str) -> str:
        """The sequence number behind which a reader of a shard begins that wants no record that is there now."""
        shard = self._by_id[shard_id]
        return str(shard.numbers[-1]) if shard.numbers else shard.first

    def roll(self) -> None:
        """Close all open shards, and open their children."""
        for shard in [each for each in self._shards if each.last is None]:
            self._close(shard)

    def append(
        self,
        partition: Any,
        keys: Item,
        about: str,
        images: tuple[Item | None, Item | None],
        sizes: Sequence[int],
        identity: dict[str, str] | None = None,
    ) -> None:
        """Make the record of a change.

        Args:
            partition: the partition key's value.
            keys: the item's key.
            about: a text that no other change of the table has.
            images: the item before and after, as in JSON.
            sizes: of the key and both images, in bytes.
            identity: who made it, if it was not a caller.
        """
        shard = self._shard(partition)
        old, new = images
        self._sequence += 1
        number = str(self._sequence)
        content: dict[str, Any] = {
            "ApproximateCreationDateTime": self._kernel.now_us // MICROSECONDS,
            "Keys": keys,
            "SequenceNumber": number,
            "StreamViewType": self.view,
        }
        size, old_size, new_size = sizes
        if new is not None and self.view in ("NEW_AND_OLD_IMAGES", "NEW_IMAGE"):
            content["NewImage"] = new
            size += new_size
        if old is not None and self.view in ("NEW_AND_OLD_IMAGES", "OLD_IMAGE"):
            content["OldImage"] = old
            size += old_size
        content["SizeBytes"] = size
        record = {
            "eventID": hashlib.md5(f"{self._seed}/{self.arn}/{about}".encode()).hexdigest(),
            "eventName": "INSERT" if old is None else "REMOVE" if new is None else "MODIFY",
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": self._region,
            "dynamodb": content,
        }
        if identity is not None:
            record["userIdentity"] = identity
        shard.records.append(record)
        shard.numbers.append(self._sequence)
        shard.times.append(self._kernel.now_us)
        self._tell(shard)

    def _shard(self, partition: Any) -> Shard:
        """The open shard of an item; one whose time is over is closed before, and its children open."""
        place = self._hashes.get(partition)
        if place is None:
            text = f"{self.arn}/{partition}".encode()
            place = self._hashes[partition] = int.from_bytes(hashlib.md5(text).digest()[:8], "big")
        while True:
            for shard in reversed(self._shards):
                if shard.low <= place < shard.high:
                    break
            if shard.ends_us > self._kernel.now_us:
                return shard
            self._close(shard)

    def _close(self, shard: Shard) -> None:
        self._sequence += 1
        shard.last = str(shard.numbers[-1]) if shard.numbers else shard.first
        shard.closed_us = self._kernel.now_us
        chance = fraction(f"{self._seed}/{self.arn}/{shard.id}")
        middle = (shard.low + shard.high) // 2
        bounds = [shard.low, middle, shard.high] if chance < SPLITS else [shard.low, shard.high]
        children = [
            self._open(shard.id, low, high, int(LIFETIME_US * (0.75 + chance / 2))) for low, high in pairwise(bounds)
        ]
        for each in (shard, *children):
            self._tell(each)

    def _open(self, parent: str | None, low: int, high: int, lifetime_us: int) -> Shard:
        self._sequence += 1
        shard = Shard(len(self._by_id), parent, self._sequence, low, high, self._kernel.now_us + lifetime_us)
        self._shards.append(shard)
        self._by_id[shard.id] = shard
        return shard

    def _tell(self, shard: Shard) -> None:
        for listener in self.on_change:
            listener(shard.id)
