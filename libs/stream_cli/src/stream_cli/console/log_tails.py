"""The logs of functions while somebody looks at them: their last lines, and the metrics that they log.

Each log group is read once for all pages, from where it was read before, and not more often than pages ask. Lines are
what `streamctl logs` shows of them, without secrets, and with what would act on a terminal made visible.
"""

from __future__ import annotations

import itertools
import json
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stream_runtime.payload.visible import visible, visible_json

from stream_cli.console.logged_metrics import LoggedMetrics
from stream_cli.logs.entries import LogEntry, entry_of
from stream_cli.logs.reading import LATE_MS, LOOK_BACK_MS, events_of, log_group_of
from stream_cli.terminal.options import LOCAL, stage_option

KEPT = 1_000
"""Lines of a function."""
MOST_READ = 20_000
"""Events of a group that are read for one answer; the rest is read for the next."""
_ENOUGH = 200
_WINDOWS_MS = (60_000, 600_000, 3 * 3_600_000)
EVERY_S = 0.9
AT_A_STAGE_S = 5.0
"""Seconds between two looks at a log group: all users of an account share a few requests a second."""
_LEFT_S = 60.0
_METRICS_MS = 3 * 3_600_000
_DEFINITION = "_aws"
_OF_METRICS = '"CloudWatchMetrics"'


class NewEvents:
    """The events of a log group as they come, each once, also one that comes late."""

    def __init__(self, client: Any, group: str, since: int, pattern: str = "") -> None:
        self._client = client
        self._group = group
        self._pattern = pattern
        self._begin = self._start = since
        self._looked_back = 0
        self._seen: dict[str, int] = {}

    def read(self, now: int) -> list[dict[str, Any]]:
        """Those that were not given before; at most `MOST_READ` are looked at, and the next call goes on there.

        If a request fails, none counts as given.
        """
        start = self._start
        events = events_of(self._client, self._group, start, pattern=self._pattern)
        looked_at = list(itertools.islice(events, MOST_READ))
        found = {event["eventId"]: event for event in looked_at if event["eventId"] not in self._seen}
        self._seen.update((id, int(event["timestamp"])) for id, event in found.items())
        last = int(looked_at[-1]["timestamp"]) if looked_at else start
        if len(looked_at) == MOST_READ and last > start:
            self._start = last
            return list(found.values())
        self._start = max(self._begin, now - LATE_MS)
        if now - self._looked_back >= LATE_MS:
            self._looked_back = now
            self._start = max(self._begin, now - LOOK_BACK_MS)
            self._seen = {id: at for id, at in self._seen.items() if at >= self._start - LATE_MS}
        return list(found.values())


