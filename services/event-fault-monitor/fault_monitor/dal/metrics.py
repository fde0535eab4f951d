"""Counts of faults as CloudWatch metrics."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from stream_runtime.clients import call
from stream_runtime.clock import now_ms

from fault_monitor import settings
from fault_monitor.logic.faults import Counts, Origin

LATE_MS = 120_000
"""Less than the period of the alarms."""

MOST_METRICS = 1000
"""Metrics in one PutMetricData call (CloudWatch API reference, PutMetricData)."""


def put(counts: Counts, timestamp: int) -> None:
    """Put the counts of one object, at the time (ms) at which it was created.

    An object that is counted late is counted at the present time, because alarms look at the last minutes only.

    ``Faults`` has a series for the stage, for each service, for each pipeline of a function, and for each error of a
    pipeline; ``UnreadableLines`` and ``MissingObjects`` have one for the stage.
    """
    now = now_ms()
    at = datetime.fromtimestamp((timestamp if now - timestamp < LATE_MS else now) / 1000, UTC)
    data = [{**datum, "Timestamp": at, "Unit": "Count"} for datum in metric_data(counts, settings.STAGE.read())]
    for start in range(0, len(data), MOST_METRICS):
        part = data[start : start + MOST_METRICS]
        call("cloudwatch", "put_metric_data", Namespace=settings.METRIC_NAMESPACE.read(), MetricData=part)


def metric_data(counts: Counts, stage: str) -> list[dict[str, Any]]:
    """Name, dimensions and value of each series."""
    series: Counter[tuple[tuple[str, str], ...]] = Counter()
    for origin, number in counts.by_origin.items():
        for dimensions in _dimensions(origin, stage):
            series[dimensions] += number
    data = [_datum("Faults", dimensions, number) for dimensions, number in series.items()]
    for name, number in (("UnreadableLines", counts.unreadable), ("MissingObjects", counts.gone)):
        if number:
            data.append(_datum(name, (("Stage", stage),), number))
    return data


def _dimensions(origin: Origin, stage: str) -> Iterator[tuple[tuple[str, str], ...]]:
    of_stage = (("Stage", stage),)
    of_service = (*of_stage, ("Service", origin.service))
    of_pipeline = (*of_service, ("Function", origin.function), ("Pipeline", origin.pipeline))
    yield from (of_stage, of_service, of_pipeline, (*of_pipeline, ("Error", origin.error)))


def _datum(name: str, dimensions: tuple[tuple[str, str], ...], value: int) -> dict[str, Any]:
    return {
        "MetricName": name,
        "Dimensions": [{"Name": key, "Value": text} for key, text in dimensions],
        "Value": float(value),
    }
