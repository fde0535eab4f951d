"""Kinesis Data Streams: shards by hash key ranges, sequence numbers, retention, resharding.

Sources: Kinesis Data Streams developer guide, "Split a shard" (the MD5 hash of its partition key decides a record's
shard) and "Complete the resharding action" (a closed shard is there until its records have expired).
Limits: API reference, "PutRecords", and developer guide, "Quotas and limits".
"""

from __future__ import annotations

import base64
import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from refusals import Refusal

from simulator.constraints import check_length
from simulator.kernel import MICROSECONDS, Kernel
from simulator.services.cloudwatch import Metrics, ignored
from simulator.topology import ACCOUNT
from simulator.topology import Stream as Description

Request = Mapping[str, Any]

HASH_KEYS = 2**128
MOST_RECORDS = 500
MOST_BYTES = 10 * 1024 * 1024
"""Of a record with its partition key, and of a request."""
SHARD_RECORDS, SHARD_BYTES = 1_000, 1_024 * 1_024
"""What a shard takes in a second."""
MOST_READ = 10_000
ITERATOR_LIVES_US = 300 * MICROSECONDS
"""Kinesis Data Streams API reference, "GetRecords"."""

_FIRST_NUMBER = 49_600_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000
_NAMESPACE = "AWS/Kinesis"


class Page(NamedTuple):
    """Records behind a position; `closed`: the shard is closed, and there are none behind these."""

    records: list[dict[str, Any]]
    closed: bool


@dataclass(eq=False)
class Shard:
    """A shard: the hash keys from `start` to `end`, what it was made from, and its sequence numbers.

    Attributes:
        parents: ids of the shard that was split, or of the two that were merged.
        last: sequence number at which it was closed; None while it is open.
    """

    id: str
    start: int
    end: int
    parents: tuple[str, ...]
    first: str
    last: str | None = None
    closed_us: int = 0
    records: list[dict[str, Any]] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    arrivals_us: list[int] = field(default_factory=list)
    second: int = -1
    records_in_second: int = 0
    bytes_in_second: int = 0

    @property
    def parent(self) -> str | None:
        """The id of the first parent."""
        return self.parents[0] if self.parents else None


