"""What a log event says: level, message, the record that it is about, the stack trace."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from stream_cli.faults.redaction import redacted, redacted_stack
from stream_cli.faults.secret_text import redacted_text

LEVELS = ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
PLATFORM = "PLATFORM"
"""The level of what Lambda itself writes about an invocation that went well: START, END, REPORT."""

_OTHER_NAMES = {"WARN": "WARNING", "FATAL": "CRITICAL", "NOTSET": "TRACE"}
_OF_LAMBDA = re.compile(r"(START|END|REPORT|INIT_START|EXTENSION|XRAY)\b")
_LEVEL_FIRST = re.compile(r"\[?(TRACE|DEBUG|INFO|WARN|WARNING|ERROR|CRITICAL|FATAL)\]?[\t :]")
_FAILED = re.compile(r"Traceback \(|Task timed out|Runtime\.|Error:|Status: (?:error|timeout)")
_UNPACKED = re.compile(r"/streamctl-functions-\w+/[0-9a-f]{64}/")
"""Where the local cloud unpacks a package."""

_REQUEST = re.compile(r"(?:RequestId: |\t)([0-9a-f]{8}-[0-9a-f-]{27})")
# Fields of the runtime's and Powertools' lines that have a place of their own, or tell nothing here.
_PLACED = frozenset({
    "level", "message", "timestamp", "exception", "exception_name", "stack_trace", "function_request_id", "requestId",
    "event_id", "record_id", "pipeline", "service", "function_name", "function_arn", "function_memory_size",
    "cold_start", "xray_trace_id", "location", "name", "sampling_rate", "logger", "errorType", "errorMessage",
    "stackTrace",
})  # fmt: skip


@dataclass(frozen=True)
class LogEntry:
    """A log event, without secrets.

    Attributes:
        at: ms since 1970; the time in the line, or else when CloudWatch Logs got it.
        id: of the event, which tells it from others.
        level: one of `LEVELS`, or `PLATFORM`.
        about: ids of what it is about: event, record, pipeline, request.
        stack: the lines of a stack trace.
        more: other fields of a JSON line.
    """

    at: int
    id: str
    function: str
    level: str
    message: str
    about: Mapping[str, str] = field(default_factory=dict)
    stack: tuple[str, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def entry_of(function: str, event: Mapping[str, Any]) -> LogEntry:
    """The entry of a log event of the Logs API: ``{"eventId", "timestamp", "message"}``."""
    text, at, id = str(event["message"]).rstrip("\n"), int(event["timestamp"]), str(event.get("eventId", ""))
    line = _json_of(text)
    if line is None:
        return _of_text(function, id, at, text)
    if str(line.get("type", "")).startswith("platform."):
        return LogEntry(at, id, function, _level_of_platform(line), redacted_text(text))
    return _of_line(function, id, at, line)


def is_at_least(entry: LogEntry, level: str) -> bool:
    """Whether an entry has a level, or a higher one; what Lambda itself writes has the lowest."""
    return entry.level != PLATFORM and LEVELS.index(entry.level) >= LEVELS.index(level)


def _json_of(text: str) -> dict[str, Any] | None:
    if not text.startswith("{"):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _of_line(function: str, id: str, at: int, line: Mapping[str, Any]) -> LogEntry:
    shown = redacted(line)
    message = shown.get("message", shown.get("errorMessage", ""))
    about = {
        name: str(shown[key])
        for name, key in (
            ("event", "event_id"), ("record", "record_id"), ("pipeline", "pipeline"),
            ("request", "function_request_id"), ("request", "requestId"),
        )
        if shown.get(key)
    }  # fmt: skip
    stack = line.get("exception") or line.get("stackTrace") or ()
    text = stack if isinstance(stack, str) else "\n".join(map(str, stack)) if isinstance(stack, list) else ""
    return LogEntry(
        at=_time_of(line.get("timestamp"), at),
        id=id,
        function=function,
        level=_level(str(line.get("level", "ERROR" if "errorType" in line else "INFO"))),
        message=message if isinstance(message, str) else json.dumps(message, ensure_ascii=False),
        about=about,
        stack=tuple(map(_in_package, redacted_stack(text).rstrip("\n").split("\n"))) if text else (),
        more={name: value for name, value in shown.items() if name not in _PLACED and value is not None},
    )


def _of_text(function: str, id: str, at: int, text: str) -> LogEntry:
    found = _REQUEST.search(text)
    about = {"request": found[1]} if found else {}
    first, *rest = map(_in_package, redacted_stack(text).split("\n"))
    if _FAILED.search(text):
        level = "ERROR"
    elif _OF_LAMBDA.match(text):
        level = PLATFORM
    else:
        named = _LEVEL_FIRST.match(text)
        level = _level(named[1]) if named else "INFO"
    return LogEntry(at, id, function, level, first, about, tuple(rest))


def _in_package(frame: str) -> str:
    """A frame of a stack with the path in the package; other lines as they are."""
    before, quote, rest = frame.partition('File "')
    found = _UNPACKED.search(rest) if quote and not before.strip() else None
    return f"{before}{quote}{rest[found.end() :]}" if found else frame


def _level_of_platform(line: Mapping[str, Any]) -> str:
    record = line.get("record")
    status = record.get("status") if isinstance(record, Mapping) else None
    return "ERROR" if status in ("error", "failure", "timeout") else PLATFORM


def _level(name: str) -> str:
    upper = _OTHER_NAMES.get(name.upper(), name.upper())
    return upper if upper in LEVELS else "INFO"


def _time_of(text: Any, otherwise: int) -> int:
    """The time in a line, if it is near the time of the event."""
    try:
        at = int(datetime.fromisoformat(str(text).replace(",", ".")).timestamp() * 1000)
    except (OverflowError, ValueError):
        return otherwise
    return at if abs(at - otherwise) < 20 * 60 * 1000 else otherwise
