"""Runs work in parallel and keeps the order of each key: units that share a key run one after the other."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextvars import copy_context
from typing import TYPE_CHECKING

from stream_runtime.tracing import carried

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

_IO_THREADS = 64
_io_pool: ThreadPoolExecutor | None = None
_pool_lock = threading.Lock()


def _pool() -> ThreadPoolExecutor:
    global _io_pool
    if _io_pool is None:
        with _pool_lock:
            if _io_pool is None:
                from concurrent.futures import ThreadPoolExecutor  # a batch of one record needs no threads

                _io_pool = ThreadPoolExecutor(_IO_THREADS, thread_name_prefix="stream-io")
    return _io_pool


def in_key_order(
    keys: Sequence[Iterable[Hashable]],
    work: Callable[[int], None],
    parallel: int,
) -> None:
    """Run ``work(0) ... work(n - 1)``, at most ``parallel`` at once, in order wherever two of them share a key.

    The calling thread works too: a single unit needs no other thread, and progress never depends on a free one.

    Args:
        keys: for each unit, the keys whose order it keeps.
        work: does unit i, and handles its own failures.
        parallel: how many run at once.

    Raises:
        Exception: what ``work`` raised, once the units that had started have ended. No further unit starts.
    """
    count = len(keys)
    workers = min(parallel, count)
    if workers <= 1:
        for index in range(count):
            work(index)
        return
    _Schedule(keys, carried(work)).run(workers)


class _Schedule:
    """Which units are ready, and which wait for an earlier one with the same key."""

    def __init__(self, keys: Sequence[Iterable[Hashable]], work: Callable[[int], None]) -> None:
        self._work = work
        self._left = len(keys)
        self._waits_for = [0] * len(keys)
        self._followers: dict[int, list[int]] = {}
        self._ready: deque[int] = deque()
        self._changed = threading.Condition(threading.Lock())
        self._error: BaseException | None = None
        last_with: dict[Hashable, int] = {}
        for index, unit_keys in enumerate(keys):
            before = set()
            for key in unit_keys:
                if key in last_with:
                    before.add(last_with[key])
                last_with[key] = index
            for other in before:
                self._followers.setdefault(other, []).append(index)
            self._waits_for[index] = len(before)
            if not before:
                self._ready.append(index)

    def run(self, workers: int) -> None:
        helpers: list[Future[None]] = [_pool().submit(copy_context().run, self._worker) for _ in range(workers - 1)]
        self._worker()
        for helper in helpers:
            if not helper.cancel():
                helper.result()
        if self._error is not None:
            raise self._error

    def _worker(self) -> None:
        while (index := self._take()) is not None:
            try:
                self._work(index)
            except BaseException as error:
                with self._changed:
                    self._error = self._error or error
                    self._changed.notify_all()
                return
            self._done(index)

    def _take(self) -> int | None:
        with self._changed:
            while not self._ready and self._left and self._error is None:
                self._changed.wait()
            if self._error is not None or not self._ready:
                return None
            self._left -= 1
            return self._ready.popleft()

    def _done(self, index: int) -> None:
        followers = self._followers.get(index)
        if followers is None and self._left:
            return
        with self._changed:
            for follower in followers or ():
                self._waits_for[follower] -= 1
                if not self._waits_for[follower]:
                    self._ready.append(follower)
            self._changed.notify_all()
