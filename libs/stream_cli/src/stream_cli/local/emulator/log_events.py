"""FilterLogEvents goes on with ``nextToken``, knows ``logStreamNamePrefix``, and gives each event an id.

ministack ends with the first page of at most 10,000 events, so the rest of a log, such as the hub's log of all events,
could not be read. By the id, a reader who asks again knows what it has got.

ministack holds a second record of each event for GetLogRecord; here it is made of the event when somebody asks for it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

INTERNALS = {
    "ministack.core.responses": ("AccountRegionScopedDict",),
    "ministack.services.cloudwatch_logs": (
        *("_filter_log_events", "_resolve_log_group_name", "_compile_filter_pattern", "_log_groups"),
        *("_log_events_lock", "error_response_json", "json_response"),
        *("_log_records", "_get_log_record", "_build_log_record", "_public_log_record"),
    ),
}

_PAGE = 10_000
_ids = itertools.count(1)


def patch() -> None:
    """Page through the events of a group, and find each by its id."""
    from ministack.core import responses
    from ministack.services import cloudwatch_logs as logs

    first_page, get_record = logs._filter_log_events, logs._get_log_record

    class NoRecords(responses.AccountRegionScopedDict):  # type: ignore[misc]
        def __setitem__(self, pointer: str, record: Any) -> None:
            """Hold nothing."""

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

    def got_record(request: dict[str, Any]) -> Any:
        pointer = request.get("logRecordPointer")
        for name, group in logs._log_groups.items():
            for stream_name, stream in list(group["streams"].items()):
                event = next((each for each in list(stream["events"]) if each.get("eventId") == pointer), None)
                if pointer and event is not None:
                    of = {"timestamp_ms": event["timestamp"], "message": event["message"]}
                    record = logs._build_log_record(ptr=pointer, log_group=name, log_stream=stream_name, **of)
                    return logs.json_response({"logRecord": logs._public_log_record(record)})
        return get_record(request)  # which refuses it

    logs._filter_log_events, logs._get_log_record, logs._log_records = filtered, got_record, NoRecords()


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
