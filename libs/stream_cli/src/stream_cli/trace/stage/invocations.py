"""Invocations of a stage's functions, from what they and Lambda have logged, with their traces of X-Ray."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from stream_cli.journal.lines import CallLine, RefusedLine
from stream_cli.journal.unknown import NotKnown, may_spend, note
from stream_cli.logs.entries import LogEntry, entry_of
from stream_cli.stored.output import utc
from stream_cli.trace.stage.asking import Kept, unless_denied

_REPORT = re.compile(r"REPORT RequestId: (\S+)\s+Duration: ([\d.]+) ms")
_INIT = re.compile(r"\tInit Duration: ([\d.]+) ms")
_STATUS = re.compile(r"\tStatus: (.*)")
_XRAY = re.compile(r'"xray_trace_id": ?"([0-9a-f-]+)"')
_DENIED = re.compile(r"not authorized to perform: (\S+)(?: on resource: (\S+))?")
MOST_ASKED = 10
"""Ids whose lines are searched for in all logs for one answer: FilterLogEvents may be called five times a second."""
MOST_PAGES = 10
"""Pages of one search; a page may hold nothing, but AWS has looked through some MB of the log for it."""
_KEPT_S = 30.0
_ROUNDED_MS = 30_000
_MOST_REFUSED = 1_000
_TRACES = 5  # BatchGetTraces takes no more
_REPORTS = 10  # of one pattern, which has at most 1,024 characters

_TOO_MANY = NotKnown(f"log lines of more than {MOST_ASKED} ids", "the logs are not searched for more in one answer")
_ENDS = '?"REPORT RequestId" ?"platform.report" ?"Task timed out" ?"[ERROR]" ?"errorType"'
"""The pattern of the lines that end an invocation, and of those of Lambda that say what failed."""


@dataclass(frozen=True)
class FunctionLogs:
    """Where a function logs, and whether its traces go to X-Ray."""

    group: str
    is_traced: bool = False


@dataclass(frozen=True)
class _Report:
    """What Lambda reports of an invocation at its end: times in ms, and a status if it did not end well."""

    at: int
    request: str
    duration: float
    init: float | None
    status: str | None

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> _Report | None:
        """The report in a log event, in either of Lambda's formats; None for another line."""
        text, at = str(event["message"]), int(event["timestamp"])
        if found := _REPORT.match(text):
            init, status = _INIT.search(text), _STATUS.search(text)
            return cls(
                at, found[1], float(found[2]), float(init[1]) if init else None, status[1].strip() if status else None
            )
        if not text.startswith("{") or '"platform.report"' not in text:
            return None
        record = json.loads(text)["record"]
        figures, status = record.get("metrics") or {}, record.get("status")
        ended = None if status == "success" else record.get("errorType") or status
        return cls(at, record["requestId"], float(figures["durationMs"]), figures.get("initDurationMs"), ended)


