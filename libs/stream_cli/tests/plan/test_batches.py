"""The formulas of batches and waits against what queueing theory says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_cli.plan.batches import SHORTEST_POLL, Lane, batch_of, done_of, waits_of


def lane(
    batch_size: int = 1, window: float = 0.0, poll: float = SHORTEST_POLL, fixed: float = 0.01, record: float = 0.0
) -> Lane:
    return Lane(*(np.array(float(each)) for each in (batch_size, window, poll, fixed, record)))


@pytest.mark.parametrize("load", [0.1, 0.3, 0.5, 0.7, 0.9, 0.98])
def test_a_lane_with_batches_of_one_is_m_d_1(load: float) -> None:
    service, rate = 1.0, np.array(load)
    each = lane(fixed=service)
    waits = waits_of(each, rate, batch_of(each, rate))
    pollaczek_khinchine = load * service / (2 * (1 - load))
    assert float(waits.turn) == pytest.approx(pollaczek_khinchine, rel=0.01)


def test_a_window_that_is_never_full_is_waited_for_by_its_first_record() -> None:
    each, rate = lane(batch_size=100, window=5.0), np.array(0.001)
    waits = waits_of(each, rate, batch_of(each, rate))
    assert float(waits.window) == pytest.approx(5.0, rel=0.01)


def test_a_full_batch_is_waited_for_until_it_is_full() -> None:
    each, rate = lane(batch_size=100, window=300.0), np.array(10.0)
    assert float(batch_of(each, rate)) == pytest.approx(100)
    assert float(waits_of(each, rate, batch_of(each, rate)).window) == pytest.approx(99 / 10 / 2, rel=0.01)


def test_a_poll_is_waited_for_by_half_of_it() -> None:
    each, rate = lane(batch_size=100, poll=1.0), np.array(5.0)
    assert float(waits_of(each, rate, batch_of(each, rate)).poll) == 0.5
    assert float(batch_of(each, rate)) == pytest.approx(5 / (1 - np.exp(-5)), rel=1e-3)


@settings(deadline=None)
@given(
    rate=st.floats(0.001, 5_000),
    batch_size=st.integers(1, 500),
    window=st.sampled_from([0.0, 0.5, 1.0, 5.0, 300.0]),
    poll=st.sampled_from([SHORTEST_POLL, 0.03, 1.0]),
    fixed=st.floats(0.001, 1.0),
    record=st.floats(0.0, 0.1),
)
def test_batches_are_between_one_and_full_and_waits_are_finite(
    rate: float, batch_size: int, window: float, poll: float, fixed: float, record: float
) -> None:
    each = lane(batch_size, window, poll, fixed, record)
    batch = batch_of(each, np.array(rate))
    waits = waits_of(each, np.array(rate), batch)
    assert 1 - 1e-6 <= float(batch) <= batch_size + 1e-6
    assert 0 <= float(waits.first) <= 1
    for part in (waits.poll, waits.window, waits.turn, waits.service, waits.oldest):
        assert np.isfinite(part)
        assert part >= 0
    assert waits.window <= window + 1e-9


def test_an_attempt_finishes_what_is_before_the_first_failure() -> None:
    chance, tried = np.random.default_rng(1), 100_000
    first = np.minimum(chance.geometric(0.02, tried) - 1, 50)
    assert done_of(50, 0.02, partial=True) == pytest.approx(first.mean(), rel=0.01)
    assert done_of(50, 0.02, partial=False) == pytest.approx(50 * (first == 50).mean(), rel=0.02)
    assert done_of(50, 0.0, partial=True) == 50
