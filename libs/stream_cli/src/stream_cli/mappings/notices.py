"""What the engine tells the person who runs it: each trouble once when it begins and once when it is over."""

from __future__ import annotations

import logging
import threading
from collections.abc import Hashable

__all__ = ["ENDPOINT", "Notices"]

ENDPOINT = "endpoint"
"""Names the trouble that the endpoint is away altogether."""

ALONE_AFTER = 4
"""So many calls in a row without a connection are told as a trouble of the caller's own."""


class Notices:
    """Says things on a logger, from any thread."""

    def __init__(self, logger: logging.Logger) -> None:
        """Say them on `logger`."""
        self._logger = logger
        self._troubles: dict[Hashable, str] = {}
        self._failures: dict[Hashable, int] = {}
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        """Say what happened."""
        self._logger.info(text)

    def trouble(self, key: Hashable, text: str) -> None:
        """Say that the trouble named `key` has begun; silent while it lasts."""
        with self._lock:
            known = key in self._troubles
            self._troubles[key] = text
        if not known:
            self._logger.warning(text)

    def over(self, key: Hashable, text: str) -> None:
        """Say that the trouble named `key` is over; silent when there was none."""
        # Asked after every success, hence the look without the lock.
        if key not in self._troubles and key not in self._failures:
            return
        with self._lock:
            self._failures.pop(key, None)
            known = self._troubles.pop(key, None)
        if known is not None:
            self._logger.info(text)

    def unreachable(self, key: Hashable, text: str) -> None:
        """Take note of a call that got no connection; said only once it has happened some times to `key` alone.

        When the whole endpoint is away, the engine's own look at it says so (as trouble named `ENDPOINT`), before each
        of the many that call it has failed often enough.
        """
        with self._lock:
            self._failures[key] = self._failures.get(key, 0) + 1
            alone = self._failures[key] >= ALONE_AFTER and ENDPOINT not in self._troubles
        if alone:
            self.trouble(key, text)

    def current(self, key: Hashable) -> str | None:
        """Tell the trouble named `key`, if there is one."""
        return self._troubles.get(key)