class Stream:
    """One stream; it is read as `services` says of DynamoDB's streams, and records are those of GetRecords in JSON."""

    def __init__(self, kernel: Kernel, description: Description) -> None:
        self.description = description
        self.on_change: list[Callable[[str], None]] = []
        self._kernel = kernel
        self._retention_us = description.retention_hours * 3_600 * MICROSECONDS
        self._number = self._made = 0
        self._all: dict[str, Shard] = {}
        width = HASH_KEYS // description.shards
        for place in range(description.shards):
            end = HASH_KEYS - 1 if place == description.shards - 1 else (place + 1) * width - 1
            self._open(place * width, end, ())

    def shards(self) -> tuple[Shard, ...]:
        """The shards in the order in which they began; a closed one goes when its records have expired."""
        oldest = self._kernel.now_us - self._retention_us
        for shard in [each for each in self._all.values() if each.last is not None and each.closed_us < oldest]:
            del self._all[shard.id]
        return tuple(self._all.values())

    def shard(self, shard_id: str) -> Shard:
        """A shard by its id.

        Raises:
            Refusal: there is none.
        """
        found = self._all.get(shard_id)
        if found is None:
            raise Refusal(
                400,
                "ResourceNotFoundException",
                f"Shard {shard_id} in stream {self.description.name} under account {self.description.arn.split(':')[4]}"
                " does not exist",
            )
        return found

    def read(self, shard_id: str, after: str | None = None, limit: int = 1_000) -> Page:
        """The records behind a sequence number, or the oldest ones."""
        shard = self.shard(shard_id)
        self._expire(shard)
        begin = 0 if after is None else bisect_right(shard.numbers, int(after) - _FIRST_NUMBER)
        records = shard.records[begin : begin + limit]
        return Page(records, shard.last is not None and begin + len(records) == len(shard.records))

    def latest(self, shard_id: str) -> str:
        """The sequence number behind which a reader that starts now begins."""
        shard = self.shard(shard_id)
        return str(_FIRST_NUMBER + shard.numbers[-1]) if shard.numbers else shard.first

    def put(self, key: str, data: bytes, hash_key: int | None = None) -> tuple[str, str] | None:
        """Take a record; returns the shard's id and the sequence number, or None if the shard is too busy."""
        hashed = int.from_bytes(hashlib.md5(key.encode()).digest()) if hash_key is None else hash_key
        shard = next(each for each in self._all.values() if each.last is None and each.start <= hashed <= each.end)
        now = self._kernel.now_us
        second = now // MICROSECONDS
        if shard.second != second:
            shard.second, shard.records_in_second, shard.bytes_in_second = second, 0, 0
        size = len(data) + len(key)
        if shard.records_in_second >= SHARD_RECORDS or shard.bytes_in_second + size > max(SHARD_BYTES, size):
            return None
        shard.records_in_second += 1
        shard.bytes_in_second += size
        sequence_number = self._next()
        shard.numbers.append(self._number)
        shard.arrivals_us.append(now)
        shard.records.append(
            {
                "SequenceNumber": sequence_number,
                "ApproximateArrivalTimestamp": now / MICROSECONDS,
                "Data": base64.b64encode(data).decode(),
                "PartitionKey": key,
                "EncryptionType": "KMS",
            }
        )
        self._tell(shard.id)
        return shard.id, sequence_number

    def split(self, shard_id: str, at: int) -> None:
        """Close a shard, and open two for the hash keys below and from a key."""
        shard = self._open_shard(shard_id)
        if not shard.start < at <= shard.end:
            raise Refusal(
                400,
                "InvalidArgumentException",
                f"NewStartingHashKey {at} used in SplitShard() on shard {shard_id} in stream {self.description.name} "
                f"under account {self.description.arn.split(':')[4]} is not both greater than one plus the shard's "
                f"StartingHashKey {shard.start} and less than the shard's EndingHashKey {shard.end - 1}.",
            )
        self._close(shard)
        children = [self._open(shard.start, at - 1, (shard_id,)), self._open(at, shard.end, (shard_id,))]
        for each in (shard, *children):
            self._tell(each.id)

    def merge(self, shard_id: str, adjacent_id: str) -> None:
        """Close two shards whose ranges touch, and open one for both."""
        first, second = self._open_shard(shard_id), self._open_shard(adjacent_id)
        if first.end + 1 != second.start and second.end + 1 != first.start:
            account = self.description.arn.split(":")[4]
            raise Refusal(
                400,
                "InvalidArgumentException",
                f"Shards {shard_id} and {adjacent_id} in stream {self.description.name} under account {account} are "
                "not an adjacent pair of shards eligible for merging",
            )
        for each in (first, second):
            self._close(each)
        child = self._open(min(first.start, second.start), max(first.end, second.end), (shard_id, adjacent_id))
        for each in (first, second, child):
            self._tell(each.id)

    def _open_shard(self, shard_id: str) -> Shard:
        shard = self.shard(shard_id)
        if shard.last is not None:
            raise Refusal(
                400,
                "InvalidArgumentException",
                f"Shard {shard_id} in stream {self.description.name} under account "
                f"{self.description.arn.split(':')[4]} has already been merged or split, and thus is not eligible "
                "for merging or splitting.",
            )
        return shard

    def _open(self, start: int, end: int, parents: tuple[str, ...]) -> Shard:
        shard = Shard(f"shardId-{self._made:012d}", start, end, parents, self._next())
        self._made += 1
        self._all[shard.id] = shard
        return shard

    def _close(self, shard: Shard) -> None:
        shard.last, shard.closed_us = self._next(), self._kernel.now_us

    def _next(self) -> str:
        self._number += 1
        return str(_FIRST_NUMBER + self._number)

    def _expire(self, shard: Shard) -> None:
        gone = bisect_right(shard.arrivals_us, self._kernel.now_us - self._retention_us)
        if gone:
            del shard.records[:gone], shard.numbers[:gone], shard.arrivals_us[:gone]

    def _tell(self, shard_id: str) -> None:
        for each in self.on_change:
            each(shard_id)


