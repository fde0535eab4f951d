"""Metrics that functions log in CloudWatch's embedded metric format.

Source: CloudWatch user guide, "Specification: Embedded metric format".
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from stream_runtime.payload.visible import visible

from stream_cli.console.buckets import Buckets
from stream_cli.faults.secret_text import redacted_text

MOST_METRICS = 100
MOST_POINTS = 20_000
"""Of one metric; the oldest go first."""
_SUMMED = frozenset({"Count", "Bytes", "Bits", "Kilobytes", "Megabytes", "Gigabytes", "None"})
_OF_THE_FUNCTION = frozenset({"account", "region", "stage", "source", "functionname"})
"""Dimensions that the runtime gives each metric, with the same values in all lines of a function."""


@dataclass
class _Metric:
    namespace: str
    name: str
    unit: str
    dimensions: tuple[tuple[str, str], ...]
    points: deque[tuple[int, float, int]] = field(default_factory=lambda: deque(maxlen=MOST_POINTS))


class LoggedMetrics:
    """The metrics of one function: each with its values by time.

    Attributes:
        left_out: how many metrics there are beyond the first `MOST_METRICS`.
    """

    def __init__(self) -> None:
        self._metrics: dict[tuple[Any, ...], _Metric] = {}
        self._others: set[tuple[Any, ...]] = set()

    def take(self, text: str, at: int) -> None:
        """Take the metrics of a line; one that is no such line has none."""
        if not text.startswith("{"):
            return
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            return
        for metric, values in _metrics_of(line):
            key = (metric.namespace, metric.name, metric.unit, metric.dimensions)
            known = self._metrics.get(key)
            if known is None:
                if len(self._metrics) >= MOST_METRICS:
                    self._others = {*self._others, key} if len(self._others) < MOST_POINTS else self._others
                    continue
                known = self._metrics[key] = metric
            known.points.append((_at(line, at), sum(values), len(values)))

    def forget(self, before: int) -> None:
        """Forget values from before a time (ms)."""
        for key, metric in list(self._metrics.items()):
            while metric.points and metric.points[0][0] < before:
                metric.points.popleft()
            if not metric.points:
                del self._metrics[key]

    def shown(self, buckets: Buckets) -> dict[str, Any]:
        """Each metric by time: counts and sizes are summed up, of others it is the average."""
        found = [_shown(metric, buckets) for metric in self._metrics.values()]
        with_values = [each for each in found if any(value is not None for value in each["values"])]
        return {
            "metrics": sorted(with_values, key=lambda each: (each["namespace"], each["name"])),
            "left_out": len(self._others),
        }


def _metrics_of(line: Any) -> Iterator[tuple[_Metric, list[float]]]:
    definition = line.get("_aws") if isinstance(line, Mapping) else None
    directives = definition.get("CloudWatchMetrics") if isinstance(definition, Mapping) else None
    for directive in directives if isinstance(directives, list) else ():
        if not isinstance(directive, Mapping):
            continue
        sets = directive.get("Dimensions")
        names = sets[0] if isinstance(sets, list) and sets and isinstance(sets[0], list) else []
        own = tuple((str(each), str(line.get(str(each)))) for each in names if str(each) not in _OF_THE_FUNCTION)
        metrics = directive.get("Metrics")
        for each in metrics if isinstance(metrics, list) else ():
            name = each.get("Name") if isinstance(each, Mapping) else None
            values = _numbers(line.get(name)) if isinstance(name, str) else []
            if values:
                unit = str(each.get("Unit") or "None")
                yield _Metric(str(directive.get("Namespace") or ""), str(name), unit, own), values


def _numbers(value: Any) -> list[float]:
    values = value if isinstance(value, list) else [value]
    return [float(each) for each in values if isinstance(each, int | float) and not isinstance(each, bool)]


def _at(line: Mapping[str, Any], otherwise: int) -> int:
    at = line["_aws"].get("Timestamp")
    return at if isinstance(at, int) else otherwise


def _shown(metric: _Metric, buckets: Buckets) -> dict[str, Any]:
    sums, counts = [0.0] * buckets.number, [0] * buckets.number
    for at, value, count in metric.points:
        place = buckets.place(at)
        if place is not None:
            sums[place] += value
            counts[place] += count
    is_summed = metric.unit in _SUMMED
    values = [
        None if not count else round(total if is_summed else total / count, 3)
        for total, count in zip(sums, counts, strict=True)
    ]
    return {
        "namespace": _text(metric.namespace),
        "name": _text(metric.name),
        "unit": _text(metric.unit),
        "about": {_text(name): _text(value) for name, value in metric.dimensions},
        "how": "sum" if is_summed else "average",
        "values": values,
    }


def _text(text: str) -> str:
    return visible(redacted_text(text))[:200]
