"""The environment variables of the functions, read when they are used."""

import os

from stream_runtime.errors import InvalidSetting


def tombstone_s() -> int:
    """Seconds for which a deleted item stays as a tombstone, from TOMBSTONE_DAYS."""
    return _days("TOMBSTONE_DAYS") * 24 * 3600


def _days(name: str) -> int:
    raw = os.environ.get(name, "")
    if not raw.isdecimal() or int(raw) < 1:
        raise InvalidSetting(f"environment variable {name}={raw!r}: expected a whole number of days")
    return int(raw)
