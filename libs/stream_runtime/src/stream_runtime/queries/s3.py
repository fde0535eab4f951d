"""S3 reads."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping

from stream_runtime.aws.clients import client
from stream_runtime.engine.calls import retried
from stream_runtime.engine.flow import Operator
from stream_runtime.engine.operators import rx_request


def get_object(bucket: str, key: str) -> bytes:
    """The body of an object, decompressed if it is gzip (by its first bytes); retried like every call.

    Raises:
        botocore.exceptions.ClientError: what S3 answered at the last attempt.
    """
    body = retried(lambda: client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())
    return gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body


def get_lines(bucket: str, key: str) -> Iterator[str]:
    """The non-empty lines of a text object, plain or gzip, such as Firehose writes."""
    for line in get_object(bucket, key).decode().split("\n"):
        if line.strip():
            yield line


def get_object_from_s3(
    get_request_field: str = "get_request",
    get_response_field: str = "get_response",
    parallel: int | None = None,
    rate: float | None = None,
) -> Operator:
    """An operator that reads the object ``{"Bucket", "Key"}`` in a field of each unit of work into another."""

    def get(request: Mapping[str, str]) -> bytes:
        return get_object(request["Bucket"], request["Key"])

    return rx_request(
        get, request_field=get_request_field, response_field=get_response_field, parallel=parallel, rate=rate
    )
