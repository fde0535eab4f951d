"""A request that names its operation goes straight to its service.

ministack asks some thirty handlers of special hosts and paths, each with its own regular expressions, before it looks
at the header X-Amz-Target. On the emulator's own host and the path ``/``, none of them wants a request for these
services.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

INTERNALS = {
    "ministack.app": (
        *("_handle_pre_body_request", "_handle_post_body_shortcuts", "_handle_special_data_plane_request"),
    ),
}

Handler = Callable[..., Awaitable[Any]]

_SERVICES = ("DynamoDB_", "DynamoDBStreams_", "Kinesis_", "Firehose_", "AWSEvents.", "AmazonSQS.", "Logs_")
_OWN_HOST = re.compile(r"(?:127\.0\.0\.1|localhost)(?::[0-9]+)?")


def patch() -> None:
    """Let these requests pass the handlers of special hosts and paths."""
    from ministack import app

    for name in INTERNALS["ministack.app"]:
        setattr(app, name, passing_by(getattr(app, name)))


def passing_by(handle: Handler) -> Handler:
    """A handler that does not see requests which name their operation."""

    async def handled(method: str, path: str, headers: Mapping[str, str], *rest: Any, **more: Any) -> Any:
        if names_operation(method, path, headers):
            return None
        return await handle(method, path, headers, *rest, **more)

    return handled


def names_operation(method: str, path: str, headers: Mapping[str, str]) -> bool:
    """Whether the header X-Amz-Target says all that is to be known about a request."""
    return (
        path == "/"
        and method == "POST"
        and headers.get("x-amz-target", "").startswith(_SERVICES)
        and _OWN_HOST.fullmatch(headers.get("host", "")) is not None
    )
