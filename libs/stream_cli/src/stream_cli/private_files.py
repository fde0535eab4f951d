"""Files and folders that only their owner can read, and that nobody else has put in their place.

A state folder may lie where others can write, such as /tmp. So what is there is looked at before it is used, as it was
opened and not by its name: symbolic links are not followed, and what belongs to another user, has a second name (a hard
link) or is no ordinary file is refused. What is made has its mode from the first moment, whatever the umask.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from stream_cli.errors import CommandError

UMASK = 0o077
_FOLDER, _FILE = 0o700, 0o600
_OF_OTHERS = 0o077
_DO = "Look at what it is and remove it, or name another folder with --state."


class NotPrivate(CommandError):
    """Something else is in the place of a file or folder of this user; the text says what, and what to do."""


def make_folder(path: Path) -> None:
    """Make a folder, and the missing ones above it, that only this user may enter; one that is there must be theirs.

    Raises:
        NotPrivate: something else is there, or others can replace it.
    """
    if not os.path.lexists(path.parent):
        make_folder(path.parent)
    try:
        path.mkdir(_FOLDER)
    except FileExistsError:
        check_folder(path)
    else:
        check_folder(path)
        path.chmod(_FOLDER)  # an umask may have taken away too much


def check_folder(path: Path) -> None:
    """Check that a folder is one of this user, and that nobody else can put another in its place.

    Raises:
        NotPrivate: it is not.
        FileNotFoundError: nothing is there.
    """
    found = path.lstat()
    _refuse_foreign(path, found, "a folder", stat.S_ISDIR)
    for above in (path, *path.absolute().parents):
        mode = above.stat().st_mode
        # In a folder with the sticky bit, such as /tmp, only the owner of an entry may replace it.
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise NotPrivate(
                f"Every user of this machine can replace what is in {above}. Take that right away (chmod o-w {above}), "
                "or name another folder with --state."
            )


def close_folder(path: Path) -> None:
    """Take all rights to a folder away from other users; it must be this user's.

    Raises:
        NotPrivate: it is not.
    """
    check_folder(path)
    if path.lstat().st_mode & _OF_OTHERS:
        path.chmod(_FOLDER)


def is_open_to_others(path: Path) -> bool:
    """Whether other users have any right to a folder or file."""
    return bool(path.lstat().st_mode & _OF_OTHERS)


def check_file(path: Path) -> None:
    """Check that there is a file of this user at a path, or nothing.

    Raises:
        NotPrivate: something else is there.
    """
    with contextlib.suppress(FileNotFoundError):
        _refuse_foreign(path, path.lstat(), "a file", stat.S_ISREG)


def open_file(path: Path, flags: int) -> int:
    """Open a file of this user, with `flags` of `os.open`, and give its descriptor; `O_TRUNC` empties it at last.

    Raises:
        NotPrivate: something else is there.
        FileNotFoundError: nothing is there, and `flags` do not say to create it.
    """
    emptied = flags & os.O_TRUNC
    # Without O_NONBLOCK, opening a FIFO would wait for its other end.
    wanted = (flags & ~os.O_TRUNC) | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, wanted, _FILE)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR, errno.EMLINK):
            check_file(path)
        raise
    try:
        found = os.fstat(descriptor)
        _refuse_foreign(path, found, "a file", stat.S_ISREG)
        if stat.S_IMODE(found.st_mode) != _FILE:
            os.fchmod(descriptor, _FILE)
        if emptied:
            os.ftruncate(descriptor, 0)
        os.set_blocking(descriptor, True)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def open_to_append(path: Path, *, emptied: bool = False) -> IO[bytes]:
    """Open a file of this user, such as a log, to write at its end; raises as `open_file` does."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (os.O_TRUNC if emptied else 0)
    return os.fdopen(open_file(path, flags), "ab")


def read(path: Path) -> str:
    """The text of a file of this user; raises as `open_file` does."""
    with os.fdopen(open_file(path, os.O_RDONLY), encoding="utf-8") as file:
        return file.read()


def write(path: Path, content: bytes) -> None:
    """Write a file, and its folder if needed, such that readers see the old or the new content, never a part.

    Raises:
        NotPrivate: something else is there.
    """
    if not path.parent.exists():
        make_folder(path.parent)
    check_file(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, _FILE)
            file.write(content)
        os.replace(temporary, path)  # of a link that came meanwhile, it replaces the link
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


@contextlib.contextmanager
def private_umask() -> Iterator[None]:
    """What this process makes inside is its user's alone; for code that sets no modes, in a single thread."""
    before = os.umask(UMASK)
    try:
        yield
    finally:
        os.umask(before)


def _refuse_foreign(path: Path, found: os.stat_result, what: str, is_what: Callable[[int], bool]) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise NotPrivate(f"{path} is a symbolic link, where {what} of yours must be. {_DO}")
    if not is_what(found.st_mode):
        raise NotPrivate(f"{path} is not {what}. {_DO}")
    if found.st_uid != os.geteuid():
        raise NotPrivate(f"{path} belongs to another user ({_name_of(found.st_uid)}). {_DO}")
    if stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
        raise NotPrivate(f"{path} is a hard link: the same file has another name elsewhere. {_DO}")


def _name_of(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
