"""PutEvents refuses entries and requests as AWS does.

ministack takes entries without Source, DetailType or Detail, Details that are not JSON objects, and any size. AWS
answers such an entry with a code of its own beside the entries that it takes, and refuses a request as a whole whose
entries are too many or together too large.

Sources: EventBridge API reference, "PutEvents"; user guide, "Calculating PutEvents event entry size"; what LocalStack
recorded on AWS (`tests/aws/services/events/test_events.snapshot.json`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import orjson

INTERNALS = {"ministack.services.eventbridge": ("_put_events", "error_response_json", "json_response")}

LIMIT_BYTES = 1_048_576
"""Bytes of all entries of a request."""

_REQUIRED = ("Source", "DetailType", "Detail")
_TIME_BYTES = 14


def patch() -> None:
    """Refuse what AWS refuses, and hand on the rest."""
    from ministack.services import eventbridge

    put_events = eventbridge._put_events

    def put_checked(data: dict[str, Any], allow_aws_source: bool = False) -> Any:
        entries = data.get("Entries") or []
        problem = _refused_request(entries)
        if problem is not None:
            return eventbridge.error_response_json("ValidationException", problem, 400)
        refused = {place: error for place, entry in enumerate(entries) if (error := _refused_entry(entry)) is not None}
        accepted = [entry for place, entry in enumerate(entries) if place not in refused]
        response = put_events({**data, "Entries": accepted}, allow_aws_source=allow_aws_source)
        if not refused or response[0] >= 400:
            return response
        answered = json.loads(response[2])
        others = iter(answered["Entries"])
        return eventbridge.json_response(
            {
                "FailedEntryCount": answered["FailedEntryCount"] + len(refused),
                "Entries": [refused.get(place) or next(others) for place in range(len(entries))],
            }
        )

    eventbridge._put_events = put_checked


def _refused_request(entries: Sequence[Mapping[str, Any]]) -> str | None:
    if not entries:
        return (
            "1 validation error detected: Value '[]' at 'entries' failed to satisfy constraint: "
            "Member must have length greater than or equal to 1"
        )
    if len(entries) <= 10 and sum(map(_bytes_of, entries)) > LIMIT_BYTES:
        return "Total size of the entries in the request is over the limit."
    return None


def _refused_entry(entry: Mapping[str, Any]) -> dict[str, str] | None:
    for name in _REQUIRED:
        if not entry.get(name):
            reason = f"Parameter {name} is not valid. Reason: {name} is a required argument."
            return {"ErrorCode": "InvalidArgument", "ErrorMessage": reason}
    try:
        detail = _read(entry["Detail"])
    except (ValueError, RecursionError):
        detail = None
    if not isinstance(detail, dict):
        return {"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."}
    return None


def _read(detail: Any) -> Any:
    try:
        return orjson.loads(detail)
    except ValueError:
        return json.loads(detail, parse_constant=_refuse)  # which takes lone surrogates


def _bytes_of(entry: Mapping[str, Any]) -> int:
    texts = [*(entry.get(name) for name in _REQUIRED), *(entry.get("Resources") or [])]
    time = _TIME_BYTES if entry.get("Time") is not None else 0
    return time + sum(len(text.encode("utf-8", "surrogatepass")) for text in texts if isinstance(text, str))


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
