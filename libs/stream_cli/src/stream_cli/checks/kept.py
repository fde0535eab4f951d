"""What is known of a service's code, kept by the content that it depends on, below `.build` of the repository."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import platform
import sys
import sysconfig
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from stream_cli import private_files
from stream_cli.deployment.fingerprints import content_of, digest_of
from stream_cli.deployment.inputs import GENERATED
from stream_cli.deployment.serverless import ToolchainMissingError, configuration_of, find_toolchain
from stream_cli.private_files import NotPrivate

MOST = 200
"""Files that are kept; those that were used longest ago go first."""
_NOT_READ = GENERATED | {"node_modules", "tests"}


def key_of(folder: Path, asked: object) -> str:
    """The key of what is asked: with the files of the service, the libraries and the interpreter."""
    files = [(str(each.relative_to(folder)), hashlib.sha256(each.read_bytes()).hexdigest()) for each in _files(folder)]
    return digest_of([str(folder), files, asked, _surroundings()])


def folder_of(service: Path) -> Path | None:
    """The folder for a service; None where nothing can be kept, and for what is no service."""
    if configuration_of(service) is None:
        return None
    try:
        folder = find_toolchain(service).root / ".build" / "checks"
        private_files.make_folder(folder)
    except (NotPrivate, ToolchainMissingError, OSError):
        return None
    return folder


def take(folder: Path, key: str) -> Any:
    """What was kept under a key; None if there is nothing."""
    try:
        found = json.loads(private_files.read(folder / f"{key}.json"))
    except (OSError, ValueError, NotPrivate):
        return None
    with contextlib.suppress(OSError):
        os.utime(folder / f"{key}.json")
    return found


def keep(folder: Path, key: str, found: Any) -> None:
    """Keep something under a key. Where that fails, as on a full disk, it is found again the next time."""
    with contextlib.suppress(OSError, NotPrivate):
        private_files.write(folder / f"{key}.json", json.dumps(found).encode())
        kept = sorted(folder.glob("*.json"), key=lambda each: each.stat().st_mtime, reverse=True)
        for each in kept[MOST:]:
            each.unlink(missing_ok=True)


def _files(folder: Path) -> Iterator[Path]:
    for above, folders, names in os.walk(folder):
        folders[:] = sorted(set(folders) - _NOT_READ)
        yield from (path for name in sorted(names) if (path := Path(above, name)).is_file())


@functools.cache
def _surroundings() -> str:
    """The interpreter, what is installed, and the code of the runtime and of the checks."""
    runtime = find_spec("stream_runtime")
    own = Path(__file__).resolve().parents[1]
    sources = [
        *(Path(runtime.origin).parent.rglob("*.py") if runtime and runtime.origin else ()),
        *(own / "checks").rglob("*.py"),
        *(own / "local" / "emulator" / "dynamodb").glob("*.py"),
    ]
    installed = sorted(each.name for each in Path(sysconfig.get_path("purelib")).glob("*.dist-info"))
    return digest_of([sys.version, platform.machine(), installed, content_of(sources)])
