"""How many of its cases a test plays that could play any number: all with THOROUGH in the environment, else a part."""

import os


def sample_of(count: int) -> int:
    """All of so many cases, or a fourth: `npm test` plays others each time, CI all."""
    return count if "THOROUGH" in os.environ else count // 4
