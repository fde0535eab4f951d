"""The fixtures of a service's functions: ``tests/fixtures/<function>-<what>.json``.

What a fixture gives may stand beside it, in ``<fixture>.expected.json``: ``{"returns" or "raises", "publishes":
[types], "after": [fixtures that must run before]}``.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path("tests", "fixtures")
_EXPECTED = ".expected"


@dataclass(frozen=True)
class Fixture:
    """One fixture; ``expected`` is None if nothing stands beside it."""

    name: str
    file: Path
    event: Any
    expected: Mapping[str, Any] | None = field(default=None)

    @property
    def expected_faults(self) -> int | None:
        """How many faults it must give; None if nothing says so."""
        if self.expected is None or "raises" in self.expected:
            return None
        return list(self.expected.get("publishes", ())).count("fault")


def fixtures_of(folder: Path, functions: Sequence[str]) -> Mapping[str, Sequence[Fixture]]:
    """The fixtures of functions by their names, each behind those that it needs; what is no JSON is left out."""
    read = {each.stem: _json(each) for each in sorted((folder / FOLDER).glob("*.json"))}
    found: dict[str, list[Fixture]] = {}
    for name in _ordered(read):
        function = max((each for each in functions if f"{name}-".startswith(f"{each}-")), key=len, default=None)
        if function is not None:
            expected = read.get(f"{name}{_EXPECTED}")
            made = Fixture(
                name, folder / FOLDER / f"{name}.json", read[name], expected if isinstance(expected, dict) else None
            )
            found.setdefault(function, []).append(made)
    return found


def events_in(given: Any) -> Iterator[Mapping[str, Any]]:
    """The events of a fixture: plain ones, and those in records of a Kinesis stream that can be read."""
    if isinstance(given, list):
        for each in given:
            yield from events_in(each)
    elif isinstance(given, Mapping) and isinstance(given.get("Records"), list):
        data = (each.get("kinesis", {}).get("data") for each in given["Records"] if isinstance(each, Mapping))
        yield from (event for each in data if isinstance(event := _decoded(each), Mapping))
    elif isinstance(given, Mapping) and "type" in given:
        yield given


def _decoded(data: Any) -> Any:
    try:
        return json.loads(base64.b64decode(data))
    except (TypeError, ValueError):
        return None


def _ordered(read: Mapping[str, Any]) -> list[str]:
    """The names of fixtures; those that others need come before them."""
    ordered: dict[str, None] = {}

    def add(name: str, above: tuple[str, ...] = ()) -> None:
        expected = read.get(f"{name}{_EXPECTED}")
        for each in expected.get("after", ()) if isinstance(expected, dict) else ():
            if each in read and each not in above:
                add(each, (*above, name))
        ordered.setdefault(name)

    for name, event in read.items():
        if not name.endswith(_EXPECTED) and event is not None:
            add(name)
    return list(ordered)


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
