"""Runs pip for the packaging plugin, once for the same: what it has installed is kept, and copied the next time.

    python -P -m stream_cli.deployment.installs FOLDER PYTHON -m pip install ... -t TARGET -r TARGET/requirements.txt

This is for pip that installs named wheels of a local folder: then a key can hold all that it depends on. With anything
else, such as an index or an option that is not known here, pip runs each time.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from stream_cli import private_files
from stream_cli.deployment import kept
from stream_cli.deployment.fingerprints import content_of, digest_of, pip_of
from stream_cli.deployment.kept import KeptPackages
from stream_cli.private_files import NotPrivate

MAX_INSTALLS = 24
REQUIREMENTS = "requirements.txt"
_FLAGS = frozenset({"--no-compile", "--no-deps"})
_OPTIONS = frozenset({"--abi", "--implementation", "--only-binary", "--platform", "--python-version"})
# Of a pip without an index; or what pip warns of.
_OF_AN_INDEX = {"PIP_CERT", "PIP_DEFAULT_TIMEOUT", "PIP_DISABLE_PIP_VERSION_CHECK", "PIP_PROXY"}
_NO_MATTER = frozenset({*_OF_AN_INDEX, "PIP_NO_WARN_CONFLICTS"})
_READ = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1"}
_WHEELS = "PIP_FIND_LINKS"
_OF_PYTHON = ("LANG", "LC_", "PYTHON")
_NAMED = re.compile(r"[A-Za-z0-9][\w.-]*+\s*+(?:\[[\w.,\s-]*+\]\s*+)?(?:[=<>!~][\w.*+!,\s=<>~-]*+)?(?:;[^@\\$]*+)?")
_COMMENT = re.compile(r"(?:^|\s)#.*")


class Install(NamedTuple):
    """What pip installs into a folder, and the key of all that this depends on."""

    target: Path
    key: str


def install(folder: Path, command: Sequence[str]) -> int:
    """Install as a command of pip does, or copy what it has installed before; returns pip's exit code.

    Args:
        folder: where it is kept.
        command: of pip, with the Python that runs it.
    """
    wanted = install_of(command)
    if wanted is None:
        return _run(command)
    try:
        installs = KeptPackages(folder, max_entries=MAX_INSTALLS)
        # Two that want the same install once. There are sixteen locks, whatever the number of keys.
        lock = private_files.open_file(folder / f".lock-{wanted.key[0]}", os.O_RDWR | os.O_CREAT)
    except (NotPrivate, OSError):
        return _run(command)
    with os.fdopen(lock, "rb"):
        fcntl.flock(lock, fcntl.LOCK_EX)
        if installs.take(wanted.key, wanted.target, with_modes=True) is not None:
            return 0
        code = _run(command, folder)
        if code == 0 and install_of(command, again=True) == wanted:
            installs.keep(wanted.key, wanted.target, without=frozenset({REQUIREMENTS}))
        return code


def install_of(command: Sequence[str], *, again: bool = False) -> Install | None:
    """What a command of pip installs; None where that may depend on more than a key can hold.

    Args:
        again: whether the folder may hold what pip has installed.
    """
    python, *words = command
    if words[:3] != ["-m", "pip", "install"]:
        return None
    arguments, folder, requirements = [], "", ""
    rest = iter(words[3:])
    for each in rest:
        option, _, value = each.partition("=")
        if each in _FLAGS:
            arguments.append(each)
        elif option in _OPTIONS:
            arguments.append(f"{option}={value or next(rest, '')}")
        elif each == "-t":
            folder = next(rest, "")
        elif each == "-r":
            requirements = next(rest, "")
        else:
            return None
    target = Path(folder)
    if not folder or Path(requirements) != target / REQUIREMENTS:
        return None
    if not again and os.listdir(target) != [REQUIREMENTS]:
        return None
    named = _names_in(target / REQUIREMENTS)
    wheels = _wheels()
    if named is None or wheels is None:
        return None
    mask = os.umask(0)
    os.umask(mask)
    libc = os.confstr("CS_GNU_LIBC_VERSION") if "CS_GNU_LIBC_VERSION" in os.confstr_names else None
    depends = [
        [python, arguments, named, content_of(wheels), pip_of(Path(python))],
        [list(os.uname()), libc, mask],
        sorted((name, value) for name, value in os.environ.items() if name.startswith(_OF_PYTHON)),
        content_of(Path(str(module)) for module in (__file__, kept.__file__)),
    ]
    return Install(target, digest_of(depends))


def _names_in(requirements: Path) -> list[str] | None:
    """The lines of a file of requirements, where each is a name with a version at most."""
    lines = [_COMMENT.sub("", each).strip() for each in requirements.read_text(encoding="utf-8").splitlines()]
    named = [each for each in lines if each]
    if not all(_NAMED.fullmatch(each) and not os.path.lexists(each) for each in named):
        return None
    return named


def _wheels() -> list[Path] | None:
    """The wheels that pip may install, where its settings say that there are no others."""
    settings = {name: value for name, value in os.environ.items() if name.startswith("PIP_") and name not in _NO_MATTER}
    address = urlsplit(settings.pop(_WHEELS, ""))
    if settings != _READ or address.scheme != "file" or address.netloc or address.query or address.fragment:
        return None
    files = [each for each in Path(unquote(address.path)).iterdir() if not each.name.startswith(".")]
    return files if all(each.suffix == ".whl" and each.is_file() for each in files) else None


def _run(command: Sequence[str], folder: Path | None = None) -> int:
    """Run pip as the plugin does, which asks it first whether it is one of Debian's with an option of its own.

    Args:
        folder: where its answer is kept, for the same pip.
    """
    kept_in = folder and folder / f".options-{digest_of([command[0], pip_of(Path(command[0]))])}"
    options = None
    with contextlib.suppress(OSError, NotPrivate):
        options = private_files.read(kept_in).split() if kept_in else None
    if options is None:
        told = subprocess.run([*command[:3], "help", "install"], stdout=subprocess.PIPE, check=False)
        if told.returncode != 0:
            return told.returncode
        options = ["--system"] if b"--system" in told.stdout else []
        with contextlib.suppress(OSError, NotPrivate):
            if kept_in:
                private_files.write(kept_in, " ".join(options).encode())
    return subprocess.run([*command, *options], check=False).returncode


if __name__ == "__main__":
    sys.exit(install(Path(sys.argv[1]), sys.argv[2:]))
