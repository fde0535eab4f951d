"""Lines for the journal, with the invocation that made the request at hand."""

from __future__ import annotations

import functools
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import Any

from stream_cli.journal.writer import Writer

logger = logging.getLogger("stream_cli.observation")

TRACE = "x-amzn-trace-id"
_MOST_TRACES = 10_000

_by: ContextVar[dict[str, str] | None] = ContextVar("by", default=None)
_traces: OrderedDict[str, dict[str, str]] = OrderedDict()


class EmulatorJournal:
    """Takes lines for the journal."""

    def __init__(self, journal: Writer) -> None:
        self._put = journal.put
        self.now = journal.now

    def observe(self, line: dict[str, Any]) -> None:
        """Put a line, with the invocation that made the request."""
        if (by := _by.get()) is not None:
            line |= by
        self._put(line)

    def observe_later(self, make: Callable[[], Iterable[dict[str, Any]]]) -> None:
        """Put lines that take time to make."""
        by = _by.get()
        self._put(make if by is None else lambda: ({**line, **by} for line in make()))


def request_from(headers: Mapping[str, str]) -> None:
    """Note which invocation the request with these headers comes from; what follows is observed as made by it."""
    trace = headers.get(TRACE)
    _by.set(None if trace is None else _traces.get(trace))


def made_by(trace: str, request: str, function: str) -> None:
    """Note that requests with a trace come from an invocation."""
    _traces[trace] = {"by": request, "by_function": function}
    while len(_traces) > _MOST_TRACES:
        _traces.popitem(last=False)


def safely(observe: Callable[..., None]) -> Callable[..., None]:
    """Observing must not fail what is observed: an error is logged, once for each function."""
    told = False

    @functools.wraps(observe)
    def observed(*arguments: Any) -> None:
        nonlocal told
        try:
            observe(*arguments)
        except Exception:
            if not told:
                told = True
                logger.exception("%s fails, and something is missing in the journal", observe.__module__)

    return observed
