"""Metrics in CloudWatch's embedded metric format: one line in the log, no call.

`write_metrics` writes metrics of your own. With METRICS set to true, each invocation writes these, with the dimensions
account, region, stage, source and functionname:

- ``BatchUtilization`` (percent of BATCH_SIZE), ``Records``, ``Uows`` (delivered to pipelines), ``Faults``, ``Retries``,
  ``Unfinished`` (errors that left records for retry), ``Outcome.<name>`` (such as ``condition_failed``);
- ``PayloadReceived`` and ``PayloadSent`` (bytes; sent in batch calls), ``ChannelWait`` (ms between the arrival of a
  record in its stream, queue or topic and the invocation), ``Duration`` (ms);
- for each pipeline ``<pipeline>.Uows``, ``<pipeline>.Time`` (ms) and ``<pipeline>.Share`` (percent of all pipelines');
- for each step that makes calls ``<pipeline>.<step>.Calls``, ``.IoWait`` (ms until the call of a unit of work started)
  and ``.IoTime`` (ms that the call took, with retries).
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from stream_runtime import settings
from stream_runtime.clock import now_ms
from stream_runtime.payload import codec
from stream_runtime.tags import standard_tags

from .records import uows_of
from .retry import Retry

# Source: CloudWatch user guide, "Specification: Embedded metric format": at most 100 metrics in a directive, and at
# most 100 values of a metric.
_MOST_METRICS = 100
_MOST_VALUES = 100

Metric = tuple[str, str, Any]
"""Name, unit (``Count``, ``Bytes``, ``None``, ...: CloudWatch API reference, MetricDatum), and a number or a list of at
most 100 numbers."""


def write_metrics(namespace: str, dimensions: Mapping[str, str], metrics: Iterable[Metric]) -> None:
    """Write metrics of your own: `write_metrics("my-service", {"Stage": "dev"}, [("OrdersTaken", "Count", 3)])`."""
    _write(_document(namespace, dimensions, list(metrics), now_ms()))


def _document(namespace: str, dimensions: Mapping[str, str], metrics: Sequence[Metric], at_ms: int) -> dict[str, Any]:
    units = [{"Name": name, "Unit": unit} for name, unit, _ in metrics]
    return {
        "_aws": {
            "Timestamp": at_ms,
            "CloudWatchMetrics": [
                {
                    "Namespace": namespace,
                    "Dimensions": [list(dimensions)],
                    "Metrics": units[start : start + _MOST_METRICS],
                }
                for start in range(0, len(units), _MOST_METRICS)
            ],
        },
        **dimensions,
        **{name: value for name, _, value in metrics},
    }


def _write(document: Mapping[str, Any]) -> None:
    sys.stdout.write(codec.encode(document) + "\n")
    sys.stdout.flush()


class Books(Protocol):
    """What the metrics read from a `Run`."""

    retry: Retry
    faults: list[Any]
    causes: list[BaseException]
    untraceable: list[BaseException]
    outcomes: dict[str, int]


class Meter:
    """Measures one invocation."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._now_ms = now_ms()
        self._uows: dict[str, int] = {}
        self._time_s: dict[str, float] = {}
        self._waits_ms: dict[str, list[float]] = {}
        self._times_ms: dict[str, list[float]] = {}
        self._sent = 0
        self._lock = threading.Lock()

    def timed(
        self, pipeline: str, push: Callable[[Any], None], complete: Callable[[], None]
    ) -> tuple[Callable[[Any], None], Callable[[], None]]:
        """The push and complete of a pipeline, timed, with its units of work counted."""
        self._uows.setdefault(pipeline, 0)
        self._time_s.setdefault(pipeline, 0.0)

        def timed_push(uow: Any) -> None:
            self._uows[pipeline] += 1
            self._take(pipeline, lambda: push(uow))

        return timed_push, lambda: self._take(pipeline, complete)

    def _take(self, pipeline: str, work: Callable[[], None]) -> None:
        begun = time.perf_counter()
        try:
            work()
        finally:
            self._time_s[pipeline] += time.perf_counter() - begun

    def called(self, uow: Any, step: str, waited_s: float, took_s: float, sent: int = 0) -> None:
        """Record a call that a step made for a unit of work."""
        name = f"{uows_of(uow)[0].get('pipeline')}.{step}"
        with self._lock:
            self._waits_ms.setdefault(name, []).append(waited_s * 1000)
            self._times_ms.setdefault(name, []).append(took_s * 1000)
            self._sent += sent

    def write(self, run: Books, records: Sequence[Any]) -> None:
        """Write the line."""
        _write(self.document(run, records))

    def document(self, run: Books, records: Sequence[Any]) -> dict[str, Any]:
        """The line as an object: the values by name, and their definition under ``_aws``."""
        dimensions = {name: tag for name, tag in standard_tags(None).items() if name not in ("app", "pipeline")}
        return _document(settings.METRICS_NAMESPACE.read(), dimensions, self._values(run, records), self._now_ms)

    def _values(self, run: Books, records: Sequence[Any]) -> list[Metric]:
        values: list[Metric] = [
            ("Records", "Count", len(records)),
            ("Uows", "Count", sum(self._uows.values())),
            ("Faults", "Count", len(run.faults)),
            ("Retries", "Count", run.retry.retries),
            ("Unfinished", "Count", len(run.causes) + len(run.untraceable)),
            ("PayloadReceived", "Bytes", sum(map(payload_bytes, records))),
            ("PayloadSent", "Bytes", self._sent),
            ("Duration", "Milliseconds", _ms(time.perf_counter() - self._started)),
        ]
        if batch_size := settings.BATCH_SIZE.read():
            values.append(("BatchUtilization", "Percent", round(100 * len(records) / batch_size, 2)))
        ages = [max(0, self._now_ms - arrival) for arrival in map(arrival_ms, records) if arrival is not None]
        if ages:
            values.append(("ChannelWait", "Milliseconds", spread(ages)))
        values += [(f"Outcome.{name}", "Count", count) for name, count in sorted(run.outcomes.items())]
        whole = sum(self._time_s.values()) or 1.0
        for pipeline, count in self._uows.items():
            took = self._time_s[pipeline]
            values.append((f"{pipeline}.Uows", "Count", count))
            values.append((f"{pipeline}.Time", "Milliseconds", _ms(took)))
            values.append((f"{pipeline}.Share", "Percent", round(100 * took / whole, 2)))
        for step in sorted(self._times_ms):
            values.append((f"{step}.Calls", "Count", len(self._times_ms[step])))
            values.append((f"{step}.IoWait", "Milliseconds", spread(self._waits_ms[step])))
            values.append((f"{step}.IoTime", "Milliseconds", spread(self._times_ms[step])))
        return values


