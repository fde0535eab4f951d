"""What serverless-python-requirements leaves out of a package, and what of it the service's own code imports.

This runs in the probe of a handler: libraries are looked for where streamctl runs.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, NamedTuple

from stream_cli.deployment.bytecode import Imports, Wanted

from .globs import file_glob

LAMBDA_HAS = frozenset({"boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six", "urllib3"})
"""Libraries of Lambda's runtime for Python, which a package needs not have."""
_CAUGHT = frozenset({"BaseException", "Exception", "ImportError", "ModuleNotFoundError"})


class Entry(NamedTuple):
    """The line of `custom.pythonRequirements` that leaves a module out."""

    module: str
    option: str
    entry: str


class LeftOut:
    """What is left out of the packages of the service in ``folder`` by its `custom.pythonRequirements`."""

    def __init__(self, requirements: Mapping[str, Any], folder: Path) -> None:
        self._folder = folder
        self._names = frozenset(requirements.get("noDeploy") or ())
        is_slim = str(requirements.get("slim")).lower() == "true"
        patterns = (requirements.get("slimPatterns") or ()) if is_slim else ()
        self._patterns = [(each, file_glob(each)) for each in patterns if isinstance(each, str)]
        self._is_own = cache(self._is_in_folder)
        self.entry_of = cache(self._entry_of)

    def _entry_of(self, module: str) -> Entry | None:
        """The line that leaves out a module or the package that it is in; None if it is not left out."""
        package, _, _ = module.rpartition(".")
        if package:
            found = self.entry_of(package)
            if found is not None:
                return found
        library = module.partition(".")[0]
        if library in LAMBDA_HAS or library in sys.stdlib_module_names or self._is_own(library):
            return None
        if library in self._names:
            return Entry(library, "noDeploy", library)
        start = module.replace(".", "/")
        for path in (start, f"{start}/__init__.py", f"{start}.py"):
            pattern = next((each for each, matches in self._patterns if matches.fullmatch(path)), None)
            if pattern is not None and (home := _home_of(library)) is not None and (home / path).exists():
                return Entry(module, "slimPatterns", pattern)
        return None

    def _is_in_folder(self, library: str) -> bool:
        return (self._folder / library).is_dir() or (self._folder / f"{library}.py").is_file()

    @contextmanager
    def hidden(self) -> Iterator[list[Entry]]:
        """Imports fail as they would in the package; gives what was not found because it is left out."""
        finders = sys.meta_path[:]
        refused: list[Entry] = []
        sys.meta_path[:] = [_InPackage(each, self, refused) for each in finders]
        try:
            yield refused
        finally:
            sys.meta_path[:] = finders

    def imports_of(self, module: str) -> Iterator[tuple[Entry, str, int]]:
        """What the service's own code imports and is left out, with file and line.

        Own code is the module and what it imports from the service's folder, also in functions. What may fail, in a
        `try` with an ``except ImportError``, does not count, nor do imports for type checkers.
        """
        waiting = dict.fromkeys(self._own_files(module))
        for path in (queue := list(waiting)):  # which grows
            imports = _Needed()
            imports.visit(_tree(self._folder / path))
            for each in (*imports.at_start, *imports.later):
                named = _names_of(each, path)
                entry = next((found for name in named if (found := self.entry_of(name)) is not None), None)
                if entry is not None:
                    yield entry, path, each.line
                new = [file for name in named for file in self._own_files(name) if file not in waiting]
                waiting.update(dict.fromkeys(new))
                queue += dict.fromkeys(new)

    def _own_files(self, module: str) -> Iterator[str]:
        parts = module.split(".")
        for end in range(1, len(parts) + 1):
            start = "/".join(parts[:end])
            yield from (each for each in (f"{start}/__init__.py", f"{start}.py") if (self._folder / each).is_file())


class _Needed(Imports):
    """The imports of a module without which it fails."""

    def visit_Try(self, node: ast.Try) -> None:
        may_fail = any(_catches_import_error(each) for each in node.handlers)
        for each in (*(() if may_fail else (*node.body, *node.orelse)), *node.handlers, *node.finalbody):
            self.visit(each)


class _InPackage:
    """A finder that does not find what is left out."""

    def __init__(self, finder: Any, left_out: LeftOut, refused: list[Entry]) -> None:
        self._finder = finder
        self._left_out = left_out
        self._refused = refused

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> Any:
        """The module's spec, None if it is left out."""
        entry = self._left_out.entry_of(name)
        if entry is not None:
            self._refused.append(entry)
            return None
        return self._finder.find_spec(name, path, target)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._finder, name)


def _catches_import_error(handler: ast.ExceptHandler) -> bool:
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(each is None or ast.unparse(each) in _CAUGHT for each in caught)


def _names_of(wanted: Wanted, path: str) -> list[str]:
    module = wanted.absolute(path)
    return [module, f"{module}.{wanted.name}"] if wanted.name else [module]


def _tree(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return ast.Module([], [])  # the import of the handler tells what is wrong


@cache
def _home_of(library: str) -> Path | None:
    """The folder on `sys.path` that a library is in."""
    spec = PathFinder.find_spec(library)
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).parent
    return Path(spec.origin).parent if spec.origin else None
