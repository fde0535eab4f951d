"""How keys spread load over shards, partitions and lanes.

Kinesis takes the MD5 of a partition key as a number of 128 bits, and gives each shard an even range of them
(https://docs.aws.amazon.com/streams/latest/dev/key-concepts.html). DynamoDB does not say which hash it uses; the same
is taken. Lanes within a shard are those of the mapping engine. The names of a load's keys are not known, so they are
`key-1`, `key-2`, ... by rank: which shard is hottest is an example, how hot it is is not.
"""

from __future__ import annotations

import hashlib
import zlib
from functools import cache

import numpy as np
import numpy.typing as npt

from stream_cli.plan.model import Series

HASHED = 10_000
"""So many of the most frequent keys are hashed one by one; the others are taken to be spread evenly."""

COUNTED = 1_000_000
"""So many keys are ranked one by one; the sum of the shares of those behind them is an integral."""


def key_of(rank: int) -> str:
    """The name of the key with a rank, from 1."""
    return f"key-{rank}"


def shard_of(key: str, shards: int) -> int:
    """The shard of a key, among shards with even ranges."""
    return int.from_bytes(hashlib.md5(key.encode(), usedforsecurity=False).digest()) * shards >> 128


def lane_of(key: str, lanes: int) -> int:
    """The lane of a key within its shard, as `mappings.shard` chooses it."""
    return zlib.crc32(key.encode("utf-8", "surrogatepass")) % lanes


def key_shares(keys: int, skew: float, most: int = HASHED) -> Series:
    """The shares of the `most` most frequent of `keys` keys, by Zipf's law; shape `(min(keys, most),)`."""
    if not keys:
        return np.zeros(0)
    ranks = np.arange(1, min(keys, COUNTED) + 1, dtype=np.float64) ** -skew
    total = ranks.sum()
    if keys > COUNTED:
        low, high = COUNTED + 0.5, keys + 0.5
        total += np.log(high / low) if skew == 1 else (high ** (1 - skew) - low ** (1 - skew)) / (1 - skew)
    return np.asarray(ranks[:most] / total)


def hottest_share(keys: int, skew: float) -> float:
    """The share of the most frequent key; 0 where each event has its own."""
    return float(key_shares(keys, skew, 1)[0]) if keys else 0.0


def lane_shares(keys: int, skew: float, shards: int, lanes: int = 1) -> npt.NDArray[np.float64]:
    """The share of the records that each lane of each shard gets; shape `(shards, lanes)`, sum 1."""
    shares = key_shares(keys, skew)
    rest = max(0.0, 1.0 - float(shares.sum()))
    found = np.full(shards * lanes, rest / (shards * lanes))
    if len(shares):
        places = _hashes(len(shares))
        at = np.array([(md5 * shards >> 128) * lanes + crc % lanes for md5, crc in places])
        found += np.bincount(at, weights=shares, minlength=shards * lanes)
    return found.reshape(shards, lanes)


@cache
def _hashes(most: int) -> list[tuple[int, int]]:
    names = (key_of(rank).encode() for rank in range(1, most + 1))
    return [(int.from_bytes(hashlib.md5(name, usedforsecurity=False).digest()), zlib.crc32(name)) for name in names]
