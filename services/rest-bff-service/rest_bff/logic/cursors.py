"""Cursors: the position at which a page ended, as opaque text."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from .errors import InvalidCursor

ELSEWHERE = "the cursor is not one of this list"
MOST_BYTES = 1024
"""Bytes of a text in a key, the limit of a sort key (DynamoDB developer guide, "Quotas")."""


def to_cursor(key: dict[str, Any]) -> str:
    """The cursor of a key; its values are text or whole numbers."""
    return base64.urlsafe_b64encode(json.dumps(key, separators=(",", ":")).encode()).decode().rstrip("=")


def from_cursor(cursor: str, fields: Mapping[str, type]) -> dict[str, Any]:
    """The key of a cursor.

    Raises:
        InvalidCursor: it does not have exactly these fields, with valid key values of their types.
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
