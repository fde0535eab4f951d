"""The exact simulation against queueing theory, and the fluid one against the exact."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from small_systems import LISTENER, PUBLISHED, STREAM, chain, one_mapping
from stream_cli.plan import exact, fluid
from stream_cli.plan.load import burst, constant, with_details
from stream_cli.plan.model import AWS, LOCAL, Limits, MappingOutcome, figures

PUSHED = replace(AWS, poll_s=0.001, shard_reads=1e9)
WARM_UP_S = 10
CLOSE = 0.15
"""How far the fluid simulation may be from the exact one."""


def mean(outcome: MappingOutcome, name: str, skip: int = WARM_UP_S) -> float:
    """The mean of a series, by what it is about."""
    weights = outcome.invocations if name == "batch" else outcome.done
    return figures(getattr(outcome, name)[skip:], weights[skip:]).mean


@pytest.mark.parametrize("load", [*(pytest.param(load, marks=pytest.mark.thorough) for load in (0.3, 0.5)), 0.7])
def test_single_records_wait_as_in_m_d_1(load: float) -> None:
    service = 0.05
    system, times = one_mapping(shards=40, fixed_ms=service * 1_000, batch_size=1)
    rate = constant({PUBLISHED: 40 * load / service}, 60)
    listener = exact.simulate(system, rate, times, PUSHED).mappings["listener"]
    pollaczek_khinchine = load * service / (2 * (1 - load))
    assert mean(listener, "delay_s") == pytest.approx(pollaczek_khinchine + service + 0.0005, rel=0.05)


@pytest.mark.parametrize(("window", "poll_s"), [(0.0, 0.03), (2.0, 1.0)])
def test_there_are_as_many_records_as_their_rate_times_their_stay(window: float, poll_s: float) -> None:
    system, times = one_mapping(shards=10, fixed_ms=40.0, record_ms=2.0, batch_window=window)
    listener = exact.simulate(system, constant({PUBLISHED: 300.0}, 90), times, replace(AWS, poll_s=poll_s)).mappings[
        "listener"
    ]
    in_system = listener.backlog[WARM_UP_S:].mean()
    little = listener.done[WARM_UP_S:].mean() * mean(listener, "delay_s")
    assert in_system == pytest.approx(little, rel=0.1)


def generated(seed: int) -> tuple[object, object, object, Limits]:
    """A system with one mapping, at a rate that it can keep up with."""
    chance = random.Random(seed)
    batch_size, window = chance.choice([1, 5, 20, 100]), chance.choice([0.0, 0.0, 0.5, 5.0])
    shards, lanes = chance.choice([10, 20]), chance.choice([1, 1, 4])
    fixed_ms, record_ms = chance.choice([5.0, 20.0, 100.0]), chance.choice([0.2, 1.0, 5.0])
    most = batch_size / (fixed_ms + record_ms * batch_size) * 1_000 * shards * lanes
    rate = min(most * chance.choice([0.05, 0.3, 0.6, 0.8]), 600.0)
    system, times = one_mapping(
        shards=shards, fixed_ms=fixed_ms, record_ms=record_ms, batch_size=batch_size, batch_window=window,
        parallelization_factor=lanes,
    )  # fmt: skip
    seconds = int(min(200, max(40, 6_000 / rate)))
    return (
        system,
        constant({PUBLISHED: rate}, seconds),
        times,
        chance.choice([AWS, replace(AWS, poll_s=0.03, shard_reads=1e9)]),
    )


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.thorough) for n in range(1, 60))])
def test_the_fluid_simulation_is_close_to_the_exact_one(seed: int) -> None:
    case = generated(seed)
    record_by_record, aggregated = (simulation.simulate(*case).mappings["listener"] for simulation in (exact, fluid))
    for name in ("delay_s", "batch"):
        assert mean(aggregated, name) == pytest.approx(mean(record_by_record, name), rel=CLOSE), name
    busy = record_by_record.concurrency[WARM_UP_S:].mean()
    assert aggregated.concurrency[WARM_UP_S:].mean() == pytest.approx(busy, rel=CLOSE)


def test_a_backlog_is_the_same_in_both() -> None:
    system, times = one_mapping(shards=2, fixed_ms=100.0, record_ms=5.0, batch_size=50)
    load = burst({PUBLISHED: 100.0}, 200, factor=4, begin=20, length=30)
    record_by_record, aggregated = (each.simulate(system, load, times).mappings["listener"] for each in (exact, fluid))
    assert aggregated.backlog.max() == pytest.approx(record_by_record.backlog.max(), rel=CLOSE)
    assert np.nanmax(aggregated.lag_s) == pytest.approx(np.nanmax(record_by_record.lag_s), rel=CLOSE)


def test_a_journey_over_two_mappings_takes_as_long_in_both() -> None:
    system, times = chain(shards=20, stream_shards=20)
    load = constant({PUBLISHED: 200.0}, 60)
    latencies = [each.simulate(system, load, times).journeys["published to ready"].latency for each in (exact, fluid)]
    assert latencies[1].mean == pytest.approx(latencies[0].mean, rel=CLOSE)
    assert latencies[1].p50 == pytest.approx(latencies[0].p50, rel=CLOSE)
    assert latencies[1].p99 == pytest.approx(latencies[0].p99, rel=CLOSE)


def test_failures_are_tried_again_as_the_engine_does() -> None:
    system, times = one_mapping(shards=4, fixed_ms=20.0, record_ms=1.0, bisect=True)
    load = replace(constant({PUBLISHED: 100.0}, 60), transient=0.01)
    record_by_record, aggregated = (each.simulate(system, load, times).mappings["listener"] for each in (exact, fluid))
    assert record_by_record.failed.sum() > 30
    assert aggregated.failed.sum() == pytest.approx(record_by_record.failed.sum(), rel=0.25)
    assert record_by_record.done.sum() == pytest.approx(6_000, rel=0.05)


def test_records_are_given_up_after_their_retries() -> None:
    system, times = one_mapping(fixed_ms=5.0, batch_size=1, max_retries=1)
    load = replace(constant({PUBLISHED: 1.0}, 300), transient=0.3)
    listener = exact.simulate(system, load, times).mappings["listener"]
    assert listener.given_up.sum() / listener.records.sum() == pytest.approx(0.09, abs=0.06)


def test_a_time_out_is_a_failure() -> None:
    system, times = one_mapping(fixed_ms=100.0, max_retries=0)
    system = replace(system, functions={LISTENER: replace(system.functions[LISTENER], timeout_s=0.05)})
    listener = exact.simulate(system, constant({PUBLISHED: 5.0}, 20), times).mappings["listener"]
    assert listener.done.sum() == 0
    assert listener.given_up.sum() > 50


def test_environments_start_cold_and_are_used_again() -> None:
    system, times = one_mapping(shards=3, fixed_ms=10.0)
    cold = {LISTENER: replace(times.functions[LISTENER], cold_wait_ms=500.0)}
    outcome = exact.simulate(system, constant({PUBLISHED: 30.0}, 60), replace(times, functions=cold))
    listener = outcome.mappings["listener"]
    assert np.nanmax(listener.delay_s[:3]) > 0.5
    assert outcome.functions[LISTENER].cold_starts.sum() <= 3


def test_reserved_concurrency_refuses_what_comes_at_the_same_time() -> None:
    system, times = one_mapping(shards=10, fixed_ms=300.0, batch_size=10, reserved=2)
    outcome = exact.simulate(system, constant({PUBLISHED: 100.0}, 60), times)
    assert outcome.functions[LISTENER].throttled.sum() > 0
    assert outcome.functions[LISTENER].concurrency.max() <= 2 + 1e-9


def test_a_shard_takes_its_records_a_second_and_the_bus_tries_again() -> None:
    system, times = one_mapping(shards=1, fixed_ms=1.0, batch_size=1_000)
    limits = replace(AWS, shard_records=50.0)
    outcome = exact.simulate(system, burst({PUBLISHED: 30.0}, 40, factor=3, begin=5, length=5), times, limits)
    assert outcome.streams[STREAM].throttled.sum() > 0
    assert outcome.mappings["listener"].done.max() <= 2 * 50
    assert outcome.mappings["listener"].backlog[-1] < 60


def test_the_same_seed_gives_the_same_outcome() -> None:
    system, times = chain()
    load = with_details(constant({PUBLISHED: 50.0}, 20), keys=100, skew=1.0)
    first, again, other = (exact.simulate(system, load, times, LOCAL, seed=seed) for seed in (1, 1, 2))
    assert (first.mappings["trigger"].done == again.mappings["trigger"].done).all()
    assert (first.mappings["trigger"].done != other.mappings["trigger"].done).any()
