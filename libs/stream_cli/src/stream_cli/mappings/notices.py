"""What the engine logs for the person who runs it: a trouble once when it begins, and once when it is over."""

from __future__ import annotations

import logging
import threading
from collections.abc import Hashable

from stream_cli.mappings.ports import EndpointUnavailable

ENDPOINT = "endpoint"
"""The key of the trouble that the endpoint does not answer at all."""

ALONE_AFTER = 4
"""After this many calls in a row without a connection, the trouble is the caller's own."""


class Notices:
    """Logs events and troubles, from any thread."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._troubles: dict[Hashable, str] = {}
        self._failures: dict[Hashable, int] = {}
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        self._logger.info(text)

    def trouble(self, key: Hashable, text: str) -> None:
        """Report that a trouble has begun; nothing is logged while it lasts."""
        with self._lock:
            known = key in self._troubles
            self._troubles[key] = text
        if not known:
            self._logger.warning(text)

    def over(self, key: Hashable, text: str) -> None:
        """Report that a trouble is over; nothing is logged if there was none."""
        # Called after every success, so it looks without the lock first.
        if key not in self._troubles and key not in self._failures:
            return
        with self._lock:
            self._failures.pop(key, None)
            known = self._troubles.pop(key, None)
        if known is not None:
            self._logger.info(text)

    def call_failed(self, key: Hashable, text: str, error: Exception) -> None:
        """Report a failed call. A missing connection is reported only if it lasts for `key` alone.

        If the whole endpoint is away, the engine's own polling reports `ENDPOINT` before any of its callers has failed
        often enough.
        """
        if isinstance(error, EndpointUnavailable) and not error.connected:
            with self._lock:
                self._failures[key] = self._failures.get(key, 0) + 1
                if self._failures[key] < ALONE_AFTER or ENDPOINT in self._troubles:
                    return
        self.trouble(key, f"{text}: {error}")

    def current(self, key: Hashable) -> str | None:
        return self._troubles.get(key)
