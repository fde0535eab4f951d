"""CloudWatch: metrics by namespace and dimensions, and alarms that are evaluated at the end of their periods.

An alarm is evaluated while its range holds data, and once when it has become empty: later evaluations could not change
its state. So an idle system costs nothing.

Source of the rules: CloudWatch user guide, "Alarm evaluation" and "Configuring how CloudWatch alarms treat missing
data", whose tables are the tests. Periods end at full multiples of their length here; AWS may shift them by a minute.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from refusals import Refusal

from simulator.kernel import MICROSECONDS, Kernel
from simulator.topology import Alarm as Description

Request = Mapping[str, Any]
Dimensions = tuple[tuple[str, str], ...]
Metrics = Callable[[str, str, Dimensions, float], None]
"""Takes a value: namespace, name, dimensions sorted by name, value."""
Gauge = Callable[[float], None]
"""Takes what a value is from now on; CloudWatch gets it every minute."""

MINUTE_US = 60 * MICROSECONDS
MOST_DATA = 1_000
MOST_DIMENSIONS = 30
"""Of a request, and of a datum (CloudWatch API reference, "PutMetricData")."""
BEYOND = 2
"""Periods that are looked at beside those to evaluate; AWS says that there are some, and not how many."""

_TESTS: Mapping[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
}


def ignored(namespace: str, name: str, dimensions: Dimensions, value: float) -> None:
    """`Metrics` of a service that nobody watches."""


def no_gauge(namespace: str, name: str, dimensions: Dimensions) -> Gauge:
    """A gauge that nobody watches."""
    return lambda value: None


@dataclass(slots=True)
class Aggregate:
    """Values of a minute, or of several."""

    total: float = 0.0
    count: float = 0.0
    largest: float = float("-inf")
    smallest: float = float("inf")

    def add(self, value: float, times: float = 1.0) -> None:
        self.total += value * times
        self.count += times
        self.largest = max(self.largest, value)
        self.smallest = min(self.smallest, value)

    def join(self, other: Aggregate) -> None:
        self.total += other.total
        self.count += other.count
        self.largest = max(self.largest, other.largest)
        self.smallest = min(self.smallest, other.smallest)

    def statistic(self, name: str) -> float:
        match name:
            case "Sum":
                return self.total
            case "SampleCount":
                return self.count
            case "Average":
                return self.total / self.count
            case "Maximum":
                return self.largest
            case "Minimum":
                return self.smallest
        raise TypeError(f"{name} is no statistic here")


class Series:
    """The values of one metric with one set of dimensions, by minute."""

    def __init__(self) -> None:
        self.minutes: dict[int, Aggregate] = {}
        self.newest = -1

    def add(self, at_us: int, value: float, times: float = 1.0) -> None:
        minute = at_us // MINUTE_US
        self.newest = max(self.newest, minute)
        found = self.minutes.get(minute)
        if found is None:
            found = self.minutes[minute] = Aggregate()
        found.add(value, times)

    def between(self, first: int, end: int) -> Aggregate | None:
        """The values of some minutes; None where there are none."""
        whole = Aggregate()
        for minute in range(first, end):
            found = self.minutes.get(minute)
            if found is not None:
                whole.join(found)
        return whole if whole.count else None

    def may_change(self, first: int) -> bool:
        """Whether the minutes from one on hold data that a later evaluation sees in another place."""
        return self.newest >= first


class GaugeSeries(Series):
    """A value that holds until it changes; CloudWatch gets it at each full minute."""

    def __init__(self) -> None:
        super().__init__()
        self.times_us: list[int] = []
        self.values: list[float] = []

    def change(self, at_us: int, value: float) -> bool:
        """Set the value; says whether it is another one."""
        if self.values and self.values[-1] == value:
            return False
        if not self.values and value == 0.0:
            return False
        self.times_us.append(at_us)
        self.values.append(value)
        return True

    def between(self, first: int, end: int) -> Aggregate | None:
        whole = Aggregate()
        for minute in range(first, end):
            place = bisect_right(self.times_us, (minute + 1) * MINUTE_US - 1)
            if place:
                whole.add(self.values[place - 1])
        return whole if whole.count else None

    def may_change(self, first: int) -> bool:
        return bool(self.times_us) and self.times_us[-1] >= first * MINUTE_US


@dataclass(eq=False)
class Alarm:
    """An alarm and its state: OK, ALARM or INSUFFICIENT_DATA."""

    description: Description
    state: str = "INSUFFICIENT_DATA"
    due: bool = False


@dataclass(frozen=True)
class Change:
    """An alarm's state became another one."""

    at_us: int
    alarm: str
    before: str
    after: str


