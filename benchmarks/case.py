"""What a benchmark case is made of: variants that do the same work, and floors that compare them.

Imported by the children, too, also in the environment of the peers: it needs the standard library alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal

Figures = Mapping[str, float]
"""What one measurement of a variant gave; times in seconds under ``cpu_s`` and ``wall_s``."""

Results = Mapping[str, Figures]
"""The figures of every variant, by its name."""

OURS = "stream_runtime"
HAND_WRITTEN = "hand-written"
PEER = "aws-lambda-stream"


@dataclass(frozen=True)
class Variant:
    """One way to do the work of a case.

    Attributes:
        name: how it is called in tables.
        prepare: called once in a process of its own; gives the function that is measured. It may return a dict of
            figures of its own, or the response of a handler.
        repeat: how often the work is done in a round; the best counts.
        python: whether it runs in this environment or in that of the peers.
    """

    name: str
    prepare: Callable[[], Callable[[], object]]
    repeat: int = 1
    python: Literal["own", "peers"] = "own"


@dataclass(frozen=True)
class Floor:
    """A figure, and what it has to be.

    Attributes:
        text: what the figure says.
        value: computes it from the results of a round.
        at_least: the floor, where more is better.
        at_most: the floor, where less is better.
        unit: what is printed behind the figure.
    """

    text: str
    value: Callable[[Results], float]
    at_least: float | None = None
    at_most: float | None = None
    unit: str = "×"

    def holds(self, value: float) -> bool:
        """Whether a value keeps the floor; a figure without one always does."""
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)

    def limit(self) -> str:
        """The floor as text."""
        if self.at_least is not None:
            return f"≥ {self.at_least:g} {self.unit}"
        return f"≤ {self.at_most:g} {self.unit}" if self.at_most is not None else "-"


def no_surroundings() -> AbstractContextManager[Mapping[str, str]]:
    """Nothing runs beside the variants."""
    return contextlib.nullcontext({})


@dataclass(frozen=True)
class Case:
    """Work, the variants that do it, and the floors.

    Attributes:
        name: for ``--case``.
        title: one line that says what is done.
        variants: who does it.
        floors: what is asked of it.
        rounds: how often all variants are measured, one after the other.
        fresh: a new process for each round, for what happens once in a process.
        surroundings: what runs beside the variants; gives environment variables for them.
        remark: says something about the best round of each variant, below the table.
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
    """A figure of a variant as it is."""
    return lambda results: results[variant][name]
