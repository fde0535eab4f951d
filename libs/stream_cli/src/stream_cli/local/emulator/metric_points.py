"""Points of metrics by the minute: what is the same in one minute is counted, and minutes before are in files.

ministack holds a dict for each value that was ever put, and four for each invocation of a function. CloudWatch has one
data point a minute of a metric with standard resolution, and keeps it for 15 days ("Metrics retention" in
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_concepts.html).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

from stream_cli.local.emulator.long_lists import LongList

INTERNALS = {
    "ministack.services.cloudwatch": ("_metrics", "_metric_bucket", "_evict_old_metrics", "_point_stats"),
}

_MINUTE_S = 60
_KEPT_S = 15 * 86_400

Point = dict[str, Any]


class Points(Sequence[Point]):
    """The points of a metric, as ministack has them: ``Timestamp`` (s, the last one's), ``Value``, ``Count``, ...

    Each has a number. Those of the newest minute change while others of the same value come.

    Attributes:
        told: is called with the number of a point that is new or changed, and the point; None when it has expired.
    """

    def __init__(self) -> None:
        self.told: Callable[[int, Point | None], None] | None = None
        self._closed = LongList()
        self._open: dict[tuple[Any, float], tuple[int, Point]] = {}
        self._minute = 0
        self._next = 0
        self._guard = threading.RLock()

    def __len__(self) -> int:
        return len(self._closed) + len(self._open)

    @overload
    def __getitem__(self, place: int) -> Point: ...
    @overload
    def __getitem__(self, place: slice) -> list[Point]: ...
    def __getitem__(self, place: int | slice) -> Any:
        return list(self)[place]

    def __iter__(self) -> Iterator[Point]:
        with self._guard:
            return iter([point for _, point in [*self._closed, *self._open.values()]])

    def append(self, point: Point) -> None:
        """Add a point; it is counted if the newest minute has its value."""
        with self._guard:
            minute = int(point["Timestamp"] // _MINUTE_S)
            if minute > self._minute:
                self._close()
                self._minute = minute
            if minute < self._minute or "_stat" in point:
                number = self._number()
                self._closed.append((number, point))
            else:
                value = point["Unit"], point["Value"]
                number, known = self._open.get(value) or (self._number(), {"Count": 0.0, "Timestamp": 0.0})
                last = max(known["Timestamp"], point["Timestamp"])
                point = {**point, "Count": known["Count"] + point.get("Count", 1.0), "Timestamp": last}
                self._open[value] = number, point
            if self.told is not None:
                self.told(number, point)

    def kept_as(self, number: int, point: Point) -> None:
        """Take a point that is kept under a number."""
        self._closed.append((number, point))
        self._next = max(self._next, number + 1)

    def expire(self, before_s: float) -> None:
        """Remove the points at the beginning that are older than this."""
        with self._guard:
            if self._minute * _MINUTE_S < before_s:
                self._close()
            while self._closed and self._closed[0][1]["Timestamp"] < before_s:
                if self.told is not None:
                    self.told(self._closed[0][0], None)
                del self._closed[:1]

    def _close(self) -> None:
        self._closed.extend(self._open.values())
        self._open = {}

    def _number(self) -> int:
        self._next += 1
        return self._next - 1


def patch() -> None:
    """Put such points where ministack has lists, and let them expire."""
    from ministack.services import cloudwatch

    def bucket(key: Any) -> Points:
        points = cloudwatch._metrics.get(key)
        if not isinstance(points, Points):
            points = cloudwatch._metrics[key] = Points()
        return points

    def evict() -> None:
        for key, points in list(cloudwatch._metrics.items()):
            points.expire(time.time() - _KEPT_S)
            if not points:
                del cloudwatch._metrics[key]

    cloudwatch._metric_bucket, cloudwatch._evict_old_metrics = bucket, evict
