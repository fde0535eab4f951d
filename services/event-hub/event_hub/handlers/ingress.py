"""Function `ingress`: CSV objects of the landing bucket and custom events become events on the bus."""

import logging
from typing import Any

from event_hub.logic.custom import publish_custom
from event_hub.logic.landing import Position, positions_of, summary_of, take
from event_hub.logic.rows import Summary
from event_hub.models.settings import from_environment

logging.getLogger().setLevel(logging.INFO)

SETTINGS = from_environment()


def handler(event: Any, context: Any) -> dict[str, Any]:
    """The one entry point: notifications of S3, the rest of an object, and custom events.

    Returns:
        For objects ``{"objects": [{"bucket", "key", "rows", "taken", "skipped", "amount", "continued", "refused"?}]}``,
        ``refused`` being why an object is no CSV; for a custom event ``{"statusCode": 202, "id"}`` or
        ``{"statusCode": 422, "errors": [{"field", "message"}]}``.
    """
    if not isinstance(event, dict):
        return publish_custom(event, SETTINGS, context)
    if isinstance(event.get("continue"), dict):
        rest = event["continue"]
        return {"objects": [take(Position(**rest["position"]), summary_of(rest["summary"]), SETTINGS, context)]}
    if "Records" in event or event.get("Event") == "s3:TestEvent":
        return {"objects": [take(position, Summary(), SETTINGS, context) for position in positions_of(event)]}
    return publish_custom(event, SETTINGS, context)
