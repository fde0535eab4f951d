"""Chance that follows from what it is about, and not from how much happened before."""

from __future__ import annotations

import hashlib
import struct

_FOUR = struct.Struct(">4I")


def fraction(about: str) -> float:
    """A number from 0 to before 1, for a text; any other text has another one."""
    return int.from_bytes(hashlib.blake2b(_bytes(about), digest_size=6).digest(), "big") / 2**48


def fractions(about: str) -> tuple[float, float, float, float]:
    """Four such numbers, at the price of one."""
    first, second, third, fourth = _FOUR.unpack(hashlib.blake2b(_bytes(about), digest_size=16).digest())
    return first / 2**32, second / 2**32, third / 2**32, fourth / 2**32


def uuid_of(about: str) -> str:
    """A text of the form of a UUID."""
    digits = hashlib.blake2b(_bytes(about), digest_size=16).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
