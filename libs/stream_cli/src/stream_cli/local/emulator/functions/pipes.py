"""The three pipes between the emulator and the process of a function: requests, responses and the log."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import time
from collections.abc import Callable
from typing import Any

from stream_cli.local.emulator.functions.bootstrap import FRAME

_LOOK_S = 0.1
"""Seconds between two looks whether the process still runs: its children may hold the pipes open."""

_PIPE_BYTES = 1 << 18
_READ_BYTES = 1 << 16

LOG_BYTES = 1 << 22
LOG_LINES = 100_000
"""What is kept of the log of one invocation, its end: a function may print for as long as it runs."""


class ProcessEnded(Exception):
    """The process has ended, so it does not answer."""


class OutOfTime(Exception):
    """The process has not answered in time."""


class Pipes:
    """This side's ends, and until `close_theirs` the other side's.

    One thread at a time uses them. It writes the request, and reads log and response, whichever can be had: a function
    that prints much is not held up by a full pipe, and nothing waits for lines that may not come.
    """

    def __init__(self) -> None:
        """Make the pipes; ``theirs`` are for the process: requests to read, responses and log to write."""
        request, self._requests = os.pipe()
        self._responses, response = os.pipe()
        self._log, log = os.pipe()
        self.theirs = (request, response, log)
        self._logged = bytearray()
        self._left_out, self._full = 0, False
        for end in (self._requests, self._responses, self._log):
            os.set_blocking(end, False)
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            # Where the user's pipes hold as much as they may, a small one does, too: it is written in parts.
            with contextlib.suppress(PermissionError):
                fcntl.fcntl(self._requests, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def close_theirs(self) -> None:
        """Close the ends of the process, which has its own copies."""
        for end in self.theirs:
            os.close(end)

    def close(self) -> None:
        """Close this side's ends."""
        for end in (self._requests, self._responses, self._log):
            os.close(end)

    def exchange(
        self, request: bytes, runs: Callable[[], bool], deadline: float, mark: bytes = b""
    ) -> tuple[dict[str, Any], bytes]:
        """Write a frame; returns the header and the payload of the one that answers it.

        Args:
            request: the frame.
            runs: whether the process still runs.
            deadline: on the monotonic clock.
            mark: what ends the log of this exchange, if anything does.

        Raises:
            ProcessEnded: the process has ended without an answer.
            OutOfTime: there is no answer by the deadline.
        """
        poller = select.poll()
        poller.register(self._requests, select.POLLOUT)
        poller.register(self._responses, select.POLLIN)
        poller.register(self._log, select.POLLIN)
        unsent, response = memoryview(request), bytearray()
        while (left := deadline - time.monotonic()) > 0:
            ready = poller.poll(min(left, _LOOK_S) * 1000)
            if not ready and not runs():
                raise ProcessEnded
            for end, _ in ready:
                if end == self._requests:
                    try:
                        unsent = unsent[os.write(end, unsent) :]
                    except BrokenPipeError:
                        raise ProcessEnded from None
                    if not unsent:
                        poller.unregister(end)
                elif chunk := os.read(end, _READ_BYTES):
                    if end == self._log:
                        self._keep(chunk, mark)
                    else:
                        response += chunk
                elif end == self._log:
                    poller.unregister(end)  # the function has closed its standard output
                else:
                    raise ProcessEnded
            if (answer := _unframed(response)) is not None:
                return answer
        raise OutOfTime

    def take_log(self, mark: bytes = b"") -> list[str]:
        """The lines up to a mark, which is in the pipe already; without one, all that the process has left there."""
        begin, end = 0, -1
        most = len(self._logged) + _capacity(self._log)  # children of the process may write for ever
        while not mark or (end := self._logged.find(mark, begin)) < 0:
            if len(self._logged) >= most:
                break
            begin = max(0, len(self._logged) - len(mark))
            try:
                chunk = os.read(self._log, _READ_BYTES)
            except BlockingIOError:
                break
            if not chunk:
                break
            self._logged += chunk
        text = self._logged if end < 0 else self._logged[:end]
        self._logged = bytearray() if end < 0 else self._logged[end + len(mark) :]
        left_out, self._left_out, self._full = self._left_out, 0, False
        return _last_lines(text, left_out)

    def _keep(self, chunk: bytes, mark: bytes) -> None:
        """Add to the log. Of one that is too long, what comes first is left out; after the mark, what comes last."""
        if self._full:
            return
        self._logged += chunk
        if len(self._logged) > 2 * LOG_BYTES:
            self._full = bool(mark) and mark in self._logged
            if not self._full:
                self._left_out += len(self._logged) - LOG_BYTES
                del self._logged[:-LOG_BYTES]


def _last_lines(text: bytearray, left_out: int) -> list[str]:
    """The lines of a text, or the last of them and a line that says so."""
    left_out += max(0, len(text) - LOG_BYTES)
    lines = text[-LOG_BYTES:].decode("utf-8", "replace").split("\n")
    if not lines[-1]:
        lines.pop()
    if left_out or len(lines) > LOG_LINES:
        most = f"{LOG_BYTES >> 20} MB and {LOG_LINES} lines"
        lines = [f"The local cloud keeps the last {most} of an invocation's log.", *lines[-LOG_LINES:]]
    return lines


def _capacity(pipe: int) -> int:
    """How many bytes a pipe holds at most."""
    return fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ) if hasattr(fcntl, "F_GETPIPE_SZ") else _READ_BYTES


def _unframed(received: bytearray) -> tuple[dict[str, Any], bytes] | None:
    """The header and the payload of a frame, once it is complete."""
    if len(received) < 2 * FRAME:
        return None
    head, body = int.from_bytes(received[:FRAME], "big"), int.from_bytes(received[FRAME : 2 * FRAME], "big")
    begin = 2 * FRAME + head
    if len(received) < begin + body:
        return None
    return json.loads(received[2 * FRAME : begin]), bytes(received[begin : begin + body])
