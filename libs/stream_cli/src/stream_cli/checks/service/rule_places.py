"""File and line in a service's code: where a rule and its fields are written, and where a text stands."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from stream_cli.deployment.inputs import GENERATED

from .source_map import Location

_NOT_DEPLOYED = GENERATED | {"node_modules", "tests"}


@dataclass(frozen=True)
class _Written:
    """A dict of the code that has an ``id``: its line, and the lines of its fields by their names."""

    line: int
    fields: Mapping[str, int]


@dataclass
class RulePlaces:
    """The places in the Python files of a service's folder, tests left out; it knows none without a folder."""

    folder: Path | None
    _texts: dict[Path, str] = field(default_factory=dict)

    def of_rule(self, rule: str, name: str | None = None) -> Location | None:
        """The line of a rule, or of its field; None if no dict of the code has this id, or if several have."""
        found = [(file, each) for file, by_id in self._rules.items() for each in by_id.get(rule, ())]
        if len(found) != 1:
            return None
        file, written = found[0]
        return Location(file, written.fields.get(name or "id", written.line))

    def of_text(self, text: str) -> Location | None:
        """The only line with a text; None if there is none, or several."""
        found = [
            Location(file, number)
            for file in self.files
            for number, line in enumerate(self.text_of(file).splitlines(), start=1)
            if text in line
        ]
        return found[0] if len(found) == 1 else None

    def of_function(self, value: object) -> Location | None:
        """The line of a function, as `ProbedRule.fields` describes it."""
        if self.folder is None or not isinstance(value, Mapping) or not isinstance(value.get("file"), str):
            return None
        return Location(self.folder / value["file"], int(value.get("line") or 1))

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """The Python files."""
        return tuple(_python_files(self.folder)) if self.folder else ()

    def text_of(self, file: Path) -> str:
        """What is in a file."""
        if file not in self._texts:
            self._texts[file] = file.read_text(encoding="utf-8", errors="replace")
        return self._texts[file]

    @cached_property
    def _rules(self) -> Mapping[Path, Mapping[str, list[_Written]]]:
        return {file: _rules_in(self.text_of(file)) for file in self.files}


def _python_files(folder: Path) -> Iterator[Path]:
    for each in sorted(folder.iterdir()):
        if each.is_dir() and not each.is_symlink() and each.name not in _NOT_DEPLOYED:
            yield from _python_files(each)
        elif each.suffix == ".py":
            yield each


def _rules_in(text: str) -> Mapping[str, list[_Written]]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return {}
    found: dict[str, list[_Written]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            pairs = list(zip(node.keys, node.values, strict=True))
            names = {key.value: (key, value) for key, value in pairs if isinstance(key, ast.Constant)}
            _, given = names.get("id", (None, None))
            if isinstance(given, ast.Constant) and isinstance(given.value, str) and "flavor" in names:
                lines = {str(name): key.lineno for name, (key, _) in names.items()}
                found.setdefault(given.value, []).append(_Written(node.lineno, lines))
    return found