class Kinesis:
    """The streams of a deployment, by name in `streams`."""

    def __init__(
        self, kernel: Kernel, seed: object, descriptions: Iterable[Description], metrics: Metrics = ignored
    ) -> None:
        self._kernel = kernel
        self._metrics = metrics
        self.streams = {each.name: Stream(kernel, each) for each in descriptions}

    def stream(self, request: Request) -> Stream:
        """The stream that a request names, by name or ARN.

        Raises:
            Refusal: there is none.
        """
        name = request.get("StreamName") or str(request.get("StreamARN", "")).rpartition("/")[2]
        found = self.streams.get(name)
        if found is None:
            raise Refusal(400, "ResourceNotFoundException", f"Stream {name} under account {ACCOUNT} not found.")
        return found

    # --- writing ---

    def PutRecord(self, request: Request) -> dict[str, Any]:
        stream = self.stream(request)
        _check_record(request)
        placed = stream.put(request["PartitionKey"], _bytes(request["Data"]), _hash_key(request))
        if placed is None:
            self._throttled(stream)
            raise Refusal(400, "ProvisionedThroughputExceededException", _busy(stream))
        return {"ShardId": placed[0], "SequenceNumber": placed[1], "EncryptionType": "KMS"}

    def PutRecords(self, request: Request, left: frozenset[int] = frozenset()) -> dict[str, Any]:
        stream = self.stream(request)
        entries = request["Records"]
        check_length("records", len(entries), MOST_RECORDS)
        if sum(len(_bytes(each["Data"])) + len(each["PartitionKey"].encode()) for each in entries) > MOST_BYTES:
            raise Refusal(400, "InvalidArgumentException", "Records size exceeds 10 MB limit")
        for each in entries:
            _check_record(each)
        results: list[dict[str, Any]] = []
        for place, each in enumerate(entries):
            placed = None
            if place not in left:
                placed = stream.put(each["PartitionKey"], _bytes(each["Data"]), _hash_key(each))
            if placed is None:
                self._throttled(stream)
                code = "ProvisionedThroughputExceededException"
                results.append({"ErrorCode": code, "ErrorMessage": _busy(stream)})
            else:
                results.append({"SequenceNumber": placed[1], "ShardId": placed[0]})
        failed = sum("ErrorCode" in each for each in results)
        return {"FailedRecordCount": failed, "Records": results, "EncryptionType": "KMS"}

    def _throttled(self, stream: Stream) -> None:
        dimensions = (("StreamName", stream.description.name),)
        self._metrics(_NAMESPACE, "WriteProvisionedThroughputExceeded", dimensions, 1.0)

    # --- resharding ---

    def SplitShard(self, request: Request) -> dict[str, Any]:
        self.stream(request).split(request["ShardToSplit"], int(request["NewStartingHashKey"]))
        return {}

    def MergeShards(self, request: Request) -> dict[str, Any]:
        self.stream(request).merge(request["ShardToMerge"], request["AdjacentShardToMerge"])
        return {}

    def UpdateShardCount(self, request: Request) -> dict[str, Any]:
        """Twice or half as many shards, as AWS does that: every shard is split, or every two are merged.

        It is for provisioned streams (Kinesis Data Streams API reference, "UpdateShardCount"); here it stands, too, for
        what AWS does by itself to one that is on demand.
        """
        stream, wanted = self.stream(request), int(request["TargetShardCount"])
        shards = sorted((each for each in stream.shards() if each.last is None), key=lambda each: each.start)
        if wanted == 2 * len(shards):
            for each in shards:
                stream.split(each.id, (each.start + each.end) // 2 + 1)
        elif 2 * wanted == len(shards):
            for first, second in zip(shards[::2], shards[1::2], strict=True):
                stream.merge(first.id, second.id)
        else:
            raise TypeError(f"{len(shards)} shards become twice or half as many here, not {wanted}")
        return {
            "StreamName": stream.description.name,
            "CurrentShardCount": len(shards),
            "TargetShardCount": wanted,
            "StreamARN": stream.description.arn,
        }

    # --- reading, as other clients than mappings do ---

    def DescribeStreamSummary(self, request: Request) -> dict[str, Any]:
        stream = self.stream(request)
        about = stream.description
        return {
            "StreamDescriptionSummary": {
                "StreamName": about.name,
                "StreamARN": about.arn,
                "StreamStatus": "ACTIVE",
                "StreamModeDetails": {"StreamMode": "ON_DEMAND" if about.on_demand else "PROVISIONED"},
                "RetentionPeriodHours": about.retention_hours,
                "OpenShardCount": sum(each.last is None for each in stream.shards()),
            }
        }

    def ListShards(self, request: Request) -> dict[str, Any]:
        return {"Shards": [_listed(each) for each in self.stream(request).shards()]}

    def GetShardIterator(self, request: Request) -> dict[str, Any]:
        stream, shard_id = self.stream(request), request["ShardId"]
        shard = stream.shard(shard_id)
        match request["ShardIteratorType"]:
            case "TRIM_HORIZON":
                after = ""
            case "LATEST":
                after = stream.latest(shard_id)
            case "AFTER_SEQUENCE_NUMBER":
                after = request["StartingSequenceNumber"]
            case "AT_SEQUENCE_NUMBER":
                after = str(int(request["StartingSequenceNumber"]) - 1)
            case "AT_TIMESTAMP":
                at = request["Timestamp"]
                since = int((at.timestamp() if hasattr(at, "timestamp") else at) * MICROSECONDS)
                before = sum(arrival < since for arrival in shard.arrivals_us)
                after = str(_FIRST_NUMBER + shard.numbers[before - 1]) if before else ""
            case other:
                raise TypeError(f"{other} is no type of iterator")
        return {"ShardIterator": f"{stream.description.name}/{shard_id}/{after}/{self._kernel.now_us}"}

    def GetRecords(self, request: Request) -> dict[str, Any]:
        limit = int(request.get("Limit", MOST_READ))
        name, shard_id, after, made_us = request["ShardIterator"].split("/")
        if self._kernel.now_us - int(made_us) > ITERATOR_LIVES_US:
            raise Refusal(400, "ExpiredIteratorException", "Iterator expired.")
        stream = self.stream({"StreamName": name})
        page = stream.read(shard_id, after or None, limit)
        found = [{**each, "Data": base64.b64decode(each["Data"])} for each in page.records]
        behind = 0
        if page.records:
            after = page.records[-1]["SequenceNumber"]
            rest = stream.read(shard_id, after, 1).records
            if rest:
                behind = int(self._kernel.now_us / 1000 - rest[0]["ApproximateArrivalTimestamp"] * 1000)
        answer: dict[str, Any] = {"Records": found, "MillisBehindLatest": behind}
        if not page.closed:
            answer["NextShardIterator"] = f"{name}/{shard_id}/{after}/{self._kernel.now_us}"
        return answer


def _listed(shard: Shard) -> dict[str, Any]:
    found: dict[str, Any] = {
        "ShardId": shard.id,
        "HashKeyRange": {"StartingHashKey": str(shard.start), "EndingHashKey": str(shard.end)},
        "SequenceNumberRange": {"StartingSequenceNumber": shard.first},
    }
    if shard.last is not None:
        found["SequenceNumberRange"]["EndingSequenceNumber"] = shard.last
    for name, parent in zip(("ParentShardId", "AdjacentParentShardId"), shard.parents, strict=False):
        found[name] = parent
    return found


def _bytes(data: str | bytes) -> bytes:
    return data.encode() if isinstance(data, str) else data


def _hash_key(entry: Request) -> int | None:
    return int(entry["ExplicitHashKey"]) if "ExplicitHashKey" in entry else None


def _check_record(entry: Request) -> None:
    key = entry["PartitionKey"]
    check_length("partitionKey", len(key), 256, value=key)
    check_length("data", len(_bytes(entry["Data"])), MOST_BYTES, least=0)


def _busy(stream: Stream) -> str:
    name, account = stream.description.name, stream.description.arn.split(":")[4]
    return f"Rate exceeded for a shard in stream {name} under account {account}."
