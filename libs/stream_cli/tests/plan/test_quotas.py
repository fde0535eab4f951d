"""How much of each limit a load uses; what gives first; what makes a load hold; what is worth a change."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from small_systems import LISTENER, PUBLISHED, STREAM, chain, one_mapping
from stream_cli.errors import CommandError
from stream_cli.plan.advice import advised
from stream_cli.plan.changes import changed
from stream_cli.plan.doubling import busiest, doubled, settled, warmed
from stream_cli.plan.fluid import simulate
from stream_cli.plan.load import burst, constant
from stream_cli.plan.model import AWS
from stream_cli.plan.prices import prices
from stream_cli.plan.quotas import Quotas, limits_with, uses
from stream_cli.plan.remedies import nice, remedied
from stream_cli.plan.system import Inventory

QUOTAS = Quotas()


def _uses(system, times, rate, limits=AWS, quotas=QUOTAS):
    outcome = settled(simulate(system, constant({PUBLISHED: rate}, 300), times, limits))
    return {(use.part, use.limit): use for use in uses(system, outcome, limits, quotas)}


def test_each_limit_is_used_as_much_as_the_load_asks_for():
    system, times = one_mapping(shards=2, fixed_ms=10)
    found = _uses(system, times, 500)
    assert found["the account", "put_events"].share == pytest.approx(500 / 10_000, rel=0.01)
    assert found["the account", "bus_invocations"].share == pytest.approx(500 / 18_750, rel=0.01)
    assert found[STREAM, "shard_writes"].share == pytest.approx(250 / 1_000, rel=0.01)
    assert found[STREAM, "shard_reads"].share == pytest.approx(1 / 5)
    assert not any(use.is_passed for use in found.values())


def test_a_lane_that_works_all_the_time_is_passed_although_it_does_no_more():
    system, times = one_mapping(shards=1, record_ms=10)  # 100 records/s at most
    use = _uses(system, times, 200)["listener", "lanes"]
    assert use.is_passed
    assert use.share == pytest.approx(1, abs=0.001)


def test_reserved_concurrency_that_refuses_invocations_is_passed():
    system, times = one_mapping(shards=4, record_ms=10, reserved=2)
    found = _uses(system, times, 300)  # 2 environments do 200 records/s
    assert found[LISTENER, "reserved"].is_passed
    assert not _uses(system, times, 150)[LISTENER, "reserved"].is_passed


def test_a_mapping_that_falls_behind_with_lanes_to_spare_is_told():
    """Two shards of a table's stream give 2 MiB/s each, however many lanes read them."""
    system, times = chain(shards=4, stream_shards=2, record_ms=1, parallelization=10)
    found = _uses(system, times, 1_500)["trigger", "keeps_up"]
    assert found.is_passed
    assert found.used == pytest.approx(1_500, rel=0.01)
    assert ("trigger", "keeps_up") not in _uses(system, times, 1_000)


def test_the_limit_that_is_nearest_is_first():
    system, times = one_mapping()
    outcome = simulate(system, constant({PUBLISHED: 900}, 60), times)
    shares = [use.share for use in uses(system, outcome, AWS, QUOTAS)]
    assert shares == sorted(shares, reverse=True)


def test_raised_limits_have_their_names():
    limits, quotas = limits_with({"put_events": 50_000, "delivery_bytes": 1e8, "on_demand_shards": 8})
    assert (limits.put_events, quotas.delivery_bytes) == (50_000, 1e8)
    assert limits.on_demand_shards == 8
    assert isinstance(limits.on_demand_shards, int)
    with pytest.raises(CommandError, match=re.escape("There is no limit put_event.\nThe limits are api_requests, ")):
        limits_with({"put_event": 1})


def test_the_load_is_doubled_until_the_shard_gives_and_no_earlier():
    """A shard takes 1,000 records/s, a lane as fast as this one more."""
    system, times = one_mapping(shards=1, fixed_ms=1)
    found = doubled(system, constant({PUBLISHED: 100}, 60), times, AWS, QUOTAS)
    assert [round(level.rate) for level in found.levels] == [100, 200, 400, 800, 1600]
    assert found.gives is not None
    assert {(use.part, use.limit) for use in found.gives.passed} == {(STREAM, "shard_writes")}
    assert found.holds <= 1_000 < found.gives.rate
    assert found.gives.rate - found.holds <= 25


