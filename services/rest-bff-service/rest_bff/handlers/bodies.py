"""Bodies of requests: what is read is JSON (RFC 8259) within limits, whatever the client says that it is."""

import base64
import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NoReturn

from pydantic_core import from_json

LARGEST = 256 * 1024
"""Bytes of a body; the longest story in its longest encoding has fewer."""

DEEPEST = 100
"""Levels of lists and objects in a body."""

MEDIA_TYPE = re.compile(r"application/(?:json|[!#$&^_.+a-z0-9-]+\+json)")
"""Media types that are JSON (RFC 6838, "Structured Syntax Name Suffixes")."""

CHARSETS = {"utf-8", "utf8", "us-ascii"}

STRING = re.compile(r'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
"""A string, to the end of the text if nothing ends it: the search never goes back."""

BRACKET = re.compile(r"[\[\]{}]")


class UnreadableBody(Exception):
    """A body that is no JSON.

    Attributes:
        status: of the response.
    """

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


def with_json_body(event: Mapping[str, Any]) -> dict[str, Any]:
    """The event with its body as JSON text; ``application/json`` is then its media type.

    This runs before routing, because models do not see every way in which a body may be broken: invalid base64, bytes
    that are not UTF-8, nesting deeper than the parser allows. Python's own limits and messages differ between versions,
    and the router knows one spelling of the media type.

    Raises:
        UnreadableBody: the body is not JSON, or too large or too deep.
    """
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    text = event.get("body") or None
    if text:
        _check_type(headers)
        text = _decoded(text) if event.get("isBase64Encoded") else text
        _check_json(text)
    return {**event, "headers": {**headers, "content-type": "application/json"}, "body": text, "isBase64Encoded": False}


def _check_type(headers: Mapping[str, str]) -> None:
    coding = headers.get("content-encoding", "identity").strip().lower()
    if coding != "identity":
        _refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"expected a body that is not compressed, found {coding}")
    media_type, *parameters = (part.strip() for part in headers.get("content-type", "").lower().split(";"))
    if (media_type or parameters) and not MEDIA_TYPE.fullmatch(media_type):
        _refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"expected application/json, found {media_type or 'no media type'}")
    for name, _, value in (parameter.partition("=") for parameter in parameters):
        if name == "charset" and value.strip('"') not in CHARSETS:
            _refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"expected JSON in UTF-8, found the charset {value}")


def _decoded(body: str) -> str:
    try:
        return base64.b64decode(body, validate=True).decode()
    except UnicodeDecodeError:
        _refuse(HTTPStatus.BAD_REQUEST, "the body is not UTF-8")
    except ValueError:
        _refuse(HTTPStatus.BAD_REQUEST, "the body is not base64")


def _check_json(text: str) -> None:
    if len(text.encode(errors="surrogatepass")) > LARGEST:
        _refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {LARGEST} bytes")
    if _nesting(text) > DEEPEST:
        _refuse(HTTPStatus.BAD_REQUEST, f"the body is nested deeper than {DEEPEST} levels")
    try:
        json.loads(text, parse_constant=_refuse_constant)
    except ValueError:
        _refuse(HTTPStatus.BAD_REQUEST, f"the body is not JSON{_where(text)}")


def _nesting(text: str) -> int:
    """How deep lists and objects of a JSON text are nested."""
    depth = deepest = 0
    for bracket in BRACKET.findall(STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _where(text: str) -> str:
    """What is wrong with a text that is not JSON, and where."""
    try:
        from_json(text.encode(errors="surrogatepass"), allow_inf_nan=False)
    except ValueError as error:
        return f": {error}"
    return ""


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _refuse(status: HTTPStatus, why: str) -> NoReturn:
    raise UnreadableBody(status, why)
