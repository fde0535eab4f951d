"""Metrics have the statistics of all points, and hold one for each value and minute."""

from __future__ import annotations

import random
from typing import Any

import pytest
from ministack.services import cloudwatch
from stream_cli.local.emulator import metric_points
from stream_cli.local.emulator.metric_points import Points

NOW = 1_700_000_040
"""The beginning of a minute."""


def point(at: float, value: float, **more: Any) -> dict[str, Any]:
    return {"Timestamp": at, "Value": value, "Unit": "None", "Dimensions": {"d": "v"}, **more}


def statistics(points: Any) -> list[tuple[float | None, ...]]:
    """What ministack computes of them, by the minute."""
    minutes: dict[int, list[Any]] = {}
    for each in points:
        minutes.setdefault(each["Timestamp"] // 60, []).append(each)
    names = ("SampleCount", "Sum", "Average", "Minimum", "Maximum", "p50", "p99")
    of_minutes = [(found, cloudwatch._calc_stats(found)) for _, found in sorted(minutes.items())]
    return [tuple(cloudwatch._stat_value(of, name, found) for name in names) for found, of in of_minutes]


def test_statistics_are_those_of_all_points() -> None:
    chance, points, plain = random.Random(1), Points(), []
    for n in range(3_000):
        late = chance.choice([0, 0, 0, 90])
        new = point(NOW + n / 5 - late, float(chance.randrange(9)))
        match chance.randrange(12):
            case 0:
                new["Count"] = 3.0
            case 1:
                new["_stat"] = {"SampleCount": 2.0, "Sum": 8.0, "Minimum": 4.0, "Maximum": 4.0}
        points.append(new)
        plain.append(new)
    assert statistics(points) == statistics(plain)
    assert len(points) < 2_000


def test_what_is_the_same_in_a_minute_is_one_point_of_the_latest_time() -> None:
    points = Points()
    for n in range(1_000):
        points.append(point(NOW + n / 100, 1.0))
    assert list(points) == [point(NOW + 9.99, 1.0, Count=1000.0)]


def test_of_a_long_time_most_is_in_files() -> None:
    points = Points()
    for minute in range(5_000):
        points.append(point(NOW + minute * 60, 1.0))
    assert len(points) == 5_000
    assert len(points._closed._end) + len(points._open) < 300


def test_points_expire_after_15_days_and_what_is_told_is_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in metric_points.INTERNALS["ministack.services.cloudwatch"]:
        monkeypatch.setattr(cloudwatch, name, getattr(cloudwatch, name))
    monkeypatch.setattr(cloudwatch, "_metrics", type(cloudwatch._metrics)())
    now = float(NOW)
    monkeypatch.setattr(metric_points.time, "time", lambda: now)
    metric_points.patch()
    points, kept = cloudwatch._metric_bucket("metric"), dict[int, Any]()
    points.told = kept.__setitem__

    def there() -> list[Any]:
        return [each for each in kept.values() if each is not None]

    for day in range(20):
        now = float(NOW + day * 86_400)
        cloudwatch._metric_bucket("metric").append(point(now, 1.0))
        cloudwatch._evict_old_metrics()
        assert len(points) == min(day + 1, 16)
        assert there() == list(points)

    again = Points()
    for number, each in kept.items():
        if each is not None:
            again.kept_as(number, each)
    again.told = kept.__setitem__
    again.append(point(now, 1.0))
    assert there() == list(again)

    now += 16 * 86_400
    cloudwatch._evict_old_metrics()
    assert there() == [point(NOW + 19 * 86_400, 1.0, Count=1.0)]  # that of `again`
    assert cloudwatch._metrics.get("metric") is None
