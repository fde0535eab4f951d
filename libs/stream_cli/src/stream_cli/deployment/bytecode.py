"""Adds compiled modules to a package: those that its functions import, so that cold starts do not compile them.

    python3.14 -I -S bytecode.py PACKAGE.zip python3.14 control/handlers/listener.handler ...

It runs on the functions' own version of Python, which has nothing of stream_cli; it exits with 3 on another version.
"""

import ast
import importlib.util
import marshal
import os
import shutil
import sys
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

STEPS = ((1024 * 1024, 340 * 1024), (3 * 1024 * 1024 - 16 * 1024, 204 * 1024))
"""Sizes in bytes, each with the most that is added: about what functions import of their own and of the runtime.

A package that is smaller than one of these sizes stays so. The limit of `sizes` is 3 MB.
"""
OTHER_VERSION = 3
_CHECKED_HASH = 0b11  # Python compares the hash of the source, so that an edited source counts; file times do not
_HEADERS = 30 + 46  # of an entry, besides its name, which stands there twice


class Wanted(NamedTuple):
    """One name of an import statement; ``name`` is empty for ``import module``."""

    level: int
    module: str
    name: str = ""
    bound: str = ""
    line: int = 0

    def absolute(self, path: str) -> str:
        """The module that is meant, in the module at ``path``."""
        if not self.level:
            return self.module
        above = path.split("/")[: -self.level]
        return ".".join([*above, self.module] if self.module else above)


@dataclass
class Imports(ast.NodeVisitor):
    """The imports of a module: when it is imported, in functions, and for type checkers only."""

    at_start: list[Wanted] = field(default_factory=list)
    later: list[Wanted] = field(default_factory=list)
    for_types: list[Wanted] = field(default_factory=list)
    _found: list[Wanted] | None = None

    def visit_Import(self, node: ast.Import) -> None:
        self._add(Wanted(0, each.name, line=node.lineno) for each in node.names)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        self._add(Wanted(node.level, module, each.name, each.asname or each.name, node.lineno) for each in node.names)

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test).rpartition(".")[2] == "TYPE_CHECKING":
            self._visit(node.body, self.for_types)
            self._visit(node.orelse, self._found)
        else:
            self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._visit(node.body, self.later if self._found is None else self._found)

    visit_AsyncFunctionDef = visit_FunctionDef

    def _visit(self, statements: Iterable[ast.stmt], found: list[Wanted] | None) -> None:
        outer, self._found = self._found, found
        for each in statements:
            self.visit(each)
        self._found = outer

    def _add(self, wanted: Iterable[Wanted]) -> None:
        (self.at_start if self._found is None else self._found).extend(wanted)


