"""Figures of one thing in two states that take turns: how much more it is in the second, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement
from math import exp, log, sqrt
from statistics import median
from typing import NamedTuple

_SURE = 1.96
"""Standard deviations that are exceeded in one of twenty runs."""


class Compared(NamedTuple):
    """How many times as much, and between which values the true ratio is in 19 of 20 runs."""

    ratio: float
    low: float
    high: float


def compared(before: Sequence[float], after: Sequence[float]) -> Compared:
    """Compare what was measured pair by pair: what drifts slowly is in both of a pair.

    The ratio is the estimate of Hodges and Lehmann, the median of the means of all pairs of ratios; its bounds are
    those of Wilcoxon's signed-rank test. A few pairs that something has disturbed hardly move it.
    """
    ratios = [log(later / earlier) for earlier, later in zip(before, after, strict=True)]
    means = sorted((one + other) / 2 for one, other in combinations_with_replacement(ratios, 2))
    pairs = len(ratios)
    spread = sqrt(pairs * (pairs + 1) * (2 * pairs + 1) / 24)
    place = max(0, int(len(means) / 2 - _SURE * spread))
    return Compared(exp(median(means)), exp(means[place]), exp(means[-1 - place]))
