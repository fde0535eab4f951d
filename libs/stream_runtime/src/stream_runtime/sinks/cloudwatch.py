"""Writing metrics to CloudWatch by API, for metrics that do not belong to the invocation that writes them.

Metrics of an invocation itself cost no call: they are logged in the embedded format.
"""

from __future__ import annotations

from typing import Any

from stream_runtime import settings
from stream_runtime.aws.clients import client
from stream_runtime.engine.flow import Operator
from stream_runtime.engine.operators import rx_parallel
from stream_runtime.engine.run import Run

_MOST_DATA = 1000


def put_metric_data(
    put_metric_request_field: str = "put_metric_request",
    put_metric_response_field: str = "put_metric_response",
    parallel: int | None = None,
    rate: float | None = None,
) -> Operator:
    """An operator that makes the PutMetricData request, ``{"Namespace", "MetricData": [...]}``, in a field of each uow.

    Source: CloudWatch API reference, "PutMetricData": at most 1000 data in a call; more are sent in several.
    """

    def put(run: Run, uow: Any) -> Any:
        request = uow.get(put_metric_request_field)
        if not request:
            return uow
        data = request["MetricData"]
        for start in range(0, len(data), _MOST_DATA):
            part = {**request, "MetricData": data[start : start + _MOST_DATA]}
            run.retry.call(lambda part=part: client("cloudwatch").put_metric_data(**part))  # type: ignore[misc]
        return {**uow, put_metric_response_field: {"data": len(data)}}

    return rx_parallel(put, parallel=parallel or settings.PARALLEL.read(), rate=rate)
