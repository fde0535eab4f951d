"""Keys with which this cloud's services act in a role, where the local cloud enforces policies.

On AWS the mapping of a stream reads with the role of its function, and a rule puts records with the role of its target.
The emulator gives these sessions to the processes that do so here; other endpoints have none.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlencode

SESSIONS_PATH = "/_streamctl/sessions"

_KEPT_S = 30.0
"""Seconds for which keys are used until the role is asked for again."""


class Keys(NamedTuple):
    """The keys of a session."""

    access_key: str
    secret_key: str
    token: str


class RoleRefused(Exception):
    """The role does not exist, or does not trust the service."""


class RoleKeys:
    """The keys of roles, from the emulator.

    Args:
        get: answers a GET of a path: status and body.
    """

    def __init__(self, get: Callable[[str], tuple[int, bytes]]) -> None:
        self._get = get
        self._kept: dict[tuple[str, ...], tuple[float, Keys | None]] = {}
        self._lock = threading.Lock()

    def of(self, role: str, service: str, name: str, source: str) -> Keys | None:
        """The keys of a service in a role; None where policies are not enforced.

        Args:
            role: ARN of the role.
            service: ``lambda.amazonaws.com``.
            name: of the session.
            source: ARN of what the service acts for.

        Raises:
            RoleRefused: it may not act in that role.
        """
        asked = (role, service, name, source)
        with self._lock:
            since, keys = self._kept.get(asked, (0.0, None))
        if since and time.monotonic() - since < _KEPT_S:
            return keys
        query = urlencode(dict(zip(("role", "service", "name", "source"), asked, strict=True)))
        status, body = self._get(f"{SESSIONS_PATH}?{query}")
        try:
            answer = json.loads(body) if status in {200, 403} else {}
        except ValueError:
            answer = {}
        if status == 403:
            raise RoleRefused(str(answer.get("message")))
        keys = Keys(answer["key"], answer["secret"], answer["token"]) if "key" in answer else None
        with self._lock:
            self._kept[asked] = (time.monotonic(), keys)
        return keys

    def forget(self) -> None:
        """Ask for all roles again: keys were refused."""
        with self._lock:
            self._kept.clear()
