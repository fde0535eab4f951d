"""What has changed in a service's folder, and what that asks for.

The files are compared with those that run, so it does not matter how an editor writes: over a file, by a rename,
through temporary files, or several files at once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from stream_cli.checks.service.globs import file_glob
from stream_cli.deployment.inputs import GENERATED, is_for_the_cli
from stream_cli.deployment.services import read_configuration
from stream_cli.local.deployed import is_beside_code

_NOT_DEPLOYED = frozenset({"requirements-dev.txt", "package-lock.json"})
_REQUIREMENTS = frozenset({"Pipfile.lock", "Pipfile", "poetry.lock", "pyproject.toml", "requirements.txt", "uv.lock"})
_DOTENV = ".env"
_INCLUDES = re.compile(r"\bfile\(([^():$]+)\)")

_LARGE = 4 * 1024 * 1024

Contents = Mapping[str, bytes]
"""The contents of a service's files, by their paths in its folder; of large ones only size and time."""


@dataclass(frozen=True)
class Change:
    """What differs from what runs, by paths in the service's folder.

    Attributes:
        code: Python files that packages hold; those of `removed` are gone.
        requirements: files that say what is installed into packages.
        template: what the Serverless CLI reads, files that are included from elsewhere among it.
        tests: tests and what they use.
    """

    code: frozenset[str] = frozenset()
    removed: frozenset[str] = frozenset()
    requirements: frozenset[str] = frozenset()
    template: frozenset[str] = frozenset()
    tests: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.code or self.requirements or self.template or self.tests)

    @property
    def needs_deployment(self) -> bool:
        """Whether CloudFormation has to deploy it."""
        return bool(self.requirements or self.template)


def contents_of(service: Path) -> dict[str, bytes]:
    """What is in the files of a service, and in those that its configuration includes from elsewhere."""
    found: dict[str, bytes] = {}
    for path in _files_below(service):
        _read_into(found, path, path.relative_to(service).as_posix())
    for path in included_elsewhere(service, found):
        _read_into(found, path, os.path.relpath(path, service))
    return found


def included_elsewhere(service: Path, contents: Contents) -> list[Path]:
    """The files outside its folder that a service's configuration names with `${file(...)}`."""
    read = {
        match.strip()
        for name, content in contents.items()
        if is_for_the_cli(Path(name), name)
        for match in _INCLUDES.findall(content.decode(errors="replace"))
    }
    paths = sorted({Path(os.path.normpath(service / each)) for each in read})
    return [each for each in paths if each.is_file() and not each.is_relative_to(service)]


def change_between(service: Path, before: Contents, now: Contents) -> Change:
    """What differs between two contents of a service, as far as it matters to what is deployed, or to its tests."""
    differ = {name for name in before.keys() | now.keys() if before.get(name) != now.get(name)}
    packaged = _Packaged(service)
    code = {name for name in differ if packaged.holds(name)}
    tests = {name for name in differ if name.startswith("tests/")}
    rest = {name for name in differ - code - tests if _is_deployed(name)}
    requirements = {name for name in rest if Path(name).name in _REQUIREMENTS}
    return Change(
        frozenset(code),
        frozenset(code - now.keys()),
        frozenset(requirements),
        frozenset(rest - requirements),
        frozenset(tests),
    )


def _is_deployed(name: str) -> bool:
    path = Path(name)
    if is_beside_code(name) or path.name in _NOT_DEPLOYED:
        return False
    return is_for_the_cli(path, name) or path.name.startswith(_DOTENV) or path.suffix == ".py"


class _Packaged:
    """Which Python files packages hold, by `package.patterns`; where only the CLI can tell, none is known to be."""

    def __init__(self, service: Path) -> None:
        configuration = read_configuration(service)
        package = configuration.get("package")
        patterns = package.get("patterns") if isinstance(package, dict) else None
        functions = configuration.get("functions")
        alone = isinstance(functions, dict) and any(
            isinstance(each, dict) and "package" in each for each in functions.values()
        )
        written = patterns if isinstance(patterns, list) else []
        self._known = bool(written) and not alone and all(isinstance(each, str) and "$" not in each for each in written)
        self._patterns = [
            (not each.startswith("!"), file_glob(each.removeprefix("!"))) for each in (written if self._known else [])
        ]

    def holds(self, name: str) -> bool:
        if not self._known or not name.endswith(".py"):
            return False
        decisive = [takes for takes, pattern in self._patterns if pattern.fullmatch(name)]
        return bool(decisive) and decisive[-1]


def _files_below(service: Path) -> Iterator[Path]:
    for above, folders, names in os.walk(service):
        folders[:] = sorted(each for each in folders if not each.startswith(".") and each not in _ASIDE)
        for name in sorted(names):
            if name.startswith(_DOTENV) or not is_of_an_editor(name):
                yield Path(above, name)


_ASIDE = GENERATED | {"node_modules"}


def is_of_an_editor(name: str) -> bool:
    """Whether a file is an editor's own: a swap file, a backup, a lock, or one that it will rename."""
    return name.startswith((".", "#")) or name.endswith(("~", ".swp", ".tmp", "___jb_tmp___", "___jb_old___"))


def _read_into(found: dict[str, bytes], path: Path, name: str) -> None:
    try:
        status = path.stat()
        large = status.st_size > _LARGE
        found[name] = f"{status.st_size} {status.st_mtime_ns}".encode() if large else path.read_bytes()
    except OSError:
        return  # gone again, as a temporary file; or no file
