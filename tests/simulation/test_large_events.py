"""Histories with events that are too large for the bus: their bodies are kept as long as somebody needs them.

They have no denied calls: where S3 denies an object, which is also what it says of one that is missing, the record is
poison by design, and has a fault. Those of the theme have no troubles but its own.
"""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from sabotages.templates import without_lifecycle
from simulator.generator import generate, of_everything, of_large_events
from simulator.histories import History, begin, default_deployment, play
from simulator.promises import Broken, check
from simulator.story import failure_of, told


def large(seed: int) -> History:
    """A history of the theme: of each seed with the same trouble, and a process that is killed now and then."""
    steps, troubles = of_large_events(random.Random(f"{seed}/large"))
    killed = tuple(each for each in generate(seed).steps if each.do == "kill")
    return History(seed, tuple(sorted((*steps, *killed), key=lambda step: step.at_s)), tuple(troubles))


@pytest.mark.parametrize("seed", range(8))
def test_the_promises_hold_with_large_events(seed: int) -> None:
    failure = failure_of(large(seed))
    if failure is not None:
        pytest.fail(told(failure), pytrace=False)


def test_some_generated_histories_have_large_events() -> None:
    """None of which a call may be denied, none of one theme."""
    sizes = [[step.how["bytes"] for step in generate(seed).steps if "bytes" in step.how] for seed in range(300)]
    assert sum(map(bool, sizes)) > 20
    assert not any("bytes" in step.how for seed in range(100) for step in generate(seed, of_everything).steps)


def test_a_body_that_stays_is_noticed() -> None:
    history = replace(large(0), troubles=())
    played = play(begin(history, without_lifecycle("-claims-")(default_deployment())))

    with pytest.raises(Broken, match="has bodies that nobody needs any more"):
        check(played)


def test_a_body_that_nobody_copies_is_noticed() -> None:
    """The promise is one: without the lake's copy it does not hold."""
    history = replace(large(0), troubles=())
    played = play(begin(history))
    check(played)
    lake = next(name for name in played.world.deployment.buckets if name.startswith("event-lake-s3-"))
    for key in played.world.s3.objects(lake, "claims/"):
        played.world.s3.DeleteObject({"Bucket": lake, "Key": key})

    with pytest.raises(Broken, match="has no copy in the lake"):
        check(played)
