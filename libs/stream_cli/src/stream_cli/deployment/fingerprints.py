"""What keys are made of: digests of content, and what tells one installed program from another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path


def digest_of(content: object) -> str:
    """The digest of anything that JSON can hold."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def content_of(paths: Iterable[Path]) -> str:
    """The digest of files, their paths and what is in them."""
    return digest_of([(str(path), hashlib.sha256(path.read_bytes()).hexdigest()) for path in sorted(paths)])


def stat_of(path: Path) -> list[object]:
    """The path, size and time of a file that would take long to read."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return [str(path)]
    return [str(path), found.st_size, found.st_mtime_ns]


def pip_of(python: Path) -> list[object]:
    """A Python of a virtual environment, and the version of its pip."""
    environment = python.parent.parent
    return [
        content_of(environment.glob("pyvenv.cfg")),
        sorted(each.name for each in environment.glob("lib/python*/site-packages/pip-*.dist-info")),
        stat_of(python.resolve()),
    ]
