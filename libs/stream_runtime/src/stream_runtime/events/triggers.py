"""One source for functions with several triggers: recognises the invocation event."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stream_runtime.engine.records import Uow
from stream_runtime.errors import UnsupportedEvent

from .dynamodb import from_dynamodb
from .eventbridge import from_eventbridge, is_envelope, is_event
from .firehose import from_firehose, is_transformation
from .kinesis import from_kinesis
from .s3 import from_s3, is_test_event
from .sns import from_sns
from .sqs import from_sqs

__all__ = ["from_event"]

_SOURCES: dict[str, Callable[[Mapping[str, Any]], Sequence[Uow]]] = {
    "aws:kinesis": from_kinesis,
    "aws:dynamodb": from_dynamodb,
    "aws:s3": from_s3,
    "aws:sns": from_sns,
    "aws:sqs": from_sqs,
}


def from_event(event: Mapping[str, Any]) -> Sequence[Uow]:
    """The units of work ``{"record", "event"}`` of an invocation by any of the supported services.

    Records name their service (``eventSource``; SNS writes ``EventSource``). EventBridge events, schedules, Firehose
    transformations and direct invocations with an event are recognised by their fields. An empty batch has no units.

    Raises:
        UnsupportedEvent: it is none of these; the message shows what was seen.
    """
    if isinstance(event, Mapping):
        records = event.get("Records")
        if isinstance(records, list):
            names = {_source_name(record) for record in records}
            if not names:
                return []
            if len(names) == 1 and (source := _SOURCES.get(names.pop())) is not None:
                return source(event)
        elif is_transformation(event):
            return from_firehose(event)
        elif is_test_event(event):
            return from_s3(event)
        elif is_envelope(event) or is_event(event):
            return from_eventbridge(event)
    raise UnsupportedEvent(
        f"no source for this event: {_seen(event)}; expected records of {', '.join(sorted(_SOURCES))}, "
        "a Firehose transformation, an EventBridge event, or an event with 'id' and 'type'"
    )


def _source_name(record: object) -> str:
    if not isinstance(record, Mapping):
        return type(record).__name__
    return str(record.get("eventSource") or record.get("EventSource"))


def _seen(event: object) -> str:
    if not isinstance(event, Mapping):
        return f"a {type(event).__name__}"
    records = event.get("Records")
    if isinstance(records, list):
        return f"records of {', '.join(sorted({_source_name(record) for record in records}))}"
    return f"an object with the fields {', '.join(sorted(map(str, event))) or '(none)'}"
