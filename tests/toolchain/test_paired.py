"""Figures of two states that take turns: what the benchmarks say of them."""

import random
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def compared(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from paired import compared

    yield compared
    sys.modules.pop("paired")


def test_what_drifts_is_in_both_of_a_pair(compared):
    before = [100.0, 150.0, 300.0, 80.0, 200.0, 90.0, 120.0, 60.0]
    assert compared(before, [each * 1.2 for each in before]) == pytest.approx((1.2, 1.2, 1.2))


def test_a_few_pairs_that_something_disturbed_hardly_count(compared):
    before, after = [100.0] * 20, [103.0] * 18 + [900.0, 5.0]
    ratio, low, high = compared(before, after)
    assert ratio == pytest.approx(1.03)
    assert low == high == pytest.approx(1.03)


def test_the_true_ratio_is_within_the_bounds_in_19_of_20_runs(compared):
    chance, within = random.Random(1), 0
    for _ in range(400):
        drift = [chance.uniform(50, 150) for _ in range(20)]
        before = [each * chance.lognormvariate(0, 0.08) for each in drift]
        after = [each * 1.05 * chance.lognormvariate(0, 0.08) for each in drift]
        _, low, high = compared(before, after)
        within += low <= 1.05 <= high
    assert 0.93 < within / 400 < 0.98


def test_of_few_pairs_the_bounds_are_all_that_was_seen(compared):
    ratio, low, high = compared([100.0, 100.0, 100.0], [90.0, 100.0, 120.0])
    assert low == pytest.approx(0.9)
    assert high == pytest.approx(1.2)
    assert low < ratio < high
