"""What fails in a simulated AWS, when, and for whom.

A fate follows from the seed, the function, the operation, what it is about, and which attempt this is; so a history
with fewer stories or troubles keeps the fates of the rest.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from refusals import Refusal

from simulator.kernel import MICROSECONDS

BEFORE = ("throttled", "unavailable", "unreachable", "denied", "conflict", "died-before")
"""Kinds of failures without an effect."""
AFTER = ("answer-lost", "error-after", "died-after", "slow", "body-broken")
"""Kinds of failures with the effect."""
KINDS = (*BEFORE, *AFTER, "partial")

CONNECT_TIMEOUT_US = 3 * MICROSECONDS
READ_TIMEOUT_US = 20 * MICROSECONDS
"""The time-outs of the runtime's clients (`stream_runtime.aws.clients`)."""

_BATCHES = {
    "BatchGetItem": "RequestItems",
    "BatchWriteItem": "RequestItems",
    "PutEvents": "Entries",
    "PutRecords": "Records",
    "PutRecordBatch": "Records",
    "PublishBatch": "PublishBatchRequestEntries",
    "SendMessageBatch": "Entries",
}
_TRANSACTED = {"PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems"}
# "Error Types" of the services' API references; for throttling also the guides that retry.py of the runtime names.
_THROTTLED = {
    "dynamodb": (400, "ProvisionedThroughputExceededException"),
    "events": (400, "ThrottlingException"),
    "s3": (503, "SlowDown"),
    "sns": (429, "Throttled"),
    "sqs": (403, "RequestThrottled"),
    "kinesis": (400, "ProvisionedThroughputExceededException"),
    "firehose": (503, "ServiceUnavailableException"),
    "lambda": (429, "TooManyRequestsException"),
    "cloudwatch": (400, "Throttling"),
}
_UNAVAILABLE = {
    "dynamodb": (500, "InternalServerError"),
    "events": (500, "InternalException"),
    "s3": (500, "InternalError"),
    "sns": (500, "InternalError"),
    "sqs": (500, "InternalFailure"),
    "kinesis": (500, "InternalFailureException"),
    "firehose": (500, "InternalFailure"),
    "lambda": (500, "ServiceException"),
    "cloudwatch": (500, "InternalServiceFault"),
}


@dataclass(frozen=True)
class Trouble:
    """A time in which calls fail.

    Attributes:
        kind: one of `KINDS`.
        from_s: when it begins, in seconds after the history's first moment.
        until_s: when it is over.
        rate: the share of the calls that it meets.
        services: as boto3 names them; all where it is empty.
        operations: by their API names; all where it is empty.
        functions: names of functions, or parts of them; all where it is empty.
        most: attempts at the same thing that it meets; what comes after them succeeds.
        delay_s: for slow ones, how late the answer comes.
    """

    kind: str
    from_s: float
    until_s: float
    rate: float = 1.0
    services: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    most: int = 1_000
    delay_s: float = 30.0

    def meets(self, service: str, operation: str, function: str) -> bool:
        """Whether it is about such calls."""
        return (
            (not self.services or service in self.services)
            and (not self.operations or operation in self.operations)
            and (not self.functions or any(each in function for each in self.functions))
        )


@dataclass(frozen=True)
class Fate:
    """What an attempt meets: a kind, and for partial failures the places of the entries that fail."""

    kind: str
    left: frozenset[int] = frozenset()
    delay_us: int = 0


