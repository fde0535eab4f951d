"""The logs of a local cloud: how its processes write their lines, and the end of a log, to show with an error."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from types import TracebackType

from stream_runtime.payload.visible import visible

_MOST_BYTES = 256 * 1024


def tail(path: Path, lines: int = 30) -> str:
    """The last ``lines`` lines of a log, at most 256 KB, or a note that there is none."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _MOST_BYTES))
            text = log.read().decode(errors="replace")
    except FileNotFoundError:
        return "(no log)"
    return "\n".join(text.removesuffix("\n").split("\n")[-lines:]) or "(empty log)"


def log_lines(format: str, datefmt: str | None = None) -> None:
    """Log to stderr from INFO on, in lines of a format."""
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter(format, datefmt))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


class LineFormatter(logging.Formatter):
    """Text from outside cannot make a line that looks like one of the log: further lines of a message are marked."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        first, *more = record.message.split("\n")
        shown = "\n".join([visible(first), *map(_marked, more)])
        return super().formatMessage(logging.makeLogRecord({**record.__dict__, "message": shown}))

    def formatException(self, ei: _ExceptionInfo) -> str:
        return "\n".join(map(_marked, super().formatException(ei).split("\n")))

    def formatStack(self, stack_info: str) -> str:
        return "\n".join(map(_marked, super().formatStack(stack_info).split("\n")))


_ExceptionInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def _marked(line: str) -> str:
    return f"  | {visible(line)}"
