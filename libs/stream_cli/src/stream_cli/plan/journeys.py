"""How long it takes from an event to another one that follows from it: the steps between them, and their delays."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from stream_cli.plan.arrangement import Arrangement
from stream_cli.plan.model import JourneyOutcome, Series, figures

SAMPLES = 50_000


class Hop(Protocol):
    """A mapping's part in a journey: from a record in its stream until it is done."""

    def mean_s(self) -> Series:
        """The mean delay of records that arrive in each second, shape `(T,)`."""

    def sampled(self, seconds: npt.NDArray[np.int64], chance: np.random.Generator) -> Series:
        """A delay for each of these seconds."""


@dataclass(frozen=True)
class Step:
    """A step of a journey.

    Attributes:
        mapping: its name; None for a direct invocation.
        before_s: from when the record is made until it is in the stream, or the function is invoked.
        own_s: how long a direct invocation takes.
    """

    label: str
    mapping: str | None
    before_s: float
    own_s: float = 0.0


def steps_of(given: Arrangement, begin: str, end: str) -> tuple[Step, ...] | None:
    """The shortest way from one kind to another; None if there is none."""
    if begin not in given.index or end not in given.index:
        return None
    seen = {begin}
    waiting: deque[tuple[str, tuple[Step, ...]]] = deque([(begin, ())])
    while waiting:
        kind, steps = waiting.popleft()
        for step, made in _next(given, kind):
            if made == end:
                return (*steps, step)
            if made not in seen:
                seen.add(made)
                waiting.append((made, (*steps, step)))
    return None


def _next(given: Arrangement, kind: str) -> list[tuple[Step, str]]:
    found: list[tuple[Step, str]] = []
    k, limits = given.index[kind], given.limits
    on_bus = given.kinds[k].place == "bus"
    for d, (function, of) in enumerate(given.direct):
        if of == kind:
            before = limits.bus_s if on_bus else 0.0
            step = Step(function, None, before, given.duration_s(function, {kind: 1.0}))
            found += [(step, each.name) for j, each in enumerate(given.kinds) if given.direct_makes[d, j]]
    for m, mapping in enumerate(given.mappings):
        if given.kept[m, k]:
            before = limits.bus_s if on_bus else limits.table_stream_s
            before += limits.fan_out_s if mapping.fan_out else 0.0
            step = Step(mapping.function, mapping.name, before)
            found += [(step, each.name) for j, each in enumerate(given.kinds) if given.makes[m, k, j]]
    return found


def journeys_of(
    given: Arrangement, volume: npt.NDArray[np.float64], hops: AnyMapping[str, Hop]
) -> dict[str, JourneyOutcome]:
    """All journeys of the times whose events there are."""
    found = {}
    for journey in given.times.journeys:
        steps = steps_of(given, journey.begin, journey.end)
        if steps is not None and volume[:, given.index[journey.begin]].any():
            found[journey.name] = _journey(volume[:, given.index[journey.begin]], steps, hops)
    return found


def _journey(begins: Series, steps: tuple[Step, ...], hops: AnyMapping[str, Hop]) -> JourneyOutcome:
    seconds, chance = len(begins), np.random.default_rng(1)
    at = np.arange(seconds, dtype=float)
    began = chance.choice(seconds, size=SAMPLES, p=begins / begins.sum())
    drawn = began + chance.random(SAMPLES)
    start = drawn.copy()
    for step in steps:
        at = at + step.before_s + step.own_s
        drawn = drawn + step.before_s + step.own_s
        if step.mapping is not None:
            hop = hops[step.mapping]
            at = at + np.interp(at, np.arange(seconds), hop.mean_s())
            drawn = drawn + hop.sampled(np.minimum(drawn.astype(np.int64), seconds - 1), chance)
    mean = np.where(begins > 0, at - np.arange(seconds), np.nan)
    return JourneyOutcome(tuple(step.label for step in steps), mean, figures(drawn - start))
