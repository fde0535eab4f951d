"""FilterLogEvents goes on with ``nextToken``, knows ``logStreamNamePrefix``, and gives each event an id.

ministack ends with the first page of at most 10,000 events, so the rest of a log, such as the hub's log of all events,
could not be read. By the id, a reader who asks again knows what it has got.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

INTERNALS = {
    "ministack.services.cloudwatch_logs": (
        *("_filter_log_events", "_resolve_log_group_name", "_compile_filter_pattern", "_log_groups"),
        *("_log_events_lock", "error_response_json", "json_response"),
    ),
}

_PAGE = 10_000
_ids = itertools.count(1)


def patch() -> None:
    """Page through the events of a group."""
    from ministack.services import cloudwatch_logs as logs

    first_page = logs._filter_log_events

    def filtered(request: dict[str, Any]) -> Any:
        group = logs._log_groups.get(logs._resolve_log_group_name(request))
        token = request.get("nextToken")
        if group is None:
            return first_page(request)  # which refuses it
        if token is not None and not str(token).isdigit():
            return logs.error_response_json("InvalidParameterException", "The specified nextToken is invalid.", 400)
        with logs._log_events_lock:
            found = _events(group["streams"], request, logs._compile_filter_pattern(request.get("filterPattern", "")))
        start = int(token or 0)
        end = start + min(request.get("limit", _PAGE), _PAGE)
        more = {"nextToken": str(end)} if len(found) > end else {}
        return logs.json_response({"events": found[start:end], "searchedLogStreams": [], **more})

    logs._filter_log_events = filtered


def _events(
    streams: Mapping[str, Any], request: Mapping[str, Any], matches: Callable[[str], bool]
) -> list[dict[str, Any]]:
    """The events of all pages that a request asks for, in the order of time."""
    names = request.get("logStreamNames") or [
        name for name in streams if name.startswith(request.get("logStreamNamePrefix", ""))
    ]
    earliest, latest = request.get("startTime", 0), request.get("endTime", float("inf"))
    found = [
        {**event, "logStreamName": name, "eventId": event.setdefault("eventId", f"{next(_ids):056}")}
        for name in names
        if name in streams
        for event in streams[name]["events"]
        if earliest <= event["timestamp"] <= latest and matches(event.get("message", ""))
    ]
    return sorted(found, key=lambda event: (event["timestamp"], event["ingestionTime"]))