class CloudWatch:
    """Metrics, and the alarms of a deployment by name in `alarms`.

    Args:
        call: calls another service, for the alarms' actions: ("sns", "Publish", request).
    """

    def __init__(
        self,
        kernel: Kernel,
        seed: object,
        descriptions: Iterable[Description],
        call: Callable[[str, str, Request], Any] = lambda service, operation, request: {},
    ) -> None:
        self._kernel = kernel
        self._call = call
        self._series: dict[tuple[str, str, Dimensions], Series] = {}
        self.alarms = {each.name: Alarm(each) for each in descriptions}
        self.history: list[Change] = []
        self._watching: dict[tuple[str, str, Dimensions], list[Alarm]] = {}
        for alarm in self.alarms.values():
            about = alarm.description
            self._watching.setdefault((about.namespace, about.metric, about.dimensions), []).append(alarm)
            self._evaluate_later(alarm)

    # --- metrics ---

    def add(self, namespace: str, name: str, dimensions: Dimensions, value: float) -> None:
        """Take a value at this moment; `Metrics` of other services."""
        self._put((namespace, name, dimensions), self._kernel.now_us, value)

    def gauge(self, namespace: str, name: str, dimensions: Dimensions) -> Gauge:
        """Make a gauge."""
        key = (namespace, name, dimensions)
        series = self._series[key] = GaugeSeries()

        def change(value: float) -> None:
            if series.change(self._kernel.now_us, float(value)):
                for alarm in self._watching.get(key, ()):
                    self._evaluate_later(alarm)

        return change

    def PutMetricData(self, request: Request) -> dict[str, Any]:
        data = request["MetricData"]
        if len(data) > MOST_DATA:
            raise Refusal(
                400,
                "InvalidParameterValue",
                f"The collection MetricData must not have a size greater than {MOST_DATA}.",
            )
        for place, each in enumerate(data, start=1):
            if len(each.get("Dimensions", ())) > MOST_DIMENSIONS:
                where = f"MetricData.member.{place}.Dimensions"
                raise Refusal(
                    400,
                    "InvalidParameterValue",
                    f"The collection {where} must not have a size greater than {MOST_DIMENSIONS}.",
                )
            if "Values" in each and "Value" in each:
                raise Refusal(
                    400,
                    "InvalidParameterCombination",
                    f"The parameters MetricData.member.{place}.Value and MetricData.member.{place}.Values are mutually "
                    "exclusive and you have specified both.",
                )
        for each in data:
            dimensions = tuple(sorted((pair["Name"], pair["Value"]) for pair in each.get("Dimensions", ())))
            key = (request["Namespace"], each["MetricName"], dimensions)
            at_us = _moment(each["Timestamp"]) if "Timestamp" in each else self._kernel.now_us
            if "StatisticValues" in each:
                raise TypeError("StatisticValues are not simulated")
            values = each.get("Values", [each["Value"]] if "Value" in each else [])
            for value, times in zip(values, each.get("Counts") or [1.0] * len(values), strict=True):
                self._put(key, at_us, float(value), float(times))
        return {}

    def put_embedded(self, line: str) -> bool:
        """Take the metrics in a line of a log; says whether it has some.

        Source: CloudWatch user guide, "Specification: Embedded metric format".
        """
        if '"_aws"' not in line:
            return False
        document = json.loads(line)
        for directive in document["_aws"]["CloudWatchMetrics"]:
            for names in directive["Dimensions"]:
                dimensions = tuple(sorted((name, str(document[name])) for name in names))
                for metric in directive["Metrics"]:
                    key = (directive["Namespace"], metric["Name"], dimensions)
                    at_us = document["_aws"]["Timestamp"] * 1_000
                    found = document.get(metric["Name"], [])
                    if isinstance(found, dict):
                        for value, times in zip(found["Values"], found["Counts"], strict=True):
                            self._put(key, at_us, value, times)
                    else:
                        for value in found if isinstance(found, list) else [found]:
                            self._put(key, at_us, value)
        return True

    def total(self, namespace: str, name: str, dimensions: Dimensions) -> float:
        """The sum of all values of a metric, for promises."""
        series = self._series.get((namespace, name, dimensions))
        return sum(each.total for each in series.minutes.values()) if series else 0.0

    def periods(
        self, namespace: str, name: str, dimensions: Dimensions, seconds: int, statistic: str
    ) -> dict[int, float]:
        """A metric by the numbers of periods of so many seconds that have data, for promises."""
        series, width = self._series.get((namespace, name, dimensions)), seconds // 60
        if series is None:
            return {}
        found = {}
        for number in {minute // width for minute in series.minutes}:
            values = series.between(number * width, (number + 1) * width)
            if values is not None:
                found[number] = values.statistic(statistic)
        return found

    def GetMetricStatistics(self, request: Request) -> dict[str, Any]:
        dimensions = tuple(sorted((pair["Name"], pair["Value"]) for pair in request.get("Dimensions", ())))
        series = self._series.get((request["Namespace"], request["MetricName"], dimensions), Series())
        width = int(request["Period"]) // 60
        first, end = _moment(request["StartTime"]) // MINUTE_US, -(-_moment(request["EndTime"]) // MINUTE_US)
        points = []
        for minute in range(first, end, width):
            found = series.between(minute, min(minute + width, end))
            if found is not None:
                at = datetime.fromtimestamp(minute * 60, UTC)
                points.append({"Timestamp": at, **{name: found.statistic(name) for name in request["Statistics"]}})
        return {"Label": request["MetricName"], "Datapoints": points}

    def _put(self, key: tuple[str, str, Dimensions], at_us: int, value: float, times: float = 1.0) -> None:
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = Series()
        series.add(at_us, value, times)
        for alarm in self._watching.get(key, ()):
            self._evaluate_later(alarm)

    # --- alarms ---

    def DescribeAlarms(self, request: Request) -> dict[str, Any]:
        wanted, state = request.get("AlarmNames"), request.get("StateValue")
        found = [
            {"AlarmName": name, "AlarmArn": each.description.arn, "StateValue": each.state}
            for name, each in self.alarms.items()
            if (wanted is None or name in wanted) and state in (None, each.state)
        ]
        return {"MetricAlarms": found}

    def in_alarm(self) -> list[str]:
        """The names of the alarms that are on."""
        return [name for name, each in self.alarms.items() if each.state == "ALARM"]

    def deploy(self, descriptions: Iterable[Description]) -> None:
        """Have these alarms; the state of those that were there before stays."""
        before = self.alarms
        self.alarms = {each.name: Alarm(each) for each in descriptions}
        self._watching.clear()
        for name, alarm in self.alarms.items():
            alarm.state = before[name].state if name in before else alarm.state
            about = alarm.description
            self._watching.setdefault((about.namespace, about.metric, about.dimensions), []).append(alarm)
            self._evaluate_later(alarm)

    def _evaluate_later(self, alarm: Alarm) -> None:
        if alarm.due:
            return
        alarm.due = True
        period_us = alarm.description.period_s * MICROSECONDS
        self._kernel.at(period_us - self._kernel.now_us % period_us, lambda: self._evaluate(alarm))

    def _evaluate(self, alarm: Alarm) -> None:
        alarm.due = False
        about = alarm.description
        if self.alarms.get(about.name) is not alarm:
            return
        series = self._series.get((about.namespace, about.metric, about.dimensions), Series())
        width = about.period_s // 60
        end = self._kernel.now_us // MINUTE_US
        first = end - (about.periods + BEYOND) * width
        test = _TESTS[about.comparison]
        points: list[bool] = []  # whether each breaches, the latest first
        for last in range(end, first, -width):
            found = series.between(last - width, last)
            if found is not None:
                points.append(test(found.statistic(about.statistic), about.threshold))
        self._turn(alarm, next_state(alarm.state, points, about.periods, about.datapoints, about.missing))
        if series.may_change(first):
            self._evaluate_later(alarm)

    def _turn(self, alarm: Alarm, state: str) -> None:
        before, alarm.state = alarm.state, state
        if before == state:
            return
        about = alarm.description
        self.history.append(Change(self._kernel.now_us, about.name, before, state))
        actions = {"ALARM": about.actions, "OK": about.ok_actions}.get(state, ())
        message = {"AlarmName": about.name, "OldStateValue": before, "NewStateValue": state, "AlarmArn": about.arn}
        for arn in actions:
            subject = f'{state}: "{about.name}"'
            self._call("sns", "Publish", {"TopicArn": arn, "Subject": subject[:100], "Message": json.dumps(message)})


def next_state(state: str, points: Sequence[bool], periods: int, datapoints: int, missing: str) -> str:
    """The state after an evaluation.

    Missing data count only where the range has fewer real data points than there are periods to evaluate.

    Args:
        points: whether each data point of the range breaches, the latest first, without those that are missing.
    """
    latest = points[:periods]
    lacking = periods - len(latest)
    breaching = sum(latest)
    if missing == "breaching":
        breaching += lacking
    if breaching >= datapoints:
        return "ALARM"
    if not lacking or missing in ("breaching", "notBreaching") or not all(latest):
        return "OK"
    # All that is there breaches, and is too little to tell.
    if missing == "ignore":
        return state
    return "ALARM" if latest else "INSUFFICIENT_DATA"


def _moment(value: Any) -> int:
    """Microseconds of a datetime, of Unix seconds, or of a text."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    seconds = float(value.timestamp() if hasattr(value, "timestamp") else value)
    return round(seconds * MICROSECONDS)
