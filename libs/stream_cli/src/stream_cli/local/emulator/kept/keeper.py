"""Writes what has changed before an answer is sent, everything that came together in one transaction."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from typing import Any

from stream_cli.local.emulator.kept.containers import changing
from stream_cli.local.emulator.kept.moving import Moving
from stream_cli.local.emulator.kept.promises import PROMISE, Promises
from stream_cli.local.emulator.kept.settled import CODE, OTHERS, RESOURCE, Settled, end_what_was_in_progress
from stream_cli.local.kept_file import Change, KeptFile

_SOON_S = 0.01
_AGAIN_S = 0.5
_ATTEMPTS = 5

logger = logging.getLogger("stream_cli.kept")


class NotKept(Exception):
    """What an answer would tell cannot be written down."""


class Keeper:
    """Keeps the state of the emulator in a file.

    Everything that a request has changed is marked when its operation returns. All that is marked is written at the end
    of the turn of the event loop, and no answer leaves before: neither that of the request, nor one of another that
    may tell of it. What threads change is written soon, or with the next answer.
    """

    def __init__(self, file: KeptFile) -> None:
        self._file = file
        self._settled = Settled()
        self._moving = Moving(self.told, self.settle)
        self._promises = Promises(self.told)
        self._services: set[str] | None = set()
        self._resources: dict[tuple[str, str, Any], None] = {}
        self._unwritten: list[Change] = []
        self._marked = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._waiting: list[asyncio.Future[None]] = []
        self._is_timed = False
        self._problem = ""
        self._closed = False

    def patch(self) -> None:
        """Learn of all changes."""
        self._moving.patch()
        self._promises.patch()

    def take(self) -> None:
        """Take what was kept; the services are empty."""
        began, rows = time.monotonic(), list(self._file.rows())
        self._settled.take([row for row in rows if row.place[0] in {RESOURCE, CODE, OTHERS}])
        self._moving.take(rows)
        self._promises.take([row for row in rows if row.place == (PROMISE,)])
        if rows:
            end_what_was_in_progress()
            logger.info("%d rows were taken from %s in %.1f s", len(rows), self._file.path, time.monotonic() - began)
        self._services = None
        self._write()

    def begin(self) -> None:
        """Do what was promised before; the emulator answers now."""
        from ministack.services import lambda_svc

        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        if lambda_svc._esms.has_any():
            lambda_svc._ensure_poller()
        self._promises.keep()
        if self._marked:
            self._write_soon()

    # --- marks ---

    def told(self) -> None:
        """Something has changed; from any thread."""
        if self._marked:
            return
        self._marked = True
        if self._loop is not None and not self._is_timed and not self._closed:
            if threading.get_ident() == self._thread:
                self._write_soon()
            else:
                self._loop.call_soon_threadsafe(self._write_soon)

    def settle(self, service: str, name: str, key: Any) -> None:
        """A resource has changed."""
        self._resources[service, name, key] = None
        self.told()

    def settle_all(self, service: str | None = None) -> None:
        """Any resource of a service may have changed, or of all services."""
        self._services = None if service is None or self._services is None else {*self._services, service}
        self.told()

    # --- writing ---

    async def written(self) -> None:
        """Wait until everything is written that has changed so far.

        Raises:
            NotKept: it cannot be written.
        """
        if not self._marked:
            return
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._end_turn)
        done = loop.create_future()
        self._waiting.append(done)
        await done

    def _end_turn(self) -> None:
        waiting, self._waiting = self._waiting, []
        problem: Exception | None = None
        try:
            self._write()
        except Exception as error:  # raised where it is waited for
            problem = error
        for each in waiting:
            if each.done():
                continue  # nobody waits for it any more
            if problem is None:
                each.set_result(None)
            else:
                each.set_exception(problem)

    def _write_soon(self, after_s: float = _SOON_S) -> None:
        if self._is_timed or self._loop is None or self._closed:
            return
        self._is_timed = True
        self._loop.call_later(after_s, self._on_time)

    def _on_time(self) -> None:
        self._is_timed = False
        if self._marked and not self._closed:
            with contextlib.suppress(NotKept):  # it is told, and tried again
                self._write()

    def _write(self) -> None:
        self._marked = False
        try:
            with changing:
                for change in self._changes():
                    self._unwritten.append(change)
                if self._unwritten:
                    self._file.write(self._unwritten)
                    self._unwritten = []
        except (OSError, sqlite3.Error) as error:
            self._marked = True
            if str(error) != self._problem:
                self._problem = str(error)
                logger.error(
                    "Nothing can be written to %s: %s. Requests are answered with 503 until it can.",
                    *(self._file.path, error),
                )
            self._write_soon(_AGAIN_S)
            raise NotKept(f"The local cloud cannot keep its state in {self._file.path}: {error}") from error
        except BaseException:
            self._marked = True
            raise
        if self._problem:
            logger.warning("%s can be written to again", self._file.path)
            self._problem = ""

    def _changes(self) -> Iterator[Change]:
        services = self._services
        if services is None or services:
            self._moving.adopt()
            settled = self._in_peace(services)
            self._services = set()
            yield from settled
            yield from self._moving.gone()
        yield from self._moving.changes()
        resources, self._resources = self._resources, {}
        for service, name, key in resources:
            yield from self._settled.change(service, name, key)
        yield from self._promises.changes()

    def _in_peace(self, services: set[str] | None) -> list[Change]:
        """The changes of settled state, while threads may change the same dicts."""
        found = list[Change]()
        for attempt in range(_ATTEMPTS):
            try:
                for change in self._settled.changes(services):
                    found.append(change)
                return found
            except RuntimeError as error:
                if "changed size" not in str(error) or attempt == _ATTEMPTS - 1:
                    raise
        return found

    def end(self) -> None:
        """What is not done from now on stays promised; nothing more is marked."""
        self._promises.end()

    def close(self) -> None:
        """Write what is left, and close the file."""
        try:
            self._services = None
            self._write()
        finally:
            self._closed = True
            self._file.close()
