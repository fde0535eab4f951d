"""Entries of batch calls, whose results are matched by Id (SNS, SQS) or by index (EventBridge, Kinesis, Firehose)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stream_runtime.engine.retry import CONFIGURATION_CODES, TRANSIENT_CODES, RequestFailed


def with_ids(entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Entries with an Id each: the index in the request."""
    return [{**entry, "Id": str(place)} for place, entry in enumerate(entries)]


def outcomes_by_id(count: int, response: Mapping[str, Any], operation: str) -> list[Any]:
    """For each of ``count`` entries the service's result, or the error it failed with inside a successful call.

    ``SenderFault`` decides about unknown codes: a fault of the service is transient, one of the sender is not.
    Sources: SNS API reference, "BatchResultErrorEntry"; SQS API reference, "BatchResultErrorEntry".
    """
    outcomes: list[Any] = [_unanswered(operation)] * count
    for success in response.get("Successful") or ():
        outcomes[int(success["Id"])] = {name: success[name] for name in success if name != "Id"}
    for failure in response.get("Failed") or ():
        outcomes[int(failure["Id"])] = _failed(failure)
    return outcomes


def outcomes_by_place(count: int, results: Sequence[Mapping[str, Any]], operation: str) -> list[Any]:
    """For each of ``count`` entries the result at its index, or the error it failed with inside a successful call."""
    if len(results) != count:
        return [_unanswered(operation)] * count
    return [
        RequestFailed(str(result["ErrorCode"]), str(result.get("ErrorMessage", "")))
        if result.get("ErrorCode")
        else result
        for result in results
    ]


def _failed(failure: Mapping[str, Any]) -> RequestFailed:
    code, message = str(failure.get("Code", "")), str(failure.get("Message", ""))
    if not failure.get("SenderFault") and code not in TRANSIENT_CODES | CONFIGURATION_CODES:
        return RequestFailed("ServiceException", f"{code}: {message}")
    return RequestFailed(code, message)


def _unanswered(operation: str) -> RequestFailed:
    return RequestFailed("InternalFailure", f"{operation} gave no answer for this entry")
