"""Serialises parameters and parses responses as a service's model describes them, for AWS's JSON protocols.

A shape is compiled into a closure when an operation first needs it.
What botocore would refuse, or would convert in a way that is not known here, is `Unusual`: such a call goes to boto3.

Sources: Smithy, "AWS JSON 1.0 and 1.1 protocols"; botocore's serialize.py, validate.py and parsers.py.
"""

from __future__ import annotations

import binascii
import math
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

Converter = Callable[[Any], Any]
Shapes = Mapping[str, Mapping[str, Any]]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_TEXTS = frozenset({"documentation", "deprecated", "deprecatedMessage", "deprecatedSince", "sensitive", "box"})
_KNOWN_OF_SHAPES = _TEXTS | {
    *("type", "members", "member", "key", "value", "required", "min", "max", "pattern", "enum", "flattened"),
    *("exception", "error", "fault", "retryable", "synthetic", "wrapper"),
}
_KNOWN_OF_MEMBERS = _TEXTS | {"shape", "flattened", "idempotencyToken", "contextParam"}
"""Traits that change neither a request nor a response here, or are handled."""


class Unusual(Exception):
    """boto3 makes this call; the text says why."""


class Serialisers:
    """Compiles the shapes of requests, all of whose traits are known (`check`)."""

    def __init__(self, shapes: Shapes) -> None:
        self._shapes = shapes
        self._compiled: dict[str, Converter] = {}

    def of(self, name: str) -> Converter:
        """The function that checks a value of a shape and returns what is written as JSON; it raises `Unusual`."""
        found = self._compiled.get(name)
        if found is None:
            self._compiled[name] = lambda value: self._compiled[name](value)  # for shapes that contain themselves
            found = self._compiled[name] = self._compile(name, self._shapes[name])
        return found

    def _compile(self, name: str, shape: Mapping[str, Any]) -> Converter:
        kind = shape["type"]
        if kind == "structure":
            members: dict[str, Converter] = {}
            self._compiled[name] = structure = _structure(name, members, tuple(shape.get("required", ())))
            members.update((member, self.of(each["shape"])) for member, each in shape.get("members", {}).items())
            return structure
        if kind == "map":
            return _map(name, self.of(shape["key"]["shape"]), self.of(shape["value"]["shape"]))
        if kind == "list":
            return _list(name, self.of(shape["member"]["shape"]), shape.get("min", 0))
        if kind == "string":
            return _string(name, shape["min"]) if shape.get("min", 0) > 0 else _text
        if kind in ("integer", "long"):
            return _integer(name, shape.get("min", -math.inf))
        if kind in ("float", "double"):
            return _number(name, shape.get("min", -math.inf))
        return _WRITTEN[kind]


class Parsers:
    """Compiles the shapes of responses, all of whose traits are known (`check`)."""

    def __init__(self, shapes: Shapes) -> None:
        self._shapes = shapes
        self._compiled: dict[str, Converter | None] = {}
        self._lock = threading.RLock()  # an error may be the first of its kind in many threads

    def of(self, name: str) -> Converter | None:
        """The function that makes what botocore returns of a value; None for values that stay as they are."""
        with self._lock:
            if name not in self._compiled:
                self._compiled[name] = lambda value: self._again(name)(value)  # for shapes that contain themselves
                self._compiled[name] = self._compile(name, self._shapes[name])
            return self._compiled[name]

    def _again(self, name: str) -> Converter:
        return self._compiled[name] or _unchanged

    def _compile(self, name: str, shape: Mapping[str, Any]) -> Converter | None:
        kind = shape["type"]
        if kind == "structure":
            parsers: dict[str, Converter | None] = {}
            self._compiled[name] = structure = _parsed_structure(parsers)
            parsers.update((member, self.of(each["shape"])) for member, each in shape.get("members", {}).items())
            return structure
        if kind == "map":
            return _parsed_map(self.of(shape["value"]["shape"]))
        if kind == "list":
            return _parsed_list(self.of(shape["member"]["shape"]))
        return _PARSED.get(kind)


def check(shapes: Shapes, *names: str) -> None:
    """Check that all traits of shapes, and of the shapes that they contain, are known.

    Raises:
        Unusual: one has another, such as ``union``, ``document`` or ``eventstream``.
    """
    left, seen = list(names), set(names)
    while left:
        name = left.pop()
        shape = shapes[name]
        members = list(shape.get("members", {}).values())
        members += [shape[part] for part in ("member", "key", "value") if part in shape]
        unknown = (shape.keys() - _KNOWN_OF_SHAPES).union(*(each.keys() - _KNOWN_OF_MEMBERS for each in members))
        if unknown or shape["type"] not in _KINDS:
            raise Unusual(f"shape {name}, a {shape['type']}, has traits that are unknown: {', '.join(sorted(unknown))}")
        for each in members:
            if each["shape"] not in seen:
                seen.add(each["shape"])
                left.append(each["shape"])


