"""The end of a log, to show with an error."""

from __future__ import annotations

import os
from pathlib import Path

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
