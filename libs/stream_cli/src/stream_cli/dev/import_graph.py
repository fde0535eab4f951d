"""Which modules of a service a file imports, as far as its source says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence

from stream_cli.dev.changes import Change, Contents
from stream_cli.dev.functions import DevFunction

_BY_NAME = re.compile(rb"\bimportlib\b|\b__import__\b")


def touched_functions(functions: Sequence[DevFunction], change: Change, contents: Contents) -> list[DevFunction]:
    """The functions whose handlers may import what has changed: all of them, where modules are imported by name."""
    if any(_BY_NAME.search(content) for name, content in contents.items() if name.endswith(".py")):
        return list(functions)
    modules = {module_of(each) for each in change.code}
    return [each for each in functions if modules & _modules_of(each, contents)]


def module_of(path: str) -> str:
    """The name of the module in a file of a service."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def modules_reached(start: str, contents: Contents) -> set[str]:
    """The modules that a file imports, directly or through the service's own, imports within functions included."""
    return _reached([start], contents)


def _modules_of(function: DevFunction, contents: Contents) -> set[str]:
    """The modules that a function imports, its handler's and the packages around that among them."""
    module = function.handler.rpartition(".")[0].replace("/", ".")
    named = list(_with_packages(module))
    known = _files_of(contents)
    return {*named, *_reached([known[each] for each in named if each in known], contents)}


def _reached(start: Iterable[str], contents: Contents) -> set[str]:
    known = _files_of(contents)
    found: set[str] = set()
    waiting = list(start)
    while waiting:
        path = waiting.pop()
        for module in _imported(path, contents[path]):
            for name in _with_packages(module):
                if name not in found:
                    found.add(name)
                    waiting += [known[name]] if name in known else []
    return found


def _files_of(contents: Contents) -> dict[str, str]:
    return {module_of(each): each for each in contents if each.endswith(".py")}


def _with_packages(module: str) -> Iterator[str]:
    parts = module.split(".")
    return (".".join(parts[:end]) for end in range(1, len(parts) + 1))


def _imported(path: str, source: bytes) -> Iterator[str]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    package = path.split("/")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            home = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{home}.{each.name}" for each in node.names)
