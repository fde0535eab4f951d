"""Faults for people to read: what is encoded decoded, and what nobody needs to see to understand a fault hidden."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from stream_runtime.payload.compression import decompressed

REDACTED = "[redacted]"

_NAMES = (
    r"pass(?:w|phrase)|pwd|secret|token|jwt|bearer|authorization|cookie|credential|api[-_]?key|private[-_]?key|ssn|iban"
    r"|card[-_]?number|e?[-_]?mail|phone"
)
_SECRET = re.compile(f"(?i){_NAMES}")
# name=value and 'name': 'value', as messages of validation errors have them.
_IN_TEXT = re.compile(rf"(?i)(\w*(?:{_NAMES})\w*['\"]?\s*[=:]\s*)(?:'[^']*'|\"[^\"]*\"|[^\s'\",;)}}\]]+)")
# A traceback indents its lines of source code by four; they are no data.
_SOURCE_CODE = "    "
_SHORTEST = 4


def readable(fault: Mapping[str, Any]) -> dict[str, Any]:
    """A fault event for people.

    The data of its records is decoded, the values of fields whose names sound secret are hidden, and so they are in
    the text of the error, which likes to quote what it could not make sense of.
    """
    decoded = {name: _decoded(each) if name == "uow" else each for name, each in fault.items()}
    secrets = sorted({text for text in _secrets(decoded) if len(text) >= _SHORTEST}, key=len, reverse=True)
    shown: dict[str, Any] = _redacted(decoded)
    err = shown.get("err")
    if isinstance(err, Mapping):
        hidden = {
            name: _redacted_text(each, secrets) if name in ("message", "stack") else each for name, each in err.items()
        }
        shown["err"] = hidden
    return shown


def _decoded(value: Any, name: str = "") -> Any:
    if isinstance(value, Mapping):
        members = {each: _decoded(value[each], each) for each in value}
        return _decompressed(members)
    if isinstance(value, list):
        return [_decoded(each) for each in value]
    if not isinstance(value, str):
        return value
    text = _of_base64(value) if name == "data" else value
    # Only what is structured can be redacted by name; a number or a word in quotes stays as it was written.
    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        return _decoded(json.loads(text))
    except (RecursionError, ValueError):
        return text


def _of_base64(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except ValueError:
        return text


def _decompressed(members: dict[str, Any]) -> dict[str, Any]:
    try:
        whole = decompressed(members)
    except ValueError:
        return members  # it may be what failed, and is shown as it is
    return members if whole is members else {name: _decoded(whole[name], name) for name in whole}


def _secrets(value: Any) -> Iterator[str]:
    """The texts and numbers in fields that sound secret."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _leaves(each) if _SECRET.search(str(name)) else _secrets(each)
    elif isinstance(value, list):
        for each in value:
            yield from _secrets(each)


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _leaves(each)
    elif isinstance(value, str | float) or type(value) is int:
        yield str(value)


def _redacted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: REDACTED if _SECRET.search(str(name)) else _redacted(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_redacted(each) for each in value]
    return value


def _redacted_text(text: Any, secrets: list[str]) -> str:
    lines = []
    for line in str(text or "").split("\n"):
        shown = line
        for secret in secrets:
            shown = shown.replace(secret, REDACTED)
        lines.append(shown if line.startswith(_SOURCE_CODE) else _IN_TEXT.sub(rf"\1{REDACTED}", shown))
    return "\n".join(lines)