@dataclass
class Invocations:
    """Searches the logs of functions; ``logs`` and ``xray`` give boto3 clients.

    Attributes:
        functions: by name.
        since: ms; what is older is not looked at.
    """

    logs: Callable[[], Any]
    xray: Callable[[], Any]
    functions: Callable[[], Mapping[str, FunctionLogs]]
    since: int
    kept: Kept = field(default_factory=Kept)
    _refused: dict[str, RefusedLine] = field(default_factory=dict)

    def about(self, value: str) -> list[CallLine]:
        """The invocations whose log lines have a text."""
        return self.kept.answer(("logs about", value), _KEPT_S, partial(self._searched, value))

    def refused(self) -> list[RefusedLine]:
        """What AWS has refused the invocations that were asked about, as far as they logged it."""
        return list(self._refused.values())

    def _searched(self, value: str) -> list[CallLine]:
        if not may_spend("searches of logs", MOST_ASKED):
            note(_TOO_MANY)
            return []
        return [found for name in self.functions() for found in self._of(name, value)]

    def _of(self, function: str, value: str) -> list[CallLine]:
        entries, traces = [], set()
        for event in self._events(function, f'"{_quoted(value)}"'):
            entry = entry_of(function, event)
            if "request" in entry.about:
                entries.append(entry)
                traces |= set(_XRAY.findall(event["message"]))
        calls: dict[str, CallLine] = {}
        reports = self._reports(function, dict.fromkeys(entry.about["request"] for entry in entries))
        for entry in entries:
            request = entry.about["request"]
            call = calls.setdefault(request, _call(function, request, entry.at, reports.get(request)))
            call["records"] = [value]
            if entry.level in ("ERROR", "CRITICAL"):
                call["outcome"] = "failed"
                call["error"] = entry.message
            if refused := _refused(entry):
                self._refused[entry.id] = refused
                if len(self._refused) > _MOST_REFUSED:
                    del self._refused[next(iter(self._refused))]
        if self.functions()[function].is_traced and traces:
            self._with_traces(function, calls, sorted(traces))
        return list(calls.values())

    def latest(self, function: str, since: int, until: int, most: int, *, failed: bool = False) -> list[CallLine]:
        """The last invocations of a function, the newest first; of those before the last minutes, only until there are
        enough.
        """
        found: list[CallLine] = []
        end, minutes = -(-until // _ROUNDED_MS) * _ROUNDED_MS, 5
        while end > since and len(found) < most:
            start = max(since, end - minutes * 60_000)
            asked = "ends", function, start, end
            ended = self.kept.answer(asked, _KEPT_S, partial(self._ended, function, start, end))
            found += [call for call in reversed(ended) if not failed or call["outcome"] != "ok"]
            end, minutes = start, minutes * 8
        return found[:most]

    def _ended(self, function: str, since: int, until: int) -> list[CallLine]:
        """The invocations whose end is in a time: in each stream of a log, one ends before the next one begins."""
        failed: dict[str, str] = {}
        calls = []
        for event in self._events(function, _ENDS, since, until):
            report = _Report.of(event)
            if report is None:
                if _is_of_lambda(event["message"]):
                    failed[event["logStreamName"]] = entry_of(function, event).message.removeprefix("[ERROR] ")
                continue
            call = _call(function, report.request, report.at, report)
            error = failed.pop(event["logStreamName"], None) or report.status
            if error is not None:
                call["outcome"], call["error"] = "failed", error
            calls.append(call)
        return calls

    def _reports(self, function: str, requests: Iterable[str]) -> dict[str, _Report]:
        """What Lambda reports of invocations."""
        wanted = list(requests)
        found = {}
        for start in range(0, len(wanted), _REPORTS):
            chosen = wanted[start : start + _REPORTS]
            pattern = " ".join(f'?"REPORT RequestId: {each}" ?"requestId\\":\\"{each}"' for each in chosen)
            for event in self._events(function, pattern):
                if report := _Report.of(event):
                    found[report.request] = report
        return found

    def _with_traces(self, function: str, calls: Mapping[str, CallLine], traces: list[str]) -> None:
        """Give invocations the times of X-Ray, which has them to the microsecond, and what failed below them."""
        for start in range(0, len(traces), _TRACES):
            ids = traces[start : start + _TRACES]
            ask, nothing = partial(self._batch, ids), list[Any]()
            for each in unless_denied("traces of X-Ray", "xray:BatchGetTraces", ask, nothing):
                for segment in (json.loads(one["Document"]) for one in each["Segments"]):
                    call = calls.get((segment.get("aws") or {}).get("request_id", ""))
                    if call is None or segment.get("name") != function or "end_time" not in segment:
                        continue
                    call["start"], call["end"] = round(segment["start_time"] * 1000), round(segment["end_time"] * 1000)
                    if segment.get("fault") or segment.get("error"):
                        call["outcome"] = "failed"

    def _batch(self, ids: list[str]) -> list[Any]:
        return list(self.xray().batch_get_traces(TraceIds=ids)["Traces"])

    def _events(
        self, function: str, pattern: str, since: int | None = None, until: int | None = None
    ) -> list[dict[str, Any]]:
        request: dict[str, Any] = {
            "logGroupName": self.functions()[function].group, "startTime": self.since if since is None else since,
            "filterPattern": pattern, **({} if until is None else {"endTime": until}),
        }  # fmt: skip

        def read() -> list[dict[str, Any]]:
            client, found = self.logs(), []
            pages = client.get_paginator("filter_log_events").paginate(**request)
            try:
                for number, page in enumerate(pages, 1):
                    found += page["events"]
                    if number == MOST_PAGES and page.get("nextToken"):
                        last = utc(int(found[-1]["timestamp"])) if found else "the first part"
                        note(NotKnown(f"lines of the log of {function} after {last}", "it is too long to be searched"))
                        break
            except client.exceptions.ResourceNotFoundException:  # it has not run yet
                return []
            return found

        return unless_denied(f"the log of {function}", "logs:FilterLogEvents", read, [])


def _call(function: str, request: str, at: int, report: _Report | None) -> CallLine:
    """An invocation, with what Lambda reports of it at its end."""
    line: CallLine = {
        "kind": "call", "at": at, "function": function, "request": request, "start": at, "end": at, "outcome": "ok",
    }  # fmt: skip
    if report is not None:
        line["at"] = line["end"] = report.at
        line["start"] = line["end"] - int(report.duration)
        if report.init is not None:
            line["init"] = report.init
    return line


def _is_of_lambda(message: str) -> bool:
    """Whether Lambda says in a line that the invocation failed; a function's own errors begin in another way."""
    return message.startswith("[ERROR] ") or "Task timed out" in message or '"errorType"' in message


def _refused(entry: LogEntry) -> RefusedLine | None:
    text = "\n".join((entry.message, *entry.stack))
    found = _DENIED.search(text)
    if found is None:
        return None
    return {
        "kind": "refused", "at": entry.at, "function": entry.function, "action": found[1],
        "resource": found[2] or "a resource", "missing": {}, "message": entry.message, "by": entry.about["request"],
    }  # fmt: skip


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
