"""Finds every regular expression of the repository: in Python by its syntax tree, in JSON and YAML by the key."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FUNCTIONS = {"compile", "match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer"}
METHODS = FUNCTIONS - {"compile"}
# Arguments of pydantic's models and of what is built on them.
KEYWORDS = {"pattern", "regex"}
KEYS = {"pattern", "AllowedPattern", "allowedPattern"}
HAS_SOME = re.compile(r"\bre\.[a-z]|\b(?:pattern|regex)=")
ESCAPED = "x"  # stands for a part that `re.escape` gives


@dataclass(frozen=True)
class Pattern:
    """A regular expression; `text` is None where it is made at run time, `methods` are how it is used."""

    path: str
    line: int
    text: str | None
    flags: int
    methods: frozenset[str]

    @property
    def is_of_tests(self) -> bool:
        return is_of_tests(self.path)


def is_of_tests(path: str) -> bool:
    """Whether a file is no part of what users run."""
    return "/tests/" in f"/{path}" or path.startswith(("benchmarks/", "conftest"))


def files_of(*endings: str) -> list[str]:
    """Files of the repository, by their paths below its root: those of git, and new ones."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    paths = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return sorted(path for path in paths if path.endswith(endings) and (ROOT / path).is_file())


def all_patterns(*, with_tests: bool = True) -> list[Pattern]:
    """The patterns of all Python, JSON and YAML files, or of those that users run."""
    known: dict[str, ast.expr] = {}
    uses: defaultdict[str, set[str]] = defaultdict(set)
    files: list[tuple[str, dict[str, ast.expr], list[ast.AST]]] = []
    for path in _wanted(with_tests, ".py"):
        text = (ROOT / path).read_text(encoding="utf-8")
        tree = ast.parse(text)
        constants = dict(_constants(tree))
        known |= constants
        if is_of_tests(path) and not HAS_SOME.search(text):
            continue
        nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Assign | ast.Attribute | ast.Call)]
        for name, method in _uses(nodes) if not is_of_tests(path) else ():
            uses[name].add(method)
        files.append((path, constants, nodes))
    found = [pattern for path, here, nodes in files for pattern in _of_python(path, nodes, known | here, uses)]
    return found + [pattern for path in _wanted(with_tests, ".json", ".yml", ".yaml") for pattern in _of_data(path)]


def _wanted(with_tests: bool, *endings: str) -> list[str]:
    return [path for path in files_of(*endings) if with_tests or not is_of_tests(path)]


def _constants(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node.value


def _uses(nodes: list[ast.AST]) -> Iterator[tuple[str, str]]:
    """How compiled patterns are used, by their names; a name that is passed on is used in every way."""
    for node in nodes:
        if isinstance(node, ast.Attribute) and node.attr in METHODS:
            yield _name_of(node.value), node.attr
        elif isinstance(node, ast.Call):
            for argument in node.args:
                yield _name_of(argument), "search"


def _name_of(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _of_python(
    path: str, nodes: list[ast.AST], here: dict[str, ast.expr], uses: dict[str, set[str]]
) -> Iterator[Pattern]:
    own_uses: defaultdict[str, set[str]] = defaultdict(set)
    for name, method in _uses(nodes):
        own_uses[name].add(method)
    names = {
        id(node.value): _name_of(node.targets[0])
        for node in nodes
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
    }
    for node in nodes:
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        if isinstance(called, ast.Attribute) and _name_of(called.value) == "re" and called.attr in FUNCTIONS:
            name = names.get(id(node), "")
            used = own_uses[name] | (set() if name.startswith("_") else uses[name])
            methods = {called.attr} if called.attr in METHODS else used or {"search"}
            yield Pattern(path, node.lineno, _text(node.args[0], here), _flags(node), frozenset(methods))
        if isinstance(called, ast.Attribute) and _name_of(called.value) == "re":
            continue
        for keyword in node.keywords:
            if keyword.arg in KEYWORDS and (text := _text(keyword.value, here)) is not None:
                yield Pattern(path, node.lineno, text, 0, frozenset({"search"}))


def _text(node: ast.expr, known: dict[str, ast.expr], depth: int = 0) -> str | None:
    """The value of an expression of constant texts, or None."""
    if depth > 20:
        return None
    if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
        return node.value if isinstance(node.value, str) else node.value.decode("latin-1")
    if isinstance(node, ast.Name) and node.id in known:
        return _text(known[node.id], known, depth + 1)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        parts = [_text(node.left, known, depth + 1), _text(node.right, known, depth + 1)]
    elif isinstance(node, ast.JoinedStr):
        parts = [_text(each, known, depth + 1) for each in node.values]
    elif isinstance(node, ast.FormattedValue):
        # A number, a name of a file: what is no pattern is written with `re.escape`, or is a plain word.
        return _text(node.value, known, depth + 1) or ESCAPED
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "escape":
        return ESCAPED
    else:
        return None
    return None if None in parts else "".join(part for part in parts if part is not None)


def _flags(node: ast.Call) -> int:
    given = [*node.args[1:], *(keyword.value for keyword in node.keywords if keyword.arg == "flags")]
    names = {each.attr for argument in given for each in ast.walk(argument) if isinstance(each, ast.Attribute)}
    return sum(int(getattr(re, name)) for name in names if hasattr(re.RegexFlag, name))


def _of_data(path: str) -> Iterator[Pattern]:
    text = (ROOT / path).read_text(encoding="utf-8")
    if not any(key in text for key in KEYS):
        return
    for document in [json.loads(text)] if path.endswith(".json") else yaml.load_all(text, _AnyTag):
        yield from (Pattern(path, 1, each, 0, frozenset({"search"})) for each in _values(document))


def _values(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (value[key] for key in KEYS & value.keys() if isinstance(value[key], str))
        for each in value.values():
            yield from _values(each)
    elif isinstance(value, list):
        for each in value:
            yield from _values(each)


class _AnyTag(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads !Sub and the other tags of CloudFormation as None."""


_AnyTag.add_multi_constructor("!", lambda *_: None)
