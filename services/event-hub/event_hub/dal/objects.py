"""Objects in S3, read in chunks; a broken connection is resumed where it broke."""

from collections.abc import Generator
from typing import Any

from botocore.exceptions import ClientError
from stream_runtime.clients import client, retried

CHUNK_BYTES = 1 << 16


class ObjectChanged(Exception):
    """The object was deleted or overwritten after its notification; overwriting it causes a notification of its own."""


def chunks(
    bucket: str, key: str, version: str | None, etag: str | None, offset: int = 0
) -> Generator[bytes, None, None]:
    """The bytes of one version of an object from an offset on.

    Raises:
        ObjectChanged: that version does not exist any more.
    """
    body: Any = None

    def read() -> bytes:
        nonlocal body, offset
        try:
            if body is None:
                response = _get(bucket, key, version, etag, offset)
                body = response["Body"]
                if "ContentRange" not in response:
                    _skip(body, offset)
            chunk: bytes = body.read(CHUNK_BYTES)
        except Exception as error:
            if body is not None:
                body.close()
                body = None
            code = error.response["Error"]["Code"] if isinstance(error, ClientError) else None
            if code == "InvalidRange":
                return b""  # the object ends at the offset
            if code in ("NoSuchKey", "NoSuchVersion", "PreconditionFailed", "412", "404"):
                raise ObjectChanged(f"s3://{bucket}/{key} is not the notified version any more") from error
            raise
        offset += len(chunk)
        return chunk

    try:
        while chunk := retried(read):
            yield chunk
    finally:
        if body is not None:
            body.close()


def _get(bucket: str, key: str, version: str | None, etag: str | None, offset: int) -> Any:
    request: dict[str, Any] = {"Bucket": bucket, "Key": key}
    if version:
        request["VersionId"] = version
    elif etag:
        request["IfMatch"] = f'"{etag}"'
    if offset:
        request["Range"] = f"bytes={offset}-"
    return client("s3").get_object(**request)


def _skip(body: Any, size: int) -> None:
    """Discard the start of a body: some S3-compatible stores ignore the range when a version is given."""
    while size and (skipped := body.read(min(size, CHUNK_BYTES))):
        size -= len(skipped)
