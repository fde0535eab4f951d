"""Which part of a pattern does not match an event, in words."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stream_cli.patterns import InvalidPattern, compile_pattern, parse_pattern

_MOST_VALUES = 6
_ALIKE = 0.8


def mismatches(pattern: str, event: Mapping[str, Any]) -> list[str]:
    """Why an event does not match the JSON text of a pattern: a text for each part, none if it matches."""
    try:
        parsed = parse_pattern(pattern)
        compiled = compile_pattern(parsed)
    except InvalidPattern as error:
        return [f"the pattern is not valid: {error}"]
    if compiled(event):
        return []
    found = list(_parts(parsed, (), event))
    return found or [f"no element of an array has all of {json.dumps(parsed)}"]


def _parts(pattern: Mapping[str, Any], path: tuple[str, ...], event: Mapping[str, Any]) -> Iterator[str]:
    for name, below in pattern.items():
        if name == "$or":
            alternatives = [list(_parts(each, path, event)) for each in below]
            if all(alternatives):
                yield " and ".join(dict.fromkeys(each[0] for each in alternatives))
        elif isinstance(below, Mapping):
            yield from _parts(below, (*path, name), event)
        elif not compile_pattern(_nested((*path, name), below))(event):
            yield _told((*path, name), below, event)


def _nested(path: Sequence[str], conditions: Any) -> dict[str, Any]:
    nested: Any = conditions
    for name in reversed(path):
        nested = {name: nested}
    return dict(nested)


def _told(path: Sequence[str], conditions: Sequence[Any], event: Mapping[str, Any]) -> str:
    value: Any = event
    for name in path:
        value = value.get(name, _MISSING) if isinstance(value, Mapping) else _MISSING
    shown = "is missing" if value is _MISSING else f"is {json.dumps(value, ensure_ascii=False):.200}"
    literals = [each for each in conditions if isinstance(each, str)]
    listed = [json.dumps(each, ensure_ascii=False) for each in conditions[:_MOST_VALUES]]
    more = [f"{len(conditions) - _MOST_VALUES} more"] if len(conditions) > _MOST_VALUES else []
    near = difflib.get_close_matches(value, literals, 1, _ALIKE) if isinstance(value, str) else []
    hint = f' (did you mean "{near[0]}"?)' if near else ""
    return f"{'.'.join(path)} {shown}; the pattern takes {', '.join([*listed, *more])}{hint}"


_MISSING = object()
