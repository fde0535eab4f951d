"""What `check` found last in a service, kept below `.build` of the repository, for whoever shows it later."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream_cli.checks import kept
from stream_cli.deployment.fingerprints import digest_of
from stream_cli.deployment.inputs import GENERATED

_NOT_READ = GENERATED | {"node_modules"}


@dataclass(frozen=True)
class LastFindings:
    """What was found, as `check --json` prints it.

    Attributes:
        at: when (ms).
        is_older: whether a file of the service has changed since.
    """

    at: int
    is_older: bool
    findings: Sequence[dict[str, Any]]


def keep(service: Path, stage: str, findings: Sequence[dict[str, Any]], files: str) -> None:
    """Keep what was found in a service whose files were ``files`` (`files_of`); where that fails, nothing is kept."""
    folder = _folder(service)
    if folder is not None:
        content = {"at": time.time_ns() // 1_000_000, "files": files, "findings": list(findings)}
        kept.keep(folder, _key(service, stage), content)


def last(service: Path, stage: str) -> LastFindings | None:
    """What was found last in a service; None if it was not checked yet."""
    folder = _folder(service)
    found = kept.take(folder, _key(service, stage)) if folder is not None else None
    if found is None:
        return None
    return LastFindings(found["at"], found["files"] != files_of(service), found["findings"])


def files_of(service: Path) -> str:
    """A digest of a service's files, fixtures included."""
    return digest_of([[str(each), hashlib.sha256(each.read_bytes()).hexdigest()] for each in _files(service)])


def _folder(service: Path) -> Path | None:
    folder = kept.folder_of(service)
    return folder / "last" if folder is not None else None


def _key(service: Path, stage: str) -> str:
    return digest_of([str(service.resolve()), stage])


def _files(service: Path) -> Iterator[Path]:
    for above, folders, names in os.walk(service.resolve()):
        folders[:] = sorted(set(folders) - _NOT_READ)
        yield from (path for name in sorted(names) if (path := Path(above, name)).is_file())
