"""CloudWatch metrics by API call, for metrics about something other than the invocation.

Metrics of the invocation itself need no call: they are logged in the embedded metric format.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stream_runtime.engine.calls import call
from stream_runtime.engine.flow import Operator
from stream_runtime.engine.operators import rx_request

_MOST_DATA = 1000


def put_metric_data(
    put_metric_request_field: str = "put_metric_request",
    put_metric_response_field: str = "put_metric_response",
    parallel: int | None = None,
    rate: float | None = None,
) -> Operator:
    """An operator that makes the PutMetricData request, ``{"Namespace", "MetricData": [...]}``, in a field of each uow.

    Source: CloudWatch API reference, "PutMetricData": at most 1000 data in a call; more take several calls.
    """

    def put(request: Mapping[str, Any]) -> dict[str, int]:
        data = request["MetricData"]
        for start in range(0, len(data), _MOST_DATA):
            part = data[start : start + _MOST_DATA]
            call("cloudwatch", "put_metric_data", **{**request, "MetricData": part})
        return {"data": len(data)}

    return rx_request(
        put,
        request_field=put_metric_request_field,
        response_field=put_metric_response_field,
        parallel=parallel,
        rate=rate,
    )
