"""Invocations of a stage's functions that have logged something about an id or a key, with their traces of X-Ray."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from stream_cli.journal.lines import CallLine, RefusedLine
from stream_cli.logs.entries import LogEntry, entry_of

_REPORT = re.compile(r"REPORT RequestId: (\S+)\s+Duration: ([\d.]+) ms(?:.*Init Duration: ([\d.]+) ms)?", re.DOTALL)
_XRAY = re.compile(r'"xray_trace_id": ?"([0-9a-f-]+)"')
_DENIED = re.compile(r"not authorized to perform: (\S+)(?: on resource: (\S+))?")
MOST_ASKED = 10
"""Ids for which the logs of all functions are searched: FilterLogEvents may be called five times a second."""

_TRACES = 5  # BatchGetTraces takes no more


@dataclass
class Invocations:
    """What functions have logged about one id or key; ``logs`` and ``xray`` are boto3 clients.

    Attributes:
        groups: the log groups of the functions.
        traced: the functions with active tracing.
        problems: what could not be read, one a line.
    """

    logs: Any
    xray: Callable[[], Any]
    groups: Mapping[str, str]
    traced: frozenset[str]
    since: int
    problems: list[str] = field(default_factory=list)
    _found: dict[str, list[CallLine]] = field(default_factory=dict)
    entries: list[LogEntry] = field(default_factory=list)
    refused: list[RefusedLine] = field(default_factory=list)

    def about(self, value: str) -> list[CallLine]:
        """The invocations whose log lines have a text."""
        if value not in self._found and len(self._found) >= MOST_ASKED:
            self._found[value] = []
            self.problems.append(f"Logs were searched for {MOST_ASKED} ids, and for no others.")
        if value not in self._found:
            self._found[value] = [call for function in self.groups for call in self._of(function, value)]
        return self._found[value]

    def _of(self, function: str, value: str) -> list[CallLine]:
        entries, traces = [], set()
        for event in self._events(function, f'"{_quoted(value)}"'):
            entry = entry_of(function, event)
            if "request" in entry.about:
                entries.append(entry)
                traces |= set(_XRAY.findall(event["message"]))
        self.entries += entries
        calls: dict[str, CallLine] = {}
        for entry in entries:
            request = entry.about["request"]
            call = calls.get(request) or self._call(function, request, entry.at)
            call["records"] = [value]
            if entry.level in ("ERROR", "CRITICAL"):
                call["outcome"] = "failed"
                call["error"] = entry.message
            calls[request] = call
            self._note_refused(entry)
        if function in self.traced and traces:
            self._with_traces(function, calls, sorted(traces))
        return list(calls.values())

    def _call(self, function: str, request: str, at: int) -> CallLine:
        """An invocation, with what Lambda reports of it at its end."""
        line: CallLine = {
            "kind": "call", "at": at, "function": function, "request": request, "start": at, "end": at, "outcome": "ok",
        }  # fmt: skip
        for event in self._events(function, f'"REPORT RequestId: {request}"'):
            if report := _REPORT.search(event["message"]):
                line["at"] = line["end"] = int(event["timestamp"])
                line["start"] = line["end"] - int(float(report[2]))
                if report[3]:
                    line["init"] = float(report[3])
        return line

    def _note_refused(self, entry: LogEntry) -> None:
        text = "\n".join((entry.message, *entry.stack))
        if found := _DENIED.search(text):
            self.refused.append({
                "kind": "refused", "at": entry.at, "function": entry.function, "action": found[1],
                "resource": found[2] or "a resource", "missing": {}, "message": entry.message,
                "by": entry.about["request"],
            })  # fmt: skip

    def _with_traces(self, function: str, calls: Mapping[str, CallLine], traces: list[str]) -> None:
        """Give invocations the times of X-Ray, which has them to the microsecond, and what failed below them."""
        for start in range(0, len(traces), _TRACES):
            ids = traces[start : start + _TRACES]
            found = self._asked("X-Ray", partial(self.xray().batch_get_traces, TraceIds=ids))
            for each in (found or {}).get("Traces", ()):
                for segment in (json.loads(one["Document"]) for one in each["Segments"]):
                    call = calls.get((segment.get("aws") or {}).get("request_id", ""))
                    if call is None or segment.get("name") != function or "end_time" not in segment:
                        continue
                    call["start"], call["end"] = int(segment["start_time"] * 1000), int(segment["end_time"] * 1000)
                    if segment.get("fault") or segment.get("error"):
                        call["outcome"] = "failed"

    def _events(self, function: str, pattern: str) -> list[dict[str, Any]]:
        request = {"logGroupName": self.groups[function], "startTime": self.since, "filterPattern": pattern}

        def read() -> list[dict[str, Any]]:
            pages = self.logs.get_paginator("filter_log_events").paginate(**request)
            return [event for page in pages for event in page["events"]]

        return self._asked(f"The log of {function}", read) or []

    def _asked(self, what: str, ask: Callable[[], Any]) -> Any:
        """An answer; None where it is refused, which is told at the end."""
        from botocore.exceptions import ClientError

        try:
            return ask()
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":  # it has not run yet
                self.problems.append(f"{what} cannot be read: {error}")
            return None


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
