"""Objects of faults in S3, read line by line, so that no object has to fit into memory."""

import gzip
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any, cast

from botocore.exceptions import ClientError
from stream_runtime.clients import call

GZIP_MAGIC = b"\x1f\x8b"
LONGEST_LINE = 4 * 1024 * 1024
"""Bytes; a fault in its envelope has at most 1 MiB, and gzip could hold a line of any length."""


@dataclass(frozen=True)
class Notified:
    """One object of an S3 notification.

    Attributes:
        version: version id, or None in a bucket without versions.
        etag: entity tag, or "".
        created: when it was created, in ms.
    """

    bucket: str
    key: str
    version: str | None
    etag: str
    created: int

    @property
    def identity(self) -> str:
        """The same for every notification of the same content, and for no other content."""
        return f"{self.bucket}/{self.key}#{self.version or self.etag}"


def notified(event: Mapping[str, Any]) -> Notified:
    """The object that an ``object-created`` event is about."""
    entity = event["s3"]["object"]
    return Notified(
        bucket=event["s3"]["bucket"]["name"],
        key=entity["key"],
        version=entity.get("versionId") or None,
        etag=entity.get("eTag") or "",
        created=event["timestamp"],
    )


class ObjectIsGone(Exception):
    """The object was deleted after its notification; S3 is consistent, so retrying does not help."""


def lines(source: Notified) -> Iterator[bytes]:
    """The lines of an object, gzip or plain, as they arrive from S3, each cut at `LONGEST_LINE`.

    Raises:
        ObjectIsGone: the object does not exist any more.
    """
    request = {"Bucket": source.bucket, "Key": source.key}
    if source.version:
        request["VersionId"] = source.version
    try:
        body = call("s3", "get_object", **request)["Body"]
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchKey", "NoSuchVersion"):
            raise ObjectIsGone(f"s3://{source.identity} is gone") from error
        raise
    with io.BufferedReader(body) as content:
        if content.peek(len(GZIP_MAGIC))[: len(GZIP_MAGIC)] == GZIP_MAGIC:
            with gzip.GzipFile(fileobj=content) as unpacked:
                yield from _bounded(cast(IO[bytes], unpacked))
        else:
            yield from _bounded(content)


def _bounded(content: IO[bytes]) -> Iterator[bytes]:
    """The lines of a file, the beginning of those that are too long."""
    while line := content.readline(LONGEST_LINE):
        yield line
        while not line.endswith(b"\n") and (line := content.readline(LONGEST_LINE)):
            pass