class Modules:
    """The modules of a package, by path."""

    def __init__(self, sources: Mapping[str, bytes]) -> None:
        self._sources = sources
        self.imports = cache(self._imports)
        self._names = cache(self._top_level_names)

    def imported_by(self, handlers: Iterable[str]) -> list[str]:
        """What functions import, what most of them need first: at their start, then what they may import when they run.

        An import in a function is followed into its own library only: what it takes from another is an option, such
        as ReactiveX.
        """
        homes = [each.rpartition(".")[0].replace("/", ".") for each in handlers]
        at_start = [self._reached(self._with_packages(home), self._at_start) for home in homes]
        later = [self._reached(paths, lambda path: [*self._at_start(path), *self._later(path)]) for paths in at_start]
        needed = Counter(path for paths in at_start for path in paths)
        maybe = Counter(path for paths in later for path in paths if path not in needed)
        return [path for counted in (needed, maybe) for path, _ in counted.most_common()]

    def _reached(self, start: Iterable[str], imported: Callable[[str], Iterable[str]]) -> list[str]:
        found = dict.fromkeys(start)
        waiting = list(found)
        for path in waiting:  # which grows
            new = [each for each in imported(path) if each not in found]
            found.update(dict.fromkeys(new))
            waiting += dict.fromkeys(new)
        return waiting

    def _at_start(self, path: str) -> Iterator[str]:
        return self._needed(path, self.imports(path).at_start)

    def _later(self, path: str) -> Iterator[str]:
        own = path.partition("/")[0]
        return (each for each in self._needed(path, self.imports(path).later) if each.partition("/")[0] == own)

    def _needed(self, path: str, wanted: Iterable[Wanted]) -> Iterator[str]:
        for each in wanted:
            module = each.absolute(path)
            yield from self._with_packages(module)
            if each.name and (home := self._home(module, each.name)) is not None:
                yield from self._with_packages(home)

    def _with_packages(self, module: str) -> Iterator[str]:
        parts = module.split(".")
        for end in range(1, len(parts) + 1):
            if (path := self._path(".".join(parts[:end]))) is not None:
                yield path

    def _path(self, module: str) -> str | None:
        start = module.replace(".", "/")
        return next((path for path in (f"{start}/__init__.py", f"{start}.py") if path in self._sources), None)

    def _home(self, module: str, name: str) -> str | None:
        """The module that defines a member of a package, where it is a module or a package imports it when asked."""
        if self._path(f"{module}.{name}") is not None:
            return f"{module}.{name}"
        path = self._path(module)
        for each in self.imports(path).for_types if path else ():
            home = each.absolute(str(path))
            if each.bound == name or (each.name == "*" and name in self._names(home)):
                return home
        return None

    def _top_level_names(self, module: str) -> frozenset[str]:
        path = self._path(module)
        body = _tree(self._sources[path]).body if path else []
        named = [each.name for each in body if isinstance(each, ast.ClassDef | ast.FunctionDef)]
        assigned = [each.targets[0] for each in body if isinstance(each, ast.Assign)]
        return frozenset([*named, *(each.id for each in assigned if isinstance(each, ast.Name))])

    def _imports(self, path: str) -> Imports:
        imports = Imports()
        imports.visit(_tree(self._sources[path]))
        return imports


def _tree(source: bytes) -> ast.Module:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError):
        return ast.Module([], [])  # Python says what is wrong when it imports the module


def compiled(path: str, source: bytes) -> bytes | None:
    """The content of a module's .pyc file, the same whenever the source is; None where it does not compile."""
    try:
        code = compile(source, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return None
    # What marshal writes of a constant depends on who else holds it: nobody does of one that was just read.
    content = marshal.dumps(marshal.loads(marshal.dumps(code)))
    return (
        importlib.util.MAGIC_NUMBER + _CHECKED_HASH.to_bytes(4, "little") + importlib.util.source_hash(source) + content
    )


def add_bytecode(package: str, handlers: Iterable[str]) -> int:
    """Add the compiled form of modules to a zip file, as far as there is room; returns how many were added.

    Args:
        handlers: of the functions, as in serverless.yml.
    """
    new = f"{package}.new"
    shutil.copyfile(package, new)
    size = os.path.getsize(package)
    left = next((min(most, step - size) for step, most in STEPS if size < step), 0)
    added = 0
    with zipfile.ZipFile(new, "a") as zipped:
        held = set(zipped.namelist())
        sources = {name: zipped.read(name) for name in sorted(held) if name.endswith(".py")}
        for path in Modules(sources).imported_by(handlers):
            name = importlib.util.cache_from_source(path, optimization="")
            content = None if name in held else compiled(path, sources[path])
            if content is None:
                continue
            takes = len(zlib.compress(content, 9)) + _HEADERS + 2 * len(name)
            if takes > left:
                continue
            left -= takes
            added += 1
            entry = zipfile.ZipInfo(name)  # of 1980
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            zipped.writestr(entry, content, zipfile.ZIP_DEFLATED, 9)
    os.replace(new, package)
    return added


if __name__ == "__main__":
    if "python{}.{}".format(*sys.version_info) != sys.argv[2]:
        sys.exit(OTHER_VERSION)
    add_bytecode(sys.argv[1], sys.argv[3:])
