"""FilterLogEvents goes on with ``nextToken``, knows ``logStreamNamePrefix``, and gives each event an id.

ministack ends with the first page of at most 10,000 events, so the rest of a log, such as the hub's log of all events,
could not be read. An event gets its id when it comes, and keeps it: by it, a reader who asks again knows what it has
got. Events are in the order of their timestamps, and those of the same timestamp in the order in which they came.

ministack holds all events of a stream, and a second record of each for GetLogRecord. Here a `LongList` has most of
them in a file, and the record is made of the event when somebody asks for it.
"""

from __future__ import annotations

import heapq
import threading
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from stream_cli.local.emulator.long_lists import LongList, lengthened

INTERNALS = {
    "ministack.core.responses": ("AccountRegionScopedDict",),
    "ministack.services.cloudwatch_logs": (
        *("_filter_log_events", "_resolve_log_group_name", "_compile_filter_pattern", "_log_groups"),
        *("_append_log_events", "_log_events_lock", "error_response_json", "json_response"),
        *("_log_records", "_get_log_record", "_build_log_record", "_public_log_record"),
    ),
}

_PAGE = 10_000
_giving = threading.Lock()
_last_id = 0


def patch() -> None:
    """Hold the events of a stream in a long list, page through those of a group, and find each by its id."""
    from ministack.core import responses
    from ministack.services import cloudwatch_logs as logs

    first_page, get_record = logs._filter_log_events, logs._get_log_record

    class NoRecords(responses.AccountRegionScopedDict):  # type: ignore[misc]
        def __setitem__(self, pointer: str, record: Any) -> None:
            """Hold nothing."""

    def appended(stream: dict[str, Any], events: Sequence[dict[str, Any]]) -> None:
        if not events:
            return
        new = sorted(_with_ids(events), key=_timestamp)
        first, last = new[0]["timestamp"], new[-1]["timestamp"]
        with logs._log_events_lock:
            history = lengthened(stream, "events")
            if history and history[-1]["timestamp"] > first:
                stream["events"] = LongList(heapq.merge(history, new, key=_timestamp))
            else:
                history.extend(new)
            stream["firstEventTimestamp"] = min(first, stream["firstEventTimestamp"] or first)
            stream["lastEventTimestamp"] = max(last, stream["lastEventTimestamp"] or last)
            stream["lastIngestionTime"] = events[-1]["ingestionTime"]

    def filtered(request: dict[str, Any]) -> Any:
        group = logs._log_groups.get(logs._resolve_log_group_name(request))
        token = request.get("nextToken")
        if group is None:
            return first_page(request)  # which refuses it
        at, _, id = str(token or "").partition("/")
        if token is not None and not (at.isdigit() and id):
            return logs.error_response_json("InvalidParameterException", "The specified nextToken is invalid.", 400)
        after = (int(at), id) if token is not None else None
        most, matches = (
            min(request.get("limit", _PAGE), _PAGE),
            logs._compile_filter_pattern(request.get("filterPattern", "")),
        )
        with logs._log_events_lock:
            found = list(islice(_events(group["streams"], request, matches, after), most + 1))
        more = {"nextToken": "{}/{}".format(*_order(found[most - 1]))} if len(found) > most else {}
        return logs.json_response({"events": found[:most], "searchedLogStreams": [], **more})

    def got_record(request: dict[str, Any]) -> Any:
        pointer = request.get("logRecordPointer")
        for name, group in logs._log_groups.items():
            for stream_name, stream in list(group["streams"].items()):
                event = next((each for each in stream["events"] if each["eventId"] == pointer), None)
                if event is not None:
                    of = {"timestamp_ms": event["timestamp"], "message": event["message"]}
                    record = logs._build_log_record(ptr=pointer, log_group=name, log_stream=stream_name, **of)
                    return logs.json_response({"logRecord": logs._public_log_record(record)})
        return get_record(request)  # which refuses it

    logs._append_log_events, logs._log_records = appended, NoRecords()
    logs._filter_log_events, logs._get_log_record = filtered, got_record


def _with_ids(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Events with ids behind those of all events before, also of processes before this one."""
    global _last_id
    with _giving:
        first = max(_last_id + 1, time.time_ns())
        _last_id = first + len(events) - 1
    return [{**event, "eventId": str(first + n)} for n, event in enumerate(events)]


def _events(
    streams: Mapping[str, Any],
    request: Mapping[str, Any],
    matches: Callable[[str], bool],
    after: tuple[int, str] | None,
) -> Iterator[dict[str, Any]]:
    """The events that a request asks for, in their order; ``after`` is the last one of the page before."""
    names = request.get("logStreamNames") or [
        name for name in streams if name.startswith(request.get("logStreamNamePrefix", ""))
    ]
    earliest, latest = request.get("startTime"), request.get("endTime")
    if after is not None:
        earliest = max(after[0], earliest or 0)
    found = [_events_of(name, streams[name]["events"], earliest, latest) for name in names if name in streams]
    for event in heapq.merge(*found, key=_order):
        if (after is None or _order(event) > after) and matches(event.get("message", "")):
            yield event


def _events_of(
    name: str, events: Sequence[dict[str, Any]], earliest: int | None, latest: int | None
) -> Iterator[dict[str, Any]]:
    first = 0 if earliest is None else bisect_left(events, earliest, key=_timestamp)
    end = len(events) if latest is None else bisect_right(events, latest, key=_timestamp)
    for place in range(first, end):
        yield {**events[place], "logStreamName": name}


def _timestamp(event: Mapping[str, Any]) -> int:
    return int(event["timestamp"])


def _order(event: Mapping[str, Any]) -> tuple[int, str]:
    return int(event["timestamp"]), str(event["eventId"])
