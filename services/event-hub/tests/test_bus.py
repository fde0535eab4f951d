"""The publisher: how much of it is in flight at once."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from stream_runtime import clients

PARALLEL = 2
EVENTS = 500


class Pool(ThreadPoolExecutor):
    """Knows how many calls were in flight at most, and when somebody begins to wait for one."""

    def __init__(self, parallel: int) -> None:
        super().__init__(parallel)
        self.most_in_flight = 0
        self.waited_for = threading.Event()
        self._calls: list[Future[Any]] = []

    def submit(self, function: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        call = super().submit(function, *args, **options)
        self._calls.append(call)
        self.most_in_flight = max(self.most_in_flight, sum(not each.done() for each in self._calls))
        result = call.result

        def waiting(timeout: float | None = None) -> Any:
            self.waited_for.set()
            return result(timeout)

        call.result = waiting  # type: ignore[method-assign]
        return call


def test_while_the_bus_does_not_answer_no_more_is_put_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    from event_hub.dal.bus import Publisher

    pool, accepted = Pool(PARALLEL), list[str]()

    def put_events(Entries: list[dict[str, str]]) -> dict[str, Any]:
        assert pool.waited_for.wait(60), "the publisher never waits"
        accepted.extend(entry["Detail"] for entry in Entries)
        return {"FailedEntryCount": 0, "Entries": [{}] * len(Entries)}

    monkeypatch.setattr(clients.client("events"), "put_events", put_events)
    monkeypatch.setattr("event_hub.dal.bus.ThreadPoolExecutor", lambda _: pool)

    with Publisher("test-bus", PARALLEL) as publisher:
        for number in range(EVENTS):
            publisher.publish({"id": f"e{number}", "type": "record-received"})

    assert pool.most_in_flight == 2 * PARALLEL
    assert len(set(accepted)) == len(accepted) == EVENTS
