"""Capacity units of tables, from what functions write and read for a record.

A write unit is 1 KiB, a read unit 4 KiB read consistently; a transaction takes twice the units, a read that may be
stale half (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html).
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

import numpy as np
import numpy.typing as npt

from stream_cli.plan.arrangement import Arrangement
from stream_cli.plan.hot_keys import hottest_share
from stream_cli.plan.model import Change, Index, Read, Work
from stream_cli.plan.ways import Kind

Matrix = npt.NDArray[np.float64]
INDEX_KEYS_BYTES = 100
"""Size of an item in an index that has keys only."""


def write_units(given: Arrangement, table: str) -> Matrix:
    """Write units of a table, without its indexes, for a record that a mapping has done; shape `(M, K)`."""
    return by_mapping(given, lambda work, kind: sum(_writes(each) for each in work.changes if each.table == table))


def hot_units(given: Arrangement, table: str) -> Matrix:
    """Those of them that go to the table's hottest key; shape `(M, K)`."""

    def hot(work: Work, kind: Kind) -> float:
        return sum(_writes(each) * _hottest(each, kind) for each in work.changes if each.table == table)

    return by_mapping(given, hot)


def by_mapping(given: Arrangement, amount: Callable[[Work, Kind], float]) -> Matrix:
    """An amount for a record that a mapping has done; shape `(M, K)`."""
    found = np.zeros((len(given.mappings), len(given.kinds)))
    for m, mapping in enumerate(given.mappings):
        for k, kind in enumerate(given.kinds):
            if given.kept[m, k]:
                found[m, k] = amount(given.work(mapping.function, kind.name), kind)
    return found


def by_request(given: Arrangement, amount: Callable[[Work, Kind], float]) -> npt.NDArray[np.float64]:
    """The same for a direct invocation; shape `(D,)`."""
    return np.array([amount(given.work(f, k), given.kinds[given.index[k]]) for f, k in given.direct])


def writes_of(work: Work, table: str) -> float:
    """Write units of a table for a record."""
    return sum(_writes(each) for each in work.changes if each.table == table)


def hot_writes_of(work: Work, kind: Kind, table: str) -> float:
    """Those of its hottest key."""
    return sum(_writes(each) * _hottest(each, kind) for each in work.changes if each.table == table)


def index_writes_of(work: Work, table: str, indexes: tuple[Index, ...]) -> float:
    """Write units of a table's indexes for a record."""
    small = {index.name for index in indexes if index.projection == "KEYS_ONLY"}
    return sum(
        each.factor * max(1, ceil((min(each.bytes, INDEX_KEYS_BYTES) if index in small else each.bytes) / 1024))
        for each in work.changes
        if each.table == table
        for index in each.indexes
    )


def reads_of(work: Work, table: str) -> float:
    """Read units of a table for a record."""
    return sum(_reads(each) for each in work.reads if each.table == table)


def stored_of(work: Work, table: str) -> float:
    """Bytes of the items that are written for a record."""
    return sum(each.factor * each.bytes for each in work.changes if each.table == table and each.streamed)


def _writes(change: Change) -> float:
    return change.factor * max(1, ceil(change.bytes / 1024)) * (2 if change.transaction else 1)


def _reads(read: Read) -> float:
    return read.factor * max(1, ceil(read.bytes / 4096)) * (1.0 if read.consistent else 0.5)


def _hottest(change: Change, kind: Kind) -> float:
    return {"one": 1.0, "own": 0.0, "same": hottest_share(kind.keys, kind.skew)}[change.key]
