"""Firehose: delivery streams that buffer records and write them to S3 as objects, at least once and in no firm order.

Sources: Firehose developer guide, "Understand data delivery", "Understand custom prefixes for Amazon S3 objects" and
"Handle data delivery failure"; API reference, "PutRecordBatch".
"""

from __future__ import annotations

import gzip
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from refusals import Refusal

from simulator.chance import fraction, fractions, uuid_of
from simulator.constraints import check_length
from simulator.kernel import MICROSECONDS, Kernel
from simulator.services.cloudwatch import Metrics, ignored
from simulator.topology import ACCOUNT
from simulator.topology import DeliveryStream as Description

Request = Mapping[str, Any]
Call = Callable[[str, str, Request], Mapping[str, Any]]

MOST_RECORD_BYTES = 1_024_000
MOST_RECORDS, MOST_BYTES = 500, 4 * 1024 * 1024
"""Of a record before it is encoded, and of a batch (API reference, "PutRecordBatch")."""
MEBIBYTE = 1024 * 1024
ZERO_BUFFERING_US = 5 * MICROSECONDS
"""Within how long data is delivered where the interval is 0 (developer guide, "Configure buffering hints")."""
TRIED_FOR_US = 24 * 3_600 * MICROSECONDS
"""How long a write to S3 is tried again before the data is lost ("Handle data delivery failure")."""

