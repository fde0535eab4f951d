"""How long the functions of a deployed stage take: its metrics in CloudWatch instead of what was measured here.

Lambda counts invocations and their durations. How many records they had, the runtime counts where METRICS is true. From
both follow the time of a batch and of a record. How these divide into CPU and waits, and among kinds of records, stays
as it was: no metric says it. Neither does one say how long a cold start takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from stream_cli.plan.model import FunctionTimes, Limits, System, Times

HOURS = 24
_PERIOD_S = 60
_AT_ONCE = 500
"""Metrics of one GetMetricData (CloudWatch API reference)."""
_LEAST_SPREAD = 1e-3
"""Where batches are all of about one size, batch and record cannot be told apart."""

Metric = tuple[str, str, tuple[tuple[str, str], ...]]
"""Namespace, name and dimensions."""


@dataclass(frozen=True)
class _Seen:
    """Of the minutes in which a function ran: invocations, records (nan where they are not counted), milliseconds."""

    invocations: npt.NDArray[np.float64]
    records: npt.NDArray[np.float64]
    took_ms: npt.NDArray[np.float64]


def times_of_stage(
    times: Times, system: System, limits: Limits, stage: str, client: Callable[[], Any], now: datetime
) -> tuple[Times, tuple[str, ...]]:
    """The times with durations of a stage's functions in the last `HOURS`, and what to say of those without any.

    Args:
        client: gives a boto3 client of CloudWatch.

    Raises:
        ClientError: CloudWatch refuses to answer.
    """
    names = {name: _deployed(name, stage) for name in times.functions if name in system.functions}
    read_by_mappings = {mapping.function for mapping in system.mappings.values()}
    seen = _seen(client(), names, read_by_mappings, now)
    found, notes = dict(times.functions), []
    for name in names:
        each = seen.get(name)
        if each is None:
            notes.append(f"{stage} has no invocations of {name} in the last {HOURS} h: its times are those of before.")
        elif np.isnan(each.records).any():
            notes.append(
                f"{stage} does not count the records of {name}, so its times are those of before: METRICS=true in its "
                "environment counts them."
            )
        else:
            share = limits.cpu_share(system.functions[name].memory_mb)
            found[name] = _fitted(times.functions[name], each, share)
    command = f"the metrics of {stage} in CloudWatch, {HOURS} h"
    return replace(times, measured=now.date().isoformat(), command=command, functions=found), tuple(notes)


def _deployed(name: str, stage: str) -> str:
    service, _, function = name.partition("/")
    return f"{service}-{stage}-{function}"


def _fitted(known: FunctionTimes, seen: _Seen, share: float) -> FunctionTimes:
    """The times of a function, scaled to what was seen; kinds of records that take any time are equally frequent."""
    fixed = known.batch_cpu_ms / share + known.batch_wait_ms
    each = [took for work in known.work.values() if (took := work.cpu_ms / share + work.wait_ms)]
    record = sum(each) / len(each) if each else 0.0
    a, b = _least_squares(seen) or _in_proportion(seen, fixed, record)
    work = {
        kind: replace(work, cpu_ms=work.cpu_ms * b / record, wait_ms=work.wait_ms * b / record)
        if record
        else replace(work, wait_ms=b)
        for kind, work in known.work.items()
    }
    if not fixed:
        return replace(known, batch_wait_ms=a, work=work)
    return replace(
        known, batch_cpu_ms=known.batch_cpu_ms * a / fixed, batch_wait_ms=known.batch_wait_ms * a / fixed, work=work
    )


def _least_squares(seen: _Seen) -> tuple[float, float] | None:
    """Milliseconds of a batch and of a record, neither below 0; None where all batches are of about one size."""
    n, r, took = seen.invocations, seen.records, seen.took_ms
    determinant = (n @ n) * (r @ r) - (n @ r) ** 2
    if determinant <= _LEAST_SPREAD * (n @ n) * (r @ r):
        return None
    a = ((n @ took) * (r @ r) - (r @ took) * (n @ r)) / determinant
    b = ((r @ took) * (n @ n) - (n @ took) * (n @ r)) / determinant
    if a < 0:
        return 0.0, float(r @ took / (r @ r))
    if b < 0:
        return float(n @ took / (n @ n)), 0.0
    return float(a), float(b)


def _in_proportion(seen: _Seen, fixed: float, record: float) -> tuple[float, float]:
    """The same with the proportion of batch and record that is known; all of it is the batch's, if none is."""
    before = fixed * seen.invocations.sum() + record * seen.records.sum()
    if not before:
        return float(seen.took_ms.sum() / seen.invocations.sum()), 0.0
    factor = float(seen.took_ms.sum() / before)
    return fixed * factor, record * factor


