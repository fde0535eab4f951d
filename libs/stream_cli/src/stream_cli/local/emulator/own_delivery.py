"""The mapping engine polls streams and ``deliveries`` serves streams and log groups as targets; ministack does neither.

Its pollers of Kinesis and DynamoDB streams are off; its SQS poller stays. It does not log that its buses do not deliver
to Kinesis, Firehose and log groups.
"""

from __future__ import annotations

import logging

INTERNALS = {
    "ministack.services.lambda_svc": ("_poll_kinesis", "_poll_dynamodb_streams", "_poll_sqs", "_poll_loop"),
    "ministack.services.eventbridge": ("logger",),
}

_UNSUPPORTED_TARGET = "EventBridge: unsupported target type"
_SERVED = (":kinesis:", ":firehose:", ":logs:")


def patch() -> None:
    """Turn the pollers off and filter the log."""
    from ministack.services import eventbridge, lambda_svc

    lambda_svc._poll_kinesis = lambda_svc._poll_dynamodb_streams = lambda: False
    eventbridge.logger.addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    return not (message.startswith(_UNSUPPORTED_TARGET) and any(service in message for service in _SERVED))
