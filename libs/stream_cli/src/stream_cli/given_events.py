"""Events that a user writes by hand: read from a file, and completed where fields are left out."""

from __future__ import annotations

import contextlib
import json
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FIELDS = ("id", "timestamp", "partition_key")
MOST_CHARACTERS = 128 * 1024 * 1024
"""So many are read of a file, which may be a device without an end."""
_NO_ENTITIES = frozenset({"tags", "raw"})
_OF_JSON = {str: "text", list: "a list", bool: "true or false", int: "a number", float: "a number"}


@dataclass(frozen=True)
class Completed:
    """An event with all fields, and those of them that were left out; tags as ``tags.<name>``."""

    event: dict[str, Any]
    filled: Mapping[str, Any]


def read_values(file: Path) -> list[Any]:
    """The JSON values of a file: the one that it holds, those of its list, or one for each line; ``-`` is stdin.

    Raises:
        ValueError: it holds none, is not JSON, or is too long or too deep to be read.
    """
    name = "stdin" if str(file) == "-" else str(file)
    text = _text(name, file)
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        content = _lines(name, text, error)
    except RecursionError as error:
        raise ValueError(f"{name} has lists or objects that are nested too deeply") from error
    values = content if isinstance(content, list) else [content]
    if not values:
        raise ValueError(f"{name} holds no event")
    return values


def _text(name: str, file: Path) -> str:
    try:
        with contextlib.nullcontext(sys.stdin) if name == "stdin" else file.open(encoding="utf-8-sig") as stream:
            text = stream.read(MOST_CHARACTERS + 1)
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is not UTF-8: {error}") from error
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"{name} has more than {MOST_CHARACTERS:,} characters; give its events in several files")
    return text


def _lines(name: str, text: str, whole: json.JSONDecodeError) -> list[Any]:
    """The values of JSON lines; where the first line is none, the error of the whole text counts."""
    values: list[Any] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            values.append(json.loads(line))
        except json.JSONDecodeError as error:
            if values:
                raise ValueError(f"{name}, line {number} is not JSON: {error}") from error
            break
        except RecursionError as error:
            raise ValueError(f"{name}, line {number} has lists or objects that are nested too deeply") from error
    if values:
        return values
    raise ValueError(f"{name} is not JSON: {whole}") from whole


def events_of(values: Sequence[Any]) -> list[dict[str, Any]]:
    """The values as events, each of which is an object.

    Raises:
        ValueError: one of them is no object.
    """
    for number, value in enumerate(values, start=1):
        if not isinstance(value, dict):
            raise ValueError(f"event {number} is {_OF_JSON.get(type(value), 'null')}; an event is a JSON object")
    return list(values)


def complete(events: Sequence[Mapping[str, Any]], tags: Mapping[str, str]) -> list[Completed]:
    """Fill in what is left out; what is there stays as it is, an empty value, too.

    The id is a new one at each call. The timestamp is now; that of each further event is 1 ms later, so that of two
    events of an entity the second is the newer one. The partition key is the id of the event's entity, or else of the
    event.

    Args:
        tags: the tags that an event has at least.
    """
    now_ms = int(time.time() * 1000)
    return [_completed(event, now_ms + position, tags) for position, event in enumerate(events)]


def _completed(event: Mapping[str, Any], now_ms: int, tags: Mapping[str, str]) -> Completed:
    filled: dict[str, Any] = {}
    if "id" not in event:
        filled["id"] = str(uuid.uuid4())
    if "timestamp" not in event:
        filled["timestamp"] = now_ms
    if "partition_key" not in event:
        filled["partition_key"] = str(_entity_id(event) or event.get("id") or filled.get("id") or "")
    own = event.get("tags", {})
    missing = {name: value for name, value in tags.items() if name not in own} if isinstance(own, Mapping) else {}
    whole = {**event, **filled, **({"tags": {**missing, **own}} if missing else {})}
    return Completed(whole, {**filled, **{f"tags.{name}": value for name, value in missing.items()}})


def _entity_id(event: Mapping[str, Any]) -> Any:
    """The id of the event's entity: an object with an id, that the type names if there are several."""
    entities = {
        name: value["id"]
        for name, value in event.items()
        if name not in _NO_ENTITIES and isinstance(value, Mapping) and isinstance(value.get("id"), str | int)
    }
    if len(entities) > 1:
        kind = str(event.get("type")).replace("-", "_")
        entities = {name: value for name, value in entities.items() if kind.startswith(f"{name.replace('-', '_')}_")}
    return next(iter(entities.values())) if len(entities) == 1 else None


def what_was_filled_in(completed: Sequence[Completed]) -> str | None:
    """One line: which fields of which events, and with which values; None where nothing was left out."""
    told = [(number, each.filled) for number, each in enumerate(completed, start=1) if each.filled]
    if not told:
        return None
    number, filled = told[0]
    values = ", ".join(f"{name} {_shown(name, value)}" for name, value in filled.items())
    if len(completed) == 1:
        return f"Filled in: {values}."
    if len(told) == 1:
        return f"Filled in, in event {number}: {values}."
    return f"Filled in, in {len(told)} of {len(completed)} events: {values} in event {number}, and so on."


def _shown(name: str, value: Any) -> str:
    return f"{value} (new each time)" if name == "id" else str(value)
