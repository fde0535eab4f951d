"""Bills against sums that AWS's pricing pages show, or that are done by hand."""

from __future__ import annotations

import numpy as np
import pytest
from stream_cli.mappings.settings import MappingSettings, Source
from stream_cli.plan.cost import MONTH_S, bill_of
from stream_cli.plan.model import (
    Archive,
    Bus,
    BusOutcome,
    DeliveryOutcome,
    DeliveryStream,
    EventLoad,
    Function,
    FunctionOutcome,
    Load,
    Mapping,
    Outcome,
    Stream,
    StreamOutcome,
    System,
    Table,
    TableOutcome,
)
from stream_cli.plan.prices import prices
from stream_cli.plan.system import Inventory

SECONDS = 60
SETTINGS = MappingSettings("m", "f", Source("kinesis", "a", "a", "us-east-1"))
DAYS = MONTH_S / 86_400


def _all(value):
    return np.full(SECONDS, float(value))


def _bill(system, months=1.0, inventory=None, **outcome):
    found = inventory or Inventory(system)
    load = Load({"a": EventLoad(_all(10))})
    bill = bill_of(found, load, Outcome(SECONDS, "fluid", **outcome), prices(), months)
    return bill, {line.price.id: line for line in bill.lines}


def _stream(**values):
    zero = _all(0)
    series = {"throttled": zero, "utilisation": zero, "read_utilisation": zero, "write_lag_s": zero}
    return StreamOutcome(hottest_share=0.25, hottest_shard=0, hottest_key=0.0, **series, **values)


def test_a_stream_on_demand_costs_what_is_written_rounded_up_and_what_each_reader_reads():
    readers = {name: Mapping(name, "s", name, SETTINGS, fan_out=name == "own") for name in ("a", "b", "own")}
    system = System(streams={"s": Stream("s", "ON_DEMAND", 4, 168)}, mappings=readers)
    written = _stream(records=_all(1_000), bytes=_all(1_500_000), shards=_all(4))

    bill, lines = _bill(system, streams={"s": written})

    gigabytes = 1_000 * 2 * 1024 * MONTH_S / 1024**3  # 1,500 bytes count as 2 KB
    assert lines["kinesis.on_demand_hours"].cost == pytest.approx(730 * 0.04)
    assert lines["kinesis.on_demand_in"].cost == pytest.approx(gigabytes * 0.08)
    assert lines["kinesis.on_demand_out"].cost == pytest.approx(gigabytes * 2 * 0.04)
    assert lines["kinesis.on_demand_fan_out"].cost == pytest.approx(gigabytes * 0.05)
    assert lines["kinesis.on_demand_kept"].units == pytest.approx(gigabytes / DAYS * 6)
    assert bill.services() == {"Kinesis": pytest.approx(bill.total)}


def test_provisioned_shards_cost_by_the_hour_and_payload_units():
    """The first example of AWS's page: 4 shards, 1,000 records a second of 35 KB ... with units of 25 KB each."""
    system = System(streams={"s": Stream("s", "PROVISIONED", 4)})
    written = _stream(records=_all(100), bytes=_all(100 * 35 * 1024), shards=_all(4))

    _, lines = _bill(system, streams={"s": written})

    assert lines["kinesis.shard_hours"].cost == pytest.approx(4 * 730 * 0.015)
    assert lines["kinesis.put_units"].cost == pytest.approx(100 * 2 * MONTH_S / 1e6 * 0.014)
    assert "kinesis.kept" not in lines


def test_events_are_counted_by_64_kb_and_their_archive_grows_until_its_retention():
    system = System(buses={"b": Bus("b")}, archives={"k": Archive("k", "b", None, 60)})
    put = BusOutcome(_all(10), _all(10 * 65 * 1024), _all(10), _all(0), _all(1024))

    _, after_a_month = _bill(system, buses={"b": put})
    _, after_a_year = _bill(system, 12, buses={"b": put})

    assert after_a_month["eventbridge.events"].cost == pytest.approx(20 * MONTH_S / 1e6)
    assert after_a_month["eventbridge.archive"].cost == pytest.approx(1024 * MONTH_S / 1024**3 * 0.1)
    month = after_a_month["eventbridge.archive_kept"].units
    assert after_a_year["eventbridge.archive_kept"].units == pytest.approx(month * 60 / DAYS)


