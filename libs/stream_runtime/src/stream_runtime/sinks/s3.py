"""Writing objects to S3."""

from __future__ import annotations

from typing import Any

from stream_runtime import settings
from stream_runtime.clients import client
from stream_runtime.flow import Operator
from stream_runtime.operators import rx_parallel
from stream_runtime.run import Run


def put_object_to_s3(
    bucket_name: str | None = None,
    put_request_field: str = "put_request",
    put_response_field: str = "put_response",
    parallel: int | None = None,
) -> Operator:
    """An operator that makes the PutObject request in a field of each unit of work; units without one pass.

    Args:
        bucket_name: the bucket of requests that name none; BUCKET_NAME by default.
        put_request_field: where ``{"Key", "Body", ...}`` is.
        put_response_field: where the response is put.
        parallel: calls at once, in order for each partition key.
    """

    def put(run: Run, uow: Any) -> Any:
        request = uow.get(put_request_field)
        if not request:
            return uow
        whole = {**request, "Bucket": request.get("Bucket") or bucket_name or settings.required(settings.BUCKET_NAME)}
        return {**uow, put_response_field: run.retry.call(lambda: client("s3").put_object(**whole))}

    return rx_parallel(put, parallel=parallel or settings.PARALLEL.read())
