"""Cursors: where a page ended, as an opaque text."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from .errors import InvalidCursor

ELSEWHERE = "the cursor is not one of this list"
MOST_BYTES = 1024
"""Of a text in a key: as many as a sort key may have (DynamoDB developer guide, "Quotas")."""


def to_cursor(key: dict[str, Any]) -> str:
    """The cursor of a key with text and whole numbers."""
    return base64.urlsafe_b64encode(json.dumps(key, separators=(",", ":")).encode()).decode().rstrip("=")


def from_cursor(cursor: str, fields: Mapping[str, type]) -> dict[str, Any]:
    """The key of a cursor.

    Raises:
        InvalidCursor: it does not hold exactly the given fields, with values of their types that a key may have.
    """
    try:
        key = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        raise InvalidCursor("the cursor cannot be read") from None
    if not isinstance(key, dict) or {name: type(value) for name, value in key.items()} != fields:
        raise InvalidCursor(ELSEWHERE)
    if not all(map(_may_be_in_a_key, key.values())):
        raise InvalidCursor(ELSEWHERE)
    return key


def _may_be_in_a_key(value: str | int) -> bool:
    if isinstance(value, int):
        return 0 <= value < 10**15
    try:
        return 1 <= len(value.encode()) <= MOST_BYTES
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
