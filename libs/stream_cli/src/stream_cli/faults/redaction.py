"""Faults for display: encoded data is decoded, and values that may be secret are hidden."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from stream_runtime.payload.compression import expanded

from stream_cli.faults.cut import Cut
from stream_cli.faults.occurrences import spans_of
from stream_cli.faults.secret_names import is_amount, is_header, is_secret
from stream_cli.faults.secret_text import REDACTED, hidden, redacted_text

TOO_DEEP = "[nested too deeply to be shown]"

_DEEPEST = 64
_MOST_EXPANDED = 4 * 1024 * 1024
"""Bytes to which the compressed fields of a fault expand, those within others included; the rest stays compressed."""
_SHORTEST = 4
_ENCODED = frozenset(("data", "b", "body", "payload", "clientcontext"))
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}")
# A traceback has a line of source code below the line that says where it is.
_PLACE = re.compile(r' *File "[^"\n]*", line [0-9]+')
_NAMES_OF_PAIRS = ("name", "key", "header", "field", "parameter")
_VALUES_OF_PAIRS = ("value", "val", "values", "stringvalue")


def readable(fault: Mapping[str, Any], *, whole: bool = True) -> dict[str, Any]:
    """A fault event for display; if it need not be whole, long texts of what is decoded are cut.

    The data of its records is decoded. Secrets are hidden: values of fields whose names sound secret, what is secret by
    its form, and both within texts. The text of the error does not quote the first either.
    """
    decode = _Decoder()
    decoded: dict[str, Any] = {name: decode(each) if name == "uow" else each for name, each in fault.items()}
    if not whole:
        decoded = Cut()(decoded)
    shown: dict[str, Any] = _redacted(decoded)
    err = decoded.get("err")
    if isinstance(err, Mapping):
        quoted = [each for text in set(_secrets(decoded)) for each in _as_quoted(text)]
        own: dict[str, Any] = {name: each for name, each in err.items() if name not in ("message", "stack")}
        texts = {name: _of_error(err[name], quoted) for name in ("message", "stack") if name in err}
        shown["err"] = {**_redacted(own), **texts}
    return shown


def redacted(value: Any) -> Any:
    """A value without secrets: those of fields whose names sound secret, and what is secret by its form."""
    return _redacted(value)


def redacted_stack(text: str) -> str:
    """A stack trace without secrets; of its source code, names stay."""
    return _of_error(text, [])


class _Decoder:
    """Decodes what a fault holds, one layer after the other."""

    def __init__(self) -> None:
        self._left = _MOST_EXPANDED

    def __call__(self, value: Any, name: str = "", depth: int = 0) -> Any:
        if depth > _DEEPEST:
            return TOO_DEEP
        if isinstance(value, Mapping):
            return self._decompressed({each: self(value[each], str(each), depth + 1) for each in value}, depth)
        if isinstance(value, list):
            return [self(each, name, depth + 1) for each in value]
        if not isinstance(value, str):
            return value
        text = _of_base64(value) if name.lower() in _ENCODED or value.startswith(("eyJ", "W3s")) else value
        # Only objects and arrays can be redacted by name; other JSON stays as it is.
        if not text.lstrip().startswith(("{", "[")):
            return text
        try:
            return self(json.loads(text), depth=depth + 1)
        except (RecursionError, ValueError):
            return text

    def _decompressed(self, members: dict[str, Any], depth: int) -> dict[str, Any]:
        try:
            whole, size = expanded(members, self._left)
        except ValueError:
            return members  # Decompression may be what failed: show the data as it is.
        if whole is members:
            return members
        self._left -= size
        return {name: self(whole[name], name, depth + 1) for name in whole}


def _of_base64(text: str) -> str:
    if not _BASE64.fullmatch(text):
        return text
    try:
        return base64.b64decode(text, altchars=b"-_" if "-" in text or "_" in text else None, validate=True).decode()
    except ValueError:
        return text


def _secrets(value: Any) -> Iterator[str]:
    """The texts and numbers in fields whose names sound secret."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _leaves(each) if _hides(name, value) else _secrets(each)
    elif isinstance(value, list):
        secrets = _places_of_secrets(value)
        for place, each in enumerate(value):
            yield from _leaves(each) if place in secrets else _secrets(each)


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
        return {_of_text(str(name)): REDACTED if _hides(name, value) else _redacted(value[name]) for name in value}
    if isinstance(value, list):
        secrets = _places_of_secrets(value)
        return [REDACTED if place in secrets else _redacted(each) for place, each in enumerate(value)]
    return _of_text(value) if isinstance(value, str) else value


def _hides(name: Any, fields: Mapping[Any, Any]) -> bool:
    """Whether a field is hidden because of its name. That it is empty, or a switch, is no secret."""
    value = fields[name]
    if value in (None, "", [], {}) or isinstance(value, bool):
        return False
    if is_secret(str(name)):
        return not (isinstance(value, int) and is_amount(str(name)))
    return _is_value_of_secret(name, fields)


def _is_value_of_secret(name: Any, pair: Mapping[Any, Any]) -> bool:
    """Whether a field is the value of a pair whose name is beside it: ``{"Key": "password", "Value": ...}``."""
    if str(name).lower() not in _VALUES_OF_PAIRS:
        return False
    beside = (_plain(pair[each]) for each in pair if str(each).lower().removesuffix("name") in ("", *_NAMES_OF_PAIRS))
    return any(isinstance(each, str) and is_secret(each) for each in beside)


def _plain(value: Any) -> Any:
    """A value, or the text of a DynamoDB attribute value."""
    return value["S"] if isinstance(value, Mapping) and set(value) == {"S"} else value


def _places_of_secrets(values: list[Any]) -> set[int]:
    """The places in a list of what stands behind a name: a pair, or headers and their values in turn."""
    if len(values) == 2 and isinstance(values[0], str) and is_secret(values[0]):
        return {1}
    names = values[::2]
    is_flat = len(values) >= 4 and len(values) % 2 == 0 and all(isinstance(each, str) for each in values)
    return {place * 2 + 1 for place, each in enumerate(names) if is_flat and is_header(each)}


def _of_text(text: str) -> str:
    shown = redacted_text(text)
    if shown == text and _BASE64.fullmatch(text):
        try:
            latin = base64.b64decode(text, validate=True).decode("latin-1")
        except ValueError:
            return text
        return text if redacted_text(latin) == latin else REDACTED
    return shown


def _as_quoted(secret: str) -> Iterator[str]:
    """A secret as an error may quote it."""
    if len(secret) >= _SHORTEST:
        yield from {secret, repr(secret)[1:-1], json.dumps(secret)[1:-1]}


def _of_error(text: Any, secrets: list[str]) -> str:
    """The message or the stack of an error without secrets; of its source code, names stay."""
    text = str(text or "")
    shown = hidden(text, spans_of(secrets, text))
    parts: list[str] = []
    lines: list[str] = []
    is_code = False
    for line in shown.split("\n"):
        if is_code:
            parts += [redacted_text("\n".join(lines)), redacted_text(line, "code")]
            lines = []
        else:
            lines.append(line)
        is_code = bool(_PLACE.match(line))
    if lines:
        parts.append(redacted_text("\n".join(lines)))
    return "\n".join(parts)
