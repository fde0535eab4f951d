"""S3 writes and deletions."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from stream_runtime import settings
from stream_runtime.engine.calls import call
from stream_runtime.engine.flow import Operator
from stream_runtime.engine.operators import rx_parallel
from stream_runtime.engine.run import Run
from stream_runtime.payload import codec


def put_object_to_s3(
    bucket_name: str | None = None,
    put_request_field: str = "put_request",
    put_response_field: str = "put_response",
    delete_request_field: str = "delete_request",
    delete_response_field: str = "delete_response",
    parallel: int | None = None,
    rate: float | None = None,
) -> Operator:
    """An operator that makes the PutObject or DeleteObject request in a field of each unit of work; others pass.

    A body that is neither text nor bytes is written as JSON. Puts and deletions are one step, which keeps their order.

    Args:
        bucket_name: the bucket of requests that name none; BUCKET_NAME by default.
        put_request_field: where ``{"Key", "Body", ...}`` is.
        put_response_field: where the response is put.
        delete_request_field: where ``{"Key"}`` of an object to be deleted is.
        delete_response_field: where that response is put.
        parallel: calls at once, in order for each partition key and object.
        rate: calls a second.
    """

    def in_bucket(request: Mapping[str, Any]) -> dict[str, Any]:
        return {**request, "Bucket": request.get("Bucket") or bucket_name or settings.required(settings.BUCKET_NAME)}

    def write(_: Run, uow: Any) -> Any:
        put, delete = uow.get(put_request_field), uow.get(delete_request_field)
        if put:
            uow = {**uow, put_response_field: call("s3", "put_object", **with_body(in_bucket(put)))}
        if delete:
            uow = {**uow, delete_response_field: call("s3", "delete_object", **in_bucket(delete))}
        return uow

    def written(uow: Any) -> list[Hashable]:
        requests = (uow.get(put_request_field), uow.get(delete_request_field))
        return [(request.get("Bucket"), request["Key"]) for request in requests if request]

    return rx_parallel(write, parallel=parallel, rate=rate, written=written)


def with_body(request: Mapping[str, Any]) -> dict[str, Any]:
    """A PutObject request with text or bytes as its body; JSON sets the content type."""
    body = request.get("Body", b"")
    if isinstance(body, str | bytes | bytearray) or hasattr(body, "read"):
        return dict(request)
    return {"ContentType": "application/json", **request, "Body": codec.encode(body).encode()}
