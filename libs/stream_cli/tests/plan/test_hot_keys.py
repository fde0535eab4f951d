"""Keys over shards, as Kinesis and the mapping engine spread them."""

import hashlib

import numpy as np
import pytest
from stream_cli.plan.hot_keys import COUNTED, hottest_share, key_of, key_shares, lane_of, lane_shares, shard_of
from stream_cli.plan.slots import grouped


@pytest.mark.parametrize("skew", [0.0, 0.5, 1.0, 1.5])
def test_shares_of_lanes_are_everything(skew: float) -> None:
    assert lane_shares(50_000, skew, 7, 3).sum() == pytest.approx(1)


def test_own_keys_are_spread_evenly() -> None:
    assert lane_shares(0, 0.0, 4, 2) == pytest.approx(np.full((4, 2), 1 / 8))
    assert hottest_share(0, 1.0) == 0


def test_one_key_is_in_one_lane() -> None:
    shares = lane_shares(1, 0.0, 5, 4)
    assert shares.max() == 1
    assert shares[shard_of(key_of(1), 5), lane_of(key_of(1), 4)] == 1


def test_a_shard_has_the_hashes_of_its_range() -> None:
    hashed = int(hashlib.md5(b"key-17", usedforsecurity=False).hexdigest(), 16)
    assert shard_of("key-17", 10) == hashed * 10 // 2**128


def test_the_most_frequent_key_of_zipfs_law() -> None:
    assert hottest_share(1_000, 1.0) == pytest.approx(1 / sum(1 / k for k in range(1, 1_001)))
    assert key_shares(1_000, 0.0) == pytest.approx(np.full(1_000, 1 / 1_000))


def test_keys_behind_those_that_are_counted_have_their_share() -> None:
    keys = 3 * COUNTED
    exact = 1 / float((np.arange(1, keys + 1) ** -0.8).sum())
    assert hottest_share(keys, 0.8) == pytest.approx(exact, rel=1e-6)


def test_groups_do_not_depend_on_the_order_of_shards() -> None:
    shares = lane_shares(1_000, 1.0, 16, 1).reshape(16, 1)
    there, mixed = (grouped(each, np.ones(1), 1) for each in (shares, np.random.default_rng(1).permutation(shares)))
    assert there.share == pytest.approx(mixed.share)
    assert (there.count == mixed.count).all()
    assert there.share[0, 0] == shares.max()
    assert (there.share[:, 0] @ there.count) == pytest.approx(1)
