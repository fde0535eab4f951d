"""Records which faults were resubmitted, in the bucket of the faults, before and after each invocation.

The ledger is in the same bucket as the faults, so that everyone who works on them shares it. Conditional writes make
sure that only one of several processes resubmits a fault. An entry that stays ``begun`` was interrupted: whether the
function has processed the fault is unknown.

Source: S3 user guide, "How to prevent object overwrites with conditional writes".
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from stream_cli.errors import CommandError

PREFIX = "resubmitted/"

Outcome = Literal["begun", "done", "failed"]


class Resubmission(NamedTuple):
    """The last attempt to resubmit a fault; `version` is the ETag of the object that records it."""

    outcome: Outcome
    at_ms: int
    version: str


class ResubmissionLedger:
    """The ledger in a bucket of faults."""

    def __init__(self, s3: Any, bucket: str) -> None:
        self._s3 = s3
        self._bucket = bucket

    def entries(
        self, fault_ids: Iterable[str], known: Mapping[str, Resubmission] = MappingProxyType({})
    ) -> dict[str, Resubmission]:
        """The last resubmission of each fault that has one.

        Args:
            known: as they were read before; those that are still the same are not read again.

        Raises:
            CommandError: an entry cannot be read.
        """
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=PREFIX)
        written = {each["Key"]: each["ETag"] for page in pages for each in page.get("Contents", [])}
        found = {}
        for each in fault_ids:
            if (key := key_of(each)) in written:
                before = known.get(each)
                found[each] = before if before and before.version == written[key] else self._entry(key)
        return found

    def begin(self, fault_id: str, before: Resubmission | None) -> Resubmission | None:
        """Record that a fault is about to be resubmitted; `before` is its last resubmission, as it was read.

        Returns:
            The resubmission, or None if another process has begun one since `before` was read.
        """
        from botocore.exceptions import ClientError

        condition = {"IfNoneMatch": "*"} if before is None else {"IfMatch": before.version}
        try:
            return self._put(fault_id, "begun", time.time_ns() // 1_000_000, "", **condition)
        except ClientError as error:
            if error.response["Error"]["Code"] in ("PreconditionFailed", "ConditionalRequestConflict", "412", "409"):
                return None
            raise

    def end(self, fault_id: str, begun: Resubmission, outcome: Outcome, detail: str = "") -> None:
        """Record the outcome of a resubmission."""
        self._put(fault_id, outcome, begun.at_ms, detail)

    def _put(self, fault_id: str, outcome: Outcome, at_ms: int, detail: str, **condition: str) -> Resubmission:
        content = {"id": fault_id, "outcome": outcome, "at": at_ms, "detail": detail[:500]}
        body = json.dumps(content).encode()
        answer = self._s3.put_object(Bucket=self._bucket, Key=key_of(fault_id), Body=body, **condition)
        return Resubmission(outcome, at_ms, answer["ETag"])

    def _entry(self, key: str) -> Resubmission:
        answer = self._s3.get_object(Bucket=self._bucket, Key=key)
        return entry_in(answer["Body"].read(), f"s3://{self._bucket}/{key}", answer["ETag"])


def entry_in(content: bytes, place: str, version: str) -> Resubmission:
    """What an object of the ledger says.

    Raises:
        CommandError: it is no entry.
    """
    try:
        entry = json.loads(content)
        return Resubmission(entry["outcome"], int(entry["at"]), version)
    except (KeyError, TypeError, ValueError) as error:
        raise CommandError(f"{place} is not an entry of the ledger: {error!r}. Remove it.") from error


def key_of(fault_id: str) -> str:
    """The key of the object that records the resubmission of a fault."""
    digest = hashlib.sha256(fault_id.encode(errors="surrogatepass")).hexdigest()
    return f"{PREFIX}{digest[:40]}.json"
