"""Makes stacks of errors at little cost, for histories that have many: as they are, without reading sources again."""

from __future__ import annotations

import functools
import linecache
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

_CARETS = "_extract_caret_anchors_from_line_segment"
_carets = functools.cache(getattr(traceback, _CARETS))
"""CPython's own, since 3.11: it parses the line of each frame."""


@contextmanager
def cheap_stacks() -> Iterator[None]:
    """No source changes meanwhile, and the carets under a line are where they were."""
    unchanged = mock.patch.object(linecache, "checkcache", _nothing_has_changed)
    with unchanged, mock.patch.object(traceback, _CARETS, _carets):
        yield


def _nothing_has_changed(_: str | None = None) -> None:
    """In place of `linecache.checkcache`."""
