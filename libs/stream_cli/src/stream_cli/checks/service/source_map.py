"""File and line in serverless.yml of a function, of one of its events, of the role statements.

serverless.yml is composed, not loaded: nodes carry their lines, and tags such as `!GetAtt` need no constructor. Parts
included from other files (`${file(functions.yml):listener}`) are followed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

_FILE = re.compile(r"^\$\{file\(([^)]+)\)(?::([\w.-]+))?\}$")
_CONFIGURATIONS = ("serverless.yml", "serverless.yaml")


@dataclass(frozen=True)
class Location:
    """A line of a file; lines count from 1."""

    file: Path
    line: int


@dataclass
class SourceMap:
    """The lines of a service's configuration. Each method returns the nearest known location, or None."""

    folder: Path | None
    _documents: dict[Path, yaml.Node | None] = field(default_factory=dict)

    def configuration(self) -> Path | None:
        """serverless.yml, None if there is no folder, or no configuration in YAML in it."""
        named = [self.folder / name for name in _CONFIGURATIONS] if self.folder else []
        return next((each for each in named if each.is_file()), None)

    def of_service(self) -> Location | None:
        """The first line of serverless.yml."""
        configuration = self.configuration()
        return None if configuration is None else Location(configuration, 1)

    def of_function(self, name: str) -> Location | None:
        """The line of a function's name, else that of the service."""
        return self._place("functions", name) or self.of_service()

    def of_event(self, function: str, index: int) -> Location | None:
        """The line of a function's event number `index` (from 0), else that of the function."""
        return self._place("functions", function, "events", index) or self.of_function(function)

    def of_option(self, function: str, index: int, kind: str, option: str) -> Location | None:
        """The line of an option of an event, else that of the event."""
        return self._place("functions", function, "events", index, kind, option) or self.of_event(function, index)

    def of_resource(self, logical_id: str) -> Location | None:
        """The line of a resource that serverless.yml defines itself."""
        return self._place("resources", "Resources", logical_id)

    def of_role_statements(self) -> Location | None:
        """The line of the statements of the role that functions share, else that of the provider."""
        for path in (("provider", "iam", "role", "statements"), ("provider", "iamRoleStatements"), ("provider",)):
            place = self._place(*path)
            if place is not None:
                return place
        return self.of_service()

    def sets_param(self, name: str, stage: str) -> bool:
        """Whether serverless.yml sets a parameter for a stage or for all stages."""
        return any(self._place("params", each, name) is not None for each in (stage, "default"))

    def _place(self, *path: str | int) -> Location | None:
        configuration = self.configuration()
        if configuration is None:
            return None
        return next(self._find(configuration, self._document(configuration), path), None)

    def _find(self, file: Path, node: yaml.Node | None, path: tuple[str | int, ...]) -> Iterator[Location]:
        if node is None:
            return
        included = self._included(file, node)
        if included is not None:
            yield from self._find(*included, path)
            return
        if not path:
            yield Location(file, node.start_mark.line + 1)
            return
        step, *rest = path
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == step:
                    if rest or self._included(file, value):
                        yield from self._find(file, value, tuple(rest))
                    else:
                        yield Location(file, key.start_mark.line + 1)
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            if step < len(node.value):
                yield from self._find(file, node.value[step], tuple(rest))
        elif isinstance(node, yaml.SequenceNode):
            # `functions` and `resources` may be lists whose parts are merged.
            for part in node.value:
                yield from self._find(file, part, path)

    def _included(self, file: Path, node: yaml.Node) -> tuple[Path, yaml.Node | None] | None:
        match = _FILE.match(node.value) if isinstance(node, yaml.ScalarNode) else None
        if match is None or self.folder is None:
            return None
        target = (self.folder / match[1].strip()).resolve()
        if target == file or target.suffix not in (".yml", ".yaml", ".json"):
            return None
        found = self._document(target)
        for name in (match[2] or "").split(".") if match[2] else ():
            pairs = found.value if isinstance(found, yaml.MappingNode) else ()
            found = next((value for key, value in pairs if key.value == name), None)
        return target, found

    def _document(self, file: Path) -> yaml.Node | None:
        if file not in self._documents:
            try:
                self._documents[file] = yaml.compose(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
            except (OSError, yaml.YAMLError):
                # The CLI reports what is wrong with the file; here its findings only have no line.
                self._documents[file] = None
        return self._documents[file]
