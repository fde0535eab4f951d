"""Identifiers that services make up."""

from __future__ import annotations

import random


def uuid_by(chance: random.Random) -> str:
    """A text of the form of a UUID; `uuid.UUID` takes five times as long."""
    digits = f"{chance.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
