"""JSON of the services that are asked most is read and written by orjson, in a fifth of the time.

What orjson reads differently is left to ``json``: integers of more than 64 bits, which it makes floats, and all that it
refuses, such as NaN and lone surrogates. What it cannot write is, too.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson

# Which of a service's texts are bodies, and no parts of messages or of sizes: errors with an item; events for targets.
_WRITING: dict[str, dict[str, Any]] = {"dynamodb": {"ensure_ascii": False}, "eventbridge": {}}
_SERVICES = ("dynamodb", "dynamodb_streams", "eventbridge", "kinesis", "sqs")

INTERNALS = {
    **{f"ministack.services.{name}": ("json",) for name in _SERVICES},
    "ministack.services.dynamodb": ("json", "json_response"),
    "ministack.services.dynamodb_streams": ("json", "json_response", "_cap_page_bytes", "_GET_RECORDS_MAX_BYTES"),
    "ministack.services.eventbridge": ("json", "json_response"),
    "ministack.services.lambda_svc": ("json",),
    "ministack.services.kinesis": ("json", "json_response"),
    "ministack.services.sqs": ("json", "_json_ok"),
}

_BEFORE_NUMBERS = b" \t\n\r:,[-"
_FORM = bytes.maketrans(_BEFORE_NUMBERS + b"123456789", b":" * len(_BEFORE_NUMBERS) + b"0" * 9)
_LONG = b":" + b"0" * 19
_NUMBER = re.compile(rb"[0-9]++(?:$|[\s,\]}])")
_SAME = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME


class Json:
    """Stands for the module ``json`` in a module that reads with it."""

    def __init__(self, writing: Mapping[str, Any] | None = None) -> None:
        """``writing`` are options of ``dumps`` for which dicts are written here, too: without spaces, as AWS does."""
        self._writing = writing

    def __getattr__(self, name: str) -> Any:
        return getattr(json, name)

    def dumps(self, content: Any, **options: Any) -> str:
        """As ``json.dumps``, but for the spaces of what is written here."""
        if options == self._writing and type(content) is dict:
            return written(content).decode()
        return json.dumps(content, **options)

    @staticmethod
    def loads(text: str | bytes | bytearray, **options: Any) -> Any:
        """As ``json.loads``."""
        if options:
            return json.loads(text, **options)
        ahead = _Ahead.body
        if ahead is not None and ahead[0] is text:
            _Ahead.body = None
            return ahead[1]
        return read(text)


class _Ahead:
    """The body of a request that was read to decide on it, with its content, until its service takes it."""

    body: tuple[bytes, Any] | None = None


def read_ahead(body: bytes) -> Any:
    """Read what a service will read; it gets the same content, in which nothing may be changed here.

    Raises:
        ValueError: it is no JSON.
    """
    ahead = _Ahead.body
    if ahead is None or ahead[0] is not body:
        ahead = _Ahead.body = body, read(body)
    return ahead[1]


def read(text: str | bytes | bytearray) -> Any:
    """What ``json.loads`` gives.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        content = text.encode() if isinstance(text, str) else text
        if not has_long_integer(content):
            return orjson.loads(content)
    except ValueError:
        pass  # `json` says what is wrong, if there is anything
    return json.loads(text)


def has_long_integer(content: bytes | bytearray) -> bool:
    """Whether there may be an integer of 19 digits or more; digits that a string ends with are none."""
    form, place = b":" + content.translate(_FORM), -1
    while (place := form.find(_LONG, place + 1)) >= 0:
        if _NUMBER.match(content, place):
            return True
    return False


def written(content: Any, default: Callable[[Any], Any] | None = None) -> bytes:
    """What ``json.dumps`` gives, without spaces and in UTF-8. NaN, which is no JSON, may become null."""
    try:
        return orjson.dumps(content, default, _SAME)
    except orjson.JSONEncodeError:
        return json.dumps(content, separators=(",", ":"), default=default).encode()


def patch() -> None:
    """Have the services read and answer so."""
    from ministack.services import lambda_svc

    lambda_svc.json = Json()
    for name in _SERVICES:
        service: Any = importlib.import_module(f"ministack.services.{name}")
        service.json = Json(_WRITING.get(name))
        if hasattr(service, "json_response"):
            service.json_response = response

    from ministack.services import dynamodb_streams, sqs

    def capped(page: list[Any]) -> list[Any]:
        return first_of(page, dynamodb_streams._GET_RECORDS_MAX_BYTES)

    sqs._json_ok, dynamodb_streams._cap_page_bytes = response, capped


def response(
    content: Mapping[str, Any], status: int = 200, *, content_type: str = "application/x-amz-json-1.0"
) -> tuple[int, dict[str, str], bytes]:
    """An answer of the emulator."""
    return status, {"Content-Type": content_type}, written(content)


def first_of(page: list[Any], most: int) -> list[Any]:
    """As many records as come to so many bytes together, and one at least."""
    total = 0
    for place, record in enumerate(page):
        total += len(written(record, str))
        if place and total > most:
            return page[:place]
    return page
