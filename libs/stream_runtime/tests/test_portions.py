"""A batch of very many records is worked off in portions, which nothing but memory shows."""

from collections.abc import Iterator
from typing import Any

import pytest
from reactivex import operators as ops
from stream_runtime import TransientError, clients, stream_handler
from stream_runtime.engine.operators import rx_shared
from stream_runtime.events import from_kinesis, opening, to_kinesis_records
from stream_runtime.flavors import task
from stream_runtime.payload.compression import compressed

KEYS = 7
PORTION = 10


@pytest.fixture(autouse=True)
def small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "MOST_IN_PORTION", PORTION)


def invocation(count: int) -> dict[str, Any]:
    return to_kinesis_records(
        {"id": f"e{n}", "type": "thing", "timestamp": n, "partition_key": f"k{n % KEYS}"} for n in range(count)
    )


def emits(log: list[str], **fields: Any) -> dict[str, Any]:
    """A rule that emits an event for each, and logs that."""

    def emit(uow: Any, rule: Any, template: Any) -> Any:
        log.append(uow["event"]["id"])
        return {**template, "type": "done"}

    return {"id": "a", "flavor": task, "event_type": "thing", "emit": emit, **fields}


class Bus:
    """Accepts everything; notes how many events had been taken when some were published."""

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.ids: list[str] = []
        self.most_held = 0

    def put_events(self, Entries: list[Any]) -> Any:
        self.most_held = max(self.most_held, len(self.log) - len(self.ids))
        self.ids += [entry["Detail"].split('"', 4)[3] for entry in Entries]
        return {"FailedEntryCount": 0, "Entries": [{"EventId": "1"} for _ in Entries]}


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.fixture
def slow_bus(log: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Bus]:
    monkeypatch.setenv("BUS_NAME", "bus")
    bus = Bus(log)
    clients.use("events", bus)
    yield bus
    clients.reset()


@pytest.mark.parametrize("count", [PORTION - 1, PORTION, PORTION + 1, 3 * PORTION, 3 * PORTION + 4])
def test_every_event_is_published_once_and_no_more_than_a_portion_is_held(
    count: int, log: list[str], slow_bus: Bus
) -> None:
    assert stream_handler([emits(log)], from_kinesis)(invocation(count), None) == {"batchItemFailures": []}

    assert sorted(slow_bus.ids) == sorted(f"e{n}.a" for n in range(count))
    assert log == [f"e{n}" for n in range(count)]
    assert slow_bus.most_held <= PORTION


def test_compressed_events_among_them_change_nothing(log: list[str], slow_bus: Bus) -> None:
    event = to_kinesis_records(
        compressed({"id": f"e{n}", "type": "thing", "text": "x" * (1000 if n == 12 else 1)}, 100) for n in range(45)
    )

    assert stream_handler([emits(log)], from_kinesis)(event, None) == {"batchItemFailures": []}
    assert log == [f"e{n}" for n in range(45)]
    assert sorted(slow_bus.ids) == sorted(f"e{n}.a" for n in range(45))
    assert slow_bus.most_held <= 2 * PORTION


def test_behind_a_checkpoint_no_portion_starts(log: list[str]) -> None:
    def execute(uow: Any) -> None:
        if uow["event"]["id"] == "e12":
            raise TransientError
        log.append(uow["event"]["id"])

    rule = {"id": "a", "flavor": task, "event_type": "thing", "execute": execute}
    response = stream_handler([rule], from_kinesis)(invocation(40), None)

    assert response == {"batchItemFailures": [{"itemIdentifier": "12"}]}
    assert log == [f"e{n}" for n in range(12)]


@pytest.mark.parametrize(
    ("fields", "emitted"), [({"compact": True}, KEYS), ({"group": True}, KEYS), ({"rate": 1e5}, 35)]
)
def test_rules_that_need_the_whole_batch_get_it(fields: Any, emitted: int, log: list[str], slow_bus: Bus) -> None:
    stream_handler([emits(log, **fields)], from_kinesis)(invocation(35), None)

    assert len(log) == len(slow_bus.ids) == slow_bus.most_held == emitted


def test_a_key_is_read_once_in_the_whole_batch() -> None:
    read: list[str] = []

    def query(uow: Any) -> str:
        read.append(uow["event"]["partition_key"])
        return "row"

    shared = rx_shared(query, key=lambda uow: uow["event"]["partition_key"], field="row")
    rule = {"id": "a", "flavor": task, "event_type": "thing", "execute_operators": lambda _: shared}

    stream_handler([rule], from_kinesis)(invocation(35), None)

    assert sorted(read) == [f"k{n}" for n in range(KEYS)]


def test_operators_of_reactivex_get_the_whole_batch() -> None:
    seen: list[int] = []
    operators = (ops.buffer_with_count(50), ops.do_action(lambda uows: seen.append(len(uows))))
    rule = {"id": "a", "flavor": task, "event_type": "thing", "execute_operators": lambda _: ops.compose(*operators)}

    stream_handler([rule], from_kinesis)(invocation(35), None)

    assert seen == [35]


def test_a_rule_that_gets_the_whole_batch_gives_it_to_those_beside_it(log: list[str], slow_bus: Bus) -> None:
    rules = [emits(log), {"id": "b", "flavor": task, "event_type": "other", "compact": True}]

    stream_handler(rules, from_kinesis)(invocation(35), None)

    assert slow_bus.most_held == 35
