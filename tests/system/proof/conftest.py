"""One local cloud with the proof service (tests/fixtures/proof-service), and what its functions wrote down."""

from __future__ import annotations

import io
import itertools
import json
import os
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil
import pytest
from boto3.dynamodb.types import TypeDeserializer
from rich.console import Console
from stream_cli.local import injected_faults
from stream_cli.local.cloud import LocalCloud, running_emulator
from stream_cli.local.deploy import deploy
from stream_cli.local.state import StateFolder
from stream_cli.terminal.progress import Steps

SERVICE = Path(__file__).resolve().parents[2] / "fixtures" / "proof-service"
STACK = "proof-local"
STEP, POISON = "step-done", "step-refused"
MOST_RECORDS = 500
THROTTLED_S = 30.0 if "THOROUGH" in os.environ else 12.0
LOOK_EVERY_S = 0.1
LOOK_AT_ALL_EVERY_S = 0.5


@dataclass(frozen=True)
class Record:
    """A record as it was put: number ``n`` of its key."""

    key: str
    n: int
    shard: str
    sequence_number: str


@dataclass(frozen=True)
class Entry:
    """A line of a key's history: an invocation has processed record ``n`` of the key."""

    n: int
    sequence_number: str
    shard: str
    invocation: str


@dataclass(frozen=True)
class Call:
    """An invocation; without ``ended`` and ``failures`` when it raised, was killed or still runs."""

    id: str
    pid: int
    shard: str
    first: str
    last: str
    size: int
    began: int
    ended: int | None = None
    failures: tuple[str, ...] | None = None

    def had(self, record: Record) -> bool:
        """Whether the record was in its batch."""
        return record.shard == self.shard and self.first <= record.sequence_number <= self.last

    def finished(self, record: Record) -> bool:
        """Whether it told the mapping that the record is done."""
        return self.failures is not None and all(record.sequence_number < failed for failed in self.failures)


@dataclass(frozen=True)
class Throttling:
    """What came of a table that throttled for so many seconds: how many after that began it was written to."""

    fault: str
    records: list[Record]
    written_after_s: float
    seconds: float = THROTTLED_S


