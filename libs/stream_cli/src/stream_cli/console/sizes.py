"""How large the packages of deployed functions are: zipped as Lambda says, unzipped as their zip files list it.

A zip file ends with the list of its files. So the end of a package tells how large its files are, and no more is read.
"""

from __future__ import annotations

import io
import threading
import time
import zipfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from stream_cli.errors import CommandError
from stream_cli.journal.unknown import NotKnown, note
from stream_cli.trace.deployed import Apis

ZIPPED, UNZIPPED = 50 * 1024 * 1024, 250 * 1024 * 1024
"""Lambda quotas, "Deployment package (.zip file archive) size": uploaded by its API, and with all layers."""
MOST_AT_ONCE = 20
"""Packages that are read for one answer; others are read for a later one."""

_ENDS = (256 * 1024, 4 * 1024 * 1024)
"""Bytes of the end of a package that are read: so many list about 2,500 files, or 40,000."""
_AGAIN_S = 30.0
_WORKERS = 4


class Sizes:
    """The sizes of functions. The end of each package is read once, as long as it is the same."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._unzipped: dict[str, int | None] = {}
        self._again_at = 0.0
        self._why = ""
        self._guard = threading.Lock()

    def of(self, functions: Mapping[str, Mapping[str, Any]], apis: Apis) -> list[dict[str, Any]]:
        """Each function with the bytes of its package, ``zipped`` and ``unzipped``; None where they are not known."""
        by_digest = {str(each["CodeSha256"]): name for name, each in functions.items() if each.get("CodeSha256")}
        with self._guard:
            self._read({digest: by_digest[digest] for digest in by_digest.keys() - self._unzipped.keys()}, apis)
            if self._why and any(self._unzipped.get(each) is None for each in by_digest):
                note(NotKnown("unzipped sizes", self._why))
            return [
                {
                    "name": name,
                    "zipped": each.get("CodeSize"),
                    "unzipped": self._unzipped.get(each.get("CodeSha256", "")),
                }
                for name, each in sorted(functions.items())
            ]

    def _read(self, names: Mapping[str, str], apis: Apis) -> None:
        if not names or self._clock() < self._again_at:
            return
        chosen = dict(sorted(names.items(), key=lambda each: each[1])[:MOST_AT_ONCE])
        with ThreadPoolExecutor(_WORKERS) as workers:
            found = list(workers.map(lambda name: _read(apis, name), chosen.values()))
        self._why = next((why for _, why in found if why), "")
        if self._why or len(chosen) < len(names):
            self._again_at = self._clock() + _AGAIN_S
        self._unzipped |= {digest: size for digest, (size, why) in zip(chosen, found, strict=True) if not why}


def _read(apis: Apis, function: str) -> tuple[int | None, str]:
    """The size of a function's files, and why it could not be asked."""
    for most in _ENDS:
        try:
            end = apis.end_of_code(function, most)
        except (CommandError, OSError) as error:
            return None, str(error)
        try:
            with zipfile.ZipFile(io.BytesIO(end)) as zipped:
                return sum(each.file_size for each in zipped.infolist()), ""
        except zipfile.BadZipFile:
            continue
    return None, ""
