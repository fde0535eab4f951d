"""S3 reads: objects, and lists of objects."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any, cast

from stream_runtime import settings
from stream_runtime.aws.clients import client
from stream_runtime.engine.calls import call, retried
from stream_runtime.engine.flow import Operator, compose
from stream_runtime.engine.operators import rx_map, rx_request, split_buffer

__all__ = ["get_lines", "get_object", "get_object_from_s3", "page_objects_from_s3", "to_get_object_request"]


def get_object(bucket: str, key: str, most_bytes: int | None = None) -> bytes:
    """The body of an object, decompressed if it is gzip (by its first bytes); retried like every call.

    Args:
        bucket: its bucket.
        key: its key.
        most_bytes: to how many bytes gzip may expand; MAX_EXPANDED_SIZE by default.

    Raises:
        ValueError: it expands to more.
        botocore.exceptions.ClientError: what S3 answered at the last attempt.
    """
    body = _read(bucket, key)
    if not body.startswith(_GZIP):
        return body
    most = most_bytes or settings.MAX_EXPANDED_SIZE.read()
    with _unpacked(body) as content:
        expanded = content.read(most + 1)
    if len(expanded) > most:
        raise ValueError(f"s3://{bucket}/{key} expands to more than {most} bytes (MAX_EXPANDED_SIZE)")
    return expanded


def get_lines(bucket: str, key: str) -> Iterator[str]:
    """The non-empty lines of a text object, plain or gzip, such as Firehose writes.

    A gzip object is expanded line by line, so it may be of any size, while a line has at most MAX_EXPANDED_SIZE bytes.

    Raises:
        ValueError: a line is longer.
        botocore.exceptions.ClientError: what S3 answered at the last attempt.
    """
    most = settings.MAX_EXPANDED_SIZE.read()
    with _unpacked(_read(bucket, key)) as content:
        while line := content.readline(most + 1):
            if len(line) > most:
                raise ValueError(f"s3://{bucket}/{key} has a line of more than {most} bytes (MAX_EXPANDED_SIZE)")
            if line.strip():
                yield line.decode().removesuffix("\n")


_GZIP = b"\x1f\x8b"


def _read(bucket: str, key: str) -> bytes:
    body: bytes = retried(lambda: client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())
    return body


def _unpacked(body: bytes) -> IO[bytes]:
    content = io.BytesIO(body)
    return cast(IO[bytes], gzip.GzipFile(fileobj=content)) if body.startswith(_GZIP) else content


def to_get_object_request(uow: Any) -> Any:
    """The unit of work of an S3 notification with the request for its object, ``{"Bucket", "Key"}``.

    It is put under ``get_request``, and its key is decoded.
    """
    s3 = uow["event"]["s3"]
    return {**uow, "get_request": {"Bucket": s3["bucket"]["name"], "Key": s3["object"]["key"]}}


def get_object_from_s3(
    bucket_name: str | None = None,
    get_request_field: str = "get_request",
    get_response_field: str = "get_response",
    parallel: int | None = None,
    rate: float | None = None,
    most_bytes: int | None = None,
) -> Operator:
    """An operator that reads the object ``{"Bucket"?, "Key"}`` in a field of each unit of work; units without one pass.

    Args:
        bucket_name: the bucket of requests that name none; BUCKET_NAME by default.
        get_request_field: where the request is.
        get_response_field: where the body, decompressed if it is gzip, is put as bytes.
        parallel: reads at once, in order for each partition key.
        rate: reads a second.
        most_bytes: to how many bytes a gzip object may expand; MAX_EXPANDED_SIZE by default.
    """

    def get(request: Mapping[str, str]) -> bytes:
        return get_object(_bucket_of(request, bucket_name), request["Key"], most_bytes)

    return rx_request(
        get, request_field=get_request_field, response_field=get_response_field, parallel=parallel, rate=rate
    )


def page_objects_from_s3(
    bucket_name: str | None = None,
    list_request_field: str = "list_request",
    list_response_field: str = "list_response",
    parallel: int | None = None,
    rate: float | None = None,
) -> Operator:
    """An operator that makes a unit of work for each object that the ListObjectsV2 request of a unit finds.

    All pages are read. Units of work without a request pass; a request that finds nothing gives none.

    Args:
        bucket_name: the bucket of requests that name none; BUCKET_NAME by default.
        list_request_field: where ``{"Bucket"?, "Prefix"?, "MaxKeys"?, ...}`` is; ``MaxKeys`` is the size of a page.
        list_response_field: where ``{"Content": {"Key", "Size", "ETag", "LastModified", ...}}`` of the object is put.
        parallel: requests at once, in order for each partition key.
        rate: requests a second.

    Source: S3 API reference, "ListObjectsV2".
    """

    def objects(request: Mapping[str, Any]) -> list[Any]:
        return list(_listed({**request, "Bucket": _bucket_of(request, bucket_name)}))

    def to_uows(uow: Any) -> list[Any]:
        if not uow.get(list_request_field):
            return [uow]
        return [{**uow, list_response_field: {"Content": found}} for found in uow[list_response_field]]

    return compose(
        rx_request(
            objects,
            request_field=list_request_field,
            response_field=list_response_field,
            parallel=parallel,
            rate=rate,
        ),
        rx_map(to_uows),
        split_buffer(),
    )


def _listed(request: Mapping[str, Any]) -> Iterable[Any]:
    page = call("s3", "list_objects_v2", **request)
    yield from page.get("Contents", ())
    while page.get("IsTruncated"):
        page = call("s3", "list_objects_v2", **{**request, "ContinuationToken": page["NextContinuationToken"]})
        yield from page.get("Contents", ())


def _bucket_of(request: Mapping[str, Any], bucket_name: str | None) -> str:
    return request.get("Bucket") or bucket_name or settings.required(settings.BUCKET_NAME)
