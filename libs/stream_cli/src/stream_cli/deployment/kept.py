"""Packages that were made before, kept by the key of their inputs, below `.build` of the repository.

An entry appears whole, in one rename, and is used only if every file of it is as it was written: a process that was
killed, or two at once, leave nothing that is taken for a package. The oldest entries go when there are too many.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from stream_cli import private_files
from stream_cli.private_files import NotPrivate

MAX_ENTRIES = 96
MAX_BYTES = 512 * 1024 * 1024
_MANIFEST = "kept.json"
_UNFINISHED = "."
_UNFINISHED_S = 3600


class KeptPackages:
    """Packages by key, in a folder that only this user can enter.

    Raises:
        NotPrivate: others can replace what is in the folder.
    """

    def __init__(self, folder: Path, *, max_entries: int | None = None) -> None:
        private_files.make_folder(folder)
        self._folder = folder
        self._max_entries = MAX_ENTRIES if max_entries is None else max_entries

    def take(self, key: str, out: Path, *, with_modes: bool = False) -> datetime | None:
        """Copy the files of an entry into a folder; returns when they were made, or None when there is no entry.

        A damaged entry is removed.

        Args:
            with_modes: whether the files get the modes that they were made with, whatever the umask.
        """
        entry = self._folder / key
        try:
            manifest = json.loads(private_files.read(entry / _MANIFEST))
            contents = {name: (entry / name).read_bytes() for name in manifest["files"]}
            modes = {name: int(manifest["modes"][name]) for name in contents}
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError, KeyError, TypeError, ValueError, NotPrivate):
            self._discard(entry)
            return None
        if any(_digest(content) != manifest["files"][name] for name, content in contents.items()):
            self._discard(entry)
            return None
        for name, content in contents.items():
            target = out / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            if with_modes:
                target.chmod(modes[name])
        _touch(entry)
        return datetime.fromisoformat(manifest["made"])

    def keep(self, key: str, made: Path, *, without: frozenset[str] = frozenset()) -> None:
        """Add the files of a folder, except those at the top that ``without`` names; an entry that is there stays.

        Where that fails, as on a full disk, it says so: the package is good, and is made again the next time.
        """
        try:
            self._keep(key, made, without)
            self._clear_up()
        except OSError as error:
            from stream_cli.terminal.output import say  # which takes a quarter of a second

            say(f"A package could not be kept for the next time: {error}", err=True)

    def _keep(self, key: str, made: Path, without: frozenset[str]) -> None:
        unfinished = Path(tempfile.mkdtemp(dir=self._folder, prefix=f"{_UNFINISHED}new-"))
        try:
            digests, modes = {}, {}
            for path in sorted(made.rglob("*")):
                name = path.relative_to(made)
                if path.is_file() and name.parts[0] not in without:
                    content = path.read_bytes()
                    private_files.write(unfinished / name, content)
                    digests[name.as_posix()] = _digest(content)
                    modes[name.as_posix()] = path.stat().st_mode & 0o777
            made_at = datetime.now(UTC).isoformat(timespec="seconds")
            manifest = {"made": made_at, "files": digests, "modes": modes}
            private_files.write(unfinished / _MANIFEST, json.dumps(manifest).encode())
            unfinished.rename(self._folder / key)
        except OSError as error:
            shutil.rmtree(unfinished, ignore_errors=True)
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise

    def discard(self, key: str) -> None:
        """Remove an entry, if there is one."""
        self._discard(self._folder / key)

    def _discard(self, entry: Path) -> None:
        """Remove an entry in one move, so that nobody sees a part of it."""
        if not os.path.lexists(entry):
            return
        aside = Path(tempfile.mkdtemp(dir=self._folder, prefix=f"{_UNFINISHED}old-"))
        try:
            entry.rename(aside / entry.name)
        except FileNotFoundError:
            pass
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def _clear_up(self) -> None:
        """Remove what was used longest ago until the rest is within the limits, and what killed processes have left."""
        entries = []
        for each in self._folder.iterdir():
            try:
                used = each.stat().st_mtime
                size = sum(path.stat().st_size for path in each.rglob("*"))
            except FileNotFoundError:
                continue  # another process clears up, too
            if not each.name.startswith(_UNFINISHED):
                entries.append((used, size, each))
            elif used < time.time() - _UNFINISHED_S:
                shutil.rmtree(each, ignore_errors=True)
        entries.sort(reverse=True)
        held = 0
        for number, (_, size, entry) in enumerate(entries):
            held += size
            if number >= self._max_entries or held > MAX_BYTES:
                self._discard(entry)


def _touch(entry: Path) -> None:
    try:
        os.utime(entry)
    except OSError:
        return  # another process has cleared it away, or nothing can be written; the files were copied before


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