def test_a_load_that_does_not_hold_is_not_doubled():
    system, times = one_mapping(record_ms=10)
    found = doubled(system, constant({PUBLISHED: 1_000}, 60), times, AWS, QUOTAS)
    assert len(found.levels) == 1
    assert (found.holds, found.gives) == (0.0, found.levels[0])


def test_the_busiest_second_is_what_is_doubled():
    load = busiest(burst({PUBLISHED: 10}, 100, factor=5, begin=50, length=1), 30)
    assert load.seconds == 30
    assert set(load.total) == {50.0}


def test_a_stream_on_demand_that_had_a_load_takes_twice_as_much():
    system, times = one_mapping(mode="ON_DEMAND", shards=4, fixed_ms=1)
    grown, _ = warmed(system, constant({PUBLISHED: 6_000}, 60), times, AWS)
    assert grown.streams[STREAM].shards == 12
    assert warmed(system, constant({PUBLISHED: 10}, 60), times, AWS) == (system, AWS)


def test_what_makes_it_hold_does_make_it_hold():
    system, times = chain(shards=1, stream_shards=4, record_ms=5)
    load = constant({PUBLISHED: 1_500}, 60)

    found = remedied(system, load, times, replace(AWS, put_events=2_000), QUOTAS)

    assert found.unsolved == ()
    assert {(each.part, each.property) for each in found.changes} >= {(STREAM, "ShardCount")}
    assert dict(found.raised) == {"put_events": 5_000}
    limits, quotas = limits_with(dict(found.raised))
    grown, warm = warmed(changed(system, found.changes), load, times, limits)
    outcome = settled(simulate(grown, busiest(load, 300), times, warm))
    assert not [use for use in uses(grown, outcome, warm, quotas) if use.is_passed]


def test_what_no_setting_helps_against_is_said():
    system, times = one_mapping(shards=4, fixed_ms=1)
    load = constant({PUBLISHED: 3_000}, 60)
    skewed = replace(load, types={PUBLISHED: replace(load.types[PUBLISHED], keys=1)})
    found = remedied(system, skewed, times, AWS, QUOTAS)
    assert (STREAM, "key_writes") in {(use.part, use.limit) for use in found.unsolved}


def test_only_changes_that_are_worth_it_are_told_each_with_its_effect():
    system, times = one_mapping(shards=1, record_ms=10, emits=1)
    load = constant({PUBLISHED: 150}, 60)
    told = advised(Inventory(system), system, load, times, AWS, QUOTAS, prices())
    assert told
    for each in told:
        assert each.solves or each.saves >= 0.02 or each.faster >= 0.1
        assert not each.after.passed - each.before.passed
    lanes = next(each for each in told if each.change.property == "ParallelizationFactor")
    assert lanes.solves == {("listener", "lanes")}
    assert lanes.after.latency_s < lanes.before.latency_s


def test_batch_lanes_shards_and_memory_are_tried_and_told_with_what_they_solve():
    system, times = one_mapping(batch_size=50, memory_mb=256, emits=1)
    slow = replace(times, functions={LISTENER: replace(times.functions[LISTENER], batch_cpu_ms=40.0)})
    told = advised(Inventory(system), system, constant({PUBLISHED: 125}, 60), slow, AWS, QUOTAS, prices())
    solving = {each.change.property: each for each in told if each.solves}
    assert solving.keys() == {"BatchSize", "ParallelizationFactor", "ShardCount", "MemorySize"}
    for each in solving.values():
        assert each.solves == {("listener", "lanes")}
        assert each.after.latency_s < each.before.latency_s


def test_a_window_is_tried_and_told_with_how_much_faster_it_is():
    system, times = one_mapping(batch_window=20.0, emits=1)
    told = advised(Inventory(system), system, constant({PUBLISHED: 5}, 60), times, AWS, QUOTAS, prices())
    (window,) = (each for each in told if each.change.property == "MaximumBatchingWindowInSeconds")
    assert window.faster > 0.4


def test_numbers_that_are_asked_for_are_round():
    assert [nice(each) for each in (0.7, 1, 1.1, 3, 70, 1e6)] == [1, 1, 2, 5, 100, 1e6]


def test_series_of_settled_outcomes_are_shorter_and_the_rest_is_the_same():
    system, times = chain()
    outcome = simulate(system, constant({PUBLISHED: 50}, 300), times)
    cut = settled(outcome)
    assert cut.seconds == 180
    listener = cut.mappings["listener"]
    assert np.array_equal(listener.done, outcome.mappings["listener"].done[120:])
    assert cut.streams[STREAM].hottest_share == outcome.streams[STREAM].hottest_share
    assert LISTENER in cut.functions
