"""Function `ingress`: rows of CSV objects in the landing bucket, and custom events, become events on the bus."""

from collections.abc import Mapping
from typing import Any

from stream_runtime.clients import time_limit
from stream_runtime.logs import logged
from stream_runtime.settings import check

from event_hub import settings

check(
    *(settings.BUS_NAME, settings.SERVICE, settings.STAGE),
    *(settings.ROW_ENTITY, settings.ROW_EVENT_TYPE, settings.CONTINUE_MARGIN_MS),
)


@logged
def handler(event: Any, context: Any) -> dict[str, Any]:
    """Process a notification of S3, the rest of an object, or a custom event.

    Returns:
        For objects ``{"objects": [{"bucket", "key", "rows", "taken", "skipped", "amount", "continued", "refused"?}]}``;
        ``refused`` says why an object is not CSV. For a custom event ``{"statusCode": 202, "id"}`` or
        ``{"statusCode": 422, "errors": [{"field", "message"}]}``.
    """
    with time_limit(context.get_remaining_time_in_millis() / 1000):
        if isinstance(event, dict) and isinstance(event.get("continue"), dict):
            return {"objects": [_rest_of(event["continue"], context)]}
        if isinstance(event, dict) and ("Records" in event or event.get("Event") == "s3:TestEvent"):
            return {"objects": _objects_of(event, context)}
        from event_hub.logic.custom import publish_custom  # with pydantic, which rows do not need

        return publish_custom(event, context)


def _objects_of(event: Mapping[str, Any], context: Any) -> list[dict[str, Any]]:
    from event_hub.logic.landing import positions_of, take  # with botocore, which custom events do not need
    from event_hub.logic.rows import RowCounts

    return [take(position, RowCounts(), context) for position in positions_of(event)]


def _rest_of(rest: Mapping[str, Any], context: Any) -> dict[str, Any]:
    from event_hub.logic.landing import Position, summary_of, take

    return take(Position(**rest["position"]), summary_of(rest["summary"]), context)
