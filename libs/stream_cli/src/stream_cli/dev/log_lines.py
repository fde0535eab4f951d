"""What functions log, as it comes, with the paths of their code in the folders of services."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream_cli.dev.functions import DevFunction
from stream_cli.logs.reading import joined

_OVERLAP_MS = 1_000
_MOST = 10_000
_OF_LAMBDA = ("START RequestId: ", "END RequestId: ", "REPORT RequestId: ", "INIT_START ")
_FRAME = re.compile(r' {0,8}File "(?P<file>[^"]+)", line \d+')
_UNPACKED = r"/streamctl-functions-\w+/[0-9a-f]{64}/"

_Written = tuple[str, int, str]
"""Stream, time and text of a line, of which there may be several; lines have no ids here."""


@dataclass(frozen=True)
class LogLine:
    """A line of a function's log.

    Attributes:
        at: ms since 1970.
        level: as logged, such as ``WARNING``; empty for what was printed.
        more: the lines of a stack trace.
    """

    function: DevFunction
    at: int
    level: str
    text: str
    more: Sequence[str] = ()


class SourcePaths:
    """Puts paths in the folders of services in the place of those in unpacked packages."""

    def __init__(self, temporary: Path) -> None:
        """``temporary`` is the folder in which the local cloud unpacks packages."""
        self._unpacked = re.compile(re.escape(str(temporary)) + _UNPACKED + r"(?P<file>[\w./@+-]*)")

    def stack(self, lines: Iterable[str], service: Path) -> list[str]:
        """A stack trace with the paths of a service's own code; of other frames only the last is shown."""
        frames: list[list[str]] = []
        for each in lines:
            if _FRAME.match(each) or not frames or not each.startswith(" "):
                frames.append([])
            frames[-1].append(each)
        shown: list[str] = []
        left_out = 0
        for number, frame in enumerate(frames):
            found = _FRAME.match(frame[0])
            own = found is None or self._is_in(service, found["file"])
            last = number + 1 == len(frames) or not _FRAME.match(frames[number + 1][0])
            if own or last:
                shown += [f"  ... {left_out} more"] if left_out else []
                shown += [self.shown(each, service) for each in frame]
                left_out = 0
            else:
                left_out += 1
        return shown

    def has_own(self, lines: Iterable[str], service: Path) -> bool:
        """Whether a stack trace has a frame of a service's own code."""
        return any((found := _FRAME.match(each)) and self._is_in(service, found["file"]) for each in lines)

    def _is_in(self, service: Path, file: str) -> bool:
        found = self._unpacked.match(file)
        return found is not None and (service / found["file"]).is_file()

    def shown(self, text: str, service: Path) -> str:
        """A text with the paths of a service's own code."""

        def in_folder(found: re.Match[str]) -> str:
            source = service / found["file"]
            return shortest(source) if source.is_file() else found["file"]

        return self._unpacked.sub(in_folder, text)


def shortest(path: Path) -> str:
    """A path from the current folder or from the root, whichever is shorter."""
    return min(os.path.relpath(path), str(path), key=len)


class LogFollower:
    """Reads what is new in log groups."""

    def __init__(self, logs: Any, since: int) -> None:
        """``logs`` is a client of CloudWatch Logs; ``since`` is in ms since 1970."""
        self._logs = logs
        self._since = since
        self._newest: dict[str, int] = {}
        self._seen: dict[str, Counter[_Written]] = {}

    def new_lines(self, function: DevFunction) -> list[LogLine]:
        """The lines of a function that were written since the last time, in their order."""
        group = function.log_group
        newest = self._newest.get(group, self._since)
        start = max(self._since, newest - _OVERLAP_MS)
        try:
            found = self._logs.filter_log_events(logGroupName=group, startTime=start, limit=_MOST)["events"]
        except self._logs.exceptions.ResourceNotFoundException:
            return []  # it has logged nothing yet
        seen, counted, new = self._seen.get(group, Counter()), Counter[_Written](), []
        for each in found:
            written = (each["logStreamName"], each["timestamp"], each["message"])
            counted[written] += 1
            if counted[written] > seen[written]:
                new.append(each)
        self._newest[group] = max([newest, *(each["timestamp"] for each in new)])
        self._seen[group] = counted
        return [line for each in joined(new) if (line := _read(function, each))]


def _is_of_lambda(text: str) -> bool:
    return text.startswith(_OF_LAMBDA)


def _read(function: DevFunction, event: dict[str, Any]) -> LogLine | None:
    text = event["message"].rstrip()
    if not text or _is_of_lambda(text):
        return None
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if isinstance(content, dict) and "message" in content:
        stack = str(content.get("exception") or "")
        message = content["message"]
        shown = message if isinstance(message, str) else json.dumps(message, ensure_ascii=False)
        return LogLine(function, event["timestamp"], str(content.get("level", "")), shown, stack.splitlines())
    first, *more = text.splitlines()
    level = "ERROR" if first.startswith("[ERROR]") else ""
    return LogLine(function, event["timestamp"], level, first.removeprefix("[ERROR] "), more)
