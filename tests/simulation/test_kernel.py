"""Virtual time: the runtime's own threads, waits and deadlines take turns in it, in an order that the seed decides."""

import os
import threading
import time
import uuid
from typing import Any

import pytest
from simulator.kernel import MICROSECONDS, Event, Kernel, Lock, Process, ProcessDied, Stuck
from simulator.virtual import virtual
from stream_runtime import clients, stream_handler
from stream_runtime.clock import now_ms
from stream_runtime.events import from_kinesis, to_kinesis_records
from stream_runtime.flavors import materialize

SECOND = MICROSECONDS
RULE = {
    "id": "materialize-thing",
    "flavor": materialize,
    "event_type": "thing-created",
    "to_update_request": lambda uow: {"Key": {"pk": uow["event"]["id"]}},
}


class Table:
    """A client of a table whose writes take 5 ms to be made and 2 ms to be answered."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.written: list[tuple[int, str, str]] = []

    def update_item(self, **request: Any) -> dict[str, Any]:
        self.kernel.sleep(5_000)
        self.written.append((self.kernel.now_us, self.kernel.current().process.name, request["Key"]["pk"]["S"]))
        self.kernel.sleep(2_000)
        return {}


@pytest.fixture(autouse=True)
def _no_clients() -> Any:
    yield
    clients.reset()


def played(seed: int, end_us: int | None = None) -> tuple[list[tuple[int, str, str]], list[Any], list[Any]]:
    """Three functions write ten rows each; the first one's process ends at a moment."""
    kernel = Kernel(seed)
    table = Table(kernel)
    things = [{"id": str(n), "type": "thing-created", "timestamp": 1, "partition_key": str(n)} for n in range(10)]

    def invoke() -> Any:
        return stream_handler([RULE], from_kinesis)(to_kinesis_records(things), None)

    with virtual(kernel, seed):
        clients.use("dynamodb", table)
        processes = [Process(f"p{n}", {"ENTITY_TABLE_NAME": "things"}) for n in range(3)]
        tasks = [kernel.spawn(process, invoke) for process in processes]
        if end_us is not None:
            kernel.at(end_us, lambda: kernel.end(processes[0]))
        kernel.run()
    return table.written, [task.result for task in tasks], [task.error for task in tasks]


def test_parallel_calls_of_the_runtime_overlap_in_virtual_time_and_a_seed_gives_the_same_order_again() -> None:
    begun = time.monotonic()
    written, results, errors = played(1)
    assert errors == [None] * 3
    assert results == [{"batchItemFailures": []}] * 3
    assert {(name, key) for _, name, key in written} == {(f"p{n}", str(key)) for n in range(3) for key in range(10)}
    assert {at - written[0][0] for at, _, _ in written} == {0}, "PARALLEL is 16: all are in flight at once"
    assert played(1)[0] == written
    assert any(played(seed)[0] != written for seed in range(2, 6))
    assert time.monotonic() - begun < 10, "virtual time is not waited for"


def test_a_process_that_dies_does_nothing_more() -> None:
    written, results, errors = played(1, end_us=4_000)
    assert isinstance(errors[0], ProcessDied)
    assert results[0] is None
    assert {name for _, name, _ in written} == {"p1", "p2"}
    written, _, errors = played(1, end_us=6_000)
    assert isinstance(errors[0], ProcessDied), "it waited for answers"
    assert {name for _, name, _ in written} == {"p0", "p1", "p2"}


def test_each_process_has_a_clock_and_an_environment_of_its_own() -> None:
    kernel = Kernel(0, start_us=1_000 * SECOND)
    seen: list[tuple[int, str | None, str]] = []

    def look() -> None:
        time.sleep(1.5)
        seen.append((now_ms(), os.environ.get("NAME"), uuid.uuid4().hex))

    before = os.environ.get("PATH")
    with virtual(kernel, 0):
        for name, skew_s in (("true", 0), ("ahead", 60)):
            kernel.spawn(Process(name, {"NAME": name}, skew_s * SECOND), look)
        kernel.run()
        assert os.environ.get("PATH") == before, "outside of a task it is the real one"
    assert sorted((at, name) for at, name, _ in seen) == [(1_001_500, "true"), (1_061_500, "ahead")]
    assert time.time() > 1_700_000_000
    assert threading.Lock is not Lock


def test_what_never_ends_is_told() -> None:
    kernel = Kernel(0, most_steps=1_000)

    def for_ever() -> None:
        while True:
            kernel.sleep(1)

    with virtual(kernel, 0):
        kernel.spawn(Process("busy"), for_ever)
        with pytest.raises(Stuck):
            kernel.run()


def test_a_lock_goes_on_to_the_living() -> None:
    kernel = Kernel(0)
    lock, event = Lock(kernel), Event(kernel)
    got: list[str] = []

    def hold(name: str) -> None:
        with lock:
            got.append(name)
            event.wait()

    processes = [Process(name) for name in ("first", "second", "third")]
    for number, process in enumerate(processes):
        kernel.at(number, lambda process=process: kernel.spawn(process, lambda: hold(process.name)))
    kernel.at(10, lambda: kernel.end(processes[1]))
    kernel.at(20, lambda: kernel.end(processes[0]))
    kernel.at(30, event.set)
    kernel.run()
    assert got == ["first", "third"]
