"""How many requests the runtime makes for a batch, and for which pipelines it starts threads."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from stream_runtime import DEFAULT_OPTIONS, StreamPipeline, clients, initialize_from
from stream_runtime.events import from_dynamodb, from_kinesis, to_dynamodb_records, to_kinesis_records
from stream_runtime.flavors import collect, evaluate, task


class CountingClient:
    """DynamoDB and EventBridge that accept everything; each key has two rows."""

    def __init__(self) -> None:
        self._calls: list[str] = []  # threads append to it; a count that several of them raise may lose one

    @property
    def requests(self) -> Counter[str]:
        return Counter(self._calls)

    def batch_write_item(self, **request: Any) -> dict[str, Any]:
        self._calls.append("batch_write_item")
        return {"UnprocessedItems": {}}

    def put_item(self, **request: Any) -> dict[str, Any]:
        self._calls.append("put_item")
        return {}

    def put_events(self, Entries: list[Any]) -> dict[str, Any]:
        self._calls.append("put_events")
        return {"FailedEntryCount": 0, "Entries": [{"EventId": str(number)} for number in range(len(Entries))]}

    def query(self, **request: Any) -> dict[str, Any]:
        self._calls.append("query")
        row = {"event": {"M": {"id": {"S": "e"}, "type": {"S": "thing-created"}, "timestamp": {"N": "1"}}}}
        return {"Items": [row, row]}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[CountingClient]:
    monkeypatch.setenv("ENTITY_TABLE_NAME", "events")
    monkeypatch.setenv("BUS_NAME", "bus")
    client = CountingClient()
    clients.use("dynamodb", client)
    clients.use("events", client)
    yield client
    clients.reset()


def things(count: int, *, keys: int = 1_000) -> list[dict[str, Any]]:
    return [
        {"id": f"e{number}", "type": "thing-created", "timestamp": number, "partition_key": f"k{number % keys}"}
        for number in range(count)
    ]


def process(rules: list[dict[str, Any]], uows: Any) -> None:
    assert StreamPipeline(initialize_from(rules), DEFAULT_OPTIONS).assemble(uows) == {"batchItemFailures": []}


def test_a_thousand_events_are_collected_in_forty_writes(aws: CountingClient) -> None:
    rule = {"id": "collect", "flavor": collect, "event_type": "thing-created"}

    process([rule], from_kinesis(to_kinesis_records(things(1_000))))

    assert aws.requests == {"batch_write_item": 40}


def test_a_thousand_events_are_emitted_in_a_hundred_calls(aws: CountingClient) -> None:
    rule = {"id": "emit", "flavor": task, "event_type": "thing-created", "emit": "thing-done"}

    process([rule], from_kinesis(to_kinesis_records(things(1_000))))

    assert aws.requests == {"put_events": 100}


def collected(event: dict[str, Any]) -> dict[str, Any]:
    key = event["partition_key"]
    return {"pk": event["id"], "sk": "EVENT", "discriminator": "EVENT", "data": key, "event": event}


def correlated(event: dict[str, Any]) -> dict[str, Any]:
    return {"pk": event["partition_key"], "sk": event["id"], "discriminator": "CORREL", "event": event}


@pytest.mark.parametrize(
    ("to_row", "requests"), [(collected, {"query": 500, "put_item": 1_000}), (correlated, {"query": 500})]
)
def test_two_events_of_a_key_are_evaluated_with_one_query(
    aws: CountingClient, to_row: Callable[[dict[str, Any]], dict[str, Any]], requests: dict[str, int]
) -> None:
    rule = {
        "id": "evaluate",
        "flavor": evaluate,
        "event_type": "thing-created",
        "expression": lambda uow: len(uow["correlated"]) > 2,
        "emit": "things-done",
    }
    rows = [to_row(event) for event in things(1_000, keys=500)]
    changes = [{"keys": {"pk": row["pk"], "sk": row["sk"]}, "newImage": row} for row in rows]

    process([rule], from_dynamodb(to_dynamodb_records(changes)))

    assert aws.requests == requests


def test_pipelines_without_events_start_no_threads(aws: CountingClient, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    start = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", lambda self: (started.append(self.name), start(self))[1])
    rules = [{"id": f"collect-{n}", "flavor": collect, "event_type": f"other-{n}"} for n in range(64)]

    process(rules, from_kinesis(to_kinesis_records(things(10))))

    assert started == []


def test_the_calling_thread_works_for_a_pipeline_too(aws: CountingClient) -> None:
    threads: list[str] = []
    together = threading.Barrier(3, timeout=60)

    def noting(_: Any) -> dict[str, Any]:
        together.wait()  # all three are at work at once
        threads.append(threading.current_thread().name.partition("_")[0])
        return {}

    rules = [
        {"id": f"work-{n}", "flavor": task, "event_type": "thing-created", "execute": noting, "parallel": 2}
        for n in range(3)
    ]

    process(rules, from_kinesis(to_kinesis_records(things(1))))

    assert sorted(threads) == sorted([threading.current_thread().name.partition("_")[0], *["stream-pipeline"] * 2])
