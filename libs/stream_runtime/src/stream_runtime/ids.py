"""Ids derived from what caused an event: a batch that is processed again publishes the same ids."""

from __future__ import annotations

_LONGEST = 512


def derived_id(*parts: object) -> str:
    """An id made of its causes, ``<event id>.<rule id>``; a long one ends in a digest of the whole."""
    text = ".".join(str(part) for part in parts)
    if len(text) <= _LONGEST:
        return text
    return f"{text[: _LONGEST - 65]}.{digest(text)}"


def digest(text: str) -> str:
    """The SHA-256 of a text, in 64 hexadecimal digits."""
    import hashlib  # most ids are short

    return hashlib.sha256(text.encode()).hexdigest()
