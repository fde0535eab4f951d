"""Histories of the whole system: whatever fails, the promises hold when all has come to rest."""

import pytest
from simulator.generator import generate
from simulator.histories import History, shrink
from simulator.story import failure_of, smallest, told

HISTORIES = 300
EACH = 15


@pytest.mark.parametrize("first", range(0, HISTORIES, EACH))
def test_the_promises_hold_in_every_history(first: int) -> None:
    for seed in range(first, first + EACH):
        failure = failure_of(generate(seed))
        if failure is not None:
            pytest.fail(told(smallest(failure)), pytrace=False)


@pytest.mark.parametrize("seed", range(40))
def test_a_history_is_made_again_from_its_text(seed: int) -> None:
    history = generate(seed)
    assert generate(seed) == history
    assert History.from_json(history.to_json()) == history


def test_a_history_is_shrunk_to_what_matters() -> None:
    history = next(each for each in map(generate, range(1_000)) if len(each.steps) > 8 and len(each.troubles) > 2)
    wanted, trouble = history.steps[3], history.troubles[1]
    smaller = shrink(history, lambda each: wanted in each.steps and trouble in each.troubles)
    assert (smaller.steps, smaller.troubles) == ((wanted,), (trouble,))
