"""Objects of the landing bucket: an event for each good row, however long the object, however often it is notified."""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import Any

from stream_runtime.clients import client
from stream_runtime.clock import now_ms
from stream_runtime.engine.retry import Retry
from stream_runtime.events import from_s3
from stream_runtime.ids import derived_id
from stream_runtime.metrics import Metric, write_metrics
from stream_runtime.payload import codec
from stream_runtime.tags import standard_tags

from event_hub.dal import objects
from event_hub.dal.bus import EventTooLarge, Publisher
from event_hub.logic.rows import InvalidHeader, InvalidRow, Lines, Summary, header_of, rows_of
from event_hub.models.settings import Settings

logger = logging.getLogger(__name__)

LOOK_AT_THE_CLOCK_EVERY = 100


@dataclass(frozen=True)
class Position:
    """Where to go on in an object.

    Attributes:
        timestamp: when the object was created, in ms.
        line: number of the last line that is done.
        offset: bytes up to its end.
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
        """The same for every notification of the same content, and for no other."""
        return f"{self.bucket}/{self.key}#{self.version or self.etag}"


def positions_of(notification: Mapping[str, Any]) -> Iterator[Position]:
    """The beginnings of the objects that a notification is about; markers of folders have no content.

    Raises:
        ValueError: a record is not one of S3.
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


def take(position: Position, summary: Summary, settings: Settings, context: Any) -> dict[str, Any]:
    """Publish an event for each good row of an object, from a position on, as long as there is time.

    Shortly before the end of the invocation the rest is left to another one, with what was counted so far.
    """
    rest, refused = None, None
    content = objects.chunks(position.bucket, position.key, position.version, position.etag, position.offset)
    with closing(content), Publisher(settings.bus_name, settings.parallel) as publisher:
        try:
            rest = _publish(position, content, publisher, summary, settings, context)
        except InvalidHeader as error:
            refused = str(error)
            logger.error("%s: %s", position.object_id, refused)
            _measure(settings, ("ObjectsRefused", "Count", 1))
        except objects.ObjectChanged as error:
            logger.warning("%s", error)
    if rest is not None:
        go_on(rest, summary, context)
    else:
        logger.info("%s: %s", position.object_id, codec.encode(asdict(summary)))
        _measure(
            settings,
            ("RowsRead", "Count", summary.rows),
            ("RowsTaken", "Count", summary.taken),
            ("RowsSkipped", "Count", summary.skipped),
            ("Amount", "None", summary.amount),
        )
    return {
        "bucket": position.bucket,
        "key": position.key,
        **json.loads(codec.encode(asdict(summary))),
        "continued": rest is not None,
        **({"refused": refused} if refused else {}),
    }


def _publish(
    position: Position,
    content: Iterator[bytes],
    publisher: Publisher,
    summary: Summary,
    settings: Settings,
    context: Any,
) -> Position | None:
    """Publish the rows of an object and count them; gives where to go on when there is no time for more."""
    lines = Lines(content, number=position.line, offset=position.offset)
    header = position.header or header_of(lines)
    for done, (line, row) in enumerate(rows_of(header, lines), start=1):
        if row is not None:
            summary.rows += 1
            try:
                _publish_row(position, line, row, publisher, settings)
            except InvalidRow as invalid:
                summary.skipped += 1
                logger.warning("%s line %d column %s: %s", position.object_id, line, invalid.column, invalid)
            else:
                summary.taken += 1
                summary.amount += row["amount"]
        if done % LOOK_AT_THE_CLOCK_EVERY == 0 and _is_late(settings, context):
            return replace(position, header=header, line=line, offset=lines.offset)
    return None


def _publish_row(
    position: Position, line: int, row: dict[str, Any] | InvalidRow, publisher: Publisher, settings: Settings
) -> None:
    if isinstance(row, InvalidRow):
        raise row
    try:
        publisher.publish(to_event(position, line, row, settings))
    except EventTooLarge as error:
        longest = max(row, key=lambda column: len(str(row[column])))
        raise InvalidRow(longest, str(error)) from error


def to_event(position: Position, line: int, row: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """The event of a row; its id is that of the object and the line."""
    return {
        "id": derived_id(position.object_id, line),
        "type": settings.event_type,
        "timestamp": position.timestamp,
        "partition_key": row["id"],
        "tags": standard_tags("ingress"),
        settings.entity: dict(row),
    }


def go_on(rest: Position, summary: Summary, context: Any) -> None:
    """Leave the rest of an object to another invocation of this function."""
    logger.info("%s: goes on after line %d", rest.object_id, rest.line)
    payload = {"continue": {"position": asdict(rest), "summary": {**asdict(summary), "amount": str(summary.amount)}}}
    request = {"FunctionName": context.function_name, "InvocationType": "Event", "Payload": codec.encode(payload)}
    Retry().call(lambda: client("lambda").invoke(**request))


def _measure(settings: Settings, *metrics: Metric) -> None:
    write_metrics(settings.service, {"Stage": settings.stage}, metrics)


def _is_late(settings: Settings, context: Any) -> bool:
    return bool(context.get_remaining_time_in_millis() < settings.margin_ms)


def summary_of(values: Mapping[str, Any]) -> Summary:
    """The summary that an earlier invocation has handed on."""
    return Summary(**{**values, "amount": Decimal(values["amount"])})
