"""The same numbers and expressions come again and again, and are read once.

ministack reads an expression character by character for each item, and each number of an item three times per write.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

INTERNALS = {
    "ministack.services.dynamodb": (*("_tokenize", "_ddb_canonicalize_number", "_number_error", "_number_size_bytes"),),
}

_LONGEST = 4_096
_MOST = 4_096


def patch() -> None:
    """Remember what was read."""
    from ministack.services import dynamodb

    for name in ("_ddb_canonicalize_number", "_number_error", "_number_size_bytes"):
        setattr(dynamodb, name, remembered(getattr(dynamodb, name)))
    tokens = remembered(dynamodb._tokenize)
    dynamodb._tokenize = lambda text: list(tokens(text))


def remembered(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A function of a text that is called once for a text which it is given often."""
    once = functools.lru_cache(_MOST)(read)

    @functools.wraps(read)
    def reading(text: Any) -> Any:
        return once(text) if type(text) is str and len(text) <= _LONGEST else read(text)

    return reading
