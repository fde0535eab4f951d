"""Event source mappings in virtual time: what a function gets, again after failures, and what a destination is told."""

import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from simulator.kernel import MICROSECONDS, Kernel
from simulator.mappings import Records, StreamMapping
from stream_cli.mappings.outcomes import Invocation
from stream_cli.mappings.settings import MappingSettings

SECOND = MICROSECONDS
ARN = "arn:aws:kinesis:us-east-1:123456789012:stream/things"
QUEUE = "arn:aws:sqs:us-east-1:123456789012:failures"
SETTINGS = MappingSettings.from_configuration(
    {
        "UUID": "m",
        "FunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:work",
        "EventSourceArn": ARN,
        "StartingPosition": "TRIM_HORIZON",
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "BatchSize": 10,
        "MaximumRetryAttempts": 2,
        "DestinationConfig": {"OnFailure": {"Destination": QUEUE}},
    }
)

OTHER = replace(SETTINGS, batch_size=1)


@dataclass(frozen=True)
class Shard:
    id: str
    parents: tuple[str, ...] = ()


@dataclass(frozen=True)
class Page:
    records: list[dict[str, Any]]
    closed: bool


class Stream:
    """A stream of Kinesis whose records are given."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.on_change: list[Callable[[str], None]] = []
        self.records: dict[str, list[dict[str, Any]]] = {"s0": []}
        self.parents: dict[str, tuple[str, ...]] = {"s0": ()}
        self.closed: set[str] = set()

    def put(self, number: int, shard: str = "s0", **fields: Any) -> None:
        self.records[shard].append(
            {
                "SequenceNumber": f"{number:05}",
                "PartitionKey": str(number),
                "Data": b64encode(json.dumps({"id": number, **fields}).encode()).decode(),
                "ApproximateArrivalTimestamp": self.kernel.now_us / SECOND,
            }
        )
        self.told(shard)

    def close(self, shard: str, *children: str) -> None:
        self.closed.add(shard)
        for child in children:
            self.records[child], self.parents[child] = [], (shard,)
            self.told(child)
        self.told(shard)

    def told(self, shard: str) -> None:
        for each in self.on_change:
            each(shard)

    def shards(self) -> list[Shard]:
        return [Shard(each, self.parents[each]) for each in self.records]

    def read(self, shard_id: str, after: str | None = None, limit: int = 1000) -> Page:
        behind = [each for each in self.records[shard_id] if after is None or each["SequenceNumber"] > after]
        return Page(behind[:limit], shard_id in self.closed and len(behind) <= limit)

    def latest(self, shard_id: str) -> str:
        return max((each["SequenceNumber"] for each in self.records[shard_id]), default="")


class Played:
    """A mapping whose function takes a second, and what it got."""

    def __init__(self, settings: MappingSettings = SETTINGS, seed: int = 1) -> None:
        self.kernel = Kernel(seed)
        self.stream = Stream(self.kernel)
        self.got: list[tuple[float, list[int]]] = []
        self.answer: Callable[[list[int]], Any] = lambda ids: None
        self.sent: list[tuple[str, Mapping[str, Any]]] = []
        self.refused = 0
        self.mapping = StreamMapping(
            self.kernel,
            seed,
            settings,
            self.stream,
            Records(settings.source),
            self,
            send=self.send,
            measure=lambda *_: None,
            aged=lambda *_: None,
            told=lambda *_: None,
        )

    def start(self, name: str, payload: bytes, done: Callable[[Invocation], None]) -> None:
        assert name == SETTINGS.function_arn
        records = json.loads(payload)["Records"]
        numbers = [int(each["kinesis"]["sequenceNumber"]) for each in records]
        self.got.append(((self.kernel.now_us - self.began) / SECOND, numbers))
        found = self.answer(numbers)
        if isinstance(found, Exception):
            outcome = Invocation(json.dumps({"errorType": "Boom"}).encode(), "Unhandled")
        else:
            outcome = Invocation(json.dumps(found).encode())
        self.kernel.at(SECOND, lambda: done(outcome))

    def send(self, arn: str, record: Mapping[str, Any]) -> bool:
        if self.refused:
            self.refused -= 1
            return False
        self.sent.append((arn, record))
        return True

    def run(self, *numbers: int) -> list[list[int]]:
        self.began = self.kernel.now_us
        for place, number in enumerate(numbers):
            self.kernel.at(10 * SECOND + place, lambda number=number: self.stream.put(number))  # type: ignore[misc]
        self.kernel.run()
        return [each[1] for each in self.got]


def failing(*numbers: int) -> Callable[[list[int]], Any]:
    """The answer of a function that reports the first of these records."""

    def answer(ids: list[int]) -> Any:
        found = [each for each in ids if each in numbers][:1]
        return {"batchItemFailures": [{"itemIdentifier": f"{each:05}"} for each in found]}

    return answer


def test_records_come_in_order_in_batches() -> None:
    played = Played()
    assert [each for batch in played.run(*range(25)) for each in batch] == list(range(25))
    assert max(len(batch) for _, batch in played.got) == 10
    assert not played.mapping.is_busy
    assert 10 <= played.got[0][0] <= 12, "a poll a second"


def test_a_batch_waits_for_its_window() -> None:
    played = Played(replace(SETTINGS, batch_window=5.0))
    played.kernel.at(12 * SECOND, lambda: played.stream.put(2))
    assert played.run(1) == [[1, 2]]


def test_filters_drop_records_and_the_checkpoint_passes_them() -> None:
    played = Played(replace(SETTINGS, filter_patterns=('{"data": {"kind": ["a"]}}',)))
    played.kernel.at(SECOND, lambda: played.stream.put(1, kind="b"))
    played.kernel.at(2 * SECOND, lambda: played.stream.put(2, kind="a"))
    played.kernel.at(20 * SECOND, lambda: played.stream.put(3, kind="b"))
    assert played.run() == [[2]]
    assert played.mapping.checkpoints["s0"].sequence_number == "00003"


def test_what_fails_comes_again_and_is_given_up_at_last() -> None:
    played = Played()
    played.answer = failing(2)
    played.refused = 2
    batches = played.run(1, 2, 3)
    assert batches[0] == [1, 2, 3]
    assert batches[1:4] == [[2, 3]] * 3
    assert len(batches) == 4, "retries are counted for what is left; the batch of the failed record is given up whole"
    ((arn, record),) = played.sent
    assert arn == QUEUE
    assert record["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert record["KinesisBatchInfo"]["startSequenceNumber"] == "00002"
    assert record["KinesisBatchInfo"]["batchSize"] == 2
    assert not played.mapping.is_busy


def test_a_failed_batch_is_split() -> None:
    played = Played(replace(SETTINGS, bisect=True))
    played.answer = lambda ids: ValueError() if 3 in ids else None
    batches = played.run(1, 2, 3, 4)
    assert [1, 2] in batches
    assert [4] in batches
    assert played.sent[0][1]["KinesisBatchInfo"]["startSequenceNumber"] == "00003"
    assert played.sent[0][1]["KinesisBatchInfo"]["batchSize"] == 1


def test_a_poller_that_begins_again_delivers_what_is_not_settled() -> None:
    played = Played()
    played.kernel.at(5 * SECOND, lambda: played.stream.put(1))
    played.kernel.at(int(12.5 * SECOND), played.mapping.restart)
    batches = played.run(2, 3)
    assert batches[0] == [1]
    assert [1] not in batches[1:]
    assert batches[1:] in ([[2, 3]], [[2, 3], [2, 3]])
    again = [Played(seed=seed) for seed in range(2, 12)]
    for each in again:
        each.kernel.at(int(11.2 * SECOND), each.mapping.restart)
        each.run(2, 3)
    assert any(len(each.got) == 2 for each in again), "one was in flight"


def test_children_come_after_their_parents() -> None:
    played = Played()
    played.answer = failing()

    def reshard() -> None:
        played.stream.put(1)
        played.stream.close("s0", "s1", "s2")
        played.stream.put(2, "s1")
        played.stream.put(3, "s2")

    played.kernel.at(10 * SECOND, reshard)
    batches = played.run()
    assert batches[0] == [1]
    assert sorted(batches[1:]) == [[2], [3]]
    assert min(at for at, batch in played.got[1:]) >= played.got[0][0] + 1
    assert played.mapping.drained == {"s0"}


def test_other_settings_apply_from_the_checkpoint_on() -> None:
    for seed in range(1, 9):
        played = Played(seed=seed)
        played.kernel.at(20 * SECOND, lambda played=played: played.mapping.update(OTHER))  # type: ignore[misc]
        for number in range(4, 7):
            at = (100 + number) * SECOND
            played.kernel.at(at, lambda played=played, number=number: played.stream.put(number))  # type: ignore[misc]
        assert [each for batch in played.run(1, 2, 3) for each in batch] == [1, 2, 3, 4, 5, 6]
        assert len(played.got[-1][1]) == 1


def test_latest_begins_behind_what_is_there() -> None:
    played = Played(replace(SETTINGS, starting_position="LATEST"))
    played.stream.put(1)
    assert played.run(2) == [[2]]
