"""Packages of functions and layers, unpacked once for all processes that run them.

A folder is named by the content of its package. A file that the package has in common with the one before it is linked,
so that its compiled form is still good: a cold start after a deployment compiles only what has changed.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tempfile
import threading
import zipfile
from collections import OrderedDict
from pathlib import Path

_KEPT = 16
"""How many folders are kept that no process runs on."""

_PREFIX = "streamctl-functions-"


def remove_left() -> None:
    """Remove what a process that was killed has left in the folder for temporary files."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        shutil.rmtree(left)


class Packages:
    """Folders with the files of packages. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._root: Path | None = None
        self._users: OrderedDict[str, int] = OrderedDict()  # the one last used at the end
        self._latest: dict[str, Path] = {}

    def take(self, package: bytes, *, of: str) -> Path:
        """The folder of a package, which the caller gives back with `release`.

        Args:
            package: a zip file.
            of: whose it is; it may have files in common with the one before it of the same function.

        Raises:
            zipfile.BadZipFile: the package is no zip file.
        """
        name = hashlib.sha256(package).hexdigest()
        with self._lock:
            if self._root is None:
                self._root = Path(tempfile.mkdtemp(prefix=_PREFIX))
            folder = self._root / name
            if name not in self._users:
                _unpack(package, folder, self._latest.get(of))
            self._users[name] = self._users.get(name, 0) + 1
            self._users.move_to_end(name)
            self._latest[of] = folder
        return folder

    def release(self, folder: Path) -> None:
        """Say that a process does not run on a folder any more."""
        with self._lock:
            self._users[folder.name] -= 1
            unused = [name for name, users in self._users.items() if not users]
            for name in unused[:-_KEPT]:
                del self._users[name]
                shutil.rmtree(folder.with_name(name))

    def clear(self) -> None:
        """Remove all folders."""
        with self._lock:
            if self._root is not None:
                shutil.rmtree(self._root)
            self._root = None
            self._users.clear()
            self._latest.clear()


def _unpack(package: bytes, folder: Path, like: Path | None) -> None:
    """Write the files of a package, read-only as on AWS; folders take the compiled form of modules."""
    new = f"{folder}.new"
    shutil.rmtree(new, ignore_errors=True)  # of one that could not be unpacked
    linked: dict[str, set[str]] = {}
    with zipfile.ZipFile(io.BytesIO(package)) as archive:
        for member in archive.infolist():
            parts = [part for part in member.filename.split("/") if part not in {"", ".", ".."}]
            if not parts:
                continue
            inner = os.path.join(*(parts if member.is_dir() else parts[:-1]), "")
            os.makedirs(os.path.join(new, inner), exist_ok=True)
            if member.is_dir():
                continue
            target, content = os.path.join(new, inner, parts[-1]), archive.read(member)
            if like is not None and _has(like / inner / parts[-1], content):
                os.link(like / inner / parts[-1], target)
                linked.setdefault(inner, set()).add(parts[-1].removesuffix(".py"))
            else:
                with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o444), "wb") as file:
                    file.write(content)
    if like is not None:
        for inner, modules in linked.items():
            _link_compiled(like / inner / "__pycache__", Path(new, inner, "__pycache__"), modules)
    os.rename(new, folder)


def _has(file: Path, content: bytes) -> bool:
    try:
        return file.stat().st_size == len(content) and file.read_bytes() == content
    except OSError:
        return False


def _link_compiled(there: Path, here: Path, modules: set[str]) -> None:
    """Link the compiled form of modules; it is good as long as their files have the same time and size."""
    if there.is_dir():
        here.mkdir(exist_ok=True)
        for compiled in os.listdir(there):
            if compiled.partition(".")[0] in modules:
                os.link(there / compiled, here / compiled)