def test_functions_cost_by_architecture_with_logs_and_sampled_traces():
    functions = {"f": Function("f"), "x": Function("x", architecture="x86_64")}
    ran = FunctionOutcome(_all(21), _all(1), _all(0.1), _all(2), _all(0), _all(0), _all(1000))
    inventory = Inventory(System(functions=functions), traced=frozenset({"f"}), log_days={"f": 7.0, "x": None})

    bill, lines = _bill(inventory.system, 12, inventory, functions={"f": ran, "x": ran})

    assert lines["lambda.arm64"].cost == pytest.approx(2 * MONTH_S * 0.0000133334)
    assert lines["lambda.x86_64"].cost == pytest.approx(2 * MONTH_S * 0.0000166667)
    assert lines["lambda.requests"].cost == pytest.approx(21 * MONTH_S / 1e6 * 0.2)
    assert lines["xray.traces"].units == pytest.approx((1 + 20 * 0.05) * MONTH_S / 1e6)
    kept = [line.units for line in bill.lines if line.price.id == "cloudwatch.logs_kept"]
    assert kept == [pytest.approx(1000 * 7 * 86_400 / 1024**3), pytest.approx(1000 * 12 * MONTH_S / 1024**3)]


def test_tables_cost_by_unit_with_indexes_or_by_what_is_provisioned():
    on_demand = Table("t", ttl=True, point_in_time_recovery=True)
    provisioned = Table("p", "PROVISIONED", read_capacity=10, write_capacity=20)
    used = TableOutcome(_all(3), _all(1), _all(2), _all(1), 0, _all(0), _all(0), _all(0), _all(1024))

    bill, lines = _bill(System(tables={"t": on_demand, "p": provisioned}), 12, tables={"t": used, "p": used})

    assert lines["dynamodb.writes"].cost == pytest.approx(4 * MONTH_S / 1e6 * 0.625)
    assert lines["dynamodb.reads"].cost == pytest.approx(2 * MONTH_S / 1e6 * 0.125)
    assert lines["dynamodb.provisioned_writes"].cost == pytest.approx(20 * 730 * 0.00065)
    assert lines["dynamodb.backup"].units == pytest.approx(1024 * 33 * 86_400 / 1024**3)
    stored = [line.units for line in bill.lines if line.price.id == "dynamodb.storage"]
    assert stored == [pytest.approx(1024 * 33 * 86_400 / 1024**3), pytest.approx(1024 * 12 * MONTH_S / 1024**3)]


def test_a_delivery_counts_5_kb_a_record_and_stores_it_compressed():
    system = System(delivery_streams={"d": DeliveryStream("d", "b")})
    delivered = DeliveryOutcome(_all(1_000), _all(1_000 * 1_300), _all(0.1), _all(60))
    inventory = Inventory(system, bucket_days={"b": None})

    _, lines = _bill(system, 3, inventory, delivery_streams={"d": delivered})

    assert lines["firehose.bytes"].cost == pytest.approx(1_000 * 5 * 1024 * MONTH_S / 1024**3 * 0.029)
    assert lines["s3.puts"].cost == pytest.approx(0.1 * MONTH_S / 1_000 * 0.005)
    assert lines["s3.storage"].units == pytest.approx(1_300_000 * 0.2 * 3 * MONTH_S / 1024**3)


def test_a_bill_says_what_a_million_events_cost():
    inventory = Inventory(System(), counts={"AWS::CloudWatch::Alarm": 30, "AWS::KMS::Key": 1})

    bill, lines = _bill(inventory.system, inventory=inventory)

    assert bill.total == pytest.approx(4.0)
    assert bill.events == pytest.approx(10 * MONTH_S)
    assert bill.per_million == pytest.approx(4.0 / (10 * MONTH_S) * 1e6)
    assert {line.part for line in lines.values()} == {"all services"}
