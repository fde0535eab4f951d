"""What charts of a function show: invocations, errors and durations by time, and the metrics that it logs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from stream_cli.console.buckets import Buckets
from stream_cli.console.log_tails import LogTails
from stream_cli.console.logged_metrics import LoggedMetrics
from stream_cli.journal.questions import Questions
from stream_cli.stored.connection import Connection

MOST_CALLS = 10_000
_MINUTES = (5, 15, 60, 180)
_LEAST_MS = 60_000
"""CloudWatch has the figures of Lambda by the minute."""
_FIGURES = {
    "invocations": ("Invocations", "Sum"),
    "errors": ("Errors", "Sum"),
    "p50": ("Duration", "p50"),
    "p95": ("Duration", "p95"),
}


def range_of(asked: Mapping[str, str], *, at_a_stage: bool) -> Buckets:
    """The range of time that a question asks for.

    Raises:
        ValueError: there is no such range.
    """
    minutes = asked.get("minutes") or "15"
    if minutes not in map(str, _MINUTES):
        raise ValueError(f"minutes must be one of {', '.join(map(str, _MINUTES))}")
    length = int(minutes) * 60_000
    now = time.time_ns() // 1_000_000
    if at_a_stage and length < 60 * _LEAST_MS:
        return Buckets(now // _LEAST_MS * _LEAST_MS - length + _LEAST_MS, _LEAST_MS, int(minutes))
    return Buckets.until(now, length)


def measures(
    function: str,
    asked: Mapping[str, str],
    questions: Questions,
    tails: LogTails,
    connection: Callable[[], Connection] | None,
) -> dict[str, Any]:
    """Everything for the charts of a function.

    Args:
        asked: ``minutes`` says how far back.
        connection: of a stage on AWS, where CloudWatch has figures of invocations; None for the local cloud.

    Raises:
        ValueError: there is no such range of time.
    """
    buckets = range_of(asked, at_a_stage=connection is not None)
    if connection is None:
        calls = of_the_journal(questions, function, buckets)
    else:
        calls = of_cloudwatch(connection(), function, buckets)
    tail = tails.of(function)
    return {
        "at": [buckets.start + place * buckets.step for place in range(buckets.number)],
        "step": buckets.step,
        "calls": calls,
        "logged": (LoggedMetrics() if tail is None else tail.metrics()).shown(buckets),
    }


def of_the_journal(questions: Questions, function: str, buckets: Buckets) -> dict[str, Any]:
    """Invocations, errors and durations (ms; the median and the 95th percentile) that were observed.

    ``cut`` is the time before which invocations were left out, because there are too many; else None.
    """
    page = questions.calls(function=function, since=buckets.start, until=buckets.end, limit=MOST_CALLS)
    durations: list[list[int]] = [[] for _ in range(buckets.number)]
    errors = [0] * buckets.number
    for call in page.lines:
        place = buckets.place(call["at"])
        if place is not None:
            durations[place].append(call["end"] - call["start"])
            errors[place] += call["outcome"] == "failed"
    for each in durations:
        each.sort()
    return {
        "invocations": list(map(len, durations)),
        "errors": errors,
        "p50": [_percentile(each, 50) for each in durations],
        "p95": [_percentile(each, 95) for each in durations],
        "cut": page.lines[-1]["at"] if page.older is not None else None,
        "from": "what was observed",
    }


def of_cloudwatch(connection: Connection, function: str, buckets: Buckets) -> dict[str, Any]:
    """The same of a stage on AWS, as CloudWatch has it."""
    queries = [
        {
            "Id": id,
            "MetricStat": {
                "Metric": {
                    "Namespace": "AWS/Lambda",
                    "MetricName": name,
                    "Dimensions": [{"Name": "FunctionName", "Value": function}],
                },
                "Period": buckets.step // 1000,
                "Stat": stat,
            },
        }
        for id, (name, stat) in _FIGURES.items()
    ]
    answer = connection.client("cloudwatch").get_metric_data(
        MetricDataQueries=queries,
        StartTime=datetime.fromtimestamp(buckets.start / 1000, UTC),
        EndTime=datetime.fromtimestamp(buckets.end / 1000, UTC),
    )
    found: dict[str, Any] = {id: [None] * buckets.number for id in _FIGURES}
    for result in answer["MetricDataResults"]:
        for at, value in zip(result["Timestamps"], result["Values"], strict=True):
            place = buckets.place(int(at.timestamp() * 1000))
            if place is not None:
                found[result["Id"]][place] = value
    for id in ("invocations", "errors"):
        found[id] = [int(value or 0) for value in found[id]]
    return {**found, "cut": None, "from": "CloudWatch"}


def _percentile(ordered: Sequence[int], percent: int) -> int | None:
    """The nearest rank; None of nothing."""
    return ordered[math.ceil(len(ordered) * percent / 100) - 1] if ordered else None