def _structure(name: str, members: Mapping[str, Converter], required: tuple[str, ...]) -> Converter:
    def structure(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Unusual(f"{name} is no dict")
        if len(value) == 1 and not required:  # as DynamoDB's attribute values
            for member, each in value.items():
                convert = members.get(member)
                if convert is _text and type(each) is str:
                    return value
                if convert is not None:
                    return {member: convert(each)}
        for member in required:
            if member not in value:
                raise Unusual(f"{name} lacks {member}")
        try:
            return {member: members[member](each) for member, each in value.items()}
        except KeyError as error:
            raise Unusual(f"{name} has no {error}") from None

    return structure


def _map(name: str, key: Converter, value_of: Converter) -> Converter:
    def mapping(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Unusual(f"{name} is no dict")
        return {key(each): value_of(member) for each, member in value.items()}

    return mapping


def _list(name: str, member: Converter, least: int) -> Converter:
    def members(value: Any) -> list[Any]:
        if not isinstance(value, list | tuple) or len(value) < least:
            raise Unusual(f"{name} is no list of at least {least}")
        return [member(each) for each in value]

    return members


def _string(name: str, least: int) -> Converter:
    def string(value: Any) -> str:
        if isinstance(value, str) and len(value) >= least:
            return value
        raise Unusual(f"{name} is no text of at least {least} characters")

    return string


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise Unusual("a text is none")


def _integer(name: str, least: float) -> Converter:
    def integer(value: Any) -> int:
        if isinstance(value, int) and value >= least:
            return value
        raise Unusual(f"{name} is no whole number of at least {least}")

    return integer


def _number(name: str, least: float) -> Converter:
    def number(value: Any) -> float:
        if isinstance(value, int | float) and value >= least and math.isfinite(value):
            return value
        raise Unusual(f"{name} is no number of at least {least}")

    return number


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise Unusual("a flag is neither true nor false")


def _blob(value: Any) -> str:
    if isinstance(value, str):
        value = value.encode()
    elif not isinstance(value, bytes | bytearray):
        raise Unusual("a blob is neither bytes nor text")
    return binascii.b2a_base64(value, newline=False).decode("ascii")


def _timestamp(value: Any) -> float:
    """Seconds since 1970, as ``unixtimestamp`` of botocore; a datetime without a time zone is UTC."""
    if not isinstance(value, datetime):
        raise Unusual("a timestamp is no datetime")
    utc = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    seconds = (utc.replace(microsecond=0) - _EPOCH) // _SECOND
    return (seconds * 10**6 + utc.microsecond) / 10**6 if utc.microsecond else seconds


def _unchanged(value: Any) -> Any:
    return value


def _parsed_structure(members: Mapping[str, Converter | None]) -> Converter:
    def structure(value: Any) -> dict[str, Any]:
        if len(value) == 1:  # as DynamoDB's attribute values
            for name, each in value.items():
                if each is None or name not in members:
                    return {}
                parse = members[name]
                return value if parse is None and type(value) is dict else {name: parse(each) if parse else each}
        return {
            name: parse(each) if parse else each
            for name, parse in members.items()
            if (each := value.get(name)) is not None
        }

    return structure


def _parsed_map(parse: Converter | None) -> Converter | None:
    if parse is None:
        return dict
    return lambda value: {key: None if each is None else parse(each) for key, each in value.items()}


def _parsed_list(parse: Converter | None) -> Converter | None:
    if parse is None:
        return list
    return lambda value: [None if each is None else parse(each) for each in value]


def _parsed_blob(value: Any) -> bytes:
    return binascii.a2b_base64(value)


def _parsed_timestamp(value: Any) -> datetime:
    """In the local time zone, which dateutil knows: as botocore has it."""
    from dateutil.tz import tzlocal  # type: ignore[import-untyped, unused-ignore]

    if isinstance(value, int | float):
        try:
            return datetime.fromtimestamp(value, tzlocal())
        except (OSError, OverflowError, ValueError):
            pass  # beyond what the platform knows; botocore computes it
    from botocore.utils import parse_timestamp

    parsed: datetime = parse_timestamp(value)
    return parsed


_WRITTEN: Mapping[str, Converter] = {"boolean": _boolean, "blob": _blob, "timestamp": _timestamp}
_PARSED: Mapping[str, Converter] = {"blob": _parsed_blob, "timestamp": _parsed_timestamp}
_KINDS = frozenset({"structure", "map", "list", "string", "integer", "long", "float", "double", *_WRITTEN})
