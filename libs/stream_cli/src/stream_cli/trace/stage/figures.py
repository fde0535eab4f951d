"""What CloudWatch's metrics say of a stage: how much went over each arrow, and how far mappings are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from stream_cli.journal.questions import Traffic
from stream_cli.journal.unknown import NotKnown, note
from stream_cli.trace.deployed import Deployed, DeployedMapping, ShardLag
from stream_cli.trace.stage.asking import Kept, unless_denied

_KEPT_S = 60.0
_AT_ONCE = 500  # metrics of one GetMetricData
_MOST_POINTS = 1_440
MINUTE_MS = 60_000

NO_COUNTS = NotKnown(
    "how many records mappings took, dropped by a filter or failed with",
    "their metrics are not on: MetricsConfig with EventCount counts them",
)
SPREAD = NotKnown(
    "which source an invocation is of, changes of rows and objects", "CloudWatch counts invocations by function"
)


@dataclass(frozen=True)
class CloudWatchMetric:
    """A metric with the dimensions that it is asked by."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]
    statistic: str = "Sum"


@dataclass(frozen=True)
class MetricPoint:
    """A value of a period that begins at a time (ms)."""

    at: int
    value: float


Points = Mapping[CloudWatchMetric, Sequence[MetricPoint]]


@dataclass
class StageFigures:
    """Reads metrics, as few requests as there can be; ``client`` gives a boto3 client of CloudWatch."""

    client: Callable[[], Any]
    kept: Kept = field(default_factory=Kept)

    def points(self, wanted: Iterable[CloudWatchMetric], since: int, until: int) -> Points:
        """The points of metrics in a time (ms), in the order of time; none of those that the caller may not read."""
        period = max(60, (until - since) // 1000 // _MOST_POINTS // 60 * 60)
        start, end = since // MINUTE_MS, -(-until // MINUTE_MS)
        chosen = tuple(dict.fromkeys(wanted))
        return self.kept.answer(
            ("points", chosen, start, end), _KEPT_S, partial(self._read, chosen, start, end, period)
        )

    def _read(self, wanted: Sequence[CloudWatchMetric], start: int, end: int, period: int) -> Points:
        found: dict[CloudWatchMetric, list[MetricPoint]] = {each: [] for each in wanted}
        for first in range(0, len(wanted), _AT_ONCE):
            chosen = wanted[first : first + _AT_ONCE]
            request = {
                "MetricDataQueries": [_query(number, each, period) for number, each in enumerate(chosen)],
                "StartTime": datetime.fromtimestamp(start * 60, UTC), "EndTime": datetime.fromtimestamp(end * 60, UTC),
                "ScanBy": "TimestampAscending",
            }  # fmt: skip
            nothing: list[Any] = []
            pages = partial(self._pages, request)
            for result in unless_denied("metrics", "cloudwatch:GetMetricData", pages, nothing):
                points = zip(result["Timestamps"], result["Values"], strict=True)
                found[chosen[int(result["Id"][1:])]] += [
                    MetricPoint(int(at.timestamp() * 1000), value) for at, value in points
                ]
        return found

    def _pages(self, request: Mapping[str, Any]) -> list[Any]:
        pages = self.client().get_paginator("get_metric_data").paginate(**request)
        return [each for page in pages for each in page["MetricDataResults"]]

    # --- mappings ---

    def lags(self, deployed: Deployed, since: int, now: int) -> dict[tuple[str, str], ShardLag]:
        """How old the last records were that the functions of mappings had, by both ids; a stage knows no shards.

        IteratorAge is the age of the last record of a batch. So of a period with at most that age, all records that
        came that long before the period have been had.
        """
        ages = {each.id: _age_of(each) for each in deployed.mappings}
        points = self.points(ages.values(), since, now)
        return {
            (id, ""): ShardLag(None, int(min(now - point.at + point.value for point in points[age])))
            for id, age in ages.items()
            if points[age]
        }

    # --- arrows ---

    def traffic(
        self, deployed: Deployed, since: int, until: int, *, bus: str | None, targets: Callable[[str, str], list[str]],
        streams: Iterable[str], queues: Iterable[str], topics: Iterable[str],
    ) -> list[Traffic]:  # fmt: skip
        """What went over the arrows in a time, which begins and ends with whole minutes.

        Args:
            targets: the ARNs of the targets of a rule of a bus.
            streams, queues, topics: their ARNs.
        """
        if (until - since) < 2 * MINUTE_MS:
            since = until - 2 * MINUTE_MS  # a metric has a point a minute, and that some time later
        flows = [
            *(_of_function(each) for each in deployed.functions),
            *(_of_stream(each) for each in streams),
            *(_of_messages(each, "AWS/SQS", "QueueName", "NumberOfMessagesSent") for each in queues),
            *(_of_messages(each, "AWS/SNS", "TopicName", "NumberOfMessagesPublished") for each in topics),
            *(_of_mapping(each) for each in deployed.mappings),
        ]
        if bus is not None:
            flows += [
                _of_rule(bus, rule.name, each) for rule in deployed.bus_rules(bus) for each in targets(bus, rule.name)
            ]
        points = self.points([metric for flow in flows for metric in flow.metrics()], since, until)
        if deployed.mappings and not any(points[flow.count] for flow in flows if flow.kind == "attempt"):
            note(NO_COUNTS)
        note(SPREAD)
        return [found for flow in flows for found in flow.traffic(points)]


@dataclass(frozen=True)
class _Flow:
    """An arrow, with the metrics of its figures."""

    kind: str
    start: str
    end: str
    count: CloudWatchMetric
    failed: CloudWatchMetric | None = None
    ms: CloudWatchMetric | None = None
    most_ms: CloudWatchMetric | None = None
    filtered: CloudWatchMetric | None = None
    given_up: CloudWatchMetric | None = None

    def metrics(self) -> Iterator[CloudWatchMetric]:
        for each in (self.count, self.failed, self.ms, self.most_ms, self.filtered, self.given_up):
            if each is not None:
                yield each

    def traffic(self, points: Points) -> Iterator[Traffic]:
        """What went over it; nothing where nothing did."""

        def total(metric: CloudWatchMetric | None) -> int:
            return int(sum(point.value for point in points[metric])) if metric is not None else 0

        last = [point.at for metric in self.metrics() for point in points[metric] if point.value]
        if not last:
            return
        most = [point.value for point in points[self.most_ms]] if self.most_ms is not None else []
        failed = total(self.failed)
        # What an attempt failed with is counted among what it was invoked with, too.
        count = max(total(self.count) - failed, 0) if self.kind == "attempt" else total(self.count)
        yield Traffic(
            self.kind, self.start, self.end, count, count, failed, total(self.ms), int(max(most, default=0)),
            max(last),
        )  # fmt: skip
        for kind, metric in (("filtered", self.filtered), ("given_up", self.given_up)):
            if number := total(metric):
                yield Traffic(kind, self.start, self.end, number, 1, 0, 0, 0, max(last))


def _query(number: int, metric: CloudWatchMetric, period: int) -> dict[str, Any]:
    dimensions = [{"Name": name, "Value": value} for name, value in metric.dimensions]
    wanted = {"Namespace": metric.namespace, "MetricName": metric.name, "Dimensions": dimensions}
    return {"Id": f"m{number}", "MetricStat": {"Metric": wanted, "Period": period, "Stat": metric.statistic}}


def _of_lambda(name: str, function: str, statistic: str = "Sum") -> CloudWatchMetric:
    return CloudWatchMetric("AWS/Lambda", name, (("FunctionName", function),), statistic)


def _age_of(mapping: DeployedMapping) -> CloudWatchMetric:
    return _of_lambda("IteratorAge", mapping.function.partition(":")[0], "Maximum")


def _of_function(function: str) -> _Flow:
    return _Flow(
        "call", "", function, _of_lambda("Invocations", function), _of_lambda("Errors", function),
        _of_lambda("Duration", function), _of_lambda("Duration", function, "Maximum"),
    )  # fmt: skip


def _of_stream(stream: str) -> _Flow:
    name = stream.rpartition("/")[2]
    return _Flow("stream", "", stream, CloudWatchMetric("AWS/Kinesis", "IncomingRecords", (("StreamName", name),)))


def _of_messages(arn: str, namespace: str, dimension: str, name: str) -> _Flow:
    return _Flow("message", "", arn, CloudWatchMetric(namespace, name, ((dimension, arn.rpartition(":")[2]),)))


def _of_rule(bus: str, rule: str, target: str) -> _Flow:
    named = (("EventBusName", bus), ("RuleName", rule))
    return _Flow("rule", f"{bus}/{rule}", target, CloudWatchMetric("AWS/Events", "TriggeredRules", named))


def _of_mapping(mapping: DeployedMapping) -> _Flow:
    """EventCount metrics (Lambda developer guide, "Event source mapping metrics"), and the age of records."""

    def counted(name: str) -> CloudWatchMetric:
        return CloudWatchMetric("AWS/Lambda", name, (("EventSourceMappingUUID", mapping.id),))

    return _Flow(
        "attempt", mapping.source, mapping.id, counted("InvokedEventCount"), counted("FailedInvokeEventCount"),
        None, _age_of(mapping), counted("FilteredOutEventCount"), counted("DroppedEventCount"),
    )  # fmt: skip
