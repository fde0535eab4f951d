"""Tells when something in the folders of services changes."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from types import TracebackType

from watchfiles import Change, watch

from stream_cli.deployment.inputs import GENERATED

QUIET_MS = 50
"""What is saved with no more than this between two files is one change."""

_LONGEST_MS = 1_000
_LOOK_MS = 250
_ASIDE = GENERATED | {"node_modules", ".build"}


class Watcher:
    """Watches folders on a thread of its own, as a context manager; what happens while nobody looks is kept.

    Attributes:
        elsewhere: files that services include from outside their folders; they are looked at several times a second.
    """

    def __init__(self, services: Iterable[Path]) -> None:
        self.elsewhere: Collection[Path] = ()
        self._services = list(services)
        self._told: queue.SimpleQueue[tuple[float, set[Path]]] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def changed(self, timeout_s: float) -> tuple[float, set[Path]] | None:
        """The services in whose folders something has changed since the last time, and when that began to be told.

        All of them come once when watching has begun. None if nothing changes in time.
        """
        try:
            at, services = self._told.get(timeout=timeout_s)
        except queue.Empty:
            return None
        for _, more in self._waiting():
            services |= more
        return at, services

    def _waiting(self) -> Iterator[tuple[float, set[Path]]]:
        while True:
            try:
                yield self._told.get_nowait()
            except queue.Empty:
                return

    def _watch(self) -> None:
        polling = False
        while not self._stop.is_set():
            if None in _identities(self._services).values():
                self._stop.wait(_LOOK_MS / 1000)
                continue
            try:
                self._follow(polling=polling)
            except FileNotFoundError:  # a folder has just gone
                continue
            except OSError:  # the kernel watches no more folders for this user
                if polling:
                    raise
                polling = True

    def _follow(self, *, polling: bool) -> None:
        """Watch until it is stopped, or a folder is gone or another one: the kernel tells nothing of the new one."""
        begun = False
        folders = _identities(self._services)
        stamps = _stamps(self.elsewhere)
        for changes in watch(
            *self._services,
            watch_filter=self._matters,
            debounce=_LONGEST_MS,
            step=QUIET_MS,
            stop_event=self._stop,
            rust_timeout=_LOOK_MS,
            yield_on_timeout=True,
            force_polling=polling or None,
            raise_interrupt=False,
        ):
            before, stamps = stamps, _stamps(self.elsewhere)
            all_may_differ = not begun or any(before.get(path, stamp) != stamp for path, stamp in stamps.items())
            gone = any(change is Change.deleted and Path(path) in folders for change, path in changes)
            gone = gone or _identities(self._services) != folders
            all_may_differ = all_may_differ or gone
            services = set(self._services) if all_may_differ else self._of(Path(path) for _, path in changes)
            begun = True
            if services:
                self._told.put((time.monotonic(), services))
            if gone:
                return

    def _matters(self, change: Change, path: str) -> bool:
        return not _ASIDE.intersection(Path(path).parts[self._depth(Path(path)) :])

    def _depth(self, path: Path) -> int:
        return max((len(each.parts) for each in self._services if path.is_relative_to(each)), default=0)

    def _of(self, paths: Iterable[Path]) -> set[Path]:
        return {each for path in paths for each in self._services if path.is_relative_to(each)}


def _identities(folders: Iterable[Path]) -> dict[Path, tuple[int, int] | None]:
    """What tells a folder from another one in its place; None for one that is not there."""
    found: dict[Path, tuple[int, int] | None] = {}
    for path in folders:
        try:
            status = path.stat()
        except OSError:
            found[path] = None
        else:
            found[path] = (status.st_dev, status.st_ino)
    return found


def _stamps(files: Iterable[Path]) -> dict[Path, tuple[int, int] | None]:
    """Sizes and times of files; None for one that is not there."""
    found: dict[Path, tuple[int, int] | None] = {}
    for path in files:
        try:
            status = path.stat()
        except OSError:
            found[path] = None
        else:
            found[path] = (status.st_size, status.st_mtime_ns)
    return found
