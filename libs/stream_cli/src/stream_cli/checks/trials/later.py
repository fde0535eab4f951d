"""A clock that is later, for a process that tries functions: whether they ask the module `time` or `datetime`.

What is imported before keeps the names that it has taken, so this comes before all imports of a function's libraries.
"""

from __future__ import annotations

import copyreg
import datetime
import time
from collections.abc import Callable
from typing import Any


def shift_clock(seconds: float) -> None:
    """Let the time of this process be later."""
    if not seconds:
        return
    now, now_ns = time.time, time.time_ns
    time.time = lambda: now() + seconds
    time.time_ns = lambda: now_ns() + int(seconds * 1e9)
    for name in ("ctime", "gmtime", "localtime"):
        setattr(time, name, _Later(getattr(time, name), 0, time.time))
    for name, place in (("asctime", 0), ("strftime", 1)):
        setattr(time, name, _Later(getattr(time, name), place, time.localtime))
    datetime.date, datetime.datetime = _classes(datetime.date, datetime.datetime)  # type: ignore[misc]


class _Later:
    """A function that takes the time now where it is given none. No function, which a class would bind as a method."""

    def __init__(self, function: Callable[..., Any], place: int, now: Callable[[], Any]) -> None:
        self._function = function
        self._place = place
        self._now = now

    def __call__(self, *given: Any) -> Any:
        if len(given) > self._place and given[self._place] is not None:
            return self._function(*given)
        return self._function(*given[: self._place], self._now())


def _classes(own_date: Any, own_datetime: Any) -> tuple[Any, Any]:
    """Classes in the place of `date` and `datetime`. What they make are dates and times of Python's own classes."""

    class Kind(type):
        def __instancecheck__(cls, instance: Any) -> bool:
            return isinstance(instance, stands_for[cls]) if cls in stands_for else super().__instancecheck__(instance)

        def __subclasscheck__(cls, other: type) -> bool:
            return issubclass(other, stands_for[cls]) if cls in stands_for else super().__subclasscheck__(other)

    class date(own_date, metaclass=Kind):  # type: ignore[misc]
        def __new__(cls, *given: Any, **named: Any) -> Any:
            return own_date(*given, **named) if cls in stands_for else super().__new__(cls, *given, **named)

        @classmethod
        def today(cls) -> Any:
            return cls.fromtimestamp(time.time())

    class datetime(own_datetime, metaclass=Kind):  # type: ignore[misc]
        def __new__(cls, *given: Any, **named: Any) -> Any:
            return own_datetime(*given, **named) if cls in stands_for else super().__new__(cls, *given, **named)

        @classmethod
        def today(cls) -> Any:
            return cls.fromtimestamp(time.time())

        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return cls.fromtimestamp(time.time(), tz)

        @classmethod
        def utcnow(cls) -> Any:
            return cls.fromtimestamp(time.time(), utc).replace(tzinfo=None)

    utc = _utc()
    stands_for: dict[type, Any] = {date: own_date, datetime: own_datetime}
    for each, own in stands_for.items():
        each.__module__, each.__qualname__ = own.__module__, own.__qualname__
        copyreg.pickle(own, _reducing(each))
    return date, datetime


def _utc() -> datetime.tzinfo:
    return datetime.UTC


def _reducing(stands_for: type) -> Callable[[Any], Any]:
    return lambda value: (stands_for, value.__reduce__()[1])
