"""Stacks of errors with the source around each line that they name, from the package that is deployed now."""

from __future__ import annotations

import io
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from stream_cli.errors import CommandError
from stream_cli.faults.secret_text import REDACTED, redacted_text
from stream_cli.trace.deployed import Deployed

_MOST_FRAMES = 60
_AROUND = 4
_LARGEST = 1024 * 1024
_LONGEST_LINE = 400
_PACKAGES = 2
_TASK = "/var/task/"
# Where the local cloud unpacks packages, each in a folder that is named by the digest of the package.
_UNPACKED = "/streamctl-functions-"


class Frame(NamedTuple):
    """A place in a stack; ``quoted`` is the source that the stack has of it, or empty."""

    file: str
    line: int
    name: str
    quoted: str


class DeployedSource:
    """Source files of deployed functions; the packages that were read last are kept."""

    def __init__(self) -> None:
        self._packages: OrderedDict[str, zipfile.ZipFile] = OrderedDict()
        self._lock = threading.Lock()

    def stack(self, deployed: Deployed, function: str, stack: str) -> dict[str, Any]:
        """The places in a stack: ``frames``, those of the function's own code with source lines.

        ``changed`` says whether the source of one of them is another by now, ``problem`` why there is no source.
        """
        found = list(_frames(stack))[-_MOST_FRAMES:]
        configuration = deployed.functions.get(function)
        problem = None
        frames = []
        for frame in found:
            path = in_package(frame.file)
            is_own = path is not None and configuration is not None and _top(path) == _top(configuration["Handler"])
            shown = {"file": path or frame.file, "line": frame.line, "name": frame.name, "own": is_own}
            shown["quoted"] = redacted_text(frame.quoted, "code")
            if path is not None and configuration is not None and is_own and problem is None:
                try:
                    lines = self._lines(deployed, function, configuration, path)
                except (CommandError, OSError, zipfile.BadZipFile) as error:
                    problem = f"The code of {function} cannot be read: {redacted_text(str(error))}"
                else:
                    shown |= _around(lines, frame)
            frames.append(shown)
        if configuration is None and found:
            problem = f"{function} is not deployed now: its source is not known."
        return {"frames": frames, "changed": any(each.get("changed") for each in frames), "problem": problem}

    def _lines(self, deployed: Deployed, function: str, configuration: Mapping[str, Any], path: str) -> list[str]:
        """The lines of a file; none where it is not there, or no source."""
        with self._lock:  # a ZipFile reads for one thread at a time
            key = str(configuration["CodeSha256"])
            if key not in self._packages:
                self._packages[key] = zipfile.ZipFile(io.BytesIO(deployed.apis.code(function)))
            self._packages.move_to_end(key)
            while len(self._packages) > _PACKAGES:
                self._packages.popitem(last=False)
            package = self._packages[key]
            try:
                if package.getinfo(path).file_size > _LARGEST:
                    return []
                return package.read(path).decode().splitlines()
            except (KeyError, UnicodeDecodeError):
                return []


def in_package(file: str) -> str | None:
    """The path of a file in its function's package, on AWS or in the local cloud; None if it is not in one."""
    if file.startswith(_TASK):
        return file.removeprefix(_TASK)
    _, is_here, rest = file.partition(_UNPACKED)
    path = rest.split("/", 2)[2:]
    return path[0] if is_here and path else None


def _frames(stack: str) -> Iterator[Frame]:
    lines = stack.split("\n")
    for number, line in enumerate(lines):
        file, is_place, rest = line.strip().partition('", line ')
        at, _, name = rest.partition(", in ")
        if not (is_place and file.startswith('File "') and at.isdecimal() and len(at) < 8):
            continue
        following = lines[number + 1] if number + 1 < len(lines) else ""
        quoted = following.strip() if following.startswith("    ") else ""
        yield Frame(file.removeprefix('File "'), int(at), name, quoted)


def _around(lines: list[str], frame: Frame) -> dict[str, Any]:
    """The source around a line; ``changed`` if the line is another one than that which the stack has."""
    if frame.line > len(lines):
        return {"changed": bool(frame.quoted)}
    is_known = frame.quoted and REDACTED not in frame.quoted
    first = max(frame.line - _AROUND, 1)
    return {
        "changed": bool(is_known and lines[frame.line - 1].strip() != frame.quoted),
        "first": first,
        "source": [redacted_text(each[:_LONGEST_LINE], "code") for each in lines[first - 1 : frame.line + _AROUND]],
    }


def _top(path: str) -> str:
    """The package or module that a path is in, or that the name of a handler begins with."""
    return path.partition("/")[0].partition(".")[0]
