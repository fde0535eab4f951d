"""The lake: its objects by hour, the events in them by type, one object with its events.

Objects of the lake never change, so what is counted is kept. An answer counts for a second at most, the newest objects
first, and says how far it is.
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from typing import Any, NamedTuple

from stream_runtime.payload.visible import visible

from stream_cli.console.events import detail_shown
from stream_cli.errors import CommandError
from stream_cli.lake.selected import PREFIX, SERVICE
from stream_cli.stored.connection import Connection
from stream_cli.stored.history import History, ObjectLine, Selection, StoredEvent, StoredObject

MOST_OBJECTS = 20_000
"""Of a day that are listed, the newest hours first."""
MOST_COUNTED = 5_000
"""Of a day whose events are counted."""
_LISTED = 500
_EVENTS = 50
_KEPT = 50_000
_HOURS_AT_ONCE = 8
_COUNTS_FOR_S = 1.0
_KEY = re.compile(rf"{PREFIX}dt=\d{{4}}-\d\d-\d\d/hour=\d\d/[^\x00-\x1f]+")
_LONGEST_TYPE = 200


class Counted(NamedTuple):
    """What is in an object: events by type, and lines without an event."""

    types: tuple[tuple[str, int], ...]
    unreadable: int


class LakeHours:
    """The lake of a stage, hour by hour (UTC), as objects were delivered."""

    def __init__(self, connection: Callable[[], Connection], clock: Callable[[], float] = time.monotonic) -> None:
        self._connection = connection
        self._clock = clock
        self._guard = threading.Lock()
        self._counted: dict[tuple[str, int], Counted] = {}

    def day(self, asked: Mapping[str, str]) -> dict[str, Any]:
        """The hours of a ``day``, the newest first; today's if none is asked for.

        ``counted`` of the ``objects`` have their events counted; at most `MOST_COUNTED` will be. ``cut`` is the hour
        before which nothing is listed, because there is too much; else None.

        Raises:
            CommandError: there is no lake.
            ValueError: that is no day.
        """
        day = _day(asked.get("day") or time.strftime("%Y-%m-%d", time.gmtime()))
        history = self._history()
        hours, cut = self._hours(history, day)
        objects = [each for _, found in hours for each in found]
        self._count(history, objects[:MOST_COUNTED])
        return {
            "day": day,
            "bucket": history.bucket,
            "hours": [self._hour(hour, found) for hour, found in hours if found],
            "objects": len(objects),
            "bytes": sum(each.size for each in objects),
            "counted": sum((each.key, each.size) in self._counted for each in objects),
            "most": MOST_COUNTED,
            "cut": cut,
        }

    def objects(self, asked: Mapping[str, str]) -> dict[str, Any]:
        """The newest objects of an ``hour`` of a ``day``.

        Raises:
            CommandError: there is no lake.
            ValueError: that is no hour.
        """
        day, hour = _day(asked.get("day", "")), asked.get("hour", "")
        if hour not in _HOURS:
            raise ValueError("hour must be one of 00 to 23")
        found = self._of_hour(self._history(), day, hour)
        return {
            "objects": [{"key": each.key, "size": each.size, "types": self._types([each])} for each in found[:_LISTED]],
            "left_out": max(len(found) - _LISTED, 0),
        }

    def object(self, asked: Mapping[str, str]) -> dict[str, Any] | None:
        """Events of the object ``key`` behind a ``line``, without secrets; None if there is no such object.

        ``more`` says whether there are others behind them.

        Raises:
            CommandError: there is no lake, or the object is damaged.
            ValueError: that is no object of the lake.
        """
        from botocore.exceptions import ClientError

        key, behind = asked.get("key", ""), int(asked.get("line") or 0)
        if not _KEY.fullmatch(key):
            raise ValueError(f"key must begin with {PREFIX}dt=YYYY-MM-DD/hour=HH/")
        unreadable: list[dict[str, Any]] = []
        history = replace(
            self._history(),
            on_unreadable=lambda place, why: unreadable.append({"line": place.line, "why": visible(why)}),
        )
        events: list[dict[str, Any]] = []
        try:
            (content,) = history.contents([StoredObject(key, 0)])
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                return None
            raise
        reading = content.events()
        for stored in reading:
            if stored.place.line > behind:
                events.append(_event(stored))
            if len(events) > _EVENTS:
                break
        reading.close()
        shown = events[:_EVENTS]
        has_more = len(events) > _EVENTS
        passed = [each for each in unreadable if each["line"] > behind]
        wrong = [each for each in passed if not has_more or each["line"] < shown[-1]["line"]]
        return {"key": key, "events": shown, "unreadable": wrong[:_EVENTS], "more": has_more}

    def _history(self) -> History:
        connection = self._connection()
        return History(connection.client("s3"), connection.bucket(SERVICE, None), PREFIX, lambda place, why: None)

    def _hours(self, history: History, day: str) -> tuple[list[tuple[str, list[StoredObject]]], str | None]:
        hours: list[tuple[str, list[StoredObject]]] = []
        number = 0
        with ThreadPoolExecutor(_HOURS_AT_ONCE) as pool:
            for start in range(0, len(_HOURS), _HOURS_AT_ONCE):
                some = _HOURS[start : start + _HOURS_AT_ONCE]
                listed = pool.map(lambda hour: self._of_hour(history, day, hour), some)
                hours += zip(some, listed, strict=True)
                number = sum(len(found) for _, found in hours)
                if number > MOST_OBJECTS:
                    return hours, some[-1]
        return hours, None

    def _of_hour(self, history: History, day: str, hour: str) -> list[StoredObject]:
        """The objects of an hour, the newest first."""
        return replace(history, prefix=f"{PREFIX}dt={day}/hour={hour}/").objects(Selection())[::-1]

    def _count(self, history: History, objects: list[StoredObject]) -> None:
        until = self._clock() + _COUNTS_FOR_S
        with self._guard:
            left = [each for each in objects if (each.key, each.size) not in self._counted]
            unreadable = 0

            def on_unreadable(place: ObjectLine, why: str) -> None:
                nonlocal unreadable
                unreadable += 1

            contents = replace(history, on_unreadable=on_unreadable).contents(left)
            for each, content in zip(left, contents, strict=False):
                unreadable = 0
                try:
                    types = Counter(stored.type[:_LONGEST_TYPE] for stored in content.events())
                except CommandError:  # it is damaged, as the page of the object says
                    types, unreadable = Counter(), unreadable + 1
                self._counted[each.key, each.size] = Counted(tuple(types.items()), unreadable)
                if self._clock() >= until:
                    break
            contents.close()
            for key in list(self._counted)[: max(len(self._counted) - _KEPT, 0)]:
                del self._counted[key]

    def _hour(self, hour: str, objects: list[StoredObject]) -> dict[str, Any]:
        known = [self._counted[key] for each in objects if (key := (each.key, each.size)) in self._counted]
        return {
            "hour": hour,
            "objects": len(objects),
            "bytes": sum(each.size for each in objects),
            "counted": len(known),
            "unreadable": sum(each.unreadable for each in known),
            "types": self._types(objects),
        }

    def _types(self, objects: list[StoredObject]) -> list[dict[str, Any]]:
        types: Counter[str] = Counter()
        for each in objects:
            found = self._counted.get((each.key, each.size))
            for type, number in found.types if found else ():
                types[type] += number
        return [{"type": visible(type), "events": number} for type, number in types.most_common()]


_HOURS = [f"{hour:02}" for hour in range(23, -1, -1)]


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise ValueError(f"{text!r:.40} is no day like 2026-01-31") from None


def _event(stored: StoredEvent) -> dict[str, Any]:
    return {
        "line": stored.place.line,
        "id": str(stored.event.get("id") or ""),
        "type": stored.type,
        "at": stored.published_ms,
        "event": detail_shown(stored.type, stored.event),
    }
