"""Lanes and shards in a few groups, so that a second is a few operations on small arrays, however many there are.

The hottest lane (or shard) stands alone; the others are in groups of those with about the same load.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stream_cli.plan.hot_keys import lane_shares
from stream_cli.plan.model import Series
from stream_cli.plan.ways import Kind

SLOTS = 4
_ENDS = (0.1, 0.4)
"""Where groups end, as shares of all but the hottest."""

Table = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Slots:
    """The lanes of a mapping, or the shards of a stream, in groups.

    Attributes:
        count: how many are in each group, shape `(SLOTS,)`; 0 for an empty group.
        share: of the records of each kind that *one* member gets, shape `(SLOTS, kinds)`.
        shards: the numbers of the shards of each group's members.
    """

    count: Series
    share: Table
    shards: tuple[npt.NDArray[np.int64], ...]


def slots_of(kinds: Sequence[Kind | None], rates: Series, shards: int, lanes: int) -> Slots:
    """Groups of all lanes of all shards.

    Args:
        kinds: those of the source, with None for kinds that do not concern it.
        rates: how much of each kind there is, by which the lanes are ordered.
    """
    shares = np.zeros((shards * lanes, len(kinds)))
    for number, kind in enumerate(kinds):
        if kind is not None:
            shares[:, number] = lane_shares(kind.keys, kind.skew, shards, lanes).ravel()
    weights = np.array([rate if kind is not None else 0.0 for kind, rate in zip(kinds, rates, strict=True)])
    return grouped(shares, weights, lanes)


def grouped(shares: Table, weights: Series, lanes: int) -> Slots:
    """Groups of lanes with shares of each kind, shape `(shards * lanes, kinds)`, by how much they get in all."""
    order = np.argsort(-(shares @ weights), kind="stable")
    behind = len(order) - 1
    ends = [0, 1, *(1 + int(np.ceil(behind * end)) for end in _ENDS), len(order)]
    members = [order[begin:end] for begin, end in itertools.pairwise(ends)]
    share = np.stack([shares[each].mean(axis=0) if len(each) else np.zeros(len(weights)) for each in members])
    return Slots(np.array([float(len(each)) for each in members]), share, tuple(each // lanes for each in members))


def membership(lanes: Slots, shards: Slots, of: int) -> Table:
    """The share of each group of lanes that is in each group of shards, shape `(SLOTS, SLOTS)`; of `of` shards."""
    slot = np.zeros(of, dtype=np.int64)
    for number, members in enumerate(shards.shards):
        slot[members] = number
    found = np.zeros((SLOTS, SLOTS))
    for number, members in enumerate(lanes.shards):
        if len(members):
            found[number] = np.bincount(slot[members], minlength=SLOTS) / len(members)
    return found
