"""Custom events: valid ones are published, invalid ones are answered with every violation."""

import logging
from typing import Any

from pydantic import ValidationError
from stream_runtime import EventTooLarge, Publisher
from stream_runtime.clock import now_ms
from stream_runtime.ids import derived_id
from stream_runtime.tags import standard_tags

from event_hub.models.custom import CustomEvent, violations

logger = logging.getLogger(__name__)

LONGEST_PARTITION_KEY = 256


def publish_custom(event: Any, context: Any) -> dict[str, Any]:
    """Publish a custom event as ``{"id", "type", "timestamp", "partition_key", "tags", "payload"}``.

    Its id is derived from the request id, so a request that Lambda retries publishes the same event again.
    """
    try:
        custom = CustomEvent.model_validate(event)
    except ValidationError as error:
        errors = violations(error)
        logger.warning("invalid custom event: %s", errors)
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
        with Publisher(parallel=1) as publisher:
            publisher.publish(to_publish)
    except EventTooLarge as error:
        return _refused(f"the event has {error.size} bytes; EventBridge takes {error.limit}")
    except RecursionError as error:
        return _refused(str(error))
    return {"statusCode": 202, "id": event_id}


def _refused(message: str) -> dict[str, Any]:
    return {"statusCode": 422, "errors": [{"field": "payload", "message": message}]}


def _partition_key(custom: CustomEvent, event_id: str) -> str:
    """The payload's ``id`` if it is a valid partition key (Kinesis API reference, PutRecord), else the event's id."""
    given = custom.payload.get("id")
    if isinstance(given, str | int) and 0 < len(str(given)) <= LONGEST_PARTITION_KEY:
        return str(given)
    return event_id
