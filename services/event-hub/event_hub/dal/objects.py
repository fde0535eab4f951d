"""Objects in S3, read piece by piece, taken up again where a connection broke."""

from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError
from stream_runtime.clients import client
from stream_runtime.engine.retry import Retry

CHUNK = 1 << 16


class ObjectChanged(Exception):
    """The object was deleted or written again after it was notified; the later notification tells of the later one."""


def chunks(bucket: str, key: str, version: str | None, etag: str | None, offset: int = 0) -> Iterator[bytes]:
    """The bytes of one version of an object from an offset on.

    Raises:
        ObjectChanged: that version is not there any more.
    """
    attempt, retry = 1, Retry()
    while True:
        try:
            for chunk in _body(bucket, key, version, etag, offset):
                offset, attempt = offset + len(chunk), 1
                yield chunk
            return
        except Exception as error:
            code = error.response["Error"]["Code"] if isinstance(error, ClientError) else None
            if code == "InvalidRange":
                return  # there is nothing behind the offset
            if code in ("NoSuchKey", "NoSuchVersion", "PreconditionFailed", "412", "404"):
                raise ObjectChanged(f"s3://{bucket}/{key} is not the notified version any more") from error
            if not retry.again(error, attempt):
                raise
            attempt += 1


def _body(bucket: str, key: str, version: str | None, etag: str | None, offset: int) -> Iterator[bytes]:
    request: dict[str, Any] = {"Bucket": bucket, "Key": key}
    if version:
        request["VersionId"] = version
    elif etag:
        request["IfMatch"] = f'"{etag}"'
    if offset:
        request["Range"] = f"bytes={offset}-"
    response = client("s3").get_object(**request)
    body = response["Body"]
    # Some stores that speak S3 answer with the whole object where a range of a version is asked for.
    before = 0 if "ContentRange" in response else offset
    try:
        while before and (skipped := body.read(min(before, CHUNK))):
            before -= len(skipped)
        while chunk := body.read(CHUNK):
            yield chunk
    finally:
        body.close()