def spread(values: Iterable[float]) -> list[float]:
    """At most 100 of the values, evenly spaced in sorted order, with the smallest and the largest."""
    ordered = sorted(round(value, 3) for value in values)
    if len(ordered) <= _MOST_VALUES:
        return ordered
    last = len(ordered) - 1
    return [ordered[round(place * last / (_MOST_VALUES - 1))] for place in range(_MOST_VALUES)]


def arrival_ms(record: Any) -> int | None:
    """When a record arrived in the service that delivers it, in ms; None if unknown."""
    try:
        if "kinesis" in record:
            return int(float(record["kinesis"]["approximateArrivalTimestamp"]) * 1000)
        if "dynamodb" in record:
            return int(float(record["dynamodb"]["ApproximateCreationDateTime"]) * 1000)
        if "messageId" in record:
            return int(record["attributes"]["SentTimestamp"])
        if "recordId" in record:
            return int(record["approximateArrivalTimestamp"])
        text = record["Sns"]["Timestamp"] if "Sns" in record else record.get("eventTime") or record["time"]
        return int(datetime.fromisoformat(text).timestamp() * 1000)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        return None


def payload_bytes(record: Any) -> int:
    """Bytes of a record's payload (decoded data, images, body or message); 0 if it has none that can be read."""
    try:
        if "kinesis" in record or "recordId" in record:
            return len((record.get("kinesis") or record).get("data") or "") * 3 // 4
        if "dynamodb" in record:
            return int(record["dynamodb"].get("SizeBytes") or 0)
        text = record.get("body") or (record.get("Sns") or {}).get("Message") or ""
        return len(text.encode("utf-8", "surrogatepass"))
    except (AttributeError, OverflowError, TypeError, ValueError):
        return 0


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
