"""Events to an EventBridge bus, in as few PutEvents calls as number and size allow."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from functools import cache, partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from stream_runtime import settings
from stream_runtime.aws.clients import client
from stream_runtime.engine.batching import BatchCall, rx_batched
from stream_runtime.engine.calls import current_retry
from stream_runtime.engine.flow import Operator, compose
from stream_runtime.engine.operators import rx_effect, rx_map
from stream_runtime.engine.retry import classify
from stream_runtime.events import claim_check
from stream_runtime.payload import codec
from stream_runtime.payload.compression import compressed
from stream_runtime.tags import standard_tags, with_tags

from .entries import outcomes_by_place
from .limits import PUT_EVENTS

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["EventTooLarge", "Publisher", "publish_to_event_bridge"]

RequestEntry = Mapping[str, Any]
"""``{"EventBusName", "Source", "DetailType", "Detail"}``, an entry of PutEvents."""


class EventTooLarge(ValueError):
    """An event that is too large for PutEvents, while no claim-check bucket is set.

    Attributes:
        size: bytes of its entry.
        limit: bytes that a call takes.
    """

    def __init__(self, event_id: Any, size: int, limit: int) -> None:
        super().__init__(
            f"event {event_id} has {size} bytes, PutEvents takes {limit}; "
            "set CLAIMCHECK_BUCKET_NAME to send it as a claim check"
        )
        self.size = size
        self.limit = limit


def publish_to_event_bridge(
    logger: logging.Logger | Any = None,
    bus_name: str | Callable[[Mapping[str, Any]], str] | None = None,
    source: str | None = None,
    event_field: str = "event",
    publish_request_entry_field: str = "publish_request_entry",
    publish_response_field: str = "publish_response",
    batch_size: int | None = None,
    max_request_size: int | None = None,
    parallel: int | None = None,
    rate: float | None = None,
    compression_threshold: int | None = None,
) -> Operator:
    """An operator that publishes the event in a field of each unit of work; units without one pass.

    Args:
        logger: logs a debug line for each call.
        bus_name: name or ARN, or a function of the unit of work; BUS_NAME by default.
        source: the entries' Source; BUS_SRC by default.
        event_field: where the event is.
        publish_request_entry_field: where the entry is put.
        publish_response_field: where ``{"EventId": ...}`` of the accepted entry is put.
        batch_size: entries in a call, at most 10.
        max_request_size: bytes of a call, at most 1 MiB; MAX_REQUEST_SIZE by default. A larger event goes through the
            claim check.
        parallel: calls at once.
        rate: events a second.
        compression_threshold: bytes of JSON above which a field of the event is compressed; COMPRESSION_THRESHOLD by
            default.

    Sources: EventBridge API reference, "PutEvents" (10 entries; FailedEntryCount), and user guide, "Calculating
    PutEvents event entry size" (1 MB).
    """
    most_bytes = most_bytes_of(max_request_size)
    threshold = compression_threshold or settings.COMPRESSION_THRESHOLD.read()
    log = logger or logging.getLogger(__name__)
    # Settings are read once for a batch, and tags shared by all of its events.
    tags_of, default_bus, source_of = cache(standard_tags), cache(_default_bus), cache(settings.BUS_SRC.read)

    def to_tagged(uow: Any) -> Any:
        event = uow.get(event_field)
        if not event:
            return uow
        return {**uow, event_field: with_tags(event, tags_of(uow.get("pipeline")))}

    def to_entry(uow: Any) -> Any:
        event = uow.get(event_field)
        if not event:
            return uow
        bus = (bus_name(uow) if callable(bus_name) else bus_name) or default_bus()
        entry = request_entry(event, bus, source or source_of(), most_bytes, threshold)
        return {**uow, publish_request_entry_field: entry}

    def put_events(entries: Sequence[RequestEntry]) -> Sequence[Any]:
        response = client("events").put_events(Entries=list(entries))
        log.debug("PutEvents: %s entries, %s failed", len(entries), response.get("FailedEntryCount", 0))
        return outcomes_of(entries, response)

    return compose(
        rx_map(to_tagged),
        rx_effect(to_entry, parallel=1),
        rx_batched(
            BatchCall(
                entry=lambda uow: uow.get(publish_request_entry_field) if uow.get(event_field) else None,
                send=put_events,
                response_field=publish_response_field,
                limits=PUT_EVENTS,
                size=size_of,
            ),
            max_request_size=most_bytes,
            batch_size=batch_size or settings.PUBLISH_BATCH_SIZE.read(),
            parallel=parallel,
            rate=rate,
        ),
    )


class Publisher:
    """Publishes events outside of a pipeline, with a bounded number of calls in flight.

    Use it as a context manager: when the block ends without an error, the bus has accepted every event. Only entries
    that failed are sent again. An event above the limit goes through the claim check where there is a bucket for it.

    Args:
        bus_name: name or ARN; BUS_NAME by default.
        source: the entries' Source; BUS_SRC by default.
        parallel: calls in flight at once; PARALLEL by default. At most twice as many requests are held in memory.
        client: a boto3 client for EventBridge; the process's own by default.

    Example:
        >>> with Publisher() as publisher:
        ...     publisher.publish({"id": "1", "type": "thing-created", "timestamp": 1548967022000})
    """

    def __init__(
        self,
        bus_name: str | None = None,
        *,
        source: str | None = None,
        parallel: int | None = None,
        client: Any = None,
    ) -> None:
        from concurrent.futures import ThreadPoolExecutor

        lanes = parallel or settings.PARALLEL.read()
        self._bus_name = bus_name
        self._source = source
        self._client = client
        self._most_entries = PUT_EVENTS.most_entries(settings.PUBLISH_BATCH_SIZE.read())
        self._most_bytes = most_bytes_of(None)
        self._threshold = settings.COMPRESSION_THRESHOLD.read()
        self._pool = ThreadPoolExecutor(lanes, thread_name_prefix="stream-publisher")
        self._in_flight: deque[Future[None]] = deque()
        self._most_in_flight = lanes * 2
        self._entries: list[RequestEntry] = []
        self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            self._pool.shutdown(cancel_futures=True)

    def publish(self, event: Mapping[str, Any]) -> None:
        """Take an event; it may be sent later.

        Raises:
            EventTooLarge: it cannot be sent.
            ValueError: it has no type.
            Exception: what an earlier call failed with at its last attempt.
        """
        entry = request_entry(event, self._bus_name, self._source, self._most_bytes, self._threshold)
        size = size_of(entry)
        if self._entries and (len(self._entries) == self._most_entries or self._bytes + size > self._most_bytes):
            self._send()
        self._entries.append(entry)
        self._bytes += size

    def flush(self) -> None:
        """Wait until the bus has accepted every event.

        Raises:
            Exception: what a call failed with at its last attempt.
        """
        self._send()
        while self._in_flight:
            self._in_flight.popleft().result()

    def _send(self) -> None:
        if not self._entries:
            return
        while len(self._in_flight) >= self._most_in_flight or (self._in_flight and self._in_flight[0].done()):
            self._in_flight.popleft().result()
        self._in_flight.append(self._pool.submit(copy_context().run, self._put, self._entries))
        self._entries, self._bytes = [], 0

    def _put(self, entries: Sequence[RequestEntry]) -> None:
        put_events = (self._client or client("events")).put_events
        left, attempt, retry = entries, 1, current_retry()
        while left:
            response = retry.call(partial(put_events, Entries=list(left)))
            outcomes = zip(left, outcomes_of(left, response), strict=True)
            failed = [(entry, outcome) for entry, outcome in outcomes if isinstance(outcome, Exception)]
            if failed:
                lasting = next((error for _, error in failed if classify(error) != "transient"), None)
                if lasting is not None or not retry.pause(attempt, failed[0][1]):
                    raise lasting or failed[0][1]
            left, attempt = [entry for entry, _ in failed], attempt + 1


def most_bytes_of(max_request_size: int | None) -> int:
    """Bytes of a PutEvents call: what a rule or option says, else MAX_REQUEST_SIZE; at most what the API takes."""
    return PUT_EVENTS.most_bytes(max_request_size or settings.MAX_REQUEST_SIZE.read())


def request_entry(
    event: Mapping[str, Any], bus_name: str | None, source: str | None, most_bytes: int, threshold: int | None
) -> dict[str, Any]:
    """The entry of an event, large fields compressed; one that is too large is stored, and its claim check sent."""
    if not isinstance(event.get("type"), str) or not event["type"]:
        raise ValueError(f"an event without a type cannot be published: {event!r:.200}")
    if threshold is not None:
        event = compressed(event, threshold)
    detail = codec.encode(event)
    entry = {
        "EventBusName": bus_name or _default_bus(),
        "Source": source or settings.BUS_SRC.read(),
        "DetailType": event["type"],
        "Detail": detail,
    }
    size = size_of(entry)
    if size > most_bytes:
        if not settings.CLAIMCHECK_BUCKET_NAME.read():
            raise EventTooLarge(event.get("id"), size, most_bytes)
        entry["Detail"] = codec.encode(claim_check.check_in(event, detail))
    return entry


def _default_bus() -> str:
    return settings.required(settings.BUS_NAME)


def size_of(entry: RequestEntry) -> int:
    """Bytes of an entry, as PutEvents counts them."""
    return _bytes(entry["Source"]) + _bytes(entry["DetailType"]) + _bytes(entry["Detail"])


def outcomes_of(entries: Sequence[RequestEntry], response: Mapping[str, Any]) -> Sequence[Any]:
    """For each entry its ``{"EventId"}``, or the error it failed with inside a successful call."""
    return outcomes_by_place(len(entries), response.get("Entries", ()), "PutEvents")


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