class LogTail:
    """The log of one function.

    Attributes:
        asked_at: when somebody last asked (s).
    """

    def __init__(self, client: Any, function: str, group: str, clock: Callable[[], float], every_s: float) -> None:
        self._client, self._function, self._group, self._clock = client, function, group, clock
        self._every_s = every_s
        self._guard = threading.Lock()
        self._events: NewEvents | None = None
        self._metrics: tuple[NewEvents, LoggedMetrics] | None = None
        self._lines: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._count = 0
        self._since = 0
        self._read_at = self._metrics_read_at = 0.0
        self.asked_at = clock()
        self._id = secrets.token_urlsafe(6)

    def lines(self, after: int) -> dict[str, Any]:
        """Lines whose number is above ``after``, the oldest first.

        ``since`` (ms) is where the log was read from; of the lines since then, the last `KEPT` are held. ``last`` is
        how many there were, and the ``after`` of the next question, as long as ``id`` is the same: numbers begin anew
        when nobody has asked for a while.
        """
        with self._guard:
            now = self._clock()
            if self._events is None:
                self._begin(int(now * 1000))
                self._read_at = now
            elif now - self._read_at >= self._every_s:
                self._read_at = now
                self._take(self._events.read(int(now * 1000)))
            lines = [line for line in self._lines if line["number"] > after]
            return {"id": self._id, "lines": lines, "last": self._count, "since": self._since, "problem": ""}

    def metrics(self) -> LoggedMetrics:
        """The metrics that it has logged in the last three hours."""
        with self._guard:
            now = self._clock()
            at = int(now * 1000)
            if self._metrics is None:
                self._metrics = NewEvents(self._client, self._group, at - _METRICS_MS, _OF_METRICS), LoggedMetrics()
            elif now - self._metrics_read_at < self._every_s:
                return self._metrics[1]
            events, found = self._metrics
            for event in events.read(at):
                found.take(str(event["message"]), int(event["timestamp"]))
            found.forget(at - _METRICS_MS)
            self._metrics_read_at = now
            return found

    def _begin(self, now: int) -> None:
        """Read so far back that there are some lines, three hours at most."""
        for window in _WINDOWS_MS:
            events = NewEvents(self._client, self._group, now - window)
            found = events.read(now)
            if len(found) >= _ENOUGH:
                break
        self._since, self._events = now - window, events
        self._take(found)

    def _take(self, found: Sequence[dict[str, Any]]) -> None:
        self._count += max(len(found) - KEPT, 0)
        entries = (entry_of(self._function, event) for event in found[-KEPT:])
        for entry in sorted(entries, key=lambda entry: entry.at):
            self._count += 1
            self._lines.append(_shown(entry, self._count))


class LogTails:
    """The logs that somebody looks at.

    Args:
        client: makes a client of CloudWatch Logs.
        functions: the configurations of functions by name.
        every_s: how long a log is not looked at again.
        stage: whose logs they are.
    """

    def __init__(
        self,
        client: Callable[[], Any],
        functions: Callable[[], Mapping[str, Mapping[str, Any]]],
        clock: Callable[[], float] = time.time,
        every_s: float = EVERY_S,
        stage: str = LOCAL,
    ) -> None:
        self._client, self._functions, self._clock, self._every_s = client, functions, clock, every_s
        self._stage = stage
        self._guard = threading.Lock()
        self._made: Any = None
        self._tails: dict[str, LogTail] = {}

    def of(self, function: str) -> LogTail | None:
        """The log of a function; None if there is no such function.

        Raises:
            CommandError: the cloud does not run.
        """
        with self._guard:
            now = self._clock()
            self._tails = {name: each for name, each in self._tails.items() if now - each.asked_at < _LEFT_S}
            if function not in self._tails:
                configuration = self._functions().get(function)
                if configuration is None:
                    return None
                self._made = self._made or self._client()
                group = log_group_of(configuration)
                self._tails[function] = LogTail(self._made, function, group, self._clock, self._every_s)
            tail = self._tails[function]
            tail.asked_at = now
            return tail

    def lines(self, function: str, asked: Mapping[str, str]) -> dict[str, Any]:
        """The lines behind the number ``after`` of a question; ``older`` is the command that shows what was before."""
        after = int(asked.get("after") or 0)
        tail = self.of(function)
        if tail is not None:
            older = f"streamctl logs {function} --since 1d{stage_option(self._stage)}"
            return {**tail.lines(after), "older": older}
        problem = "It is not deployed now, so that its log is not known."
        return {"id": "", "lines": [], "last": 0, "since": None, "problem": problem}


def _shown(entry: LogEntry, number: int) -> dict[str, Any]:
    """An entry for the page. Of a line of metrics, what defines them is left out: the charts are of it."""
    message = entry.message or ("metrics" if _DEFINITION in entry.more else "")
    return {
        "number": number,
        "at": entry.at,
        "level": entry.level,
        "message": visible(message.replace("\t", "  ")),
        "about": {name: visible(value) for name, value in entry.about.items()},
        "stack": [visible(line) for line in entry.stack],
        "more": {visible(str(name)): _text(value) for name, value in entry.more.items() if name != _DEFINITION},
    }


def _text(value: Any) -> str:
    return visible(value) if isinstance(value, str) else visible_json(json.dumps(value, ensure_ascii=False))
