"""Publishing to the bus as events come, with a bounded number in flight."""

from collections import deque
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from stream_runtime import settings
from stream_runtime.clients import client
from stream_runtime.engine.retry import Retry, classify
from stream_runtime.payload import codec
from stream_runtime.sinks.eventbridge import outcomes_of, size_of

MOST_ENTRIES = 10
"""Entries in one PutEvents call (EventBridge API reference, PutEvents)."""

Entry = dict[str, str]


class EventTooLarge(ValueError):
    """An event that no PutEvents call takes."""


class Publisher:
    """Publishes events in calls of ten, so many at once; memory holds what is in flight and no more.

    Use it as a context manager: at its end everything has been accepted, or it raises.
    """

    def __init__(self, bus_name: str, parallel: int) -> None:
        self._bus_name = bus_name
        self._pool = ThreadPoolExecutor(parallel)
        self._in_flight: deque[Future[None]] = deque()
        self._most_in_flight = parallel * 2
        self._entries: list[Entry] = []
        self._bytes = 0

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        """Wait for what is in flight."""
        try:
            if kind is None:
                self.flush()
        finally:
            self._pool.shutdown(cancel_futures=True)

    def publish(self, event: Mapping[str, Any]) -> None:
        """Take an event; it may be sent later.

        Raises:
            EventTooLarge: it will never be sent.
            Exception: what a call before has failed with.
        """
        entry = {
            "EventBusName": self._bus_name,
            "Source": settings.BUS_SRC.read(),
            "DetailType": event["type"],
            "Detail": codec.encode(event),
        }
        size = size_of(entry)
        if size > _most_bytes():
            raise EventTooLarge(f"the event has {size} bytes; EventBridge takes {_most_bytes()}")
        if self._entries and (len(self._entries) == MOST_ENTRIES or self._bytes + size > _most_bytes()):
            self._send()
        self._entries.append(entry)
        self._bytes += size

    def flush(self) -> None:
        """Wait until every event has been accepted.

        Raises:
            Exception: what a call has failed with.
        """
        self._send()
        while self._in_flight:
            self._in_flight.popleft().result()

    def _send(self) -> None:
        if not self._entries:
            return
        while len(self._in_flight) >= self._most_in_flight or (self._in_flight and self._in_flight[0].done()):
            self._in_flight.popleft().result()
        self._in_flight.append(self._pool.submit(put_events, self._entries))
        self._entries, self._bytes = [], 0


def put_events(entries: Iterable[Entry]) -> None:
    """Put entries until each is accepted; only those that failed are sent again.

    Raises:
        Exception: what an entry, or the call, has failed with at last.
    """
    left, attempt, retry = list(entries), 1, Retry()
    while left:
        request = left
        response = retry.call(lambda request=request: client("events").put_events(Entries=request))
        failed = [
            (entry, outcome)
            for entry, outcome in zip(request, outcomes_of(request, response), strict=True)
            if isinstance(outcome, Exception)
        ]
        if failed:
            worst = next((error for _, error in failed if classify(error) != "transient"), None)
            if worst is not None or not retry.pause(attempt):
                raise worst or failed[0][1]
        left, attempt = [entry for entry, _ in failed], attempt + 1


def _most_bytes() -> int:
    return settings.MAX_REQUEST_SIZE.read()
