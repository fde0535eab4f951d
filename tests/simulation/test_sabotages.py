"""Sabotages: whoever makes one of these mistakes breaks a promise, and a generated history shows it."""

import functools
import os

import pytest
from sabotages import ENGINE, RUNTIME, SABOTAGES, SERVICES, TEMPLATES, Sabotage
from simulator.generator import generate
from simulator.histories import default_deployment
from simulator.story import Failure, failure_of, told
from simulator.topology import Deployment

pytestmark = pytest.mark.packaging

THOROUGH = bool(os.environ.get("THOROUGH"))
MOST = 200 if THOROUGH else 8
"""Histories in which a mistake must show: from the first on, or from one that is known to be near."""
USUAL = [each for kind in (ENGINE, RUNTIME, SERVICES, TEMPLATES) for each in kind[::12]]
"""Of each kind every twelfth: these are played in every run, the others with `--thorough`."""
CASES = [
    pytest.param(each, id=each.name.replace(" ", "-"), marks=() if each in USUAL else pytest.mark.thorough)
    for each in SABOTAGES
]


@functools.cache
def failure_without(seed: int) -> Failure | None:
    """What the history of a seed fails with where nothing is sabotaged."""
    return failure_of(generate(seed))


@pytest.fixture(scope="module")
def deployment() -> Deployment:
    """All services at stage `prod`, everything that they need imported: no function is made after its sabotage."""
    failure = failure_without(0)
    assert failure is None, told(failure)
    return default_deployment()


def test_there_are_enough_of_them() -> None:
    assert len({each.name for each in SABOTAGES}) == len(SABOTAGES) >= 100
    assert len(USUAL) >= 10


@pytest.mark.parametrize("sabotage", CASES)
def test_a_sabotage_breaks_a_promise(sabotage: Sabotage, deployment: Deployment) -> None:
    first = 0 if THOROUGH else sabotage.seed
    with sabotage.done(deployment) as sabotaged:
        failure = next(
            filter(None, (failure_of(generate(seed), sabotaged) for seed in range(first, first + MOST))), None
        )
    assert failure is not None, sabotage.why
    kept = failure_without(failure.history.seed)
    assert kept is None, told(kept)