def _seen(client: Any, names: Mapping[str, str], batched: Iterable[str], now: datetime) -> dict[str, _Seen]:
    """What was seen of each function that has run; without a mapping, an invocation has one record."""
    counted = {name: set(_records_of(client, names[name])) for name in batched if name in names}
    lambdas: dict[tuple[str, str], Metric] = {
        (name, metric): ("AWS/Lambda", metric, (("FunctionName", deployed),))
        for name, deployed in names.items()
        for metric in ("Invocations", "Duration")
    }
    wanted = [*lambdas.values(), *(metric for metrics in counted.values() for metric in metrics)]
    points = _points(client, wanted, now)
    found = {}
    for name in names:
        invocations, took = (points[lambdas[name, metric]] for metric in ("Invocations", "Duration"))
        minutes = sorted(at for at, value in invocations.items() if value and at in took)
        records = invocations if name not in counted else _sum(points[metric] for metric in counted[name])
        if minutes:
            columns = (np.array([series.get(at, np.nan) for at in minutes]) for series in (invocations, records, took))
            found[name] = _without_gaps(_Seen(*columns))
    return found


def _without_gaps(seen: _Seen) -> _Seen:
    """Without minutes whose records were not counted, unless that is so of all: they are logged by and by."""
    kept = ~np.isnan(seen.records)
    return _Seen(seen.invocations[kept], seen.records[kept], seen.took_ms[kept]) if kept.any() else seen


def _records_of(client: Any, deployed: str) -> Iterator[Metric]:
    """The metrics `Records` of the runtime with the dimension of a function, in whatever namespace."""
    dimensions = [{"Name": "functionname", "Value": deployed}]
    for page in client.get_paginator("list_metrics").paginate(MetricName="Records", Dimensions=dimensions):
        for each in page["Metrics"]:
            named = tuple((dimension["Name"], dimension["Value"]) for dimension in each["Dimensions"])
            yield each["Namespace"], each["MetricName"], named


def _points(client: Any, wanted: Sequence[Metric], now: datetime) -> dict[Metric, dict[datetime, float]]:
    """The sum of each metric in each minute."""
    found: dict[Metric, dict[datetime, float]] = {metric: {} for metric in wanted}
    until = now.astimezone(UTC).replace(second=0, microsecond=0)
    for first in range(0, len(wanted), _AT_ONCE):
        chosen = wanted[first : first + _AT_ONCE]
        pages = client.get_paginator("get_metric_data").paginate(
            MetricDataQueries=[_query(number, metric) for number, metric in enumerate(chosen)],
            StartTime=until - timedelta(hours=HOURS),
            EndTime=until,
        )
        for page in pages:
            for result in page["MetricDataResults"]:
                into = found[chosen[int(result["Id"][1:])]]
                into.update(zip(result["Timestamps"], result["Values"], strict=True))
    return found


def _query(number: int, metric: Metric) -> dict[str, Any]:
    namespace, name, dimensions = metric
    named = [{"Name": dimension, "Value": value} for dimension, value in dimensions]
    asked = {"Namespace": namespace, "MetricName": name, "Dimensions": named}
    return {"Id": f"m{number}", "MetricStat": {"Metric": asked, "Period": _PERIOD_S, "Stat": "Sum"}}


def _sum(series: Iterable[Mapping[datetime, float]]) -> dict[datetime, float]:
    total: dict[datetime, float] = {}
    for each in series:
        for at, value in each.items():
            total[at] = total.get(at, 0.0) + value
    return total
