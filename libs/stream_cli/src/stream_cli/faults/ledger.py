"""Which faults were resubmitted, written into the bucket of the faults before and after each of them.

The ledger is where the faults are, so that all who work on them share it: two people, two machines, two folders. Who
wants to resubmit a fault puts its entry under a condition on the entry as it was seen, which one of them fulfils. An
entry ``begun`` that is followed by nothing was interrupted: nobody knows whether the function has processed the fault.

Source: S3 user guide, "How to prevent object overwrites with conditional writes".
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from stream_cli.errors import CommandError

PREFIX = "resubmitted/"

Outcome = Literal["begun", "done", "failed"]


class Entry(NamedTuple):
    """The last attempt to resubmit a fault.

    Attributes:
        outcome: what became of it.
        at_ms: when it began, in ms.
        version: what S3 calls this state of the entry (its ETag).
    """

    outcome: Outcome
    at_ms: int
    version: str


class Ledger:
    """The ledger in a bucket of faults.

    Args:
        s3: a boto3 client.
        bucket: the bucket's name.
    """

    def __init__(self, s3: Any, bucket: str) -> None:
        self._s3 = s3
        self._bucket = bucket

    def entries(self, fault_ids: Iterable[str]) -> dict[str, Entry]:
        """The entries of those faults that have one.

        Raises:
            CommandError: one of them cannot be read.
        """
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=PREFIX)
        written = {each["Key"] for page in pages for each in page.get("Contents", [])}
        return {each: self._entry(_key(each)) for each in fault_ids if _key(each) in written}

    def begin(self, fault_id: str, before: Entry | None) -> Entry | None:
        """Note that a fault is about to be resubmitted.

        Args:
            fault_id: its id.
            before: its entry as it was read, if it has one.

        Returns:
            The entry; None when somebody else has written one meanwhile.
        """
        from botocore.exceptions import ClientError

        condition = {"IfNoneMatch": "*"} if before is None else {"IfMatch": before.version}
        try:
            return self._put(fault_id, "begun", _now_ms(), "", **condition)
        except ClientError as error:
            if error.response["Error"]["Code"] in ("PreconditionFailed", "ConditionalRequestConflict", "412", "409"):
                return None
            raise

    def end(self, fault_id: str, begun: Entry, outcome: Outcome, detail: str = "") -> None:
        """Note what became of it."""
        self._put(fault_id, outcome, begun.at_ms, detail)

    def _put(self, fault_id: str, outcome: Outcome, at_ms: int, detail: str, **condition: str) -> Entry:
        content = {"id": fault_id, "outcome": outcome, "at": at_ms, "detail": detail[:500]}
        body = json.dumps(content).encode()
        answer = self._s3.put_object(Bucket=self._bucket, Key=_key(fault_id), Body=body, **condition)
        return Entry(outcome, at_ms, answer["ETag"])

    def _entry(self, key: str) -> Entry:
        answer = self._s3.get_object(Bucket=self._bucket, Key=key)
        try:
            content = json.loads(answer["Body"].read())
            return Entry(content["outcome"], int(content["at"]), answer["ETag"])
        except (KeyError, TypeError, ValueError) as error:
            raise CommandError(f"s3://{self._bucket}/{key} is no entry of the ledger: {error!r}. Remove it.") from error


def _key(fault_id: str) -> str:
    return f"{PREFIX}{hashlib.sha256(fault_id.encode()).hexdigest()[:40]}.json"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
