"""Objects in S3, and which events Firehose has put into them."""

from __future__ import annotations

import gzip
import zlib
from contextvars import ContextVar
from typing import Any

from stream_cli.local.emulator.observation.domain import identity_in
from stream_cli.local.emulator.observation.observing import EmulatorJournal, safely

INTERNALS = {
    "ministack.services.s3": ("_fire_s3_event_async",),
    "ministack.services.firehose": ("_put_s3_object",),
}

_CHANGES = {"s3:ObjectCreated": "put", "s3:ObjectRemoved": "delete"}
_GZIP = b"\x1f\x8b"

_events: ContextVar[list[str] | None] = ContextVar("events", default=None)


def patch(journal: EmulatorJournal) -> None:
    """Observe what is written to buckets, and deleted."""
    from ministack.services import firehose, s3

    fire, put = s3._fire_s3_event_async, firehose._put_s3_object

    def fired(bucket: str, key: str, name: str, *more: Any, **options: Any) -> Any:
        observe(bucket, key, name, more[0] if more else options.get("size"))
        return fire(bucket, key, name, *more, **options)

    def put_by_firehose(bucket: str, key: str, body: bytes) -> Any:
        token = _events.set(_events_in(body))
        try:
            return put(bucket, key, body)
        finally:
            _events.reset(token)

    @safely
    def observe(bucket: str, key: str, name: str, size: int | None) -> None:
        change = _CHANGES.get(name.rpartition(":")[0])
        if change is None:
            return
        line = {"kind": "object", "at": journal.now(), "bucket": bucket, "key": key, "change": change}
        if size is not None and change == "put":
            line["size"] = size
        if (events := _events.get()) is not None:
            line["events"] = events
        journal.observe(line)

    s3._fire_s3_event_async, firehose._put_s3_object = fired, put_by_firehose


def _events_in(body: bytes) -> list[str] | None:
    try:
        lines = (gzip.decompress(body) if body.startswith(_GZIP) else body).splitlines()
    except (OSError, EOFError, zlib.error):
        return None
    return [found for line in lines if (found := identity_in(line).id)] or None
