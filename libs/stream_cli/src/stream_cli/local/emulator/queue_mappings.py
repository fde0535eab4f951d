"""Mappings on SQS queues delete a message only if the function's response says that it is done.

ministack deletes every message that the response does not name, so one is lost when the function reports an identifier
that is not in the batch. On AWS such a batch has failed as a whole: Lambda developer guide, "Handling errors for an SQS
event source in Lambda". Messages that the filters drop are deleted at once, whatever becomes of the others.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Any

from stream_cli.amounts import amount
from stream_cli.mappings.outcomes import InvalidReport, reported_failures

INTERNALS = {
    "ministack.services.lambda_svc": (
        *("_run_sqs_batch", "_execute_function", "_esm_backoff_until", "_ESM_BACKOFF_SECONDS", "logger"),
    ),
    "ministack.services.sqs": ("_delete_messages_for_esm",),
}

Message = dict[str, Any]


def patch() -> None:
    """Read the response of an invocation as AWS does."""
    from ministack.services import lambda_svc, sqs

    def delete(queue_url: str, messages: Iterable[Message]) -> None:
        sqs._delete_messages_for_esm(queue_url, {message["receipt_handle"] for message in messages})

    def run(
        mapping: dict[str, Any], function: Any, event: Any, batch: list[Message], queue_url: str, queue_name: str
    ) -> None:
        delivered = {record["messageId"] for record in event["Records"]}
        delete(queue_url, (message for message in batch if message["id"] not in delivered))
        result = lambda_svc._execute_function(function, event)
        try:
            failed = _failed(result, mapping, delivered)
        except InvalidReport as problem:
            # Its messages come again when their visibility timeout ends.
            lambda_svc._esm_backoff_until[mapping["UUID"]] = time.time() + lambda_svc._ESM_BACKOFF_SECONDS
            mapping["LastProcessingResult"] = "FAILED"
            lambda_svc.logger.warning(
                "mapping of %s on %s: the batch failed: %s\n%s",
                *(mapping["FunctionName"], queue_name, problem, result.get("log", "")),
            )
            return
        lambda_svc._esm_backoff_until.pop(mapping["UUID"], None)
        delete(queue_url, (message for message in batch if message["id"] in delivered - failed))
        mapping["LastProcessingResult"] = (
            f"OK - {amount(len(delivered - failed), 'record')}, {amount(len(failed), 'partial failure')}"
            if failed
            else f"OK - {amount(len(delivered), 'record')}"
        )

    lambda_svc._run_sqs_batch = run


def _failed(result: dict[str, Any], mapping: dict[str, Any], delivered: set[str]) -> set[str]:
    """The identifiers of the messages that have failed; raises InvalidReport if all of them have."""
    if result.get("error"):
        raise InvalidReport(json.dumps(result.get("body"), default=str))
    if "ReportBatchItemFailures" not in (mapping.get("FunctionResponseTypes") or []):
        return set()
    return set(reported_failures(result.get("body"), delivered))
