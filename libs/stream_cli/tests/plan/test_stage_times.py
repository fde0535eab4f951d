"""Times of functions by the metrics of a stage: what was put into CloudWatch comes out as times of batch and record."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from moto import mock_aws
from small_systems import LISTENER, PUBLISHED, one_mapping
from stream_cli.plan.model import AWS, Function, FunctionTimes, Times, Work
from stream_cli.plan.stage_times import times_of_stage

NOW = datetime(2026, 1, 31, 12, 0, 30, tzinfo=UTC)
DEPLOYED = "service-dev-listener"
OF_THE_RUNTIME = {"account": "a", "region": "r", "stage": "dev", "source": "service", "functionname": DEPLOYED}


@pytest.fixture
def cloudwatch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield boto3.client("cloudwatch", region_name="us-east-1")


def put(client: Any, minute: int, namespace: str, name: str, values: list[float], dimensions: dict[str, str]) -> None:
    at = NOW.replace(second=10) - timedelta(minutes=minute)
    named = [{"Name": key, "Value": value} for key, value in dimensions.items()]
    data = [{"MetricName": name, "Dimensions": named, "Timestamp": at, "Value": each} for each in values]
    client.put_metric_data(Namespace=namespace, MetricData=data)


def ran(client: Any, minute: int, *batches: int, fixed: float = 40.0, record: float = 3.0) -> None:
    """Batches of so many records, in a minute that long ago."""
    lambdas = {"FunctionName": DEPLOYED}
    put(client, minute, "AWS/Lambda", "Invocations", [1.0] * len(batches), lambdas)
    put(client, minute, "AWS/Lambda", "Duration", [fixed + record * each for each in batches], lambdas)


def counted(client: Any, minute: int, *batches: int, namespace: str = "StreamRuntime") -> None:
    put(client, minute, namespace, "Records", [float(each) for each in batches], OF_THE_RUNTIME)


def read(client: Any, times: Times | None = None, **memory: int) -> tuple[FunctionTimes, tuple[str, ...]]:
    system, known = one_mapping(fixed_ms=10.0, record_ms=1.0, **memory)
    found, notes = times_of_stage(times or known, system, AWS, "dev", lambda: client, NOW)
    assert (found.measured, found.command) == ("2026-01-31", "the metrics of dev in CloudWatch, 24 h")
    return found.functions[LISTENER], notes


def test_time_of_batch_and_record_follow_from_durations_and_records(cloudwatch: Any) -> None:
    for minute, batches in enumerate([(1, 1), (100,), (20, 40, 60)], start=2):
        ran(cloudwatch, minute, *batches)
        counted(cloudwatch, minute, *batches)
    found, notes = read(cloudwatch)
    assert found.batch_wait_ms == pytest.approx(40)
    assert found.work[PUBLISHED].wait_ms == pytest.approx(3)
    assert not notes


def test_cpu_and_waits_keep_their_proportion(cloudwatch: Any) -> None:
    known = FunctionTimes(batch_cpu_ms=10.0, batch_wait_ms=30.0, work={PUBLISHED: Work(cpu_ms=1.0, wait_ms=2.0)})
    for minute, batch in ((2, 1), (3, 50)):
        ran(cloudwatch, minute, batch, fixed=100.0, record=8.0)
        counted(cloudwatch, minute, batch, namespace="Ours")
    found, _ = read(cloudwatch, Times(functions={LISTENER: known}), memory_mb=1_769 // 2)
    share = AWS.cpu_share(1_769 // 2)
    assert found.batch_cpu_ms / share + found.batch_wait_ms == pytest.approx(100)
    assert found.batch_wait_ms / found.batch_cpu_ms == pytest.approx(3)
    assert found.work[PUBLISHED].cpu_ms / share + found.work[PUBLISHED].wait_ms == pytest.approx(8)


def test_where_all_batches_are_alike_both_are_scaled(cloudwatch: Any) -> None:
    for minute in (2, 3, 4):
        ran(cloudwatch, minute, 10, 10, fixed=40.0, record=0.0)
        counted(cloudwatch, minute, 10, 10)
    found, _ = read(cloudwatch)
    total = found.batch_wait_ms + 10 * found.work[PUBLISHED].wait_ms
    assert total == pytest.approx(40)
    assert found.batch_wait_ms / found.work[PUBLISHED].wait_ms == pytest.approx(10)


def test_a_function_without_a_mapping_has_one_record_an_invocation(cloudwatch: Any) -> None:
    ran(cloudwatch, 2, 1, 1, fixed=20.0, record=0.0)
    system, _ = one_mapping()
    alone = replace(system, mappings={}, functions={LISTENER: Function(LISTENER, memory_mb=1_769)})
    known = Times(functions={LISTENER: FunctionTimes(batch_cpu_ms=0.0, batch_wait_ms=1.0, work={"": Work(cpu_ms=4.0)})})
    found, notes = times_of_stage(known, alone, AWS, "dev", lambda: cloudwatch, NOW)
    assert found.functions[LISTENER].batch_wait_ms == pytest.approx(4)
    assert found.functions[LISTENER].work[""].cpu_ms == pytest.approx(16)
    assert not notes


def test_what_the_metrics_do_not_say_stays_as_it_was_and_is_said(cloudwatch: Any) -> None:
    before, notes = read(cloudwatch)
    assert before.batch_wait_ms == 10.0
    assert notes == (
        "dev has no invocations of service/listener in the last 24 h: its times are those of before.",
    )  # fmt: skip
    ran(cloudwatch, 60 * 25, 5)
    assert read(cloudwatch)[1] == notes
    ran(cloudwatch, 2, 5)
    before, (note,) = read(cloudwatch)
    assert before.batch_wait_ms == 10.0
    assert note.startswith("dev does not count the records of service/listener, so its times are those of before")
    assert "METRICS=true" in note
