"""The fluid simulation: what must be the same, and what must not become worse, when a system or its load changes."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from small_systems import LISTENER, PUBLISHED, READY, STREAM, TABLE, TRIGGER, chain, one_mapping
from stream_cli.plan import fluid
from stream_cli.plan.arrangement import arrange
from stream_cli.plan.fluid import _Flow, record, simulate
from stream_cli.plan.load import burst, constant, curve, with_details
from stream_cli.plan.model import AWS, Limits, Load, Outcome, Route, Table, figures
from stream_cli.plan.recording import Recording


def lag(outcome: Outcome, mapping: str = "listener") -> np.ndarray:
    return np.nan_to_num(outcome.mappings[mapping].lag_s)


def overloaded(shards: int = 2, **given: object) -> tuple[object, ...]:
    return one_mapping(shards=shards, fixed_ms=100.0, record_ms=5.0, batch_size=50, **given)  # type: ignore[arg-type]


BURST = burst({PUBLISHED: 100.0}, 600, factor=6, begin=100, length=60)


def test_twice_the_load_on_twice_the_shards_has_the_same_lag() -> None:
    once = simulate(*_with(overloaded(2), BURST))
    twice = simulate(*_with(overloaded(4), BURST.scaled(2)))
    assert lag(once).max() > 30
    assert lag(twice) == pytest.approx(lag(once), rel=1e-3, abs=1e-3)
    assert twice.mappings["listener"].concurrency == pytest.approx(2 * once.mappings["listener"].concurrency, abs=1e-3)


def test_a_load_that_comes_later_has_the_same_lag_later() -> None:
    system, times = overloaded()
    now = simulate(system, BURST, times)
    later = simulate(system, burst({PUBLISHED: 100.0}, 600, factor=6, begin=200, length=60), times)
    assert lag(later)[200:600] == pytest.approx(lag(now)[100:500], abs=1e-3)


@pytest.mark.parametrize("more", ["shards", "parallelization", "batch", "faster", "less"])
def test_more_capacity_never_has_more_lag(more: str) -> None:
    system, times = overloaded()
    base, load = simulate(system, BURST, times), BURST
    if more == "shards":
        system, times = overloaded(3)
    elif more == "parallelization":
        system, times = overloaded(parallelization_factor=2)
    elif more == "batch":
        system, times = one_mapping(shards=2, fixed_ms=100.0, record_ms=5.0, batch_size=100)
    elif more == "faster":
        system, times = one_mapping(shards=2, fixed_ms=80.0, record_ms=5.0, batch_size=50)
    else:
        load = BURST.scaled(0.9)
    better = simulate(system, load, times)
    assert lag(better).max() < lag(base).max()
    assert np.nansum(better.mappings["listener"].backlog) < base.mappings["listener"].backlog.sum()


@pytest.mark.parametrize("reserved", [None, 1])
@pytest.mark.parametrize("transient", [0.0, 0.01])
def test_records_are_done_or_wait(reserved: int | None, transient: float) -> None:
    system, times = chain(reserved=reserved, record_ms=8.0)
    load = replace(burst({PUBLISHED: 50.0}, 300, factor=8, begin=20, length=30), transient=transient)
    outcome = simulate(system, load, times)
    for mapping in outcome.mappings.values():
        assert np.cumsum(mapping.records) == pytest.approx(np.cumsum(mapping.done) + mapping.backlog, rel=1e-4, abs=0.5)
    done = outcome.mappings["listener"].done
    assert outcome.mappings["trigger"].records[1:] == pytest.approx(done[:-1], rel=1e-4, abs=1e-2)


def test_seconds_at_once_are_as_seconds_one_by_one() -> None:
    system, times = chain()
    given = arrange(system, curve({PUBLISHED: 80.0}, 900), times, AWS)
    one_by_one = Recording.empty(given)
    flow = _Flow(given)
    for second in range(900):
        flow.step(second, second + 1, one_by_one)
    at_once = record(given)
    for name in (
        "volume",
        "arrived",
        "served",
        "record_s",
        "lanes",
        "done",
        "offered",
        "held",
        "shards",
        "utilisation",
    ):
        assert getattr(at_once, name) == pytest.approx(getattr(one_by_one, name), rel=1e-4, abs=1e-5), name


def test_seconds_that_are_taken_together_have_about_the_same_lag(monkeypatch: pytest.MonkeyPatch) -> None:
    system, times = overloaded()
    each = simulate(system, BURST, times)
    monkeypatch.setattr(fluid, "_LONG", 0)
    together = simulate(system, BURST, times)
    assert lag(together) == pytest.approx(lag(each), abs=3)
    assert together.mappings["listener"].done.sum() == pytest.approx(each.mappings["listener"].done.sum(), rel=1e-4)
    assert together.mappings["listener"].lag.max == pytest.approx(each.mappings["listener"].lag.max, rel=0.03)


def test_a_stream_refuses_what_its_shards_cannot_take() -> None:
    system, times = one_mapping(shards=1, fixed_ms=1.0)
    outcome = simulate(system, burst({PUBLISHED: 500.0}, 60, factor=4, begin=10, length=10), times)
    stream = outcome.streams[STREAM]
    assert stream.utilisation[15] == pytest.approx(2.0)
    assert stream.throttled[19] == pytest.approx(10_000)
    assert stream.throttled[45] == 0
    assert outcome.mappings["listener"].done.max() == pytest.approx(1_000)
    assert outcome.mappings["listener"].done.sum() == pytest.approx(500 * 50 + 2_000 * 10)


def test_an_on_demand_stream_splits_its_shards_after_a_while() -> None:
    system, times = one_mapping(shards=4, mode="ON_DEMAND", fixed_ms=1.0, batch_size=1_000)
    outcome = simulate(system, constant({PUBLISHED: 3_000.0}, 3_600), times)
    shards = outcome.streams[STREAM].shards
    assert shards[0] == 4
    assert shards[-1] == 8
    assert shards[int(AWS.split_s) - 1] == 4
    assert outcome.mappings["listener"].lanes[-1] == 8
    assert outcome.mappings["listener"].done.sum() == pytest.approx(3_000 * 3_600, rel=1e-4)


def test_a_hot_key_has_one_lane_however_many_shards_there_are() -> None:
    load = with_details(constant({PUBLISHED: 100.0}, 300), keys=1_000, skew=1.5)
    few, many = (simulate(*_with(overloaded(shards), load)) for shards in (2, 20))
    assert many.streams[STREAM].hottest_key == few.streams[STREAM].hottest_key == pytest.approx(0.39, abs=0.01)
    assert many.streams[STREAM].hottest_share >= many.streams[STREAM].hottest_key
    assert (
        lag(many)[-1] > simulate(*_with(overloaded(20), constant({PUBLISHED: 100.0}, 300))).mappings["listener"].lag.max
    )


def test_reserved_concurrency_holds_lanes_back() -> None:
    system, times = one_mapping(shards=10, fixed_ms=500.0, batch_size=10, reserved=2)
    outcome = simulate(system, constant({PUBLISHED: 100.0}, 120), times)
    function = outcome.functions[LISTENER]
    assert function.concurrency.max() == pytest.approx(2, rel=0.01)
    assert function.throttled[-1] > 0
    assert outcome.mappings["listener"].done[-1] == pytest.approx(2 * 10 / 0.5, rel=0.01)


def test_functions_share_the_accounts_concurrency() -> None:
    system, times = chain(shards=20, stream_shards=20, fixed_ms=900.0)
    outcome = simulate(system, constant({PUBLISHED: 2_000.0}, 120), times, replace(AWS, concurrency=10.0))
    assert outcome.account_concurrency.max() <= 10 * 1.01


def test_a_hot_row_is_a_hot_partition() -> None:
    system, times = chain(shards=4, stream_shards=4, record_ms=0.1)
    load = with_details(constant({PUBLISHED: 2_000.0}, 120), keys=1)
    table = simulate(system, load, times).tables[TABLE]
    assert table.hottest_key == pytest.approx(1.0)
    assert table.throttled.max() > 0
    assert table.hottest_key_writes.max() < 3 * AWS.partition_writes


def test_filters_and_rules_of_the_templates_decide_what_is_read() -> None:
    system, times = one_mapping(stream_filter=(json.dumps({"data": {"type": [{"prefix": "thing-pub"}]}}),), emits=1.0)
    outcome = simulate(system, constant({PUBLISHED: 10.0, "other": 5.0, "fault": 2.0}, 60), times)
    mapping = outcome.mappings["listener"]
    assert mapping.records[-1] == pytest.approx(10)
    assert mapping.filtered[-1] == pytest.approx(15)  # other and ready
    assert outcome.streams[STREAM].records[-1] == pytest.approx(25)
    assert outcome.buses["hub/Bus"].events[-1] == pytest.approx(27)


def test_poison_becomes_faults_and_nothing_else() -> None:
    system, times = chain()
    outcome = simulate(system, with_details(constant({PUBLISHED: 100.0}, 60), poison=0.1), times)
    assert outcome.mappings["trigger"].records[-1] == pytest.approx(90)
    assert outcome.buses["hub/Bus"].events[-1] == pytest.approx(100 + 10 + 45)
    assert outcome.delivery_streams["lake/Delivery"].records[-1] == pytest.approx(155)


def test_transient_failures_cost_attempts() -> None:
    system, times = one_mapping(shards=4, fixed_ms=20.0, record_ms=1.0)
    load = constant({PUBLISHED: 100.0}, 60)
    well, ill = simulate(system, load, times), simulate(system, replace(load, transient=0.02), times)
    assert ill.mappings["listener"].failed[-1] > 0
    assert ill.mappings["listener"].invocations[-1] > well.mappings["listener"].invocations[-1]
    assert ill.mappings["listener"].done[-1] == pytest.approx(100)


def test_a_route_is_invoked_for_each_request_and_limited() -> None:
    system, times = one_mapping(fixed_ms=50.0)
    system = replace(system, routes={"GET /x": Route("GET /x", LISTENER, rate=20.0)})
    outcome = simulate(system, constant({"GET /x": 30.0}, 60), times)
    assert outcome.functions[LISTENER].invocations[-1] == pytest.approx(20)
    assert outcome.functions[LISTENER].concurrency[-1] == pytest.approx(1.0)
    assert outcome.routes["GET /x"].throttled[-1] == pytest.approx(10)


def test_less_memory_is_a_smaller_share_of_a_cpu() -> None:
    system, times = one_mapping(memory_mb=512)
    slow = {LISTENER: replace(times.functions[LISTENER], batch_cpu_ms=10.0, batch_wait_ms=5.0)}
    outcome = simulate(system, constant({PUBLISHED: 0.1}, 60), replace(times, functions=slow))
    assert figures(outcome.functions[LISTENER].duration_s).max == pytest.approx(0.01 * 1_769 / 512 + 0.005, rel=1e-3)


def test_a_table_that_is_provisioned_takes_its_units() -> None:
    system, times = chain(record_ms=0.1)
    table = Table(TABLE, mode="PROVISIONED", write_capacity=100.0, read_capacity=100.0, stream_shards=2)
    outcome = simulate(replace(system, tables={TABLE: table}), constant({PUBLISHED: 100.0}, 60), times)
    assert outcome.tables[TABLE].writes.max() <= 100.5
    assert outcome.mappings["listener"].backlog[-1] > 0


def test_nothing_comes_of_no_load() -> None:
    system, times = chain()
    outcome = simulate(system, Load(), times)
    assert outcome.seconds == 0
    quiet = simulate(system, constant({PUBLISHED: 0.0}, 30), times)
    assert quiet.functions[TRIGGER].invocations.sum() == 0
    assert not quiet.journeys
    assert READY not in quiet.routes


def _with(built: tuple[object, ...], load: Load, limits: Limits = AWS) -> tuple[object, ...]:
    system, times = built
    return system, load, times, limits


@pytest.mark.parametrize("count", [0, 1, 2, 3, 99, 100, 101, 200, 1_000])
def test_figures_are_those_of_values_that_weigh_the_same(count: int) -> None:
    values = np.random.default_rng(count).random(count)
    values[1::7] = np.nan
    plain, weighed = figures(values), figures(values, np.full(count, 2.0))
    assert (plain.p50, plain.p99, plain.max) == (weighed.p50, weighed.p99, weighed.max)
    assert plain.mean == pytest.approx(weighed.mean)
