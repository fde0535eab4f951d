"""Faults for display: encoded data is decoded, and values that may be secret are hidden."""

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
# name=value and 'name': 'value', as in the messages of validation errors.
_IN_TEXT = re.compile(rf"(?i)(\w*(?:{_NAMES})\w*['\"]?\s*[=:]\s*)(?:'[^']*'|\"[^\"]*\"|[^\s'\",;)}}\]]+)")
# A traceback indents its lines of source code by four spaces; they hold no data.
_SOURCE_CODE = "    "
_SHORTEST = 4


def readable(fault: Mapping[str, Any]) -> dict[str, Any]:
    """A fault event for display.

    The data of its records is decoded. Values of fields whose names sound secret are hidden, also where the text of the
    error quotes them.
    """
    decoded = {name: _decoded(each) if name == "uow" else each for name, each in fault.items()}
    secrets = sorted({text for text in _secrets(decoded) if len(text) >= _SHORTEST}, key=len, reverse=True)
    shown: dict[str, Any] = _redacted(decoded)
    err = shown.get("err")
    if isinstance(err, Mapping):
        shown["err"] = {
            name: _redacted_text(each, secrets) if name in ("message", "stack") else each for name, each in err.items()
        }
    return shown


def _decoded(value: Any, name: str = "") -> Any:
    if isinstance(value, Mapping):
        return _decompressed({each: _decoded(value[each], each) for each in value})
    if isinstance(value, list):
        return [_decoded(each) for each in value]
    if not isinstance(value, str):
        return value
    text = _of_base64(value) if name == "data" else value
    # Only objects and arrays can be redacted by name; other JSON stays as it is.
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
        return members  # Decompression may be what failed: show the data as it is.
    return members if whole is members else {name: _decoded(whole[name], name) for name in whole}


def _secrets(value: Any) -> Iterator[str]:
    """The texts and numbers in fields whose names sound secret."""
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
