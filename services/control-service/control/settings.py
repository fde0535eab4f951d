"""The environment variables of the functions, read when they are used."""

import os

from stream_runtime.errors import InvalidSetting


def incomplete_after_s() -> int:
    """Seconds that a submitted item may wait for its analysis before it expires, from INCOMPLETE_AFTER_SECONDS."""
    raw = os.environ.get("INCOMPLETE_AFTER_SECONDS", "")
    if not raw.isdecimal() or int(raw) < 1:
        raise InvalidSetting(
            f"environment variable INCOMPLETE_AFTER_SECONDS={raw!r}: expected a whole number of seconds"
        )
    return int(raw)
