"""Cursors: where a page ended, as an opaque text."""

import base64
import json
from typing import Any

from .errors import InvalidCursor


def to_cursor(key: dict[str, Any]) -> str:
    """The cursor of a key with text and whole numbers."""
    return base64.urlsafe_b64encode(json.dumps(key, separators=(",", ":")).encode()).decode().rstrip("=")


def from_cursor(cursor: str, fields: dict[str, type]) -> dict[str, Any]:
    """The key of a cursor.

    Raises:
        InvalidCursor: it does not hold exactly the given fields, with values of their types.
    """
    try:
        key = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        raise InvalidCursor("the cursor cannot be read") from None
    if not isinstance(key, dict) or {name: type(value) for name, value in key.items()} != fields:
        raise InvalidCursor("the cursor is not one of this list")
    return key