_NAMESPACE = "AWS/Firehose"
_EXPRESSION = re.compile(r"!\{(timestamp|firehose):([^}]*)\}")
_FORMATS = {"yyyy": "%Y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}
_RETRY_FIRST_US, _RETRY_LONGEST_US = 5 * MICROSECONDS, 300 * MICROSECONDS
"""AWS documents no figures."""


@dataclass(frozen=True)
class Chances:
    """How delivery goes by chance; AWS says that duplicates happen, and not how often.

    Attributes:
        split: share of buffers that become two objects.
        doubled: share of objects that hold a record twice.
        rewritten: share of objects that are written twice.
    """

    split: float = 0.05
    doubled: float = 0.05
    rewritten: float = 0.02


@dataclass(eq=False)
class _Part:
    """Records that become one object; `fate` is what its chances follow from."""

    records: list[bytes]
    oldest_us: int
    fate: str
    attempts: int = 0


@dataclass(eq=False)
class DeliveryStream:
    """A delivery stream: what it buffers, and what it could never write.

    Attributes:
        number: counts the buffers, so that a flush knows whether its own is still there.
        pending: parts that are being written.
    """

    description: Description
    records: list[bytes] = field(default_factory=list)
    size: int = 0
    oldest_us: int = 0
    number: int = 0
    pending: int = 0
    lost: list[bytes] = field(default_factory=list)

    @property
    def is_busy(self) -> bool:
        """Whether records wait for being written."""
        return bool(self.records) or self.pending > 0


class Firehose:
    """The delivery streams of a deployment, by name in `streams`.

    Args:
        call: calls S3: ``("s3", "PutObject", request)``; raises `Refusal`.
        told: takes what happens, for stories: what, delivery stream, object, and more.
    """

    def __init__(
        self,
        kernel: Kernel,
        seed: object,
        descriptions: Iterable[Description],
        call: Call,
        *,
        chances: Chances = Chances(),
        metrics: Metrics = ignored,
        told: Callable[..., None] = lambda *happened: None,
    ) -> None:
        self._kernel = kernel
        self._seed = f"{seed}/firehose"
        self._call = call
        self._chances = chances
        self._metrics = metrics
        self._told = told
        self.streams = {each.name: DeliveryStream(each) for each in descriptions}

    def PutRecord(self, request: Request) -> dict[str, Any]:
        stream = self._stream(request)
        data = _data(request["Record"])
        check_length("record.data", len(data), MOST_RECORD_BYTES, least=0)
        return {"RecordId": self._take(stream, data), "Encrypted": True}

    def PutRecordBatch(self, request: Request, left: frozenset[int] = frozenset()) -> dict[str, Any]:
        stream, records = self._stream(request), [_data(each) for each in request["Records"]]
        check_length("records", len(records), MOST_RECORDS)
        for place, data in enumerate(records, start=1):
            check_length(f"records.{place}.member.data", len(data), MOST_RECORD_BYTES, least=0)
        if sum(map(len, records)) > MOST_BYTES:
            raise Refusal(400, "InvalidArgumentException", "Records size exceeds 4 MB limit")
        answers: list[dict[str, Any]] = []
        for place, data in enumerate(records):
            if place in left:
                answers.append({"ErrorCode": "ServiceUnavailableException", "ErrorMessage": "Slow down."})
            else:
                answers.append({"RecordId": self._take(stream, data)})
        if left:
            self._measure(stream, "ThrottledRecords", float(len(left)))
        failed = sum("ErrorCode" in each for each in answers)
        return {"FailedPutCount": failed, "Encrypted": True, "RequestResponses": answers}

    def flush(self, name: str) -> None:
        """Write what is buffered now."""
        self._flush(self.streams[name])

    # --- within ---

    def _stream(self, request: Request) -> DeliveryStream:
        name = request["DeliveryStreamName"]
        stream = self.streams.get(name)
        if stream is None:
            raise Refusal(400, "ResourceNotFoundException", f"Firehose {name} under account {ACCOUNT} not found.")
        return stream

    def _take(self, stream: DeliveryStream, data: bytes) -> str:
        about = stream.description
        if not stream.records:
            stream.oldest_us = self._kernel.now_us
            stream.number += 1
            number = stream.number
            zero_us = int(fraction(f"{self._seed}/{about.name}/{number}") * ZERO_BUFFERING_US)
            wait_us = about.interval_s * MICROSECONDS or zero_us
            self._kernel.at(wait_us, lambda: self._flush(stream, number))
        stream.records.append(data)
        stream.size += len(data)
        if stream.size >= about.size_mb * MEBIBYTE:
            self._flush(stream)
        return f"{stream.number:020d}{len(stream.records):020d}"

    def _flush(self, stream: DeliveryStream, number: int | None = None) -> None:
        if not stream.records or number not in (None, stream.number):
            return
        chances, records = self._chances, stream.records
        fate = f"{self._seed}/{stream.description.name}/{stream.number}"
        stream.records, stream.size = [], 0
        stream.number += 1
        cuts = [0, len(records)]
        split, where, _, _ = fractions(fate)
        if len(records) > 1 and split < chances.split:
            cuts.insert(1, 1 + int(where * (len(records) - 1)))
        for begin, end in pairwise(cuts):
            part = records[begin:end]
            doubled, which, rewritten, _ = fractions(f"{fate}/{begin}")
            if doubled < chances.doubled:
                part = [*part, part[int(which * len(part))]]
            for copy in range(2 if rewritten < chances.rewritten else 1):
                stream.pending += 1
                written = _Part(part, stream.oldest_us, f"{fate}/{begin}/{copy}")
                self._write_later(stream, written, int((0.1 + 3 * fraction(written.fate)) * MICROSECONDS))

    def _write_later(self, stream: DeliveryStream, part: _Part, wait_us: int) -> None:
        self._kernel.at(wait_us, lambda: self._write(stream, part))

    def _write(self, stream: DeliveryStream, part: _Part) -> None:
        about, now = stream.description, self._kernel.now_us
        part.attempts += 1
        delimiter = about.delimiter.encode()
        body = delimiter.join((*part.records, b""))
        if about.compression == "GZIP":
            body = gzip.compress(body, compresslevel=1, mtime=0)
        key = _key(about, part)
        self._measure(stream, "DeliveryToS3.DataFreshness", (now - part.oldest_us) / MICROSECONDS)
        try:
            self._call("s3", "PutObject", {"Bucket": about.bucket, "Key": key, "Body": body})
        except Refusal as refusal:
            wait_us = min(_RETRY_LONGEST_US, _RETRY_FIRST_US * 2 ** min(part.attempts - 1, 20))
            wait_us = int(wait_us * (0.5 + fraction(f"{part.fate}/{part.attempts}") / 2))
            if now + wait_us - part.oldest_us > TRIED_FOR_US:
                stream.pending -= 1
                stream.lost += part.records
                self._told("lost", about.name, key, len(part.records))
            else:
                self._told("not written", about.name, key, refusal.code, part.attempts)
                self._write_later(stream, part, wait_us)
        else:
            stream.pending -= 1
            self._told("written", about.name, key, len(part.records))

    def _measure(self, stream: DeliveryStream, metric: str, value: float) -> None:
        self._metrics(_NAMESPACE, metric, (("DeliveryStreamName", stream.description.name),), value)


def _key(about: Description, part: _Part) -> str:
    """The prefix with the arrival of the oldest record, as "Understand custom prefixes" says; another one each time."""
    moment = time.gmtime(part.oldest_us // MICROSECONDS)
    identity = uuid_of(f"{part.fate}/{part.attempts}")

    def value(found: re.Match[str]) -> str:
        if found[1] == "timestamp":
            return time.strftime(_format(found[2]), moment)
        if found[2] == "random-string":
            return identity.replace("-", "")[:11]
        raise TypeError(f"{found[0]} is not simulated")

    suffix = ".gz" if about.compression == "GZIP" else ""
    stamp = time.strftime("%Y-%m-%d-%H-%M-%S", moment)
    return f"{_EXPRESSION.sub(value, about.prefix)}{about.name}-1-{stamp}-{identity}{suffix}"


def _format(pattern: str) -> str:
    """A pattern of Java's DateTimeFormatter as one of strftime."""
    return re.sub("yyyy|MM|dd|HH|mm|ss", lambda found: _FORMATS[found[0]], pattern)


def _data(record: Mapping[str, Any]) -> bytes:
    data = record["Data"]
    return data.encode() if isinstance(data, str) else bytes(data)
