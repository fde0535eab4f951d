"""The environment variables of the functions, read when they are used."""

import os

from stream_runtime.errors import InvalidSetting


def tombstone_s() -> int:
    """Seconds for which a deleted item stays as a tombstone, from TOMBSTONE_DAYS."""
    return _days("TOMBSTONE_DAYS") * 24 * 3600


def dashboard_table_name() -> str:
    """Table of the dashboard, from DASHBOARD_TABLE_NAME."""
    name = os.environ.get("DASHBOARD_TABLE_NAME", "")
    if not name:
        raise InvalidSetting("environment variable DASHBOARD_TABLE_NAME is not set")
    return name


def dashboard_ttl_s() -> int:
    """Seconds for which rows of the dashboard live, from TTL_DAYS."""
    return _days("TTL_DAYS") * 24 * 3600


def _days(name: str) -> int:
    raw = os.environ.get(name, "")
    if not raw.isdecimal() or int(raw) < 1:
        raise InvalidSetting(f"environment variable {name}={raw!r}: expected a whole number of days")
    return int(raw)
