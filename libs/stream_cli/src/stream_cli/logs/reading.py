"""Reads log groups by the Logs API, several at once, and follows them."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from stream_cli.logs.entries import LogEntry, entry_of

LATE_MS = 60_000
"""How late most events come at most: CloudWatch Logs takes some seconds until it finds what it has got."""

LOOK_BACK_MS = 15 * 60_000
"""How late an event may come at all: Lambda may send it when its invocation ends, which takes 15 minutes at most."""

_SORTED = 10_000
_EACH_S = 0.3
"""FilterLogEvents may be called five times a second in an account and region, all of its users together."""


def log_group_of(configuration: Mapping[str, Any]) -> str:
    """The log group of a function, by its configuration as the Lambda API gives it."""
    given = (configuration.get("LoggingConfig") or {}).get("LogGroup")
    return str(given or f"/aws/lambda/{configuration['FunctionName']}")


def events_of(
    client: Any, group: str, since: int, until: int | None = None, pattern: str = ""
) -> Iterator[dict[str, Any]]:
    """The events of a group from ``since`` on (ms), page by page; none if there is no group: its function has not run.

    Args:
        pattern: the request's ``filterPattern``.
    """
    request: dict[str, Any] = {"logGroupName": group, "startTime": since}
    if pattern:
        request["filterPattern"] = pattern
    if until is not None:
        request["endTime"] = until
    try:
        for page in client.get_paginator("filter_log_events").paginate(**request):
            yield from page["events"]
    except client.exceptions.ResourceNotFoundException:
        return


def joined(events: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Events, with the lines of a stack trace in the one that they belong to.

    The local cloud has an event for each line, AWS one for the whole. The id is that of the last line: what a follower
    has seen the beginning of, it sees again.
    """
    waiting: dict[str, Any] | None = None
    for each in events:
        text = each["message"]
        if waiting is not None and _continues(each, waiting) and text.startswith((" ", "Traceback ")):
            waiting |= {"message": f"{waiting['message'].rstrip()}\n{text}", "eventId": each.get("eventId", "")}
            continue
        if waiting is not None:
            yield waiting
        waiting = dict(each)
    if waiting is not None:
        yield waiting


def _continues(event: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """Whether an event may be of the same error as the one before."""
    same = all(event.get(name) == before.get(name) for name in ("logStreamName", "timestamp"))
    return same and str(before["message"]).startswith(("[ERROR]", "Traceback "))


class LogGroups:
    """The log groups of functions, by the function's name. ``client`` is a boto3 client of CloudWatch Logs."""

    def __init__(self, client: Any, groups: Mapping[str, str]) -> None:
        self._client = client
        self._groups = groups

    def entries(self, since: int, until: int | None = None) -> Iterator[LogEntry]:
        """All entries from ``since`` on (ms), in the order of their times.

        CloudWatch Logs has them in the order in which it got them, and lines say when they were written; entries are
        put into order as far as `_SORTED` of them tell.
        """
        events = [self._events(function, group, since, until) for function, group in self._groups.items()]
        waiting: list[tuple[int, int, LogEntry]] = []
        merged = heapq.merge(*events, key=lambda event: int(event[1]["timestamp"]))
        for number, (function, event) in enumerate(merged):
            entry = entry_of(function, event)
            heapq.heappush(waiting, (entry.at, number, entry))
            if len(waiting) > _SORTED:
                yield heapq.heappop(waiting)[2]
        while waiting:
            yield heapq.heappop(waiting)[2]

    def follow(
        self, since: int, *, clock: Callable[[], float] = time.time, sleep: Callable[[float], None] = time.sleep
    ) -> Iterator[LogEntry]:
        """Entries from ``since`` on, and those that come, for ever: each once, also one that comes late.

        The last minute is read again and again, and once a minute all that may still have come.
        """
        seen: dict[str, int] = {}
        start, looked_back = since, int(clock() * 1000)
        while True:
            now = int(clock() * 1000)
            for entry in self.entries(start):
                if entry.id not in seen:
                    seen[entry.id] = max(now, entry.at)  # its clock may be ahead
                    yield entry
            start = max(since, now - LATE_MS)
            if now - looked_back >= LATE_MS:
                looked_back, start = now, max(since, now - LOOK_BACK_MS)
                seen = {id: at for id, at in seen.items() if at >= start - LATE_MS}
            sleep(_EACH_S * len(self._groups))

    def _events(
        self, function: str, group: str, since: int, until: int | None
    ) -> Iterator[tuple[str, Mapping[str, Any]]]:
        return ((function, event) for event in joined(events_of(self._client, group, since, until)))
