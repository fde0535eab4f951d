"""The last plan of a stage, kept below `.build` of the repository, for whoever shows it later."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stream_cli.checks import kept
from stream_cli.deployment.fingerprints import digest_of
from stream_cli.deployment.services import services_below


def keep(services: Path, content: Mapping[str, Any]) -> None:
    """Keep a plan of services below a folder, with the time (ms); where that fails, nothing is kept."""
    folder = _folder(services)
    if folder is not None:
        kept.keep(folder, _key(services), {"at": time.time_ns() // 1_000_000, "plan": dict(content)})


def last(services: Path) -> Mapping[str, Any] | None:
    """The last plan of services below a folder, as ``plan``, with when it was made (``at``); None if there is none."""
    folder = _folder(services)
    found = kept.take(folder, _key(services)) if folder is not None else None
    return found if isinstance(found, Mapping) else None


def _folder(services: Path) -> Path | None:
    below = services_below(services)
    folder = kept.folder_of(below[0]) if below else None
    return folder / "plans" if folder is not None else None


def _key(services: Path) -> str:
    return digest_of(str(services.resolve()))