@dataclass
class Proof:
    """The deployed service: puts records, and reads what became of them."""

    cloud: LocalCloud
    throttling: Future[Throttling] | None = None
    _told: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for service in ("kinesis", "dynamodb", "sqs"):
            setattr(self, service, self.cloud.endpoint.client(service))

    kinesis: Any = field(init=False)
    dynamodb: Any = field(init=False)
    sqs: Any = field(init=False)

    @cached_property
    def outputs(self) -> dict[str, str]:
        """What the stack's streams, tables and queue are called."""
        (stack,) = self.cloud.endpoint.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    def until(self, condition: Callable[[], Any], what: str, timeout_s: float) -> Any:
        """Wait until a condition holds, and see meanwhile that no process of the cloud has died."""
        deadline = time.monotonic() + timeout_s
        while not (found := condition()):
            self.cloud.supervisor.check()
            assert time.monotonic() < deadline, f"waited {timeout_s:.0f} s in vain until {what}"
            time.sleep(LOOK_EVERY_S)
        return found

    def put(self, stream: str, steps: Iterable[tuple[str, int]], poison: tuple[str, int] | None = None) -> list[Record]:
        """Put records of (key, n), in this order; one of them may be poison."""
        left, records = list(steps), []
        while left:
            now, left = left[:MOST_RECORDS], left[MOST_RECORDS:]
            answer = self.kinesis.put_records(
                StreamName=self.outputs[stream],
                Records=[
                    {"PartitionKey": key, "Data": self._event(key, n, POISON if (key, n) == poison else STEP)}
                    for key, n in now
                ],
            )
            assert answer["FailedRecordCount"] == 0
            records += [
                Record(key, n, one["ShardId"], one["SequenceNumber"])
                for (key, n), one in zip(now, answer["Records"], strict=True)
            ]
        return records

    @staticmethod
    def _event(key: str, n: int, kind: str) -> bytes:
        event = {"id": f"{key}-{n}", "type": kind, "timestamp": time.time_ns() // 1_000_000, "partition_key": key}
        return json.dumps({**event, "n": n, "tags": {"source": "proof-test"}}).encode()

    def histories(self, function: str, table: str = "effects") -> dict[str, list[Entry]]:
        """What a function did, by key, in the order in which it was done."""
        prefix = f"{STACK}-{function}/"
        return {
            row["pk"].removeprefix(prefix): [Entry(**{**entry, "n": int(entry["n"])}) for entry in row["history"]]
            for row in self._rows(table)
            if row["pk"].startswith(prefix)
        }

    def calls(self, function: str) -> list[Call]:
        """The invocations of a function in the order in which they began."""
        found = []
        for row in self._rows("invocations"):
            if row["function"] == f"{STACK}-{function}":
                numbers = {name: int(row[name]) for name in ("pid", "size", "began", "ended") if name in row}
                texts = {name: row[name] for name in ("shard", "first", "last")}
                ends = {"failures": tuple(row["failures"])} if "failures" in row else {}
                found.append(Call(row["pk"], **texts, **numbers, **ends))
        return sorted(found, key=lambda call: call.began)

    def _rows(self, table: str) -> list[dict[str, Any]]:
        plain = TypeDeserializer().deserialize
        pages = self.dynamodb.get_paginator("scan").paginate(TableName=self.outputs[table], ConsistentRead=True)
        return [{name: plain(value) for name, value in item.items()} for page in pages for item in page["Items"]]

    def told(self, function: str) -> list[dict[str, Any]]:
        """The on-failure records about a function that have come so far."""
        queue = self.outputs["failures"]
        while messages := self.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                self._told.append(json.loads(message["Body"]))
                self.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return [
            record
            for record in self._told
            if record["requestContext"]["functionArn"].endswith(f":function:{STACK}-{function}")
        ]

    def read(self, stream: str, shard: str, sequence_number: str) -> dict[str, Any]:
        """The event in a record of a stream."""
        iterator = self.kinesis.get_shard_iterator(
            StreamName=self.outputs[stream],
            ShardId=shard,
            ShardIteratorType="AT_SEQUENCE_NUMBER",
            StartingSequenceNumber=sequence_number,
        )["ShardIterator"]
        (record,) = self.kinesis.get_records(ShardIterator=iterator, Limit=1)["Records"]
        assert record["SequenceNumber"] == sequence_number
        return dict(json.loads(record["Data"]))

    def split_shard(self, stream: str, shard: str) -> None:
        """Split a shard in the middle."""
        keys = next(one["HashKeyRange"] for one in self._shards(stream) if one["ShardId"] == shard)
        middle = (int(keys["StartingHashKey"]) + int(keys["EndingHashKey"]) + 1) // 2
        self.kinesis.split_shard(StreamName=self.outputs[stream], ShardToSplit=shard, NewStartingHashKey=str(middle))

    def merge_shards(self, stream: str, shard: str, adjacent: str) -> None:
        """Merge two shards."""
        self.kinesis.merge_shards(StreamName=self.outputs[stream], ShardToMerge=shard, AdjacentShardToMerge=adjacent)

    @contextmanager
    def mappings_held(self) -> Iterator[None]:
        """Hold the process that reads streams: what is put meanwhile is read afterwards."""
        reader = psutil.Process(self.cloud.state.records()["mappings"]["child"]["pid"])
        reader.suspend()
        try:
            yield
        finally:
            reader.resume()

    def parents(self, stream: str) -> dict[str, set[str]]:
        """The parents of each shard that has any."""
        names = ("ParentShardId", "AdjacentParentShardId")
        shards = {shard["ShardId"]: {shard[name] for name in names if name in shard} for shard in self._shards(stream)}
        return {shard: parents for shard, parents in shards.items() if parents}

    def _shards(self, stream: str) -> list[dict[str, Any]]:
        return list(self.kinesis.list_shards(StreamName=self.outputs[stream])["Shards"])

    def throttle(self, table: str, seconds: float) -> str:
        """Let a table refuse all updates for so long, from now on; returns the fault's id."""
        return injected_faults.arm_fault(
            self.cloud.endpoint,
            target="DynamoDB_20120810.UpdateItem",
            contains=self.outputs[table],
            error="ProvisionedThroughputExceededException",
            seconds=seconds,
        )

    def wait_for_throttled(self) -> Throttling:
        """Put records whose table throttles, and wait until it is written to."""
        fault = self.throttle("throttled", THROTTLED_S)
        began = time.monotonic()
        records = self.put("throttledSource", steps(10, 30))
        self.until(lambda: self.histories("throttled", "throttled"), "the table is written to", THROTTLED_S + 45)
        return Throttling(fault, records, time.monotonic() - began)

    def fired(self, fault: str) -> int:
        """How many requests a fault has refused."""
        return next(int(one["fired"]) for one in injected_faults.faults(self.cloud.endpoint) if one["id"] == fault)

    def kill_worker(self, pid: int) -> None:
        """Kill a function's process: one that the emulator has started, and no other."""
        emulator = self.cloud.state.records()["emulator"]["child"]["pid"]
        assert psutil.Process(pid).ppid() == emulator
        os.kill(pid, signal.SIGKILL)

    def wait_until_finished(self, function: str, records: Sequence[Record], timeout_s: float) -> None:
        """Wait until each record was in an invocation that told the mapping it is done."""
        deadline = time.monotonic() + timeout_s
        while left := self._unfinished(function, records):
            self.cloud.supervisor.check()
            shown = ", ".join(f"{record.key}-{record.n} in {record.shard}" for record in left[:3])
            assert time.monotonic() < deadline, f"{function}: after {timeout_s:.0f} s {len(left)} are not done: {shown}"
            time.sleep(LOOK_AT_ALL_EVERY_S)

    def _unfinished(self, function: str, records: Sequence[Record]) -> list[Record]:
        calls = self.calls(function)
        return [record for record in records if not any(call.had(record) and call.finished(record) for call in calls)]

    def verify(self, function: str, records: Sequence[Record], table: str = "effects") -> Counts:
        """Prove of all records of a function, but those given up, what at-least-once in order by key means.

        - Each is done by exactly one invocation as the mapping sees it, and not delivered again after that.
        - It was delivered before only to invocations that failed, or reported it or one before it.
        - An invocation that tells that a record is done has written its effect.
        - Of each key, an invocation processes the records of its batch in order, from the first, without a gap.
        - The first effects of a key's records are in order; effects of two invocations are not mixed.
        """
        calls, histories = self.calls(function), self.histories(function, table)
        by_id = {call.id: call for call in calls}
        for record in records:
            delivered = [call for call in calls if call.had(record)]
            assert [call.finished(record) for call in delivered] == [False] * (len(delivered) - 1) + [True], record
        of_key: dict[str, list[Record]] = defaultdict(list)
        for record in records:
            of_key[record.key].append(record)
        assert histories.keys() == of_key.keys()
        repeated = 0
        for key, history in histories.items():
            expected = [record.n for record in of_key[key]]
            assert list(dict.fromkeys(entry.n for entry in history)) == expected, f"first effects of {key}"
            repeated += len(history) - len(expected)
            began = [by_id[entry.invocation].began for entry in history]
            assert began == sorted(began), f"effects of two invocations on {key} are mixed"
            for call in calls:
                batch = [record for record in of_key[key] if call.had(record)]
                wrote = [entry.n for entry in history if entry.invocation == call.id]
                assert wrote == [record.n for record in batch[: len(wrote)]], f"{call} on {key}"
                assert len(wrote) >= sum(call.finished(record) for record in batch), f"{call} on {key}"
        return Counts(calls=len(calls), failed=sum(call.failures != () for call in calls), repeated=repeated)


@dataclass(frozen=True)
class Counts:
    """How many invocations there were, how many of them did not finish all, and how many effects were repeated."""

    calls: int
    failed: int
    repeated: int


def steps(keys: int, each: int) -> list[tuple[str, int]]:
    """Records number 0 to ``each`` - 1 of so many keys, in turns."""
    return [(f"key-{key}", n) for n, key in itertools.product(range(each), range(keys))]


@pytest.fixture(scope="session")
def proof(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proof]:
    """The service, deployed by the real Serverless CLI to a cloud of its own, and its mappings served.

    One of its tables throttles meanwhile, where a test asks for that.
    """
    state = StateFolder(tmp_path_factory.mktemp("proof") / "state")
    with running_emulator(state, None) as cloud, Steps(Console(file=io.StringIO())) as shown:
        deploy(cloud, [SERVICE], shown)
        cloud.start_mappings()
        made = Proof(cloud)
        with ThreadPoolExecutor(1) as pool:
            if any(item.path.name == "test_throttled_table.py" for item in request.session.items):
                made.throttling = pool.submit(made.wait_for_throttled)
            yield made


@pytest.fixture(scope="session")
def in_turns() -> Callable[[int, int], list[tuple[str, int]]]:
    """Makes (key, n) of so many keys and so many records each."""
    return steps
