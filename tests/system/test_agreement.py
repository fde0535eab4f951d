"""The simulation is true: histories of its generator come out alike in it and in the deployed local cloud.

Sampled histories are played in the cloud `running` at once, turn by turn, and compared at the end of each turn.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
from simulator.agreement import PLAYABLE, Shared, calm, comes_out_in, counted_in, shared, with_spent_retries
from simulator.generator import generate, of_everything
from stream_cli.local.cloud import attach
from stream_cli.local.state import StateFolder

from tests.system.histories_for_real import LocalHistories

pytestmark = [pytest.mark.system, pytest.mark.thorough]

SAMPLE = range(30, 38)
MORE = [range(23, 30), *(range(first, first + 20) for first in range(200, 280, 20))]

ENGINE_DIES = 3
CHANCES, MOST_WAYS = 16, 4
"""Of histories with several races of several clients that come out in more ways, 1,000 chances do not show each way."""


def sample(seeds: Iterable[int]) -> list[Shared]:
    return [shared(generate(seed, of_everything)) for seed in seeds]


def histories_in(running: Any, histories: Iterable[Shared]) -> LocalHistories:
    state = StateFolder(running.state)
    return LocalHistories(state, attach(state), histories)


def test_histories_come_out_alike(running: Any) -> None:
    histories = sample(SAMPLE)
    with histories_in(running, histories) as cloud:
        assert cloud.play() == {}

    assert {step.do for each in histories for step in each.steps} >= {*PLAYABLE}
    assert {each.kind for one in histories for round_ in one.rounds for each in round_.refused} >= {"throttled"}
    assert {name for each in histories for name in each.afterwards} >= {"replay_to_view", "resubmit", "read"}


@pytest.mark.parametrize("seeds", MORE, ids=str)
def test_more_histories_come_out_alike(running: Any, seeds: range) -> None:
    histories = [each for each in sample(seeds) if comes_out_in(each, CHANCES) <= MOST_WAYS]
    assert len(histories) >= 0.75 * len(seeds)
    with histories_in(running, histories) as cloud:
        assert cloud.play() == {}


def test_events_are_published_and_faults_counted_as_often_where_nothing_fails(running: Any) -> None:
    histories = [calm(each) for each in sample(range(280, 300))]
    expected = sum(map(counted_in, histories), Counter())
    with histories_in(running, histories) as cloud:
        assert cloud.play() == {}
        assert expected
        assert cloud.counts(expected) == expected


def test_histories_come_out_alike_while_the_mapping_engine_dies(running: Any) -> None:
    """Nobody but the cloud's supervisor starts it again."""
    killed = set[int]()

    def kill_the_engine(turn: int) -> None:
        record = StateFolder(running.state).records().get("mappings")
        if record is not None and turn < ENGINE_DIES:  # it may not be back yet
            pid = int(record["child"]["pid"])
            if pid not in killed:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)

    with histories_in(running, sample(range(300, 312))) as cloud:
        assert cloud.play(kill_the_engine) == {}
    assert killed


@pytest.mark.parametrize("seed", [320, 321])
def test_what_has_spent_its_retries_comes_out_alike_when_it_is_redriven(running: Any, seed: int) -> None:
    """One history at a time: what is in a queue does not tell which one it is of."""
    with histories_in(running, [with_spent_retries(each) for each in sample([seed])]) as cloud:
        assert cloud.play() == {}