class Faults:
    """The troubles of a history.

    Args:
        start_us: the history's first moment.
    """

    def __init__(self, seed: int, troubles: Iterable[Trouble], start_us: int) -> None:
        self._seed = seed
        self._start_us = start_us
        self._troubles = tuple(troubles)
        self._attempts: Counter[str] = Counter()
        self.begin_us = min((self._moment(each.from_s) for each in self._troubles), default=0)
        self.end_us = max((self._moment(each.until_s) for each in self._troubles), default=0)
        """When the last of them is over; nothing fails from then on."""

    def _moment(self, after_s: float) -> int:
        return self._start_us + int(after_s * MICROSECONDS)

    def fate(self, now_us: int, service: str, operation: str, function: str, request: Mapping[str, Any]) -> Fate | None:
        """What a call meets that begins now; None if it is answered as it should be."""
        if not self.begin_us <= now_us < self.end_us:
            return None
        about = ""
        for number, trouble in enumerate(self._troubles):
            if not self._moment(trouble.from_s) <= now_us < self._moment(trouble.until_s):
                continue
            if not trouble.meets(service, operation, function):
                continue
            about = about or f"{function}/{operation}/{about_of(request)}"
            key = f"{number}/{about}"
            self._attempts[key] += 1
            attempt = self._attempts[key]
            if attempt <= trouble.most and dice(self._seed, key, attempt) < trouble.rate:
                return self._fate(trouble, key, attempt, operation, request)
        return None

    def _fate(self, trouble: Trouble, key: str, attempt: int, operation: str, request: Mapping[str, Any]) -> Fate:
        kind = trouble.kind
        if kind == "partial":
            entries = range(_entries(operation, request))
            left = frozenset(place for place in entries if dice(self._seed, key, attempt, place) < 0.5)
            return Fate("partial", left or frozenset(entries[:1])) if entries else Fate("throttled")
        if kind == "conflict" and operation not in _TRANSACTED:
            return Fate("throttled")
        if kind == "body-broken" and operation != "GetObject":
            return Fate("answer-lost")
        delay_s = trouble.delay_s * (0.5 + dice(self._seed, key, attempt, "delay"))
        return Fate(kind, delay_us=int(delay_s * MICROSECONDS))


def dice(*of: object) -> float:
    """A number from 0 to 1 that follows from what it is about."""
    digest = hashlib.blake2b("/".join(map(str, of)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def refusal(kind: str, service: str, operation: str, request: Mapping[str, Any]) -> Refusal:
    """What a service answers with when a call meets a failure of this kind."""
    if kind == "throttled":
        return Refusal(*_THROTTLED[service], "Rate exceeded")
    if kind == "denied":
        code = "AccessDenied" if service in ("s3", "cloudwatch") else "AccessDeniedException"
        return Refusal(403 if service in ("s3", "lambda", "cloudwatch") else 400, code, "User is not authorized")
    if kind == "conflict":
        if operation != "TransactWriteItems":
            return Refusal(400, "TransactionConflictException", "Transaction is ongoing for the item")
        reasons = [{"Code": "None"} for _ in request["TransactItems"]]
        reasons[0] = {"Code": "TransactionConflict", "Message": "Transaction is ongoing for the item"}
        codes = ", ".join(each["Code"] for each in reasons)
        message = f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]"
        return Refusal(400, "TransactionCanceledException", message, CancellationReasons=reasons)
    return Refusal(*_UNAVAILABLE[service], "The request processing has failed because of an unknown error")


_ID = re.compile(r'"id": ?"([^"]*)"')


def about_of(request: Mapping[str, Any]) -> str:
    """What a request is about: the key of an item or an object, the id of an event; as short as it can be told."""
    target = request.get("TableName") or request.get("Bucket") or request.get("TopicArn") or ""
    key = request.get("Key") or request.get("Item")
    if isinstance(key, Mapping):
        return f"{target}/{_row(key)}"
    if isinstance(key, str):
        return f"{target}/{key}"
    if "TransactItems" in request:
        parts = [part for each in request["TransactItems"] for part in each.values()]
        return ",".join(_row(part.get("Key") or part.get("Item")) for part in parts)
    entries = request.get("Entries") or request.get("Records") or request.get("PublishBatchRequestEntries") or ()
    found = [_ID.search(str(each.get("Detail") or each.get("Data") or each.get("Message"))) for each in entries[:1]]
    return f"{target}/{len(entries)}/{','.join(each[1] for each in found if each)}"


def _row(item: Mapping[str, Any]) -> str:
    return "/".join(str(next(iter(item[name].values()))) for name in ("pk", "sk") if name in item)


def _entries(operation: str, request: Mapping[str, Any]) -> int:
    """How many entries a batch operation has; none of another operation."""
    entries = request.get(_BATCHES.get(operation, ""), ())
    if operation == "BatchGetItem":
        return sum(len(each["Keys"]) for each in entries.values())
    return sum(map(len, entries.values())) if isinstance(entries, Mapping) else len(entries)
