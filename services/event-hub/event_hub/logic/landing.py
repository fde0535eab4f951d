"""Objects of the landing bucket: an event for each valid row, with the same id each time S3 notifies."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import Any

from stream_runtime import EventTooLarge, Publisher, codec
from stream_runtime.clients import call
from stream_runtime.clock import now_ms
from stream_runtime.events import from_s3
from stream_runtime.ids import derived_id
from stream_runtime.metrics import Metric, write_metrics
from stream_runtime.tags import standard_tags

from event_hub import settings
from event_hub.dal import objects
from event_hub.logic.rows import InvalidHeader, InvalidRow, Lines, RowCounts, header_of, rows_of

logger = logging.getLogger(__name__)

LOOK_AT_THE_CLOCK_EVERY = 100


@dataclass(frozen=True)
class Position:
    """Where to continue in an object.

    Attributes:
        timestamp: when the object was created, in ms.
        line: number of the last processed line.
        offset: bytes up to the end of that line.
    """

    bucket: str
    key: str
    version: str | None
    etag: str | None
    timestamp: int
    header: list[str] | None = None
    line: int = 0
    offset: int = 0

    @property
    def object_id(self) -> str:
        """The same for every notification of the same content, and for no other content."""
        return f"{self.bucket}/{self.key}#{self.version or self.etag}"


def positions_of(notification: Mapping[str, Any]) -> Iterator[Position]:
    """The start of each object in a notification, without folder markers, which have no content.

    Raises:
        ValueError: a record is not from S3.
    """
    for uow in from_s3(notification):
        event = uow["event"]
        if event.get("type") is None or "s3" not in event:
            raise ValueError(f"not a notification of S3: {codec.encode(uow['record'])[:500]}")
        if event["type"] != "object-created":
            continue
        entity = event["s3"]["object"]
        if entity["key"].endswith("/") and entity.get("size") == 0:
            continue
        yield Position(
            bucket=event["s3"]["bucket"]["name"],
            key=entity["key"],
            version=entity.get("versionId") or None,
            etag=entity.get("eTag") or None,
            timestamp=event["timestamp"] or now_ms(),
        )


def take(position: Position, summary: RowCounts, context: Any) -> dict[str, Any]:
    """Publish an event for each valid row of an object, from a position on.

    Shortly before the invocation ends, the rest of the object is left to another invocation, with the counts so far.
    """
    rest, refused = None, None
    content = objects.chunks(position.bucket, position.key, position.version, position.etag, position.offset)
    with closing(content), Publisher() as publisher:
        try:
            rest = _publish(position, content, publisher, summary, context)
        except InvalidHeader as error:
            refused = str(error)
            logger.error("%s: %s", position.object_id, refused)
            _measure(("ObjectsRefused", "Count", 1))
        except objects.ObjectChanged as error:
            logger.warning("%s", error)
    if rest is not None:
        _go_on(rest, summary, context)
    else:
        logger.info("%s: %s", position.object_id, codec.encode(asdict(summary)))
        _measure(
            ("RowsRead", "Count", summary.rows),
            ("RowsTaken", "Count", summary.taken),
            ("RowsSkipped", "Count", summary.skipped),
            ("Amount", "None", summary.amount),
        )
    return {
        "bucket": position.bucket,
        "key": position.key,
        **codec.decode(codec.encode(asdict(summary))),
        "continued": rest is not None,
        **({"refused": refused} if refused else {}),
    }


def _publish(
    position: Position, content: Iterator[bytes], publisher: Publisher, summary: RowCounts, context: Any
) -> Position | None:
    """Publish the rows of an object and count them; returns where to continue if time runs out."""
    lines = Lines(content, number=position.line, offset=position.offset)
    header = position.header or header_of(lines)
    to_event = _events_of(position)
    for done, (line, row) in enumerate(rows_of(header, lines), start=1):
        if isinstance(row, dict):
            try:
                publisher.publish(to_event(line, row))
            except EventTooLarge as error:
                longest, _ = max(row.items(), key=lambda column: len(str(column[1])))
                row = InvalidRow(longest, f"the event has {error.size} bytes; EventBridge takes {error.limit}")
        if isinstance(row, InvalidRow):
            logger.warning("%s line %d column %s: %s", position.object_id, line, row.column, row)
        summary.add(row)
        if done % LOOK_AT_THE_CLOCK_EVERY == 0 and _is_late(context):
            return replace(position, header=header, line=line, offset=lines.offset)
    return None


def _events_of(position: Position) -> Callable[[int, Mapping[str, Any]], dict[str, Any]]:
    """Makes the event of a line's row; its id is derived from the object and the line."""
    event_type, entity = settings.ROW_EVENT_TYPE.read(), settings.ROW_ENTITY.read()
    tags = standard_tags("ingress")
    return lambda line, row: {
        "id": derived_id(position.object_id, line),
        "type": event_type,
        "timestamp": position.timestamp,
        "partition_key": row["id"],
        "tags": tags,
        entity: row,
    }


def _go_on(rest: Position, summary: RowCounts, context: Any) -> None:
    """Invoke this function again for the rest of an object."""
    logger.info("%s: another invocation continues after line %d", rest.object_id, rest.line)
    payload = {"continue": {"position": asdict(rest), "summary": {**asdict(summary), "amount": str(summary.amount)}}}
    request = {"FunctionName": context.function_name, "InvocationType": "Event", "Payload": codec.encode(payload)}
    call("lambda", "invoke", **request)


def _measure(*metrics: Metric) -> None:
    write_metrics(settings.SERVICE.read(), {"Stage": settings.STAGE.read()}, metrics)


def _is_late(context: Any) -> bool:
    return bool(context.get_remaining_time_in_millis() < settings.CONTINUE_MARGIN_MS.read())


def summary_of(values: Mapping[str, Any]) -> RowCounts:
    """The counts that an earlier invocation passed on."""
    return RowCounts(**{**values, "amount": Decimal(values["amount"])})
