"""What the engine tells the person who runs it: each trouble once when it begins and once when it is over."""

from __future__ import annotations

import logging
import threading
from collections.abc import Hashable

__all__ = ["Notices"]


class Notices:
    """Says things on a logger, from any thread."""

    def __init__(self, logger: logging.Logger) -> None:
        """Say them on `logger`."""
        self._logger = logger
        self._troubles: dict[Hashable, str] = {}
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
        if key not in self._troubles:
            return
        with self._lock:
            known = self._troubles.pop(key, None)
        if known is not None:
            self._logger.info(text)

    def current(self, key: Hashable) -> str | None:
        """Tell the trouble named `key`, if there is one."""
        return self._troubles.get(key)
