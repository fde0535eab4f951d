"""Which files of a service `check --watch` waits for."""

from __future__ import annotations

from pathlib import Path

from watchfiles import Change

from stream_cli.deployment.inputs import GENERATED

_NOT_WATCHED = GENERATED | {".build", ".streamctl", "node_modules"}


def is_watched(change: Change, path: str) -> bool:
    """Whether a change of a file counts: not in what tools write, and not of an editor's own files."""
    parts = Path(path).parts
    return not _NOT_WATCHED.intersection(parts) and not parts[-1].startswith(".") and not path.endswith(("~", ".pyc"))
