"""Publishing events to an EventBridge bus, in as few PutEvents calls as their number and size allow."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from stream_runtime import settings
from stream_runtime.aws.clients import client
from stream_runtime.engine.flow import Operator, compose
from stream_runtime.engine.operators import BatchCall, rx_batched, rx_map, rx_parallel
from stream_runtime.engine.retry import RequestFailed
from stream_runtime.engine.run import Run
from stream_runtime.events import claim_check
from stream_runtime.payload import codec
from stream_runtime.payload.compression import compressed
from stream_runtime.tags import standard_tags, with_tags

Entry = Mapping[str, Any]


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
        logger: gets a debug line for each call.
        bus_name: name or ARN, or a function of the unit of work; BUS_NAME by default.
        source: the entries' Source; BUS_SRC by default.
        event_field: where the event is.
        publish_request_entry_field: where the entry is put.
        publish_response_field: where ``{"EventId": ...}`` of the accepted entry is put.
        batch_size: entries in a call, at most 10.
        max_request_size: bytes of a call; a larger event goes through the claim check.
        parallel: calls at once.
        rate: events a second.
        compression_threshold: bytes of JSON above which a field of the event is compressed; COMPRESSION_THRESHOLD by
            default.

    Sources: EventBridge API reference, "PutEvents" (10 entries; FailedEntryCount), and user guide, "Calculating
    PutEvents event entry size" (1 MB).
    """
    most_bytes = max_request_size or settings.MAX_REQUEST_SIZE.read()
    lanes = parallel or settings.PARALLEL.read()
    threshold = compression_threshold or settings.COMPRESSION_THRESHOLD.read()
    log = logger or logging.getLogger(__name__)
    tags_of = cache(standard_tags)  # read once, and shared by all events of a batch

    def to_tagged(uow: Any) -> Any:
        event = uow.get(event_field)
        if not event:
            return uow
        return {**uow, event_field: with_tags(event, tags_of(uow.get("pipeline")))}

    def to_entry(run: Run, uow: Any) -> Any:
        event = uow.get(event_field)
        if not event:
            return uow
        if not isinstance(event.get("type"), str) or not event["type"]:
            raise ValueError(f"an event without a type cannot be published: {event!r:.200}")
        if threshold is not None:
            event = compressed(event, threshold)
        detail = codec.encode(event)
        entry = {
            "EventBusName": _name_of(bus_name, uow),
            "Source": source or settings.BUS_SRC.read(),
            "DetailType": event["type"],
            "Detail": detail,
        }
        if size_of(entry) > most_bytes:
            if not settings.CLAIMCHECK_BUCKET_NAME.read():
                raise ValueError(
                    f"event {event.get('id')} has {size_of(entry)} bytes, PutEvents takes {most_bytes}; "
                    "set CLAIMCHECK_BUCKET_NAME to send it as a claim check"
                )
            entry["Detail"] = codec.encode(claim_check.check_in(run, event, detail))
        return {**uow, publish_request_entry_field: entry}

    def put_events(entries: Sequence[Entry]) -> Sequence[Any]:
        response = client("events").put_events(Entries=list(entries))
        log.debug("PutEvents: %s entries, %s failed", len(entries), response.get("FailedEntryCount", 0))
        return outcomes_of(entries, response)

    return compose(
        rx_map(to_tagged),
        rx_parallel(to_entry, parallel=1),
        rx_batched(
            BatchCall(
                entry=lambda uow: uow.get(publish_request_entry_field) if uow.get(event_field) else None,
                send=put_events,
                response_field=publish_response_field,
                most_entries=batch_size or settings.PUBLISH_BATCH_SIZE.read(),
                most_bytes=most_bytes,
                size=size_of,
            ),
            parallel=lanes,
            rate=rate,
        ),
    )


def size_of(entry: Entry) -> int:
    """Bytes of an entry, as PutEvents counts them."""
    return sum(_bytes(str(entry[name])) for name in ("Source", "DetailType", "Detail"))


def outcomes_of(entries: Sequence[Entry], response: Mapping[str, Any]) -> Sequence[Any]:
    """For each entry its ``{"EventId"}``, or the error it failed with inside a successful call."""
    results: Sequence[Mapping[str, Any]] = response.get("Entries", [])
    if len(results) != len(entries):
        raise RequestFailed("InternalFailure", f"PutEvents answered for {len(results)} of {len(entries)} entries")
    return [
        RequestFailed(str(result["ErrorCode"]), str(result.get("ErrorMessage", "")))
        if result.get("ErrorCode")
        else result
        for result in results
    ]


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _name_of(bus_name: str | Callable[[Mapping[str, Any]], str] | None, uow: Mapping[str, Any]) -> str:
    if callable(bus_name):
        return bus_name(uow)
    return bus_name or settings.required(settings.BUS_NAME)
