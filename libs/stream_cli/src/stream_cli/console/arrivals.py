"""Tells open pages what is observed, as it comes: one reader for all pages, and only while one is open."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

from starlette.concurrency import run_in_threadpool

from stream_cli.console.events import summary
from stream_cli.journal.questions import Questions

EVERY_S = 0.25
SELDOM_S = 1.0
"""After more than a message has: then pages ask for the newest events, which they do once a second."""
_MOST_READ = 20_000
_MOST_EVENTS = 200
"""Events of one message. More in a quarter of a second nobody reads: they are counted, and pages ask for the newest."""
_MOST_WAITING = 8
"""Messages for a page that does not read them; then it is told to load anew."""
MOST_PAGES = 32

logger = logging.getLogger("stream_cli.console")


class Arrivals:
    """What comes in, for any number of pages.

    A message has ``counts`` of lines by kind, ``events`` (summaries, the oldest first; none if there are too many),
    ``left_out`` (how many events are not among them) and ``missed`` (whether the page has to load anew).
    """

    def __init__(self, questions: Questions) -> None:
        self._questions = questions
        self._places = 0
        self._pages: set[asyncio.Queue[str]] = set()
        self._reader: asyncio.Task[None] | None = None
        self._after: str | None = None

    @contextlib.contextmanager
    def place(self) -> Iterator[bool]:
        """A place for a page until the end of the block; False if there are as many pages as may be."""
        if self._places >= MOST_PAGES:
            yield False
            return
        self._places += 1
        try:
            yield True
        finally:
            self._places -= 1

    async def messages(self) -> AsyncIterator[str]:
        """JSON texts. The first says that what is written from now on will come."""
        waiting: asyncio.Queue[str] = asyncio.Queue(_MOST_WAITING)
        self._pages.add(waiting)
        try:
            if self._reader is None:
                place = (await run_in_threadpool(self._questions.arrived)).after
                if self._reader is None:  # else another page came meanwhile, and what came since is read
                    self._after = place
                    self._reader = asyncio.create_task(self._read())
            yield _message()
            while True:
                yield await waiting.get()
        finally:
            self._pages.discard(waiting)
            if not self._pages and self._reader is not None:
                self._reader.cancel()
                self._reader = None

    async def _read(self) -> None:
        every_s = EVERY_S
        while True:
            await asyncio.sleep(every_s)
            try:
                found = await run_in_threadpool(
                    self._questions.arrived, self._after, limit=_MOST_READ, most=_MOST_EVENTS
                )
            except Exception:
                if self._after is not None:  # else it has been told
                    logger.exception("What has come in cannot be read; trying again")
                self._after = None
                continue
            left_out = found.left_out.get("event", 0)
            every_s = SELDOM_S if left_out else EVERY_S
            # After a failure pages load anew from here on: what comes behind this place they are told.
            missed = found.missed or self._after is None
            self._after = found.after
            if not found.lines and not found.left_out and not missed:
                continue
            counts = Counter(line["kind"] for line in found.lines) + Counter(found.left_out)
            told = [summary(line) for line in found.lines if line["kind"] == "event"]
            text = _message(counts=counts, events=told, left_out=left_out, missed=missed)
            for waiting in self._pages:
                _put(waiting, text)


def _put(waiting: asyncio.Queue[str], text: str) -> None:
    if waiting.full():
        with contextlib.suppress(asyncio.QueueEmpty):
            while True:
                waiting.get_nowait()
        text = _message(missed=True)
    waiting.put_nowait(text)


def _message(**more: Any) -> str:
    return json.dumps({"counts": {}, "events": [], "left_out": 0, "missed": False, **more})
