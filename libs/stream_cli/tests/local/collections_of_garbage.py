"""What a garbage collection of the emulator goes through; `test_garbage.py` runs this in a process of its own."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest
from stream_cli.local.emulator.garbage import THRESHOLDS, Collections, collect_what_is_new

HELD = 5_000


class InCycle:
    """Refers to itself, so that only a collection ends it."""

    def __init__(self) -> None:
        self.own = self


class Clock:
    """Says that each collection takes what the test has set, in seconds."""

    def __init__(self) -> None:
        self.takes = 0.0
        self._now = 0.0
        self._begins = True

    def __call__(self) -> float:
        self._now += 0.0 if self._begins else self.takes
        self._begins = not self._begins
        return self._now


@pytest.fixture(autouse=True)
def _ordinary_collections() -> Iterator[None]:
    thresholds, callbacks = gc.get_threshold(), [*gc.callbacks]
    gc.disable()  # a full collection is one that the test asks for
    yield
    gc.callbacks[:] = callbacks
    gc.set_threshold(*thresholds)
    gc.freeze()  # again what was imported: each later collection would go through it
    gc.enable()


@pytest.fixture
def clock() -> Clock:
    """The clock of collections, the first of which was complete and took a second."""
    clock = Clock()
    gc.callbacks.append(Collections(clock))
    clock.takes = 1.0
    gc.collect()
    return clock


def looked_at() -> int:
    """How many objects the next collection goes through."""
    return len(gc.get_objects())


def test_what_is_there_at_the_start_is_passed_by() -> None:
    held = [{"item": {}} for _ in range(HELD)]
    collect_what_is_new()
    assert looked_at() < len(held) == HELD
    assert gc.get_threshold() == THRESHOLDS


def test_a_collection_costs_the_same_however_much_is_held(clock: Clock) -> None:
    clock.takes = 0.01
    held, each = [], []
    for _ in range(5):
        held.append([{"item": {}} for _ in range(HELD)])
        each.append(looked_at())
        gc.collect()
    assert max(each) - min(each) < HELD / 10
    assert gc.get_freeze_count() > len(held) * HELD


def test_a_cycle_among_new_objects_is_collected(clock: Clock) -> None:
    clock.takes = 0.01
    gone = weakref.ref(InCycle())
    assert gone() is not None
    gc.collect()
    assert gone() is None


def test_a_cycle_among_old_objects_is_collected_once_others_have_taken_as_long_as_a_complete_collection(
    clock: Clock,
) -> None:
    old = InCycle()
    gone = weakref.ref(old)
    clock.takes = 0.4
    gc.collect()
    del old
    collections = 0
    while gone() is not None:
        gc.collect()
        collections += 1
        assert collections < 10
    assert collections == 3  # 0.4, 0.8 and 1.2 s of others, then the one that is complete


def test_collections_of_young_objects_freeze_nothing(clock: Clock) -> None:
    before = gc.get_freeze_count()
    held = [{"item": {}} for _ in range(HELD)]
    gc.collect(1)
    assert (len(held), gc.get_freeze_count()) == (HELD, before)
