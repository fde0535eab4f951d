"""The mapping engine polls streams and ``deliveries`` serves streams and log groups as targets; ministack does neither.

Its pollers of Kinesis and DynamoDB streams are off; its SQS poller stays. Its buses leave targets in Kinesis, Firehose
and log groups alone: it would make the text of each event for them, and then log that it cannot deliver it. Of other
deliveries it logs what goes wrong, and not a line for each event, which was a tenth of the emulator's CPU time.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from typing import Any

INTERNALS = {
    "ministack.services.lambda_svc": ("_poll_kinesis", "_poll_dynamodb_streams", "_poll_sqs", "_poll_loop"),
    "ministack.services.eventbridge": ("_invoke_target", "logger"),
}

_SERVED = (":kinesis:", ":firehose:", ":logs:")


def patch() -> None:
    """Turn the pollers off, and leave out the targets that ``deliveries`` serves."""
    from ministack.services import eventbridge, lambda_svc

    lambda_svc._poll_kinesis = lambda_svc._poll_dynamodb_streams = lambda: False
    invoke = eventbridge._invoke_target

    def invoke_others(target: Mapping[str, Any], *event: Any) -> None:
        if not _is_served(str(target.get("Arn"))):
            invoke(target, *event)

    eventbridge._invoke_target = invoke_others
    eventbridge.logger.setLevel(logging.WARNING)


@functools.lru_cache(1024)
def _is_served(arn: str) -> bool:
    return any(service in arn for service in _SERVED)
