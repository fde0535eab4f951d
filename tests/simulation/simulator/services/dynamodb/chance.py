"""Chance that follows from what it is about, and not from how much happened before."""

from __future__ import annotations

import hashlib


def fraction(about: str) -> float:
    """A number from 0 to before 1, for a text; any other text has another one."""
    return int.from_bytes(hashlib.blake2b(about.encode(), digest_size=6).digest(), "big") / 2**48
