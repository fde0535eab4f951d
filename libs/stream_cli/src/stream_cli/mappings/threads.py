"""Daemon threads, so that Ctrl-C does not wait for an invocation, which may take 15 minutes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable


class DaemonPool:
    """Runs each task at once, on an idle daemon thread or a new one."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._tasks: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._idle = 0
        self._started = 0
        self._lock = threading.Lock()

    def run(self, task: Callable[[], None]) -> None:
        """Start a task. An exception ends its thread, with a traceback on stderr."""
        with self._lock:
            if self._idle:
                self._idle -= 1
            else:
                self._started += 1
                threading.Thread(target=self._work, name=f"{self._name}-{self._started}", daemon=True).start()
        self._tasks.put(task)

    def _work(self) -> None:
        while True:
            task = self._tasks.get()
            task()
            with self._lock:
                self._idle += 1
