"""Custom events: those that keep the contract are published, the others are told every reason."""

import logging
from typing import Any

from pydantic import ValidationError
from stream_runtime.clock import now_ms
from stream_runtime.ids import derived_id
from stream_runtime.tags import standard_tags

from event_hub.dal.bus import EventTooLarge, Publisher
from event_hub.models.custom import CustomEvent, violations
from event_hub.models.settings import Settings

logger = logging.getLogger(__name__)

LONGEST_PARTITION_KEY = 256


def publish_custom(event: Any, settings: Settings, context: Any) -> dict[str, Any]:
    """Publish a custom event as ``{"id", "type", "timestamp", "partition_key", "tags", "payload"}``.

    Its id is that of the request, so that a request which Lambda makes again publishes the same event again.
    """
    try:
        custom = CustomEvent.model_validate(event)
    except ValidationError as error:
        errors = violations(error)
        logger.warning("a custom event breaks the contract: %s", errors)
        return {"statusCode": 422, "errors": errors}
    event_id = derived_id("custom", context.aws_request_id)
    to_publish = {
        "id": event_id,
        "type": custom.type,
        "timestamp": now_ms(),
        "partition_key": _partition_key(custom, event_id),
        "tags": {**standard_tags("ingress"), "source": custom.source},
        "payload": custom.payload,
    }
    try:
        with Publisher(settings.bus_name, 1) as publisher:
            publisher.publish(to_publish)
    except (EventTooLarge, RecursionError) as error:
        return {"statusCode": 422, "errors": [{"field": "payload", "message": str(error)}]}
    return {"statusCode": 202, "id": event_id}


def _partition_key(custom: CustomEvent, event_id: str) -> str:
    """The payload's ``id`` where it can be one (Kinesis API reference, PutRecord), otherwise the event's own."""
    given = custom.payload.get("id")
    if isinstance(given, str | int) and 0 < len(str(given)) <= LONGEST_PARTITION_KEY:
        return str(given)
    return event_id
