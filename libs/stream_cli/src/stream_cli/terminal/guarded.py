"""Streams that show control characters: whatever a process writes to stdout or stderr cannot act on a terminal.

Commands print through `output`. This is for all else: warnings, tracebacks, the lines of other packages.
"""

from __future__ import annotations

import io
import sys
from typing import TextIO

from stream_runtime.payload.visible import visible


def guard_output() -> None:
    """From now on, show control characters of all that this process writes to stdout and stderr, but line ends."""
    if not isinstance(sys.stdout, _Guard):
        sys.stdout = _Guard(sys.stdout)
    if not isinstance(sys.stderr, _Guard):
        sys.stderr = _Guard(sys.stderr)


class _Guard(io.TextIOBase):
    """A stream of text that shows control characters. It has no ``buffer``, since bytes would pass it."""

    def __init__(self, beneath: TextIO) -> None:
        self.rich_proxied_file = beneath  # Where the consoles of rich write, as typer's for its help.

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self.rich_proxied_file.write(visible_lines(text))
        return len(text)

    def flush(self) -> None:
        self.rich_proxied_file.flush()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self.rich_proxied_file.isatty()

    def fileno(self) -> int:
        return self.rich_proxied_file.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.rich_proxied_file.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return self.rich_proxied_file.errors


def beneath(stream: TextIO) -> TextIO:
    """The stream below guards and below the proxy that a live display of rich puts over it."""
    while (below := getattr(stream, "rich_proxied_file", None)) is not None:
        stream = below
    return stream


def visible_lines(text: str) -> str:
    """A text in which only line ends act on a terminal."""
    return "\n".join(map(visible, text.split("\n")))
