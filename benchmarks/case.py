"""A benchmark case: variants that do the same work, and floors for their figures.

The processes of the variants import this too, in the environment of the peers as well: standard library only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal

Figures = Mapping[str, float]
"""The figures of one measurement; times in seconds are ``cpu_s`` and ``wall_s``."""

Results = Mapping[str, Figures]
"""Figures by the name of the variant."""

OURS = "stream_runtime"
HAND_WRITTEN = "hand-written"
PEER = "aws-lambda-stream"
ORIGINAL = "JavaScript original, warm"


@dataclass(frozen=True)
class Variant:
    """One way to do the work of a case.

    Attributes:
        name: its name in tables.
        prepare: called once in a process of its own; returns the function to measure. That function may return more
            figures, or the response of a handler.
        repeat: how often the work is done in a round; the best time counts.
        python: the environment that it runs in: ours or that of the peers.
        javascript: whether it needs the JavaScript peers, which Node.js then finds by NODE_PATH.
    """

    name: str
    prepare: Callable[[], Callable[[], object]]
    repeat: int = 1
    python: Literal["own", "peers"] = "own"
    javascript: bool = False


@dataclass(frozen=True)
class Floor:
    """A figure and its limit.

    Attributes:
        text: what the figure compares.
        value: computes it from the results of a round.
        at_least: the floor, where more is better.
        at_most: the floor, where less is better.
        unit: printed after the figure.
    """

    text: str
    value: Callable[[Results], float]
    at_least: float | None = None
    at_most: float | None = None
    unit: str = "×"

    def holds(self, value: float) -> bool:
        """Whether a value keeps the limit; without a limit any value does."""
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)

    def limit(self) -> str:
        if self.at_least is not None:
            return f"≥ {self.at_least:g} {self.unit}"
        return f"≤ {self.at_most:g} {self.unit}" if self.at_most is not None else "-"


def no_surroundings() -> AbstractContextManager[Mapping[str, str]]:
    """For cases that need no service beside the variants."""
    return contextlib.nullcontext({})


@dataclass(frozen=True)
class Case:
    """Work, the variants that do it, and floors for their figures.

    Attributes:
        name: what ``--case`` takes.
        title: the work, in one line.
        rounds: how often the variants take turns.
        fresh: start a new process for each round, for work that happens once in a process.
        surroundings: runs a service beside the variants, and returns environment variables for them.
        remark: a line below the table, made from the best round of each variant.
    """

    name: str
    title: str
    variants: tuple[Variant, ...]
    floors: tuple[Floor, ...]
    rounds: int = 5
    fresh: bool = False
    surroundings: Callable[[], AbstractContextManager[Mapping[str, str]]] = field(default=no_surroundings)
    remark: Callable[[Results], str] | None = None


def quicker(figure: str, than: str, variant: str = OURS) -> Callable[[Results], float]:
    """How many times as fast a variant is as another."""
    return lambda results: results[than][figure] / results[variant][figure]


def slower(figure: str, than: str, variant: str = OURS) -> Callable[[Results], float]:
    """How many times as long a variant takes as another."""
    return lambda results: results[variant][figure] / results[than][figure]


def figure(name: str, variant: str = OURS) -> Callable[[Results], float]:
    return lambda results: results[variant][name]
